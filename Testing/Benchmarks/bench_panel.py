"""How long the slots of the panel hold Slicer's main thread: 12 segments, 600 slices of 512 x 512, 300 cases.

    python Testing/Benchmarks/bench_panel.py

Every slot that the panel connects through its status line is timed whenever it runs, while its buttons are pressed one
after another; what events do besides is timed by the turn of the event loop. The worker is an actor in this process
that answers at once with drawn slices. Printed are median and worst time of the processor; the bar is 50 ms. Beyond it,
and marked, is what hands over, copies or saves the whole image: Propagate, which copies what the segments hold, saving,
and Slicer's Undo and Redo. Accept and the use of suggestions are made of pieces, each of which is timed; in the last
one Slicer keeps a state for Undo, which is a line of its own. So is Python's collector of garbage.

Slicer's widgets are stand-ins here (Testing/Harness), without views that draw: those only a real Slicer can time.
"""

import gc
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
for folder in ("Testing/Slicer", "Testing/Harness", "SegmentPropagate", "."):
    sys.path.insert(0, str(ROOT / folder))
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np  # noqa: E402
from slicer_harness import mrml, panel, segment_editor  # noqa: E402

BAR_MS, REPEATS, PIECE_S = 50, 3, 0.025
SHAPE_KJI = (600, 512, 512)
SEGMENTS, CASES, LABELS, KEYS, LOCKS = 12, 300, 20, 5, 100
KEY, LOOK, AT_ONCE = 300, 320, 60
"""The last one: answers between two turns of the event loop; a network that gave so many would be a quick one."""
COLLECTOR = "Python's collector of garbage"
UNDO = "Slicer keeps a state for Undo"
WHOLE_IMAGE = (COLLECTOR, UNDO, "copyOf", "RunSection.toggle", "WorklistSection.save", "undo", "redo",
               "WorklistSection.next", "WorklistSection.previous")  # fmt: skip


class Stopwatch:
    """Milliseconds of the processor per named piece of work, without those of the collector and of Undo in it."""

    def __init__(self):
        self.times = defaultdict(list)
        self._apart = self._since = 0.0
        gc.callbacks.append(self._onGarbage)

    def _onGarbage(self, phase, found):
        if found["generation"] == 2 and phase == "start":
            self._since = time.thread_time()
        elif found["generation"] == 2:
            self._setApart(COLLECTOR, time.thread_time() - self._since)

    def _setApart(self, name, seconds):
        self._apart += seconds
        self.times[name].append(1000 * seconds)

    def time(self, name, work):
        """Do a piece of work."""
        began, apart = time.thread_time(), self._apart
        try:
            return work()
        finally:
            self.times[name].append(1000 * (time.thread_time() - began - (self._apart - apart)))

    def watchUndo(self, cls):
        """Time how long a class of Segment Editor takes to keep a state for Undo."""
        save = cls.saveStateForUndo

        def timed(editor):
            began = time.thread_time()
            save(editor)
            self._setApart(UNDO, time.thread_time() - began)

        cls.saveStateForUndo = timed

    def watch(self, cls):
        """Time each slot that is connected through this `StatusLine` class."""
        guarded, watch = cls.guarded, self

        def timed(self, function):
            slot, name = guarded(self, function), getattr(function, "__qualname__", repr(function))
            return lambda *arguments: watch.time(name, lambda: slot(*arguments))

        cls.guarded = timed

    def print(self):
        """Write the table, slowest first; returns the slots that are over the bar and should not be."""
        late = []
        print("  median    worst   times  slot")
        for name, times in sorted(self.times.items(), key=lambda item: -max(item[1])):
            isLate = max(times) > BAR_MS
            mark = " " if not isLate else "o" if any(known in name for known in WHOLE_IMAGE) else "*"
            late += [name] if mark == "*" else []
            print(f"{mark} {statistics.median(times):6.1f} {max(times):7.1f} ms {len(times):4d}  {name}")
        return late


class Actor:
    """In place of the worker process: answers with drawn ellipses, some at each turn of the event loop."""

    def __init__(self):
        from SegmentPropagateSlicer.Values.Signal import Signal

        self.logReceived, self.generation, self.isRunning = Signal("text"), 1, True
        self._answers = iter(())

    def request(self, request, onReply):
        """Note what is to be answered."""
        from SegmentPropagateLib.worker.replies import Done, Noted, Outlined, SliceDone, Started, VolumeTaken
        from SegmentPropagateLib.worker.requests import GetAhead, Propagate, Suggest, TakeVolume

        if isinstance(request, TakeVolume):
            answers = [lambda: VolumeTaken(request.volume)]
        elif isinstance(request, GetAhead):
            answers = [Noted]
        elif isinstance(request, Suggest):
            answers = suggestions()
        elif isinstance(request, Propagate):
            first, last = request.first or 0, SHAPE_KJI[0] - 1 if request.last is None else request.last
            numbers = range(1, 1 + max(number for number, _index in request.keys))
            total = len(numbers) * (last + 1 - first)
            answers = [lambda: Started(total, "none", "")]
            scores = {"presence": 3.0, "predicted_iou": 0.9, "done": 1}
            slices = (partial(slice_done, SliceDone, n, k, scores) for k in range(first, last + 1) for n in numbers)
            answers = chain(answers, slices, [lambda: Done(total, 1.0, None, {})])
        else:
            answers = [lambda: Outlined.of_mask(1, request.slice_index, ellipse(1, request.slice_index))]
        self._answers = chain(self._answers, ((answer, onReply) for answer in answers))
        return 1

    def advance(self):
        """Answer the next ones; returns whether there are more."""
        batch = list(islice(self._answers, AT_ONCE))
        for answer, onReply in batch:
            reply = answer()
            self.watch.time(f"{type(reply).__name__} arrives", partial(onReply, reply))
        return bool(batch)

    def cancel(self, _requestId):
        """Nothing is late."""

    def stop(self):
        """Nothing runs."""


def suggestions():
    """What makes the replies for `LABELS` drafts, each with `KEYS` key slices of its own."""
    from SegmentPropagateLib.worker.replies import Preparing, Suggested, SuggestedKey, Suggesting, SuggestionsDone

    def suggested(number):
        index = KEY + 3 * number
        more = {"name": f"Structure {number}", "color_rgb": (0.5, number / LABELS, 0.3), "status": "found"}
        more |= {"first": index - 40, "last": index + 40, "confidence": 0.8, "reason": ""}
        return Suggested.of_mask(number, index, ellipse(1 + number % SEGMENTS, KEY), **more)

    def further(number, key):
        return SuggestedKey.of_mask(number, KEY + 3 * number + 8 * key, ellipse(1 + number % SEGMENTS, KEY))

    numbers = range(1, LABELS + 1)
    found = [partial(suggested, number) for number in numbers]
    found += [partial(further, number, key) for number in numbers for key in range(1, KEYS)]
    steps = [partial(Suggesting, done, LABELS) for done in range(LABELS)]
    return [partial(Preparing, "support"), *steps, *found, partial(SuggestionsDone, LABELS, 1.0, None)]


def slice_done(cls, number, index, scores):
    """A drawn slice. Its box is an array of its own, as one from a pipe is: a view would keep the whole slice."""
    reply = cls.of_mask(number, index, ellipse(number, index), **scores)
    return replace(reply, box=reply.box.copy())


def ellipse(number, index):
    """Outline of a segment on a slice, bool `(512, 512)`: twelve lie side by side, each through most of the slices."""
    row, column = divmod(number - 1, 4)
    mask, radius = np.zeros(SHAPE_KJI[1:], bool), int(55 * np.sqrt(max(0.0, 1 - ((index - KEY) / 290) ** 2)))
    if radius:
        j, i = np.ogrid[-radius : radius + 1, -radius : radius + 1]
        top, left = 80 + 160 * row - radius, 64 + 126 * column - radius
        mask[top : top + 2 * radius + 1, left : left + 2 * radius + 1] = j**2 + i**2 <= radius**2
    return mask


def paint(slicer, volume, segmentation, segment_id, index, mask):
    """Add a mask `(rows, columns)` to a segment on a slice, as a brush does."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    image, matrix, logic = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4(), slicer.vtkSlicerSegmentationsModuleLogic
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    image.SetExtent(columns[0], columns[-1], rows[0], rows[-1], index, index)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    volume.GetIJKToRASMatrix(matrix)
    image.SetImageToWorldMatrix(matrix)
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = part.ravel()
    logic.SetBinaryLabelmapToSegment(
        image, segmentation, segment_id, logic.MODE_MERGE_MASK, image.GetExtent(), False, []
    )


def fill(slicer):
    """A large volume and twelve segments, each outlined on one slice."""
    values = np.random.default_rng(0).integers(0, 200, SHAPE_KJI, dtype=np.int16)
    volume = slicer.util.addVolumeFromArray(values, ijkToRAS=np.diag([0.7, 0.7, 1.0, 1.0]), name="CT")
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for number in range(1, SEGMENTS + 1):
        segment_id = segmentation.GetSegmentation().AddEmptySegment("", f"Organ {number}")
        paint(slicer, volume, segmentation, segment_id, KEY, ellipse(number, KEY))


def fill_cases(folder):
    """A folder with many small images."""
    from day import drawFolder

    drawFolder(folder, ["000"])
    image = (folder / "000.nrrd").read_bytes()
    for number in range(1, CASES):
        (folder / f"{number:03d}.nrrd").write_bytes(image)
    return folder


class Hand:
    """Presses buttons and lets events run.

    Args:
        slicer: the application.
        widget: the panel.
        actor: `Actor`.
        watch: `Stopwatch`.
    """

    def __init__(self, slicer, widget, actor, watch):
        self.slicer, self.widget, self.actor, self.watch = slicer, widget, actor, watch

    def settle(self, doing):
        """Let events run, and the actor answer."""
        goesOn = True
        while goesOn:
            goesOn = self.actor.advance() or self.widget.logic.state == "writing" or self.widget.strokes.isWaiting
            self.watch.time(f"events while {doing}", self.slicer.app.processEvents)

    def press(self, *names):
        """Click buttons, a few times each."""
        for name in names:
            for _time in range(REPEATS):
                getattr(self.widget.ui, name).click()
                self.settle(f"{name} is pressed")

    def stroke(self, index):
        """Press the mouse in a view, paint, and let the pause pass."""
        widget, parameters = self.widget, self.widget.context.parameters
        self.watch.time("Strokes.press (mouse)", lambda: widget.strokes.press("Red"))
        self.watch.time("Strokes.press across (mouse)", lambda: widget.strokes.press("Green"))
        dab = np.zeros(SHAPE_KJI[1:], bool)
        dab[2:12, 2:12] = True
        segment_id = widget.context.selectedSegmentId()
        paint(self.slicer, parameters.volume, parameters.segmentation, segment_id, index, dab)
        self.settle("a stroke is drawn")
        self.watch.time("Strokes.take, a piece", lambda: widget.strokes.take(PIECE_S))
        self.settle("a correction is computed")


def work(hand, folder):
    """Use everything that the panel has."""
    widget, ui = hand.widget, hand.widget.ui
    parameters = widget.context.parameters
    segments = parameters.segmentation.GetSegmentation().GetSegmentIDs()
    for mode in ("pointsButton", "boxButton", "paintButton"):
        hand.press(mode)
    for segment_id in segments:
        ui.segmentEditor.setCurrentSegmentID(segment_id)
        hand.settle("another segment is selected")
        ui.addKeyButton.click()
        hand.settle("a key is added")
    hand.press("lockSliceButton", "firstFromViewButton", "lastFromViewButton", "wholeRangeButton")
    ui.lockSliceButton.setChecked(False)
    widget.logic.confirmSlices(widget.context.selectedSegmentId(), [KEY], False, "axial")
    for index in (LOOK, LOOK + 1, LOOK + 2):
        widget.context.jumpToSlice(index)
        hand.settle("the view is scrolled")
    parameters.segment = "*"
    hand.settle("all segments are chosen")
    ui.propagateButton.click()
    hand.settle("slices arrive")
    assert widget.logic.state == "review", ui.statusLabel.text
    hand.press("nextButton")
    for index in (LOOK, LOOK + 5, LOOK - 40):
        hand.watch.time("ReviewSection.goTo", lambda index=index: widget.review.goTo(index))
        hand.settle("the proposal is scrolled")
    hand.press("lockButton")
    ui.segmentEditor.setActiveEffectByName("Erase")
    for index in (LOOK, LOOK + 3):
        widget.context.jumpToSlice(index)
        hand.settle("the view is scrolled")
        hand.stroke(index)
    ui.acceptButton.click()
    hand.settle("a proposal was accepted")
    again(hand, segments[3])
    hand.watch.time("undo", ui.segmentEditor.undo)
    hand.settle("an Accept was undone")
    hand.watch.time("redo", ui.segmentEditor.redo)
    hand.settle("an Accept was repeated")
    hand.press("nextObjectButton")
    suggest(hand, folder)
    lock(hand)
    hand.watch.time("WorklistSection.use, without loading", lambda: widget.cases.casework.useSource(folder))
    hand.settle("pictures come")
    for _time in range(REPEATS):
        hand.watch.time("WorklistSection.refresh", widget.cases.refresh)
    ui.nameFilter.setText("29")
    hand.settle("cases are filtered")


def again(hand, segment_id):
    """Propagate one of the segments once more, which are full now, draw on the proposal, and drop it."""
    widget, ui = hand.widget, hand.widget.ui
    widget.context.parameters.segment = segment_id
    ui.segmentEditor.setCurrentSegmentID(segment_id)
    hand.settle("another segment is selected")
    ui.propagateButton.click()
    hand.settle("slices arrive")
    ui.segmentEditor.setActiveEffectByName("Erase")
    for index in (LOOK, LOOK + 3):
        widget.context.jumpToSlice(index)
        hand.settle("the view is scrolled")
        hand.stroke(index)
    ui.discardButton.click()
    hand.settle("a proposal was discarded")


def suggest(hand, folder):
    """Have `LABELS` outlines suggested, and use them all."""
    ui, suggestions = hand.widget.ui, hand.widget.logic.suggestions
    hand.press("suggestButton")
    hand.watch.time("SuggestSection.useSupport", lambda: hand.widget.suggest.useSupport(str(folder)))
    ui.suggestAllButton.click()
    hand.settle("suggestions come")
    ui.addKeyButton.click()
    hand.settle("suggestions are used")
    assert sum(one.isUsed for one in suggestions.all) == LABELS, ui.statusLabel.text
    ui.paintButton.click()
    hand.settle("paint is chosen")


def lock(hand):
    """Lock one slice after another, until there are many keys."""
    widget = hand.widget
    segment_id = widget.context.selectedSegmentId()
    widget.logic.confirmSlices(segment_id, range(LOCKS), True, "axial")
    hand.settle("many slices are locked")
    widget.context.jumpToSlice(LOOK)
    hand.settle("the view is scrolled")
    hand.press("lockSliceButton")


def main():
    """Run, and print a table; fails where a slot is late."""
    slicer = panel.bootstrap(os.environ.get("REAL_SLICER_PYTHON"))
    from bench import Store
    from SegmentPropagateSlicer.Logic import SegmentPropagateLogic
    from SegmentPropagateSlicer.Panel.StatusLine import StatusLine
    from SegmentPropagateSlicer.Runs.Estimates import Estimates
    from SegmentPropagateSlicer.Scene.SegmentationCopy import copyOf

    watch, actor = Stopwatch(), Actor()
    actor.watch = watch
    watch.watch(StatusLine)
    watch.watchUndo(segment_editor.qMRMLSegmentEditorWidget)
    widget = panel.load_module(
        ROOT / "SegmentPropagate" / "SegmentPropagate.py", logic=SegmentPropagateLogic(actor, Estimates(Store()))
    )
    fill(slicer)
    widget.enter()
    slicer.app.processEvents()
    widget.context.parameters.intensity = "none"
    widget.context.jumpToSlice(KEY)
    slicer.app.processEvents()
    watch.times.clear()  # what opening a scene took
    with tempfile.TemporaryDirectory() as folder:
        work(Hand(slicer, widget, actor, watch), fill_cases(Path(folder)))
        watch.time("copyOf, to be saved", partial(copyOf, widget.context.parameters.segmentation))
        widget.cases.casework.worklist = None
        panel.unload_module(widget)
    mrml.clear_scene()
    late = watch.print()
    print(f"{len(late)} slots over {BAR_MS} ms" + (": " + ", ".join(late) if late else ""))
    sys.exit(bool(late))


if __name__ == "__main__":
    main()
