"""A drawn volume with a key slice in a real scene, and a logic whose worker has drawn models."""

import sys
import time
from pathlib import Path

import numpy as np
import vtk
from SegmentPropagateSlicer.Logic import SegmentPropagateLogic, State
from SegmentPropagateSlicer.Runs.Estimates import Estimates
from SegmentPropagateSlicer.Runs.WorkerProcess import WorkerProcess
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Scene.VolumeReader import VolumeReader
from SegmentPropagateSlicer.Values.RunSettings import RunSettings

DRAWN_WORKER = [sys.executable, str(Path(__file__).resolve().parents[1] / "Library" / "drawn_worker.py")]
MATRIX = np.array([[1.5, 0, 0, -20], [0, 1.5, 0, 15], [0, 0, 3.0, 7], [0, 0, 0, 1]])


class Recorder:
    """A worker process that lists what it was asked."""

    def __init__(self, process):
        self.process, self.requests = process, []

    def __getattr__(self, name):
        return getattr(self.process, name)

    def request(self, request, onReply):
        self.requests.append(request)
        return self.process.request(request, onReply)


class Store(dict):
    """Settings that are forgotten after the test."""

    def value(self, name, default=None):
        return self.get(name, default)

    setValue = dict.__setitem__


def ellipsoid(shape=(12, 20, 24), radii=0.36):
    """Bool `(k, j, i)`; free first and last slices along every axis; no two axes look alike."""
    k, j, i = np.indices(shape)
    center = np.array(shape) / 2 - np.array([0.5, 1.5, -0.5])
    return (((np.stack([k, j, i], -1) - center) / (np.array(shape) * radii)) ** 2).sum(-1) <= 1


class Bench:
    """What the tests of the logic work on.

    Args:
        slicer: the module.
        process: `WorkerProcess`, or None for a new one with drawn models.
        mask: the object, bool `(k, j, i)`; the drawn models find exactly that.
        matrix: IJK to RAS of the volume.
    """

    def __init__(self, slicer, process=None, mask=None, matrix=MATRIX, key=5, plane="axial"):
        self.slicer = slicer
        self.truth = ellipsoid() if mask is None else mask
        self.volume = slicer.util.addVolumeFromArray(self.truth.astype(np.int16) * 100, ijkToRAS=matrix, name="CT")
        self.segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
        self.segmentation.CreateDefaultDisplayNodes()
        self.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(self.volume)
        self.segment = self.addSegment("Organ")
        self.process = Recorder(process or WorkerProcess(DRAWN_WORKER, cancelTimeoutMs=1500))
        self.logic = SegmentPropagateLogic(self.process, Estimates(Store()))
        self.logic.setInputs(self.volume, self.segmentation)
        self.use(plane=plane)
        self.errors, self.states = [], []
        self.logic.errorOccurred.connect(self.errors.append)
        self.logic.stateChanged.connect(self.states.append)
        if key is not None:
            self.draw(self.segment, key, plane)

    def use(self, model="threshold", **settings):
        self.logic.setSettings(RunSettings(model=model, **{"intensity": "none", **settings}))

    def addSegment(self, name, mask=None):
        segmentId = self.segmentation.GetSegmentation().AddEmptySegment("", name)
        if mask is not None:
            self.set(segmentId, mask)
        return segmentId

    def set(self, segmentId, mask):
        self.slicer.util.updateSegmentBinaryLabelmapFromArray(
            mask.astype(np.uint8), self.segmentation, segmentId, self.volume
        )

    def get(self, segmentId=None):
        """A segment on the grid of the volume, bool `(k, j, i)`."""
        array = self.slicer.util.arrayFromSegmentBinaryLabelmap(
            self.segmentation, segmentId or self.segment, self.volume
        )
        return np.zeros(self.truth.shape, bool) if array is None else array > 0

    def grid(self, plane=None):
        """The slices of the volume as it is now."""
        return SliceGrid(VolumeReader(self.volume).geometry, plane or self.logic.settings.plane)

    def draw(self, segmentId, index, plane="axial"):
        """Outline the object on one slice, as an annotator would, and make it a key."""
        axis = self.grid(plane).axis
        mask = self.get(segmentId)
        np.moveaxis(mask, axis, 0)[index] = np.moveaxis(self.truth, axis, 0)[index]
        self.set(segmentId, mask)
        self.logic.addKey(segmentId, index, plane)

    def fingerprint(self):
        """Every segment's voxels in its own grid."""
        found = {}
        segmentation = self.segmentation.GetSegmentation()
        for segmentId in segmentation.GetSegmentIDs():
            image = self.slicer.vtkOrientedImageData()
            self.segmentation.GetBinaryLabelmapRepresentation(segmentId, image)
            matrix = vtk.vtkMatrix4x4()
            image.GetImageToWorldMatrix(matrix)
            voxels = ()
            if image.GetNumberOfPoints():
                array = vtk.util.numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
                places = np.argwhere(array.reshape(image.GetDimensions()[::-1]))
                voxels = (places + image.GetExtent()[4::-2]).tolist()
            grid = np.round([matrix.GetElement(r, c) for r in range(4) for c in range(4)], 6).tolist() if voxels else []
            found[segmentId] = (grid, voxels)
        return found

    def until(self, done, seconds=20):
        """Let events happen until something is so."""
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, f"state {self.logic.state}, errors {self.errors}, log {self.process.log}"
            self.slicer.app.processEvents()
            time.sleep(0.002)

    def run(self, first=0, last=None, segmentIds=None):
        """Propagate and wait for review, or for what became of it."""
        last = self.logic.sliceCount() - 1 if last is None else last
        self.logic.startSession(segmentIds or [self.segment], first, last)
        self.until(lambda: self.logic.state not in State.BUSY)

    def close(self):
        self.logic.shutdown()
