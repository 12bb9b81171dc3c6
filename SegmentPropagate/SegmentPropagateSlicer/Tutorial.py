"""The steps of .github/TUTORIAL.md, done by the panel's own widgets: on Slicer's samples, or on drawn volumes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from numpy.typing import NDArray

from SegmentPropagateLib.formats.worklist import DONE
from SegmentPropagateSlicer.Panel.Context import VIEWS, compositeOf, sliceNodeOf
from SegmentPropagateSlicer.Panel.WorklistSection import SCENE
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Scene.VolumeReader import VolumeReader
from SegmentPropagateSlicer.Values.State import State

if TYPE_CHECKING:
    from unittest import TestCase

    from SegmentPropagateSlicer.Panel.Widget import SegmentPropagateWidget

SAMPLES = ("MRBrainTumor1", "MRBrainTumor2")
"""Of Slicer's module Sample Data, the first patient's and the second's."""

# In MRBrainTumor1, world RAS in mm. They are the seeds of Slicer's own example of growing a tumor from seeds, brought
# onto one slice; the drawn volume has its tumor there too.
TUMOR = (-6.0, 30.0, 28.0)
BESIDE = ((0.0, 65.0, 28.0), (1.0, -14.0, 28.0), (31.0, 33.0, 28.0), (-42.0, 30.0, 28.0))

PATIENCE_S = 300
DRAWN_DICE = 0.85


class Tutorial:
    """What a reader of the page does, with a look at what comes of it.

    Args:
        widget: the open panel, over an empty scene.
        test: says what is wrong.
    """

    def __init__(self, widget: SegmentPropagateWidget, test: TestCase) -> None:
        self.widget, self.ui, self.logic, self.test = widget, widget.ui, widget.logic, test
        self.parameters: Any = widget.context.parameters  # nothing in it is None once the worklist is open
        self.cases: Any = widget.cases
        self.truth: NDArray[np.bool_] | None = None  # of the first volume, where it is a drawn one
        self.outlines: list[float] = []  # areas in mm²
        self.logic.previewReady.connect(lambda _segmentId, _index, areaMm2: self.outlines.append(areaMm2))

    def openWorklist(self) -> None:
        """Both volumes, the first one in the views."""
        first, self.truth = loadBrains()
        self.parameters.model = "classical"  # needs no installation
        self.cases.useResults(tempfile.mkdtemp(prefix="SegmentPropagateTutorial"))
        self.cases.use(SCENE)
        for name in VIEWS:
            composite: Any = compositeOf(name)
            if composite is not None:
                composite.SetBackgroundVolumeID(first.GetID())
        self.settle()
        self.test.assertIs(self.parameters.volume, first)
        self.test.assertEqual(self.cases.casework.name, first.GetName())

    def clickOnTumor(self) -> None:
        """A click on it, and four beside it: the outline has the one and none of the others."""
        red = sliceNodeOf("Red")
        if red is not None:
            red.JumpSliceByOffsetting(*TUMOR)
        self.settle()
        self.click(self.ui.pointsButton)
        self.place("positivePoints", TUMOR)
        self.click(self.ui.placeNegativeButton)
        for place in BESIDE:
            self.place("negativePoints", place)
        self.click(self.ui.addKeyButton)
        self.settle()
        mask = self.mask()
        self.test.assertTrue(self.isAt(mask, TUMOR))
        self.test.assertFalse(any(self.isAt(mask, place) for place in BESIDE))
        self.test.assertEqual(len(self.logic.keys), 1)

    def propagate(self) -> None:
        """A proposal changes nothing yet."""
        before = self.mask()
        self.test.assertTrue(self.ui.propagateButton.enabled, self.ui.estimateLabel.text)
        self.click(self.ui.propagateButton)
        self.waitFor(lambda: self.logic.state == State.REVIEW)
        np.testing.assert_array_equal(self.mask(), before)

    def review(self) -> None:
        """To the slice that is most in doubt, and to one beside the key."""
        self.click(self.ui.nextButton)
        self.widget.review.goTo(self.logic.keys[0].sliceIndex + 1)
        self.settle()

    def correct(self) -> None:
        """A stroke makes the slice in the view another key: what the key has is painted there as well."""
        key, mask, volume = self.logic.keys[0], self.mask().astype(np.uint8), self.parameters.volume
        slices = np.moveaxis(mask, SliceGrid(VolumeReader(volume).geometry, key.plane).axis, 0)
        slices[key.sliceIndex + 1] = slices[key.sliceIndex]
        segmentation, segment = self.parameters.segmentation, self.parameters.segment
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, segment, volume)
        self.waitFor(lambda: len(self.logic.keys) == 2 and self.logic.state == State.REVIEW)

    def accept(self) -> None:
        """One undo step, which is then done again."""
        before = self.mask()
        self.click(self.ui.acceptButton)
        self.settle()
        after = self.mask()
        self.test.assertGreater(np.count_nonzero(after.any(axis=(1, 2))), 2)
        if self.truth is not None:  # how good it is on the sample, nobody has measured
            dice = 2 * np.count_nonzero(after & self.truth) / (np.count_nonzero(after) + np.count_nonzero(self.truth))
            self.test.assertGreater(dice, DRAWN_DICE)
        self.ui.segmentEditor.undo()
        np.testing.assert_array_equal(self.mask(), before)
        self.ui.segmentEditor.redo()
        np.testing.assert_array_equal(self.mask(), after)

    def nextObject(self) -> None:
        """Another segment, and the same prompt."""
        before = self.parameters.segment
        self.click(self.ui.nextObjectButton)
        self.settle()
        self.test.assertNotEqual(self.parameters.segment, before)
        self.test.assertEqual(self.widget.prompt.placement.placing(), "positivePoints")

    def nextCase(self) -> None:
        """The first patient is saved, the second is open with a segment and the same prompt."""
        first = self.parameters.volume
        self.click(self.ui.nextCaseButton)
        self.settle()
        done = self.cases.casework.worklist.case(first.GetName())
        self.test.assertTrue(done.labels.is_file())
        self.test.assertEqual(done.state, DONE)
        self.test.assertIsNot(self.parameters.volume, first)
        self.test.assertTrue(self.parameters.segment)
        self.test.assertEqual(self.widget.prompt.placement.placing(), "positivePoints")

    # ---- hands and eyes -----------------------------------------------------------------------------------------

    def click(self, button: Any) -> None:
        """Press a button that can be pressed, and is not hidden."""
        self.test.assertTrue(button.enabled and not button.isHidden(), button.text)
        button.click()

    def place(self, role: str, ras: tuple[float, float, float]) -> None:
        """Click in the view, and wait for the outline."""
        count = len(self.outlines)
        points: Any = self.widget.prompt.placement.node(role)
        points.AddControlPointWorld(list(ras))
        self.waitFor(lambda: len(self.outlines) > count)

    def mask(self) -> NDArray[np.bool_]:
        """The chosen segment on the volume's grid, bool (k, j, i)."""
        segmentation, segment, volume = self.parameters.segmentation, self.parameters.segment, self.parameters.volume
        return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, volume) > 0

    def isAt(self, mask: NDArray[np.bool_], ras: tuple[float, float, float]) -> bool:
        """Whether a mask holds a place."""
        ijkToRas = VolumeReader(self.parameters.volume).geometry.ijk_to_ras
        i, j, k, _one = np.rint(np.linalg.solve(ijkToRas, [*ras, 1.0])).astype(int)
        return bool(mask[k, j, i])

    def settle(self) -> None:
        """Let the panel follow."""
        for _pass in range(3):
            slicer.app.processEvents()

    def waitFor(self, isDone: Callable[[], bool]) -> None:
        """Let events run until something holds."""
        waitUntil(isDone)
        self.test.assertTrue(isDone(), self.ui.statusLabel.text)
        self.settle()


STEPS: tuple[tuple[str, Callable[[Tutorial], None]], ...] = (
    ("Open two patients as a worklist", Tutorial.openWorklist),
    ("Click on the tumor", Tutorial.clickOnTumor),
    ("Propagate", Tutorial.propagate),
    ("Look through the proposal", Tutorial.review),
    ("Correct a slice", Tutorial.correct),
    ("Accept", Tutorial.accept),
    ("Next object", Tutorial.nextObject),
    ("Next case", Tutorial.nextCase),
)
"""The headings of the page, and what is done under each."""


def waitUntil(isDone: Callable[[], object]) -> None:
    """Let events run until something holds; gives up after a while and leaves it to the caller to complain."""
    end = time.monotonic() + PATIENCE_S
    while not isDone() and time.monotonic() < end:
        slicer.app.processEvents()
        time.sleep(0.01)


def loadBrains() -> tuple[slicer.vtkMRMLScalarVolumeNode, NDArray[np.bool_] | None]:
    """The two samples, or drawn volumes where they cannot be had: the first one, and its tumor if it is drawn.

    The first one is loaded last, as the views show what was loaded last.
    """
    try:
        import SampleData

        logic = SampleData.SampleDataLogic()
        _second, sample = (logic.downloadSample(name) for name in reversed(SAMPLES))
        return sample, None
    except (ImportError, IndexError):  # Slicer built without the module; no network
        slicer.mrmlScene.Clear(0)
    return [drawBrain(f"Drawn{name}", seed) for seed, name in enumerate(reversed(SAMPLES))][-1]


def drawBrain(name: str, seed: int) -> tuple[Any, NDArray[np.bool_]]:
    """A head with a bright tumor at `TUMOR`: the volume, and the tumor as bool (k, j, i)."""
    ijkToRas = np.diag([2.5, 2.5, 5.0, 1.0])
    ijkToRas[:3, 3] = TUMOR - np.array([2.5, 2.5, 5.0]) * (32, 32, 10)
    k, j, i = np.indices((20, 64, 64))
    fromTumor = np.stack([2.5 * (i - 32), 2.5 * (j - 32), 5.0 * (k - 10)], axis=-1)  # mm along R, A, S
    head = np.linalg.norm(fromTumor / (75, 75, 58), axis=-1) < 1
    tumor = np.linalg.norm(fromTumor / (20, 17, 18), axis=-1) < 1
    values = 60 * head + 90 * tumor + np.random.default_rng(seed).normal(0, 8, head.shape)
    return slicer.util.addVolumeFromArray(values.astype(np.int16), ijkToRAS=ijkToRas, name=name), tumor
