"""The command line: `segment-propagate`.

Exit status: 0 on success, 2 for a mistake of the user (one sentence on stderr), 130 when interrupted, 141 when
nobody reads the output any more, 1 for all else.
Only `arguments` is imported to answer `--help`; each command lives in a module of its own name.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from SegmentPropagateLib.cli.arguments import make_parser, mend
from SegmentPropagateLib.errors import InputError, SegmentPropagateError
from SegmentPropagateLib.process import let_waiting_threads_sleep


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    let_waiting_threads_sleep()
    try:
        arguments = make_parser().parse_args(mend(sys.argv[1:] if argv is None else argv))
        command = importlib.import_module(f"SegmentPropagateLib.cli.{arguments.command}")
        command.run(arguments)
        sys.stdout.flush()  # here, where a reader that has gone is noticed
        return 0
    except InputError as error:
        return _fail(error, 2)
    except ModuleNotFoundError as error:
        if str(error.name).startswith("SegmentPropagateLib"):
            raise
        return _fail(f"This command needs PyTorch and sam2, and '{error.name}' is not installed: see the README.", 2)
    except BrokenPipeError:  # the reader has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it exits
        return 141
    except (SegmentPropagateError, OSError, MemoryError) as error:
        return _fail(str(error) or "The machine ran out of memory.", 1)
    except KeyboardInterrupt:
        return _fail("Interrupted; nothing was written.", 130)
    except Exception:  # noqa: BLE001 - the outer border: a bug, and a maintainer needs its traceback
        traceback.print_exc()
        return _fail("This is a fault of the program; please report the lines above.", 1)


def _fail(reason: object, status: int) -> int:
    from SegmentPropagateLib.cli.console import printable  # a progress bar's package, which --help need not wait for

    sentence = printable(" ".join(str(reason).split()))
    print(f"segment-propagate: {sentence}", file=sys.stderr)  # noqa: T201 - the command line speaks here
    return status
