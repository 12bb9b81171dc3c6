"""`python -m SegmentPropagateLib.worker` is the process that computes; messages on stdin and stdout, logs on stderr."""

import sys

from SegmentPropagateLib.worker.worker import main

if __name__ == "__main__":
    sys.exit(main())
