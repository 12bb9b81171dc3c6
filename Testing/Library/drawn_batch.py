"""`segment-propagate` whose batch runs on a double, and goes wrong where a case's name says so; run it as a script."""

import functools
import os
import signal
import sys
import time
from pathlib import Path

from doubles import ThresholdPropagator

import SegmentPropagateLib.cli.batch as command
from SegmentPropagateLib.cli import main
from SegmentPropagateLib.errors import InputError


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def fail():
    raise ValueError("a bug")


TROUBLES = {"dies": die, "bug": fail, "waits": functools.partial(time.sleep, 120)}


def start(settings):
    """The runner of `batch`; the names of cases are a trouble, perhaps `once`, and anything: `dies-once-3`."""
    work = command.start(settings, load_model=lambda *args, **options: ThresholdPropagator())

    def do(task):
        trouble, *words = task["name"].split("-")
        tries = Path(settings["out"]).parent / f"{task['name']}.tries"
        with tries.open("a") as file:
            file.write("x")
        if trouble in TROUBLES and ("once" not in words or tries.read_text() == "x"):
            TROUBLES[trouble]()
        return work(task)

    return do


def refuse(settings):
    raise InputError("The settings are wrong.")


def perish(settings):
    die()


def echo(settings):
    """Gives tasks back, with the process's environment; prints beside it."""

    def do(task):
        sys.stdout.write("a library prints\n")
        return {"status": "done", "task": task, "threads": os.environ.get("OMP_NUM_THREADS"), "pid": os.getpid()}

    return do


if __name__ == "__main__":
    command.run = functools.partial(command.run, runner="drawn_batch:start")
    sys.exit(main())
