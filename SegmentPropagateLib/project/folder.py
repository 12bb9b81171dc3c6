"""The folder of a project.

    project.json        labels, images, and how the next case is chosen; written once
    ledger.jsonl        everything that happened since, see `ledger`
    finished.json       list of the accepted cases that are of use, as `finetune` and `--support` read it; made anew
    proposals/          what was proposed, kept to be compared with
    work/               copies of the proposals, to be edited
    labels/             what was accepted
    models/round-N.pt   what was learned

No file of `proposals`, `labels` and `models` is ever written twice: what comes later gets a name of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import PathLike, file_sha256, is_there, writing
from SegmentPropagateLib.formats.cases import Case, checked_name, find_images, text_of
from SegmentPropagateLib.formats.templates import checked_segments, template_as_json, template_of_json
from SegmentPropagateLib.models.registry import REGISTRY
from SegmentPropagateLib.process import signals_waiting
from SegmentPropagateLib.project.holding import held, now, person
from SegmentPropagateLib.project.ledger import Ledger
from SegmentPropagateLib.project.state import State, replay
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.labels import SegmentInfo

SETTINGS, LEDGER, FINISHED = "project.json", "ledger.jsonl", "finished.json"
PROPOSALS, WORK, LABELS, MODELS = FOLDERS = ("proposals", "work", "labels", "models")
ORDERS = ("order", "random", "disagreement")
LEAST_TO_LEARN = 4


@dataclass(frozen=True)
class ProjectSettings:
    """What a project was begun with.

    Args:
        segments: the labels that every case gets, numbered from 1.
        by: how the next case is chosen, one of `ORDERS`.
        learn_after: how many cases are accepted before the model learns from them.
        plane: whose slices are counted.
        seed: of what is random.
        reader: name or file of the network that reads accepted cases, as the ledger has models; None takes the
            bundled one.
    """

    segments: tuple[SegmentInfo, ...]
    by: str = "order"
    learn_after: int = LEAST_TO_LEARN
    plane: str = "axial"
    seed: int = 0
    reader: str | None = None


class Project:
    """A project that was begun; nothing of its state is kept here, the ledger is read whenever it is asked for.

    Args:
        folder: with its `project.json`.
        notify: takes a sentence about what a loss of power has left.

    Raises:
        InputError: it is no project, or its settings are damaged.
    """

    def __init__(self, folder: PathLike, notify: Callable[[str], None] = lambda _sentence: None) -> None:
        self.folder = Path(folder)
        path = self.folder / SETTINGS
        if not is_there(path):
            raise InputError(f"'{folder}' is no project: begin one by `segment-propagate project init`.")
        try:
            told = json.loads(text_of(path))
            self.settings = _settings_in(told)
            self.images: Mapping[str, Path] = _images_in(told, self.folder)
        except (InputError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(f"'{path}' is damaged: bring it back from a copy of the project.") from error
        self._ledger = Ledger(self.folder / LEDGER, notify)

    @classmethod
    def begin(cls, folder: PathLike, images: PathLike, model: str, settings: ProjectSettings) -> Project:
        """Make the folder of a project; `project.json` is the last file, and makes it one.

        Args:
            folder: new or empty.
            images: a folder or list of them, see `find_images`.
            model: name or file that proposes at first.
            settings: see there.

        Raises:
            InputError: the folder is there with something in it, or cannot be made; there is no image.
        """
        folder = Path(folder)
        told = {
            "template": template_as_json(settings.segments),
            # as lists of cases call it: the panel's worklist takes this file for one
            "training": [
                {"name": case.name, "image": _place(folder, case.image)} for case in find_images(Path(images))
            ],
            "by": settings.by,
            "learn_after": settings.learn_after,
            "plane": settings.plane,
            "seed": settings.seed,
            "reader": None if settings.reader is None else _place(folder, settings.reader),
        }
        with _made(folder):
            Ledger.begin(folder / LEDGER, {"event": "begun", "at": now(), "model": _place(folder, model), "sha256": ""})
            with writing(folder / SETTINGS) as file:
                file.write(json.dumps(told, indent=1).encode())
        return cls(folder)

    def held(self, patience_s: float = 0.0) -> AbstractContextManager[None]:
        """Hold the project while it is changed, see `holding.held`."""
        self._make_folders()
        return held(self.folder, patience_s)

    def learning(self) -> AbstractContextManager[None]:
        """Hold the models while one is learned; cases are proposed and accepted meanwhile."""
        self._make_folders()
        return held(self.folder / MODELS)

    def _make_folders(self) -> None:
        """Make what is not there: archives and version control leave empty folders out of a copy."""
        for name in FOLDERS:
            try:
                (self.folder / name).mkdir(exist_ok=True)
            except OSError as error:
                reason = error.strerror or error
                raise InputError(f"The folder '{self.folder / name}' cannot be made: {reason}.") from error

    def state(self) -> State:
        """What the ledger tells.

        Raises:
            InputError: it is damaged.
        """
        return replay(self._ledger.read(), self._ledger.path)

    def append(self, event: str, **parts: Any) -> State:
        """Tell the ledger of something, and return the state that follows.

        Raises:
            InputError: it cannot be written; then nothing has happened.
        """
        entry = {"event": event, "at": now(), "by": person(), **parts}
        state = replay((*self._ledger.read(), entry), self._ledger.path)
        self._ledger.append(entry)
        return state

    def image(self, name: str) -> Path:
        """The image of a case.

        Raises:
            InputError: there is no case of that name.
        """
        if name not in self.images:
            some = ", ".join(list(self.images)[:10])
            raise InputError(f"The project has no case '{name}': it has {some}{', ...' * (len(self.images) > 10)}.")
        return self.images[name]

    def model_path(self, model: str) -> str:
        """A model of the ledger as it is loaded: a name stays one, a file counts from the project's folder."""
        return model if model in REGISTRY else str(self.folder / model)

    def place(self, path: PathLike) -> str:
        """A path as the ledger has it: from the folder, so that both can be moved together."""
        return _place(self.folder, path)

    def free_name(self, kind: str, name: str) -> Path:
        """A name that no file of the project has: `NAME.seg.nrrd`, `NAME (2).seg.nrrd` and so on."""
        ends = ("", *(f" ({number})" for number in range(2, 10_000)))
        names = (self.folder / kind / f"{name}{end}.seg.nrrd" for end in ends)
        return next(path for path in names if not path.exists())

    def kept(self, entry: Mapping[str, Any]) -> Path:
        """The file of an entry, as it was when the entry was written.

        Raises:
            InputError: it is missing, or has been changed since.
        """
        path = self.folder / entry["file"]
        try:
            same = file_sha256(path) == entry["sha256"]
        except OSError as error:
            raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from error
        if not same:
            raise InputError(f"'{path}' was changed since it was written: bring it back, files in 'work' are to edit.")
        return path

    def finished(self, state: State, without: Sequence[str] = ()) -> list[Case]:
        """The accepted cases that are of use, with their labels, in the order in which they were accepted first."""
        found = []
        for name in state.usable:
            accepted = state.case(name).accepted
            if accepted is not None and name not in without:
                found.append(Case(name, self.image(name), self.folder / accepted["file"]))
        return found

    def supporting(self, state: State, without: Sequence[str] = ()) -> dict[str, str]:
        """Accepted case -> digest of its labels: what suggestions are made from."""
        entries = {name: state.case(name).accepted for name in state.usable if name not in without}
        return {name: entry["sha256"] for name, entry in entries.items() if entry is not None}

    def write_finished(self, state: State, without: Sequence[str] = (), path: Path | None = None) -> Path:
        """Write the list of the accepted cases, and return its path; None takes the project's own."""
        path = path or self.folder / FINISHED
        rows = [
            {"name": case.name, "image": _place(path.parent, case.image), "label": _place(path.parent, case.labels)}
            for case in self.finished(state, without)
        ]
        with writing(path) as file:
            file.write(json.dumps({"training": rows}, indent=1).encode())
        return path


def _settings_in(told: Mapping[str, Any]) -> ProjectSettings:
    """What `project.json` tells of a project; ValueError and the like where it is damaged."""
    segments = checked_segments(template_of_json(told["template"]), "It names")
    by, learn_after, plane, seed = (told[name] for name in ("by", "learn_after", "plane", "seed"))
    whole = all(type(number) is int for number in (learn_after, seed)) and learn_after > 0 <= seed and by in ORDERS
    if not whole:
        raise ValueError("settings of another kind")
    reader = told.get("reader")  # older projects have none
    if not isinstance(reader, str | None):
        raise ValueError("a model of another kind")
    return ProjectSettings(segments, by, learn_after, Plane.parse(plane).value, seed, reader)


def _images_in(told: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """Name of a case -> its image; the same."""
    rows = told["training"]
    images = {checked_name(row["name"], "A case"): folder / row["image"] for row in rows}
    if len(images) < len(rows):
        raise ValueError("a name twice")
    return images


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make the folders of a project; where the block fails or is interrupted, all is as it was."""
    made: list[Path] = []
    try:
        for place in (*reversed(folder.parents), folder, *(folder / name for name in FOLDERS)):
            if place == folder / FOLDERS[0] and any(folder.iterdir()):
                raise InputError(f"'{folder}' is not empty: give a project a new folder.")
            if not place.is_dir():
                place.mkdir()
                made.append(place)
        yield
    except BaseException as error:
        with signals_waiting():
            for name in (LEDGER, SETTINGS) if made else ():
                (folder / name).unlink(missing_ok=True)
            for place in reversed(made):
                place.rmdir()
        if isinstance(error, OSError | ValueError):
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"The folder '{folder}' cannot be made ({reason}): choose another.") from error
        raise


def _place(folder: Path, path: PathLike) -> str:
    if path in REGISTRY:  # a model
        return os.fspath(path)
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive
        return str(Path(path).resolve())
