"""A series fetched into a folder, which appears when all files are there; until then they are kept beside it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from SegmentPropagateLib.archive.client import Archive, check_uid
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import writing
from SegmentPropagateLib.formats.dicom_header import Tag, read_header
from SegmentPropagateLib.formats.dicom_segments import one_sentence
from SegmentPropagateLib.process import signals_waiting


class SeriesFolder:
    """Where a series goes. A folder that has half of a series would be read as a shorter one, so there is never one.

    Args:
        path: of the folder; it does not exist, or is empty, or holds the series already.
        study: its StudyInstanceUID.
        series: its SeriesInstanceUID.

    Raises:
        InputError: they are no UIDs, or there can be no such folder.
    """

    def __init__(self, path: str, study: str, series: str) -> None:
        self.study, self.series = check_uid(study, "STUDY"), check_uid(series, "SERIES")
        if "\0" in path:
            raise InputError(f"{path!a} is no name of a folder: choose another.")
        self.path = Path(os.path.realpath(path))
        self.part = self.path.with_name(f"{self.path.name}.partial")
        if not self.path.parent.is_dir() or self.path in (Path.cwd(), self.path.parent):
            raise InputError(f"Cannot make the folder '{path}': name a new one, in a folder that is there.")
        for folder in (self.path, self.part):
            if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                raise InputError(f"Cannot make the folder '{folder}': it is a file or a link, choose another name.")

    def has(self, uids: Iterable[str]) -> bool:
        """Whether the folder is there, with all files of the series.

        Raises:
            InputError: it holds something else, or a part of them.
        """
        there = _names_in(self.path)
        if not there:
            return False
        missing = [uid for uid in uids if not self._holds(self.path / _name_of(uid))]
        if missing:
            raise InputError(
                f"The folder '{self.path}' holds other files, and lacks {len(missing)} of the series: choose another."
            )
        return True

    def missing(self, uids: Iterable[str]) -> list[str]:
        """What an earlier, interrupted attempt has not brought.

        Raises:
            InputError: the folder of that attempt holds something else.
        """
        uids = list(uids)
        odd = _names_in(self.part) - {_name_of(uid) for uid in uids}
        if odd := {name for name in odd if not name.startswith(".")}:
            raise InputError(
                f"'{self.part}' is for what arrives, and holds something else ({min(odd)}): remove it or choose "
                f"another folder."
            )
        return [uid for uid in uids if not self._holds(self.part / _name_of(uid))]

    def fill(self, archive: Archive, uids: Iterable[str]) -> Iterator[int]:
        """Fetch files, one after the other, and yield the bytes of each; then the folder appears.

        Raises:
            InputError: one cannot be had or written; what has arrived is kept for the next attempt.
        """
        try:
            self.part.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"Cannot make the folder '{self.part}': {error.strerror}.") from error
        for uid in uids:
            dataset = archive.file(self.study, self.series, uid)
            path = self.part / _name_of(uid)
            failed = f"The file {uid} of {archive.host} cannot be written"
            with one_sentence(failed, "ask whoever runs it"), writing(path) as stream:
                dataset.save_as(stream, enforce_file_format=True)
            yield path.stat().st_size
        self._appear()

    def _appear(self) -> None:
        try:
            with signals_waiting():
                if self.path.exists():
                    self.path.rmdir()  # an empty one
                self.part.rename(self.path)
        except OSError as error:
            raise InputError(
                f"Cannot make the folder '{self.path}' ({error.strerror}): the files are in '{self.part}'."
            ) from error

    def _holds(self, path: Path) -> bool:
        """Whether a file is the one of its name."""
        if path.is_symlink() or not path.is_file():
            return False
        header = read_header(path, last=Tag.SERIES_INSTANCE_UID)
        identity = header.text(Tag.SERIES_INSTANCE_UID), header.text(Tag.SOP_INSTANCE_UID)
        return identity == (self.series, path.stem)


def _name_of(uid: str) -> str:
    return f"{uid}.dcm"


def _names_in(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    except OSError as error:
        raise InputError(f"The folder '{folder}' cannot be read ({error.strerror}): choose another.") from error
