"""`python -m SegmentPropagateLib` is `segment-propagate`."""

import sys

if __name__ == "__main__":
    if not (getattr(sys.flags, "safe_path", False) or sys.flags.isolated):  # the former since Python 3.11
        del sys.path[0]  # where it was started, maybe among a patient's files: a numpy.py there is none of ours
    from SegmentPropagateLib.cli import main

    sys.exit(main())
