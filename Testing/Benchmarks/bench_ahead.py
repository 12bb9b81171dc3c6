"""How soon something is to be seen: first slice, whole run, run again and correction, without and with getting ahead.

python Testing/Benchmarks/bench_ahead.py [--slices 200] [--side 512] [--range 33] [--model starter] [--json OUT.json]

The worker is warm in all of them: it runs, has the model loaded and the voxels. *Without*, nothing else was done before
Propagate; *with*, the outline was told and the worker left alone until it had done what it does. *Again* is the same
run from an outline moved by a pixel. Threads are as in the environment. Processor time of the worker stands beside the
time on the clock, which needs a quiet computer. The model `tiny` is a SAM 2.1 tiny of random weights at 512 pixels.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "Library")]

from worker_client import Client, setup  # noqa: E402

from SegmentPropagateLib.worker.replies import Done, SliceDone, VolumeTaken  # noqa: E402
from SegmentPropagateLib.worker.requests import GetAhead, Propagate, TakeVolume  # noqa: E402

QUIET_S = 5.0
"""A worker that takes no processor time for so long has done all that it does."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--side", type=int, default=512, help="rows and columns")
    parser.add_argument("--range", type=int, default=0, help="slices to fill around the middle one; 0: all of them")
    parser.add_argument("--model", default="starter", help="name, file, or `tiny`")
    parser.add_argument("--json", metavar="OUT", help="write the figures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = random_tiny(folder) if arguments.model == "tiny" else arguments.model
        figures = measure(*draw(arguments.slices, arguments.side), model, arguments.range or arguments.slices)
    report(figures)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures, indent=1))


def draw(slices, side):
    """A body in air with an organ in it: int16 `(k, j, i)`, and the organ's mask."""
    random = np.random.default_rng(3)
    k, j, i = np.ogrid[:slices, :side, :side]
    away = ((j / side - 0.5) ** 2 + (i / side - 0.5) ** 2).astype(np.float32)
    organ = ((k / slices - 0.5) / 0.45) ** 2 + ((j / side - 0.45) / 0.12) ** 2 + ((i / side - 0.6) / 0.1) ** 2 <= 1
    voxels = np.where(np.broadcast_to(away, (slices, side, side)) < 0.2, -60, -1000).astype(np.int16)
    voxels[organ] += 140
    voxels += random.integers(-25, 26, voxels.shape, np.int16)
    return voxels, organ


def random_tiny(folder):
    """A file of a SAM 2.1 tiny at 512 pixels."""
    from SegmentPropagateLib.networks.build import build_network
    from SegmentPropagateLib.networks.card import Card
    from SegmentPropagateLib.networks.checkpoints import save_checkpoint
    from SegmentPropagateLib.networks.families import NetworkConfig

    path = Path(folder, "tiny512.pt")
    save_checkpoint(path, build_network(NetworkConfig("sam2.1", "t", 512)).state_dict(), Card("sam2.1", "t", 512))
    return str(path)


class Measured:
    """A worker and what it is asked about one volume."""

    def __init__(self, voxels, mask, model):
        environment = {name: os.environ[name] for name in ("OMP_NUM_THREADS",) if name in os.environ}
        self.client = Client("-m", "SegmentPropagateLib.worker", environment=environment)
        self.worker = psutil.Process(self.client.process.pid)
        self.voxels, self.mask, self.setup = voxels, mask, setup(voxels.shape, model)

    def hand_over(self):
        """The volume anew: whatever was done for it before is forgotten, but for the model."""
        self.client.send(TakeVolume("v", self.voxels))
        assert self.client.receive() == VolumeTaken("v")

    def get_ahead(self, keys, masks, ends):
        """Tell the outlines and leave the worker alone; returns the processor time that it takes."""
        began = self.seconds()
        self.client.send(GetAhead(self.setup, keys, masks, *ends))
        self.client.receive()
        before = None
        while before != (before := self.seconds()):
            time.sleep(QUIET_S)
        return self.seconds() - began

    def run(self, keys, masks, ends):
        """Propagate; returns seconds and processor seconds to the first new slice and to the end, and the slices."""
        worked, began, first, found = self.seconds(), time.perf_counter(), None, {}
        self.client.send(Propagate(self.setup, keys, masks, *ends, True))
        while not (reply := self.client.receive()).final:
            if isinstance(reply, SliceDone):
                found[reply.slice_index] = reply.mask
                if first is None and reply.done:
                    first = time.perf_counter() - began, self.seconds() - worked
        assert isinstance(reply, Done), reply
        names = "first_s", "first_cpu_s", "run_s", "run_cpu_s"
        return dict(zip(names, (*first, time.perf_counter() - began, self.seconds() - worked), strict=True)), found

    def seconds(self):
        times = self.worker.cpu_times()
        return times.user + times.system


def measure(voxels, mask, model, count):
    """All figures, by task."""
    measured, key = Measured(voxels, mask, model), len(voxels) // 2
    ends = key - count // 2, key - count // 2 + count - 1
    other = min(key + 20, ends[1] - 1)
    one, outline, moved = ((1, key),), mask[[key]], np.roll(mask[[key]], 1, 2)
    two, corrected = ((1, key), (1, other)), np.stack([moved[0], np.roll(mask[other], 2, 1)])
    try:
        measured.hand_over()
        measured.run(one, outline, (key, key + 1))  # loads the model
        measured.hand_over()
        figures, masks = {}, {}
        figures["without"], masks["without"] = measured.run(one, outline, ends)
        figures["without, again"], _ = measured.run(one, moved, ends)
        figures["without, correction"], masks["corrected"] = measured.run(two, corrected, ends)
        measured.hand_over()
        ahead = measured.get_ahead(one, outline, ends)
        figures["with"], masks["with"] = measured.run(one, outline, ends)
        figures["with, again"], _ = measured.run(one, moved, ends)
        told = measured.get_ahead(two, corrected, ends)
        figures["with, correction"], masks["corrected with"] = measured.run(two, corrected, ends)
    finally:
        measured.client.kill()
    for name, same in (("without", "with"), ("corrected", "corrected with")):
        assert all(np.array_equal(masks[same][index], found) for index, found in masks[name].items()), "masks differ"
    return {"ahead_cpu_s": ahead, "ahead_of_correction_cpu_s": told, **figures}


def report(figures):
    """Print the table."""
    print(f"{'seconds (processor)':24}{'first slice':>18}{'all slices':>18}")
    for task, row in figures.items():
        if isinstance(row, dict):
            first, whole = (f"{row[f'{part}_s']:.2f} ({row[f'{part}_cpu_s']:.2f})" for part in ("first", "run"))
            print(f"{task:24}{first:>18}{whole:>18}")
    for which in ("without", "with"):
        ratio = figures[which]["run_cpu_s"] / figures[f"{which}, again"]["run_cpu_s"]
        print(f"{which}: first pass over run again {ratio:.2f} (processor)")
    print(f"done ahead: {figures['ahead_cpu_s']:.1f} s of the processor, {figures['ahead_of_correction_cpu_s']:.1f} s"
          " for the correction")  # fmt: skip


if __name__ == "__main__":
    main()
