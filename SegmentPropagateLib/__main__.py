"""`python -m SegmentPropagateLib` is `segment-propagate`."""

import os
import sys

TYPE_CHECKING = False  # as of `typing`: what is imported up here `python -m` still looks for where it was started
if TYPE_CHECKING:
    from types import FrameType


def main() -> int:
    """Run one command; an interrupt ends in one sentence from here on, also while the commands are imported.

    Returns:
        The exit status.
    """
    import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # others are the caller's, as of `nohup`
        signal.signal(signal.SIGINT, _end)
    from SegmentPropagateLib.cli import main as run  # a tenth of a second, or three times that from a cold disk

    return run()


def _end(_number: int, _frame: "FrameType | None") -> None:
    """Nothing was begun yet, or all is done: there is nothing to clean up."""
    try:
        os.write(2, b"segment-propagate: Interrupted; no file was left half written.\n")
    finally:
        os._exit(130)


if __name__ == "__main__":
    if not (getattr(sys.flags, "safe_path", False) or sys.flags.isolated):  # the former since Python 3.11
        del sys.path[0]  # where it was started, maybe among a patient's files: a numpy.py there is none of ours
    sys.exit(main())
