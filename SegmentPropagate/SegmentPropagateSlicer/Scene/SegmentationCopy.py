"""What a segmentation holds at one moment, to be written into a `.seg.nrrd` file by any thread.

Slicer writes such a file on its main thread, in one piece: 12 segments of 512 x 512 x 200 voxels took it 1.0 s of the
processor, as it goes through the labelmap that they share once for each of them. Here Slicer only writes what it knows
of the segments, from a copy without voxels; so the file has whatever fields its version has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import slicer
from numpy.typing import NDArray
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import replacing
from SegmentPropagateLib.formats.plain_nrrd import read_fields, write_array
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateSlicer.Scene.Labelmaps import LABELMAP, arrayOf, hasVoxels, referenceOf, segmentOf
from SegmentPropagateSlicer.Scene.Lattice import Extent, indexOfExtent, unionOfExtents

_ENDING = ".seg.nrrd"
_NOTHING = "0 -1 0 -1 0 -1"


@dataclass(frozen=True)
class Layer:
    """Label values of a box, of which a part has some; gives its planes.

    Args:
        values: of the part, `(k, j, i)`.
        place: the part in the box.
        shape: of the box.
        dtype: of the planes.
    """

    values: NDArray[np.integer]
    place: tuple[slice, slice, slice]
    shape: tuple[int, ...]
    dtype: np.dtype[np.integer]

    def __iter__(self) -> Iterator[NDArray[np.integer]]:
        slices, *within = self.place
        for k in range(self.shape[0]):
            plane = np.zeros(self.shape[1:], dtype=self.dtype)
            if slices.start <= k < slices.stop:
                plane[tuple(within)] = self.values[k - slices.start]
            yield plane


@dataclass(frozen=True)
class SegmentationCopy:
    """Has memory of its own.

    Args:
        layers: all of the same box; segments overlap in several.
        geometry: the grid of the box.
        fields: what the file says of the segments, as in Slicer's own.
    """

    layers: tuple[Layer, ...]
    geometry: Geometry
    fields: Mapping[str, str]

    def write(self, path: Path) -> None:
        """Write the file, which is complete or as it was before.

        Raises:
            InputError: it cannot be written; the sentence says why.
        """
        with replacing(path, ending=_ENDING) as part:
            write_array(part, self.layers, self.geometry, self.fields)


def copyOf(node: slicer.vtkMRMLSegmentationNode) -> SegmentationCopy | None:
    """Copy what a segmentation holds. Slicer then takes it as saved: `noteFile` or `noteFailure` has to follow.

    Returns:
        SegmentationCopy: None where only Slicer can write it, as it holds nothing, surfaces, or labelmaps that are not
            all on the grid of the image that it was made on.
    """
    owners, storage = _owners(node), node.GetStorageNode()
    images, reference = list(owners.values()), referenceOf(node)
    isCropped = storage is not None and storage.GetCropToMinimumExtent()  # else the file has all of that grid
    if not images or reference is None or isCropped or not _areAlike([reference, *images]):
        return None
    extents: list[Extent] = [image.GetExtent() for image in images]
    box: Extent = reduce(lambda one, other: unionOfExtents(one, other) or (), extents, reference.GetExtent())
    kind = np.result_type(*(arrayOf(image).dtype for image in images))
    i, j, k = (stop - start + 1 for start, stop in zip(box[::2], box[1::2], strict=True))
    layers = [
        Layer(arrayOf(image).copy(), indexOfExtent(extent, box), (k, j, i), kind)
        for image, extent in zip(images, extents, strict=True)
    ]
    matrix = _matrixOf(images[0])
    matrix[:3, 3] += matrix[:3, :3] @ box[::2]
    fields = _fieldsBySlicer(node)
    fields |= {
        "Segmentation_ContainedRepresentationNames": "".join(f"{name}|" for name in _representationsOf(node)),
        "Segmentation_ConversionParameters": node.GetSegmentation().SerializeAllConversionParameters(),
        "Segmentation_ReferenceImageExtentOffset": " ".join(map(str, box[::2])),
        **_places(node, owners, box),
    }
    return SegmentationCopy(tuple(layers), Geometry((k, j, i), matrix), fields)


def noteFile(node: slicer.vtkMRMLSegmentationNode, path: Path) -> None:
    """The copy has become this file."""
    storage = node.GetStorageNode()
    if storage is not None:  # it may have left the scene meanwhile
        storage.SetFileName(str(path))


def noteFailure(node: slicer.vtkMRMLSegmentationNode) -> None:
    """It could not be written: Slicer is to ask for it when it is closed."""
    node.StorableModified()


def _owners(node: slicer.vtkMRMLSegmentationNode) -> dict[str, slicer.vtkOrientedImageData]:
    """The labelmaps that hold anything, by their address: a layer of the file each."""
    segmentation, found = node.GetSegmentation(), {}
    if segmentation.IsSourceRepresentationImageData():
        for segmentId in segmentation.GetSegmentIDs():
            image = segmentOf(node, segmentId).GetRepresentation(LABELMAP)
            if image is not None and hasVoxels(image):
                found[image.GetAddressAsString("")] = image
    return found


def _areAlike(images: list[slicer.vtkOrientedImageData]) -> bool:
    """Whether they are on one grid, and those that have values have whole numbers."""
    matrix = _matrixOf(images[0])
    kinds = {arrayOf(image).dtype.kind for image in images if hasVoxels(image)}
    return kinds <= set("ui") and all(np.allclose(_matrixOf(it), matrix, rtol=0, atol=1e-9) for it in images)


def _matrixOf(image: slicer.vtkOrientedImageData) -> NDArray[np.float64]:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    found: NDArray[np.float64] = slicer.util.arrayFromVTKMatrix(matrix)
    return found


def _representationsOf(node: slicer.vtkMRMLSegmentationNode) -> list[str]:
    names: list[str] = []
    node.GetSegmentation().GetContainedRepresentationNames(names)
    return names


def _places(
    node: slicer.vtkMRMLSegmentationNode, owners: Mapping[str, slicer.vtkOrientedImageData], box: Extent
) -> dict[str, str]:
    """Layer, value and extent of each segment; one that holds nothing gets a value that no other has."""
    found: dict[str, str] = {}
    segments = [segmentOf(node, segmentId) for segmentId in node.GetSegmentation().GetSegmentIDs()]
    free = 1 + max(segment.GetLabelValue() for segment in segments)
    for number, segment in enumerate(segments):
        image = segment.GetRepresentation(LABELMAP)
        layer, value, extent = 0, free + number, _NOTHING
        if image is not None and hasVoxels(image):
            layer, value = list(owners).index(image.GetAddressAsString("")), segment.GetLabelValue()
            own = zip(image.GetExtent(), np.repeat(box[::2], 2), strict=True)
            extent = " ".join(str(end - start) for end, start in own)
        found |= {
            f"Segment{number}_Layer": str(layer),
            f"Segment{number}_LabelValue": str(value),
            f"Segment{number}_Extent": extent,
        }
    return found


def _fieldsBySlicer(node: slicer.vtkMRMLSegmentationNode) -> dict[str, str]:
    """What Slicer writes of the segments, by way of a copy of them that has no voxels."""
    import vtk

    if node.GetStorageNode() is None:
        node.AddDefaultStorageNode()
    storage = node.GetStorageNode()
    voxel = slicer.vtkOrientedImageData()
    voxel.SetDimensions(1, 1, 1)
    voxel.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    arrayOf(voxel)[...] = 0
    bare = slicer.vtkMRMLSegmentationNode()
    segmentation = bare.GetSegmentation()
    segmentation.SetSourceRepresentationName(LABELMAP)
    for segmentId in node.GetSegmentation().GetSegmentIDs():
        segment = slicer.vtkSegment()
        segment.DeepCopyMetadata(segmentOf(node, segmentId))
        segment.AddRepresentation(LABELMAP, voxel)
        segmentation.AddSegment(segment, segmentId)
    former = storage.GetFileName()
    with TemporaryDirectory(dir=slicer.app.temporaryPath) as folder:
        path = Path(folder) / f"fields{_ENDING}"
        storage.SetFileName(str(path))
        isWritten = storage.WriteData(bare)
        storage.SetFileName(former or "")
        if not isWritten or not path.is_file():
            raise InputError(_("'{file}' could not be saved: is the disk full?").format(file=path))
        return read_fields(path)
