"""`python -m SegmentPropagateLib.worker` is the process that computes; messages on stdin and stdout, logs on stderr."""

import sys

if __name__ == "__main__":
    if not (getattr(sys.flags, "safe_path", False) or sys.flags.isolated):  # the former since Python 3.11
        del sys.path[0]  # where it was started, maybe among a patient's files: a numpy.py there is none of ours
    from SegmentPropagateLib.worker.worker import main

    sys.exit(main())
