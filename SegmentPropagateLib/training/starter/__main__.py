"""`python -m SegmentPropagateLib.training.starter` trains the bundled model anew."""

import sys

from SegmentPropagateLib.training.starter.run import main

if __name__ == "__main__":
    main(sys.argv[1:])
