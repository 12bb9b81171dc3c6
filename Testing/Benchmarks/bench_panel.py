"""How long the panel holds Slicer's main thread, with the real worker and 512 x 512 x 200 voxels.

    python Testing/Benchmarks/bench_panel.py

Measures what buttons and events do, painting of the panel included; `responsiveness.py` measures the logic alone. The
bar is 50 ms but for opening the panel, handing the image over (once per image), Accept, and the editor's own Undo. The
time of the processor is given beside the time of the clock, which grows on a busy machine.
"""

import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
for folder in ("Testing/Slicer", "Testing/Harness", "SegmentPropagate", "."):
    sys.path.insert(0, str(ROOT / folder))
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np  # noqa: E402
from slicer_harness import panel  # noqa: E402

BAR_MS = 50
SHAPE_KJI = (200, 512, 512)
FIRST, KEY, LAST = 85, 100, 115


def drawn(slicer):
    """A large volume with an outlined ellipsoid: volume, segmentation, segment ID."""
    k, j, i = np.ogrid[: SHAPE_KJI[0], : SHAPE_KJI[1], : SHAPE_KJI[2]]
    organ = ((i - 250) / 60) ** 2 + ((j - 270) / 45) ** 2 + ((k - KEY) / 40) ** 2 < 1
    values = np.where(organ, np.int16(130), np.int16(40))
    values += np.random.default_rng(0).integers(-15, 15, SHAPE_KJI).astype(np.int16)
    volume = slicer.util.addVolumeFromArray(values, ijkToRAS=np.diag([0.7, 0.7, 1.5, 1.0]), name="CT")
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment_id = segmentation.GetSegmentation().AddEmptySegment("", "Organ")
    outline = np.zeros(SHAPE_KJI, np.uint8)
    outline[KEY] = organ[KEY]
    slicer.util.updateSegmentBinaryLabelmapFromArray(outline, segmentation, segment_id, volume)
    return volume, segmentation, segment_id


class Stopwatch:
    """Longest `(processor, clock)` time in ms per named piece of work."""

    def __init__(self):
        self.longest = {}

    def time(self, name, work):
        """Do a piece of work."""
        clock, processor = time.perf_counter(), time.thread_time()
        result = work()
        elapsed = 1000 * (time.thread_time() - processor), 1000 * (time.perf_counter() - clock)
        self.longest[name] = max(elapsed, self.longest.get(name, (0.0, 0.0)))
        return result


def main():
    """Run, and print a table."""
    slicer = panel.bootstrap(os.environ.get("REAL_SLICER_PYTHON"))
    from SegmentPropagateSlicer.Logic import SegmentPropagateLogic
    from SegmentPropagateSlicer.Values.State import State

    logic, watch = SegmentPropagateLogic(), Stopwatch()
    widget = watch.time(
        "open the panel (once)",
        lambda: panel.load_module(ROOT / "SegmentPropagate" / "SegmentPropagate.py", logic=logic),
    )
    drawn(slicer)
    widget.enter()
    slicer.app.processEvents()
    widget.context.parameters.model = "classical"
    widget.context.jumpToSlice(KEY)
    watch.time("refresh, idle", widget.refresh)
    watch.time("add key", widget.prompt.addKey)
    widget.range.give(FIRST, LAST)
    watch.time("refresh, with a key", widget.refresh)
    watch.time("press Propagate (hands the image over, once)", widget.run.toggle)
    while logic.state in State.BUSY:
        watch.time(f"events while {logic.state}", slicer.app.processEvents)
        time.sleep(0.002)
    print(f"ended in state {logic.state}: {widget.ui.statusLabel.text}")
    watch.time("refresh, in review", widget.refresh)
    for index in (FIRST, KEY, LAST):
        watch.time("go to a slice", lambda index=index: (widget.review.goTo(index), slicer.app.processEvents()))
    watch.time("next suspicious slice", widget.review.nextSuspicious)
    watch.time("lock a slice", widget.review.lock)
    watch.time("Accept", widget.review.accept)
    watch.time("Undo", widget.ui.segmentEditor.undo)
    widget.cleanup()
    print("  processor     clock")
    for name, (processor, clock) in watch.longest.items():
        print(f"{'  ' if processor <= BAR_MS else '* '}{processor:6.1f} ms {clock:6.1f} ms  {name}")


if __name__ == "__main__":
    main()
