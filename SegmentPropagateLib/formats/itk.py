"""What SimpleITK reads, once the header was found good: NRRD and MetaImage."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import SimpleITK as sitk

from SegmentPropagateLib.errors import InputError

_MOST_PER_VOXEL = 1000  # layers of a segmentation at most


@contextmanager
def plain_name(path: Path) -> Iterator[str]:
    """A name of a file that ITK can open.

    ITK ends the process at a name that is not UTF-8, and does not know `.MHA`. Such a file gets another name in a
    folder of its own, beside everything that lies beside it, as a header may name the file of its voxels.
    """
    if _is_plain(path):
        yield str(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / f"segment-propagate{path.suffix.lower()}"
        try:
            for file in path.absolute().parent.iterdir():
                (plain.parent / file.name).symlink_to(file)
            plain.symlink_to(path.absolute())
        except OSError:
            if os.name != "nt":
                raise
            plain = path  # not everybody may make links there, and all names are UTF-8 to ITK
        yield str(plain)


def _is_plain(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:  # bytes of the name that are not UTF-8 came in as surrogates
        return False
    return path.suffix == path.suffix.lower()


def load(path: Path, reader_name: str) -> sitk.Image:
    """Read the image of a file whose header was found good, with that reader of SimpleITK and no other.

    Raises:
        InputError: the file holds several volumes, or more values per voxel than there are segments.
        RuntimeError: SimpleITK cannot read it.
    """
    reader = sitk.ImageFileReader()
    reader.SetImageIO(reader_name)
    with plain_name(path) as name:
        reader.SetFileName(name)
        reader.ReadImageInformation()
        if reader.GetNumberOfComponents() > _MOST_PER_VOXEL:
            raise InputError(f"'{path}' has {reader.GetNumberOfComponents()} values per voxel: it is no volume.")
        if reader.GetDimension() > 3 and reader.GetSize()[3] > 1:
            raise InputError(f"'{path}' is a series of volumes ({reader.GetDimension()}-D): give one volume of it.")
        return reader.Execute()
