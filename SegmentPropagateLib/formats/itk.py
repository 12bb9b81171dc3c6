"""What SimpleITK reads and writes by itself: NIfTI, NRRD, MetaImage, and files whose ending says nothing to us."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

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
    """Write the one layer of values, and read it back: on a full disk SimpleITK leaves an empty file without a word.

    Raises:
        InputError: a file of that kind cannot hold the grid.
        OSError: the file cannot be written.
    """
    del members
    (layer,) = layers
    try:
        with _stderr_silent():
            sitk.WriteImage(image_of(layer, geometry), str(path), useCompression=True)
            image, _ = read(path, "labels")
        is_whole = np.array_equal(sitk.GetArrayViewFromImage(image), layer, equal_nan=layer.dtype.kind == "f")
    except (RuntimeError, InputError):
        is_whole = False
    if not is_whole:
        raise why_not_written(path)
    if not geometry_of(image, path).is_close(geometry):
        kind = "".join(path.suffixes)
        raise InputError(f"A {kind} file cannot hold axes that are not at right angles: choose another kind of output.")


@contextmanager
def _stderr_silent() -> Iterator[None]:
    """What ITK's libraries print past Python is told in one sentence, by whoever called."""
    try:
        kept = os.dup(2)
    except OSError:  # no such stream, as in a program that has windows only
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
