"""How long the main thread is held while a 512 x 512 x 200 volume is propagated, reviewed and accepted.

    python Testing/Benchmarks/responsiveness.py [--slices 200] [--json FILE]

Measures every slot of ours that Qt calls (worker output, timers, bytes written) and every call that a button makes. All
but the hand-over of the volume and Accept are to stay below 50 ms. The models are drawn, so what is measured is ours.
Beside the time on the clock stands the processor time of the main thread, which a busy machine does not inflate.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
for folder in ("Testing/Slicer", "Testing/Harness", "SegmentPropagate", "."):
    sys.path.insert(0, str(ROOT / folder))
LIMIT_MS = 50
EXCEPTED = ("accept",)


class Stopwatch:
    """Longest and total time of each thing that was measured, in milliseconds."""

    def __init__(self):
        self.longest, self.busiest, self.total, self.count = {}, {}, {}, {}

    def measure(self, name, action):
        """Call an action and note how long it took."""
        began, worked = time.perf_counter(), time.thread_time()
        try:
            return action()
        finally:
            took, work = 1000 * (time.perf_counter() - began), 1000 * (time.thread_time() - worked)
            self.busiest[name] = max(self.busiest.get(name, 0.0), work)
            self.longest[name] = max(self.longest.get(name, 0.0), took)
            self.total[name] = self.total.get(name, 0.0) + took
            self.count[name] = self.count.get(name, 0) + 1

    def wrap(self, owner, names):
        """Measure methods of an object from now on."""
        for name in names:
            method = getattr(owner, name)
            setattr(owner, name, lambda *a, name=name, method=method: self.measure(name, lambda: method(*a)))


def drawn_object(slices):
    """An ellipsoid that fills a good part of a 512 x 512 field."""
    k, j, i = np.ogrid[:slices, :512, :512]
    return ((k / slices - 0.5) / 0.4) ** 2 + ((j / 512 - 0.5) / 0.3) ** 2 + ((i / 512 - 0.5) / 0.3) ** 2 <= 1


def paint(bench, index):
    """Outline the object as the Segment Editor would: the labelmap is as large as what was drawn."""
    from SegmentPropagateSlicer.Scene.SegmentWriter import SegmentWriter
    from SegmentPropagateSlicer.Values.Proposal import proposalOfMask

    outline = {bench.segment: {index: proposalOfMask(bench.truth[index])}}
    SegmentWriter().write(bench.segmentation, bench.volume, bench.grid(), outline)


def run(slices):
    """One run with a correction, a cancellation and Accept; returns the stopwatch and the hand-over in seconds."""
    from slicer_harness import panel

    slicer = panel.bootstrap()
    from bench import DRAWN_WORKER, Bench
    from SegmentPropagateSlicer.Logic import State
    from SegmentPropagateSlicer.Runs.WorkerProcess import WorkerProcess

    watch, key = Stopwatch(), slices // 2
    process = WorkerProcess(DRAWN_WORKER)
    watch.wrap(process, ["_onOutput", "_onLog", "_onWritten", "_onHello"])
    bench = Bench(slicer, process, drawn_object(slices), key=None)
    logic = bench.logic
    paint(bench, key)
    settings = logic.settings
    watch.measure("getAhead", lambda: logic.getAhead(bench.segment, key, (0, slices - 1), settings))
    watch.measure("addKey", lambda: logic.addKey(bench.segment, key))
    began = time.monotonic()
    watch.measure("startSession", lambda: logic.startSession([bench.segment], 0, slices - 1))
    bench.until(lambda: logic.state == State.RUNNING, 300)
    handover = time.monotonic() - began
    while logic.state in State.BUSY:
        watch.measure("events", slicer.app.processEvents)
        time.sleep(0.001)
    watch.measure("reviewScores", lambda: logic.reviewScores(bench.segment))
    watch.measure("nextSuspiciousSlice", lambda: logic.nextSuspiciousSlice(bench.segment))
    watch.measure("confirmSlices", lambda: logic.confirmSlices(bench.segment, [key + 3]))
    watch.measure("editSlice", lambda: logic.editSlice(bench.segment, key + 20))
    bench.use("slow")
    watch.measure("correct", lambda: logic.correct(bench.segment, key + 20))
    bench.until(lambda: logic.state == State.RUNNING, 300)
    for _ in range(200):
        watch.measure("events", slicer.app.processEvents)
        time.sleep(0.005)
    watch.measure("cancel", logic.cancel)
    while logic.state in State.BUSY:
        watch.measure("events", slicer.app.processEvents)
        time.sleep(0.001)
    watch.measure("accept", logic.accept)
    assert np.array_equal(bench.get(), bench.truth)
    bench.close()
    return watch, handover


def main():
    """Print the table; exit status 1 where something is too slow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    watch, handover = run(arguments.slices)
    print(f"512 x 512 x {arguments.slices}: hand-over of the volume, start of worker included: {handover:.1f} s")
    slow = []
    for name, longest in sorted(watch.longest.items(), key=lambda item: -item[1]):
        mark = "" if longest <= LIMIT_MS else " (excepted)" if name in EXCEPTED else "  > 50 ms"
        slow += [name] if mark == "  > 50 ms" else []
        mean = watch.total[name] / watch.count[name]
        print(f"{name:20} longest {longest:7.1f} ms (processor {watch.busiest[name]:7.1f} ms), mean {mean:7.2f} ms, "
              f"{watch.count[name]} times{mark}")  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps({"handover_s": handover, "longest_ms": watch.longest}, indent=1))
    return int(bool(slow))


if __name__ == "__main__":
    sys.exit(main())
