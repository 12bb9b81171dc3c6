"""The command line: `segment-propagate`.

Exit status: 0 on success, 2 for a mistake of the user (one sentence on stderr), 130 when interrupted, 143 and 129 when
ended by SIGTERM or SIGHUP, 141 when nobody reads the output any more, 1 for all else.
Only `arguments` is imported to answer `--help`; each command lives in a module of its own name. Both are imported when
an interrupt ends in a sentence already: they are most of the time that a mistyped command takes.
"""

from __future__ import annotations

import atexit
import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from types import FrameType, ModuleType
from typing import NoReturn

from SegmentPropagateLib.cli.console import complain, open_closed_streams, settle
from SegmentPropagateLib.errors import InputError, SegmentPropagateError
from SegmentPropagateLib.process import importing_for_good, prepare_process, signals_handled

_WITH_PYTORCH = ("torch", "sam2", "hydra", "iopath", "omegaconf")  # what is installed on one press, or by one command


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status; without `argv`, as a program, an interrupt ends the process."""
    prepare_process()
    open_closed_streams()
    try:
        with signals_handled(_interrupter()):
            return _run(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt as error:
        number = error.args[0] if error.args else signal.SIGINT
        what = "Interrupted" if number == signal.SIGINT else f"Ended by {signal.Signals(number).name}"
        complain(f"{what}; no file was left half written.")
        return 128 + number if argv is not None else _leave(128 + number)
    finally:
        settle(sys.stdout)
        settle(sys.stderr)


def _run(argv: Sequence[str]) -> int:
    try:
        from SegmentPropagateLib.cli.arguments import read

        arguments = read(argv)
        _module_of(arguments.command).run(arguments)
        sys.stdout.flush()  # here, where a reader that has gone is noticed
        return 0
    except InputError as error:
        return _fail(error, 2)
    except ModuleNotFoundError as error:
        if str(error.name).startswith("SegmentPropagateLib"):
            raise
        name = str(error.name).partition(".")[0]
        needed = "PyTorch and sam2" if name in _WITH_PYTORCH else f"'{name}'"
        return _fail(f"This command needs {needed}, and '{name}' is not installed: see the README.", 2)
    except BrokenPipeError:  # the reader has seen enough, as `head` has
        return 141
    except OSError as error:
        if isinstance(error, FileNotFoundError) and error.filename is None:  # asked where it is
            return _fail("The folder in which you are is not there any more: change to another one.", 2)
        where = "" if error.filename is None else f" ('{error.filename}')"
        return _fail(f"The system says: {error.strerror or error}{where}.", 1)
    except (SegmentPropagateError, MemoryError) as error:
        return _fail(str(error) or "The machine ran out of memory.", 1)
    except Exception:  # noqa: BLE001 - the outer border: a bug, and a maintainer needs its traceback
        traceback.print_exc()
        return _fail("This is a fault of the program; please report the lines above.", 1)


def _module_of(command: str) -> ModuleType:
    name = f"SegmentPropagateLib.cli.{command.replace('-', '_')}"
    if name in sys.modules:
        return sys.modules[name]
    with importing_for_good():
        return importlib.import_module(name)


def _fail(reason: object, status: int) -> int:
    complain(reason)
    return status


def _leave(status: int) -> NoReturn:
    """End the process at once, when all is cleaned up: Python would first wait for threads.

    One may be importing PyTorch, for seconds, or for ever where it waits for a module whose import was interrupted.
    """
    settle(sys.stdout)
    settle(sys.stderr)
    atexit._run_exitfuncs()  # a cluster of Ray that was being started ends by one
    os._exit(status)


def _interrupter() -> Callable[[int, FrameType | None], None]:
    """What SIGTERM and SIGHUP do as well as Ctrl-C: end a command such that what it has begun is cleaned up."""
    heard: list[float] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        heard.append(time.monotonic())
        if len(heard) == 1 or heard[-1] - heard[-2] > 1:  # several come at once, and the first is being obeyed
            raise KeyboardInterrupt(number)

    return interrupt
