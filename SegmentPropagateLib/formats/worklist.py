"""A list of images to segment one after another: where the results go, and how far each one is.

What is known of the cases is kept in `worklist.json` beside the results. Its "training" names the images that are done
and their labels, so that `finetune` reads the file as any other list. Where results lie beside the images, it reads the
folder as well. Lists of several sources may share the file as long as their cases have names of their own.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import PathLike, identity_of, is_there, writing
from SegmentPropagateLib.formats.cases import Case, find_images, result_of, text_of
from SegmentPropagateLib.locking import locked

TO_DO, PROPOSED, IN_WORK, DONE = STATES = ("to do", "proposed", "in work", "done")
STATE_FILE = "worklist.json"
_LOCK = f".{STATE_FILE}.lock"
_PATIENCE_S, _POLL_S = 5.0, 0.01  # another one reads and writes the list within milliseconds


@dataclass(frozen=True)
class WorkCase:
    """One image of a worklist.

    Args:
        name: unique in the list.
        image: a volume file, or a folder with a DICOM series.
        labels: the `.seg.nrrd` that the result is saved in.
        draft: labels to begin with where `labels` is not there yet; None where there are none either.
        state: one of `STATES`.
        kept: what a program wants to find again with the case; JSON-able.
    """

    name: str
    image: Path
    labels: Path
    draft: Path | None = None
    state: str = TO_DO
    kept: Mapping[str, Any] = field(default_factory=dict)


class Worklist:
    """The cases of a folder or list, and their states, which are written with every change.

    Args:
        cases: what there is to segment, e.g. `find_images(folder)`.
        folder: where `worklist.json` is kept.
        results: a folder for all results; None puts each where the layout of the images has labels.

    Raises:
        InputError: `worklist.json` is there and damaged, or has a case of that name with another image.
    """

    def __init__(self, cases: Sequence[Case], folder: PathLike, results: PathLike | None = None) -> None:
        self.path = Path(folder) / STATE_FILE
        self._found = {case.name: _as_work(case, results) for case in cases}
        self.cases: tuple[WorkCase, ...] = ()
        self.last: str | None = None
        self._others: dict[str, Mapping[str, Any]] = {}  # what the file says of cases that are not of this list
        self.refresh()

    @classmethod
    def of(cls, source: PathLike, results: PathLike | None = None) -> Worklist:
        """The images of a folder, or of a list in a `.csv` or `.json` file.

        Raises:
            InputError: as `find_images`; or `results` is no folder.
        """
        source = Path(source)
        if results is not None and not Path(results).is_dir():
            raise InputError(f"The folder for results '{results}' does not exist: create it first.")
        return cls(find_images(source), results or (source if source.is_dir() else source.parent), results)

    def refresh(self) -> None:
        """Take the states anew, also what others have written meanwhile."""
        self.last, known = _read(self.path)
        for name, case in self._found.items():
            self._check_image(case, known.get(name, {}))
        self.cases = tuple(_with(case, known.get(name, {}), self.path) for name, case in self._found.items())
        self._others = {name: entry for name, entry in known.items() if name not in self._found}

    def _check_image(self, case: WorkCase, entry: Mapping[str, Any]) -> None:
        """Raise InputError where work on another image is kept under the name of a case."""
        image = _path_in(entry, "image", self.path)
        if image is None or entry.get("state", TO_DO) == TO_DO or entry["image"] == self._place(case.image):
            return
        if is_there(image) and identity_of(image) != identity_of(case.image):  # else it has been moved
            raise InputError(
                f"'{self.path}' has the case '{case.name}' with another image, '{image}': choose another folder for "
                f"the results, or give one of the images another name."
            )

    def case(self, name: str | None) -> WorkCase | None:
        """The case of that name, or None."""
        return next((case for case in self.cases if case.name == name), None)

    def resume(self) -> WorkCase | None:
        """Where work stopped: the case that was open last unless it is done, else the first that is not done."""
        last = self.case(self.last)
        return last if last is not None and last.state != DONE else self.next(self.last)

    def next(self, name: str | None) -> WorkCase | None:
        """The case after the one of that name that is not done, from the start again after the last; None without."""
        names = [case.name for case in self.cases]
        start = names.index(name) + 1 if name in names else 0
        return next((case for case in self.cases[start:] + self.cases[: max(start - 1, 0)] if case.state != DONE), None)

    def previous(self, name: str | None) -> WorkCase | None:
        """The case before the one of that name, whatever its state; None before the first."""
        names = [case.name for case in self.cases]
        place = names.index(name) if name in names else 0
        return self.cases[place - 1] if place else None

    def holder(self, name: str) -> str:
        """Who else works on a case; empty where that is not known."""
        del name
        return ""

    def finished(self) -> list[Case]:
        """The cases that are done, with their labels."""
        return [Case(case.name, case.image, case.labels) for case in self.cases if case.state == DONE]

    def open(self, name: str) -> WorkCase:
        """Somebody begins to work on a case, or looks at one that is done."""
        known = self.case(name)
        return self.note(name, state=DONE if known is not None and known.state == DONE else IN_WORK)

    def note(self, name: str, **changes: Any) -> WorkCase:
        """Change fields of a case and write the list, which is on the disk whole or as it was.

        Args:
            name: of the case, which is the one worked on last from now on.
            **changes: `state`, `labels` or `kept`.

        Raises:
            InputError: it has no case of that name, or cannot be read or written.
        """
        if name not in self._found:
            raise InputError(f"The list of '{self.path}' has no case '{name}': choose one of its {len(self._found)}.")
        with locked(self.path.with_name(_LOCK), self._refuse_from(time.monotonic() + _PATIENCE_S), _POLL_S):
            self.refresh()  # another person may work on the same list
            noted = {case.name: replace(case, **changes) if case.name == name else case for case in self.cases}
            self.cases, self.last = tuple(noted.values()), name
            self._write()
        return noted[name]

    def _refuse_from(self, end: float) -> Callable[[], None]:
        """What ends a wait for the list."""

        def refuse() -> None:
            if time.monotonic() >= end:
                raise InputError(f"'{self.path}' is in use by another program: try again.")

        return refuse

    def _write(self) -> None:
        entries = {**self._others, **{case.name: self._entry(case) for case in self.cases}}
        content = {
            "last": self.last,
            "cases": entries,
            "training": [
                {"name": name, "image": entry["image"], "label": entry["labels"]}
                for name, entry in entries.items()
                if entry.get("state") == DONE and self._has_files(entry)
            ],
        }
        with writing(self.path) as file:
            file.write(json.dumps(content, indent=1, ensure_ascii=True).encode())

    def _entry(self, case: WorkCase) -> dict[str, Any]:
        image, labels = self._place(case.image), self._place(case.labels)
        return {"state": case.state, "image": image, "labels": labels, "kept": dict(case.kept)}

    def _has_files(self, entry: Mapping[str, Any]) -> bool:
        image, labels = (_path_in(entry, part, self.path) for part in ("image", "labels"))
        return image is not None and labels is not None and is_there(image) and labels.is_file()

    def _place(self, path: Path) -> str:
        """A path from the folder of the list, so that both can be moved together."""
        try:
            return Path(os.path.relpath(path, self.path.parent)).as_posix()
        except ValueError:  # on another drive
            return str(path)


def stamp_of(path: Path) -> tuple[int, int] | None:
    """What changes when a file is written: size in bytes and time in ns; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def second_name(path: Path) -> Path:
    """A free name beside a `.seg.nrrd` which no layout takes for labels of an image: `NAME (2).seg.nrrd` and so on."""
    stem = path.name[: -len(".seg.nrrd")]
    names = (path.with_name(f"{stem} ({number}).seg.nrrd") for number in range(2, 1000))
    return next(name for name in names if not name.exists())


def _as_work(case: Case, results: PathLike | None) -> WorkCase:
    labels = result_of(case) if results is None else Path(results) / f"{case.name}.seg.nrrd"
    return WorkCase(case.name, case.image, labels, case.labels if is_there(case.labels) else None)


def _path_in(entry: Mapping[str, Any], part: str, path: Path) -> Path | None:
    """A path that an entry of the list at `path` has, or None."""
    told = entry.get(part)
    return path.parent / told if isinstance(told, str) and "\0" not in told else None


def _is_beside(told: Path, own: Path) -> bool:
    """Whether two files are of one folder; a list may come from anybody, and is saved into."""
    return told.parent.resolve() == own.parent.resolve()


def _with(case: WorkCase, known: Mapping[str, Any], path: Path) -> WorkCase:
    """A case with what the list says of it; one that has labels nobody has looked at is proposed."""
    told, kept = _path_in(known, "labels", path), known.get("kept")
    if told is not None and told.name.lower().endswith(".seg.nrrd") and _is_beside(told, case.labels):
        case = replace(case, labels=told)
    there = case.draft is not None or case.labels.is_file()
    state = next((one for one in STATES if one == known.get("state")), TO_DO)
    return replace(
        case,
        draft=case.draft if not case.labels.is_file() else case.labels,
        state=PROPOSED if there and state == TO_DO else state,
        kept=kept if isinstance(kept, Mapping) else {},
    )


def _read(path: Path) -> tuple[str | None, dict[str, Mapping[str, Any]]]:
    """The case that was open last, and name -> entry."""
    if not is_there(path):
        return None, {}
    try:
        content = json.loads(text_of(path))
    except (RecursionError, ValueError):
        content = None
    if not isinstance(content, Mapping) or not isinstance(content.get("cases"), Mapping):
        raise InputError(f"'{path}' is damaged or no worklist: mend it or move it away, the results beside it stay.")
    last, entries = content.get("last"), content["cases"].items()
    known = {name: entry for name, entry in entries if isinstance(entry, Mapping)}
    return last if isinstance(last, str) else None, known
