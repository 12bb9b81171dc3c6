"""A logic for panel tests: real keys and geometry over the real scene, but runs are driven by the test."""

from types import SimpleNamespace

import numpy as np
import slicer
import vtk
from SegmentPropagateSlicer.Review import KeyPicture, Suspicion
from SegmentPropagateSlicer.Review.Reviewer import checkNothingLost
from SegmentPropagateSlicer.Scene.PromptReader import PromptReader
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid, rangeEnds
from SegmentPropagateSlicer.Scene.VolumeReader import VolumeReader
from SegmentPropagateSlicer.Values.Key import Key
from SegmentPropagateSlicer.Values.Proposal import proposalOfMask
from SegmentPropagateSlicer.Values.RunSettings import RunSettings
from SegmentPropagateSlicer.Values.Signal import Signal
from SegmentPropagateSlicer.Values.State import State
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic
from suggest_double import DrivenRunner, DrivenSuggestions

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.propagation.review import Seen

AXES = {"axial": 2, "coronal": 1, "sagittal": 0}  # of RAS, and of ijk in the drawn volume


SIGNALS = ("stateChanged", "statusChanged", "progressChanged", "writingProgressed", "downloadProgressed",
           "sliceUpdated", "keysChanged", "previewReady", "previewChanged", "modelInspected", "accepted",
           "noticeGiven", "errorOccurred", "logReceived")  # fmt: skip


class DrivenLogic(ScriptedLoadableModuleLogic):
    """Does at once what a test tells it to; `calls` lists what the panel asked for."""

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self.moduleName = "SegmentPropagate"
        for name in SIGNALS:
            setattr(self, name, Signal())
        self.state, self.volumeNode, self.segmentationNode = State.IDLE, None, None
        self.calls, self._keys, self.scores = [], (), []
        self._asked = self.previewed = None
        self.isUndone = self.isOutlining = False
        self.settings = RunSettings()
        self.drafts = SimpleNamespace(isAsking=False, taken=Signal(), changed=Signal())
        self.runner = DrivenRunner()
        self.suggestions = DrivenSuggestions(self.runner)
        scene = slicer.mrmlScene
        self._closing = scene.AddObserver(scene.StartCloseEvent, lambda *_event: self.setInputs(None, None))

    def go(self, state):
        self.state = state
        self.stateChanged.emit(state)

    # ---- inputs
    def setInputs(self, volumeNode, segmentationNode):
        if (volumeNode, segmentationNode) != (self.volumeNode, self.segmentationNode):
            self.volumeNode, self.segmentationNode = volumeNode, segmentationNode
            self._keys = ()

    def setSettings(self, settings):
        self.settings = settings

    def setSegmentEditor(self, editorNode, saveStateForUndo=None):
        self.editorNode = editorNode

    def sliceCount(self, plane=None):
        return self.volumeNode.GetImageData().GetDimensions()[AXES[plane or "axial"]] if self.volumeNode else 0

    def sliceIndexInView(self, sliceNode, plane=None):
        matrix = slicer.util.arrayFromVTKMatrix(sliceNode.GetSliceToRAS())
        if abs(abs(matrix[AXES[plane], 2]) - 1) > 1e-3:
            raise InputError(f"The view {sliceNode.GetName()} shows an oblique or another plane.")
        rasToIjk = vtk.vtkMatrix4x4()
        self.volumeNode.GetRASToIJKMatrix(rasToIjk)
        return round(rasToIjk.MultiplyPoint([*matrix[:3, 3], 1])[AXES[plane]])

    def sliceRangeOfRoi(self, roiNode, plane=None):
        return 3, 9

    def slicePositionRas(self, sliceIndex, plane=None):
        ijk = [0, 0, 0]
        ijk[AXES[plane or "axial"]] = sliceIndex
        ijkToRas = vtk.vtkMatrix4x4()
        self.volumeNode.GetIJKToRASMatrix(ijkToRas)
        return ijkToRas.MultiplyPoint([*ijk, 1])[:3]

    # ---- keys
    @property
    def keys(self):
        return self._keys

    def setKeys(self, keys):
        self.calls.append(("setKeys",))
        self._keys = tuple(keys)
        self.keysChanged.emit()

    def addKey(self, segmentId, sliceIndex, plane=None, confirmed=False):
        self.calls.append(("addKey", segmentId, sliceIndex, plane))
        self.setKeys([*self._keys, Key(segmentId, plane, sliceIndex, 412.0, confirmed)])

    def keyPicture(self, key, size):
        reader = VolumeReader(self.volumeNode)
        grid = SliceGrid(reader.geometry, key.plane)
        mask = PromptReader(grid).segmentMask(self.segmentationNode, key.segmentId, key.sliceIndex)
        plane = np.moveaxis(reader.voxels, grid.axis, 0)[key.sliceIndex]
        color = self.segmentationNode.GetSegmentation().GetSegment(key.segmentId).GetColor()
        return KeyPicture.draw(grid, plane, proposalOfMask(mask), color, size)

    def followKeys(self, seconds=None):
        return True

    def removeKey(self, key):
        self.setKeys([known for known in self._keys if known != key])

    def confirmSlices(self, segmentId, sliceIndices, confirmed=True, plane=None):
        self.calls.append(("confirmSlices", segmentId, tuple(sliceIndices), confirmed))
        places = {(segmentId, plane, index) for index in sliceIndices}
        kept = [key for key in self._keys if key.place not in places]
        self.setKeys(kept + [Key(*place, 412.0, confirmed) for place in sorted(places)])
        for score in self.scores:
            if score["sliceIndex"] in sliceIndices:
                score["confirmed"] = confirmed

    def useAsDraft(self, segmentId):
        self.calls.append(("useAsDraft", segmentId))
        self.drafts.isAsking = True
        self.drafts.changed.emit()

    def tellDraft(self, segmentId, trusted, doubtful):
        """What the worker thinks of the segment has come."""
        self.drafts.isAsking = False
        self.drafts.changed.emit()
        self.setKeys([*self._keys, *(Key(segmentId, "axial", index, 412.0) for index in trusted)])
        self.drafts.taken.emit(segmentId, trusted, doubtful)

    def previewPrompt(self, segmentId, sliceIndex, boxRas=None, pointsRas=None, positive=None, *, lineRas=None):
        self.calls.append(("previewPrompt", segmentId, sliceIndex, pointsRas, positive))
        self.line, self.isOutlining = lineRas, True

    def outline(self, segmentId, sliceIndex, areaMm2):
        """The outline that was asked for has come."""
        self.previewed, self.isOutlining = (segmentId, "axial", sliceIndex), False
        self.previewReady.emit(segmentId, sliceIndex, areaMm2)
        self.previewChanged.emit()

    def usePreview(self):
        self.calls.append(("usePreview",))
        self._forgetPreview()

    def dropPreview(self):
        self.isOutlining = False
        if self.previewed is not None:
            self.calls.append(("dropPreview",))
            self._forgetPreview()

    def _forgetPreview(self):
        self.previewed = None
        self.previewChanged.emit()

    # ---- suggestions
    def suggest(self, support, names=()):
        self.calls.append(("suggest", support, tuple(names)))
        nodes = self.volumeNode, self.segmentationNode
        grid = SliceGrid(VolumeReader(self.volumeNode).geometry, self.settings.plane)
        self.suggestions.ask(nodes, self.settings, grid, support, tuple(names))

    def useSuggestions(self, find, make, seconds=None):
        self.calls.append(("useSuggestions",))
        return self.suggestions.use(find, make)

    # ---- runs
    def getAhead(self, segmentId, sliceIndex, ends, settings):
        self.calls.append(("getAhead", segmentId, sliceIndex, ends, settings.plane))

    def computeOn(self, server):
        self.calls.append(("computeOn", server))

    def inspectModel(self, model, imageSize=None):
        self.calls.append(("inspectModel", model))

    def estimate(self, segmentIds, first, last, settings=None):
        return {
            "slices": last - first + 1,
            "objects": len(segmentIds),
            "seconds": 14.0,
            "memoryBytes": 1.3e9,
            "warning": "",
        }

    def checkNothingLost(self, segmentIds):
        if self.state == State.REVIEW:
            checkNothingLost(self._asked[0], segmentIds, self.segmentationNode)

    def startSession(self, segmentIds, first=None, last=None, ends=None):
        self.calls.append(("startSession", tuple(segmentIds), first, last, *([ends] if ends else [])))
        self._asked = tuple(segmentIds), self.settings.plane, *rangeEnds((first, last), self.sliceCount())
        self.go(State.RUNNING)

    def cancel(self):
        self.calls.append(("cancel",))
        self.suggestions.cancel()
        self.go(State.IDLE)

    # ---- review
    @property
    def proposed(self):
        return None if self.state == State.IDLE else self._asked

    def reviewScores(self, segmentId):
        return self.scores.get(segmentId, []) if isinstance(self.scores, dict) else self.scores

    def nextSuspicious(self, after=None):
        self.calls.append(("nextSuspicious", after))
        return Suspicion.nextSuspicious({i: seenIn(self.reviewScores(i)) for i in self.proposed[0]}, after)

    def editSlice(self, segmentId, sliceIndex):
        self.calls.append(("editSlice", segmentId, sliceIndex))

    def correct(self, segmentId, sliceIndex):
        self.calls.append(("correct", segmentId, sliceIndex))

    def lend(self, segmentId, sliceIndex, plane):
        self.calls.append(("lend", segmentId, sliceIndex, plane))

    def giveBackLent(self):
        self.calls.append(("giveBackLent",))

    def takeStrokes(self, seconds=None):
        self.calls.append(("takeStrokes",))
        return False

    def accept(self):
        self.calls.append(("accept",))
        self.go(State.IDLE)
        changed = dict.fromkeys(self._asked[0], 1200)
        self.accepted.emit(changed)
        return changed

    def acceptWithin(self, seconds):
        return self.accept()

    def discard(self):
        self.calls.append(("discard",))
        self.go(State.IDLE)
        return ()

    def shutdown(self):
        self.calls.append(("shutdown",))
        slicer.mrmlScene.RemoveObserver(self._closing)


def seenIn(scores):
    """What `Suspicion.nextSuspicious` wants to know of slices."""
    return {s["sliceIndex"]: Seen(s["area"], s["predictedIou"], s["source"] == "key" or s["confirmed"]) for s in scores}


class NothingMissing:
    """An installer with nothing to do."""

    def sentence(self):
        return ""

    def reachesServers(self):
        return True


def drawnScores(first, last, key, jump=()):
    """Scores of a proposal that gets less sure away from its key."""
    scores = []
    for index in range(first, last + 1):
        far = abs(index - key) / max(key - first, last - key)
        scores.append(
            {
                "sliceIndex": index,
                "source": "key" if index == key else "propagated",
                "presence": 1 - 0.3 * far**2,
                "predictedIou": 0.55 if index in jump else 0.96 - 0.2 * far,
                "area": round(900 * (1 - far**2) + 60),
                "areaMm2": 900 * (1 - far**2) + 60,
                "confirmed": False,
                "doubt": "unsure" if index in jump else None,
                "suspicion": 0.9 if index in jump else 0.0,
            }
        )
    return scores


def fillScene(app):
    """A volume of 40 axial slices and a segmentation with two segments; views on its center."""
    k, j, i = np.indices((40, 64, 64))
    body = ((i - 32) / 26) ** 2 + ((j - 32) / 22) ** 2 < 1
    organ = ((i - 36) / 9) ** 2 + ((j - 30) / 7) ** 2 + ((k - 18) / 12) ** 2 < 1
    spleen = ((i - 18) / 5) ** 2 + ((j - 38) / 7) ** 2 + ((k - 15) / 9) ** 2 < 1
    values = (-1000 + 1040 * body + 90 * organ + 60 * spleen).astype(np.int16)
    values += np.random.default_rng(0).normal(0, 12, values.shape).astype(np.int16)
    volume = app.util.addVolumeFromArray(values, ijkToRAS=np.diag([1.5, 1.5, 3.0, 1.0]), name="Abdomen CT")
    volume.CreateDefaultDisplayNodes()
    segmentation = app.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    organId = segmentation.GetSegmentation().AddEmptySegment("", "Left kidney")
    spleenId = segmentation.GetSegmentation().AddEmptySegment("", "Spleen")
    for segmentId, color in ((organId, (0.93, 0.6, 0.18)), (spleenId, (0.66, 0.45, 0.82))):
        segmentation.GetSegmentation().GetSegment(segmentId).SetColor(*color)
    outline = np.zeros(values.shape, np.uint8)
    outline[18] = organ[18]
    app.util.updateSegmentBinaryLabelmapFromArray(outline, segmentation, organId, volume)
    for name in ("Red", "Green", "Yellow"):
        app.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode").JumpSliceByOffsetting(48, 48, 54)
    return volume, segmentation, organId
