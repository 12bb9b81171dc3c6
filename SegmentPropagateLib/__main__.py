"""`python -m SegmentPropagateLib` is `segment-propagate`."""

import sys

from SegmentPropagateLib.cli import main

if __name__ == "__main__":
    sys.exit(main())
