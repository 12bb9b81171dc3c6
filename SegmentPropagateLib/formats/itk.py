"""What SimpleITK reads and writes by itself: NIfTI, NRRD, MetaImage, and files whose ending says nothing to us."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.grids import image_of
from SegmentPropagateLib.formats.integrity import check_complete
from SegmentPropagateLib.formats.kinds import Content
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo

_MOST_PER_VOXEL = 1000  # layers of a segmentation at most


def read(path: Path, content: Content) -> tuple[sitk.Image, None]:
    """Read an image; which modality made it, these files do not say.

    Raises:
        InputError: the file is cut off or holds several volumes.
        RuntimeError: SimpleITK cannot read it.
    """
    del content  # a file holds one image
    check_complete(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    if reader.GetDimension() > 4 or (reader.GetDimension() == 4 and reader.GetSize()[3] > 1):
        raise InputError(f"'{path}' is a series of volumes ({reader.GetDimension()}-D): give one volume of it.")
    return reader.Execute(), None


def load(path: Path, reader_name: str) -> sitk.Image:
    """Read the image of a file whose header was found good, with that reader of SimpleITK and no other.

    Raises:
        InputError: the file holds several volumes, or more values per voxel than there are segments.
        RuntimeError: SimpleITK cannot read it.
    """
    reader = sitk.ImageFileReader()
    reader.SetImageIO(reader_name)
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    if reader.GetNumberOfComponents() > _MOST_PER_VOXEL:
        raise InputError(f"'{path}' has {reader.GetNumberOfComponents()} values per voxel: it is no volume.")
    if reader.GetDimension() > 3 and reader.GetSize()[3] > 1:
        raise InputError(f"'{path}' is a series of volumes ({reader.GetDimension()}-D): give one volume of it.")
    return reader.Execute()


def write_labels(
    path: Path,
    layers: Sequence[NDArray[np.unsignedinteger]],
    members: Sequence[Sequence[SegmentInfo]],
    geometry: Geometry,
) -> None:
    """Write the one layer of label values; names and colors have no place in these files.

    Raises:
        RuntimeError: SimpleITK cannot write it.
    """
    del members
    (layer,) = layers
    sitk.WriteImage(image_of(layer, geometry), str(path), useCompression=True)
