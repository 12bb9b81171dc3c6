"""A worker whose models are doubles: slow, hanging, dying, out of memory; run it as a script.

drawn_worker.py [SECONDS]: how long it goes on after the end of its input.
"""

import itertools
import os
import signal
import sys
import time

from doubles import ThresholdPropagator

from SegmentPropagateLib.errors import CheckpointError
from SegmentPropagateLib.worker import worker


class Troubled(ThresholdPropagator):
    """Does its trouble before the third slice of every run."""

    def __init__(self, trouble):
        super().__init__()
        self.trouble = trouble

    def run(self, lanes, key_masks):
        for count, update in enumerate(super().run(lanes, key_masks)):
            if count == 2:
                self.trouble()
            yield update


class Slow(ThresholdPropagator):
    """Takes its time for every slice."""

    def run(self, lanes, key_masks):
        for update in super().run(lanes, key_masks):
            time.sleep(0.05)
            yield update


class EndsEarly(ThresholdPropagator):
    """Gives up after four slices."""

    def run(self, lanes, key_masks):
        yield from itertools.islice(super().run(lanes, key_masks), 4)


def run_out_of_memory():
    raise MemoryError


def hang():
    time.sleep(3600)


def die():
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))  # on Windows SIGTERM ends a process at once


def fail():
    raise ZeroDivisionError("a bug\nwith two lines")


def talk():
    print("printed by a library", flush=True)  # noqa: T201
    os.write(1, b"written by C code\n")


def ask():
    print("asked and got", repr(sys.stdin.read()), flush=True)  # noqa: T201


def flood():
    for _ in range(2000):
        os.write(2, b"a warning of a thousand characters".ljust(999) + b"\n")


TROUBLES = {f.__name__: f for f in (run_out_of_memory, hang, die, fail, talk, ask, flood)}


def load_model(name, device="auto", precision="auto", image_size=None):
    if name in ("threshold", "classical"):
        return ThresholdPropagator()
    if name == "slow":
        return Slow()
    if name == "ends_early":
        return EndsEarly()
    if name in TROUBLES:
        return Troubled(TROUBLES[name])
    if os.path.exists(name):  # noqa: PTH110
        return ThresholdPropagator()
    raise CheckpointError(f"There is no model or model file '{name}'.")


if __name__ == "__main__":
    sys.exit(worker.main(load_model, *map(float, sys.argv[1:])))
