"""What SimpleITK reads and writes by itself: NIfTI, NRRD, MetaImage, and files whose ending says nothing to us."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import why_not_written
from SegmentPropagateLib.formats.grids import geometry_of, image_of
from SegmentPropagateLib.formats.integrity import check_complete
from SegmentPropagateLib.formats.kinds import Content
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo


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


def write_labels(
    path: Path,
    layers: Sequence[NDArray[np.unsignedinteger]],
    members: Sequence[Sequence[SegmentInfo]],
    geometry: Geometry,
) -> None:
    """Write the one layer of label values; names and colors have no place in these files.

    Raises:
        OSError: the file cannot be written.
    """
    del members
    (layer,) = layers
    write_image(path, layer, geometry)


def write_image(path: Path, array_kji: NDArray[Any], geometry: Geometry) -> None:
    """Write an array on its grid and read it back, for on a full disk SimpleITK leaves an empty file without a word.

    Raises:
        OSError: the file cannot be written.
    """
    try:
        sitk.WriteImage(image_of(array_kji, geometry), str(path), useCompression=True)
        image, _ = read(path, "labels")
        is_whole = geometry_of(image, path).is_close(geometry) and np.array_equal(
            sitk.GetArrayViewFromImage(image), array_kji, equal_nan=array_kji.dtype.kind == "f"
        )
    except (RuntimeError, InputError):
        is_whole = False
    if not is_whole:
        raise why_not_written(path)
