"""Files that are to be sent: all are looked at before the first one goes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from SegmentPropagateLib.archive.client import check_uid
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.dicom_header import Tag, begins_as_dicom, read_header
from SegmentPropagateLib.formats.dicom_segments import one_sentence

_IDENTITY = (Tag.SOP_CLASS_UID, Tag.SOP_INSTANCE_UID, Tag.STUDY_INSTANCE_UID, Tag.SERIES_INSTANCE_UID)


def files_to_send(names: Iterable[str]) -> list[Path]:
    """The files of those names; of a folder all that are DICOM.

    Raises:
        InputError: one is not there, is no DICOM file, is damaged, or says not what it is.
    """
    paths = [path for name in names for path in _files_at(Path(name))]
    for path in paths:
        header = read_header(path)
        if header.problem:
            raise InputError(f"The DICOM file '{path}' {header.problem}.")
        for tag in _IDENTITY:
            check_uid(header.text(tag), f"The {tag.keyword} of '{path}'")
    return paths


def _files_at(path: Path) -> list[Path]:
    try:
        entries = sorted(path.iterdir()) if path.is_dir() else [path]
        found = [entry for entry in entries if entry.is_file() and begins_as_dicom(entry)]
    except OSError as error:
        raise InputError(f"'{error.filename or path}' cannot be read ({error.strerror}): allow it.") from error
    except ValueError as error:  # a null character
        raise InputError(f"{str(path)!a} is no name of a file: give DICOM files.") from error
    if not found:
        what = "holds no DICOM file" if path.is_dir() else "is no DICOM file" if path.exists() else "does not exist"
        raise InputError(f"'{path}' {what}: give DICOM files, or folders of them.")
    return found


def dataset_of(path: Path) -> Any:
    """A whole file, a `pydicom.Dataset`.

    Raises:
        InputError: pydicom cannot read it.
    """
    import pydicom

    with one_sentence(f"The DICOM file '{path}' cannot be read", "export it again"):
        return pydicom.dcmread(path)
