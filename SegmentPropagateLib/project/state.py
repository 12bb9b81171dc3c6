"""What is known of a project: the replay of its ledger, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.worklist import DONE, IN_WORK, PROPOSED, TO_DO

SMALLEST_AREA = 12
"""Pixels of an object on its largest slice; `training.data` learns from no smaller ones."""
_NUMBER = (int, float)
_PERHAPS = (int, float, type(None))


@dataclass(frozen=True)
class CaseState:
    """How far a case is.

    Args:
        state: one of `worklist.STATES`.
        proposal: the entry of its latest proposal.
        accepted: the entry of what was accepted last.
        work: the file that somebody was given to edit, from the folder; empty where nobody was.
        by: who that is.
    """

    state: str = TO_DO
    proposal: Mapping[str, Any] | None = None
    accepted: Mapping[str, Any] | None = None
    work: str = ""
    by: str = ""


@dataclass(frozen=True)
class State:
    """A project as its ledger tells it.

    Args:
        cases: name -> how far it is, in the order in which they appear; a case that is not here is to do.
        model: in use: a name, or a file of the project.
        learned: the entries of what was learned, in their order.
        accepted: the entries of all that was accepted, in their order, each with its `round`.
    """

    model: str
    cases: Mapping[str, CaseState] = field(default_factory=dict)
    learned: tuple[Mapping[str, Any], ...] = ()
    accepted: tuple[Mapping[str, Any], ...] = ()

    @property
    def round(self) -> int:
        """The present one, from 1; learning begins the next."""
        return len(self.learned) + 1

    def case(self, name: str) -> CaseState:
        """How far a case is."""
        return self.cases.get(name, CaseState())

    @property
    def done(self) -> tuple[str, ...]:
        """Accepted cases, in the order in which they were accepted first."""
        names = (entry["case"] for entry in self.accepted)
        return tuple(dict.fromkeys(name for name in names if self.cases[name].state == DONE))

    @property
    def usable(self) -> tuple[str, ...]:
        """Those of them that show enough of an object to suggest from and to learn from."""
        accepted = ((name, self.cases[name].accepted) for name in self.done)
        return tuple(name for name, entry in accepted if entry is not None and entry["largest_area"] >= SMALLEST_AREA)

    @property
    def since_learning(self) -> int:
        """How many cases were accepted first in the present round."""
        first = {entry["case"]: entry["round"] for entry in reversed(self.accepted)}
        return sum(number == self.round for number in first.values())


def replay(entries: Iterable[Mapping[str, Any]], path: object = "the ledger") -> State:
    """The state that entries lead to.

    Args:
        entries: of a ledger, from its first one.
        path: what to call it in sentences.

    Raises:
        InputError: an entry is of a kind that this version does not know, or lacks a part; the sentence names its line.
    """
    cases: dict[str, CaseState] = {}  # changed in its place: ten thousand cases have thirty thousand entries
    state = State("", cases)
    begun = False
    for number, entry in enumerate(entries, start=1):
        event = str(entry.get("event"))
        if event not in EVENTS or begun == (event == "begun"):
            raise InputError(f"Line {number} of '{path}' tells of '{event}', which this version does not know there.")
        for part, kind in EVENTS[event].items():
            if part not in entry or not isinstance(entry[part], kind):
                raise InputError(f"Line {number} of '{path}' lacks '{part}', or has something else there.")
        state, begun = _EFFECTS[event](state, entry, cases), True
    if not begun:
        raise InputError(f"'{path}' is empty: bring it back from a copy of the project.")
    return state


EVENTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "begun": {"model": str},
        "proposed": {"case": str, "model": str, "model_sha256": str, "file": str, "sha256": str, "prompts": dict},
        "opened": {"case": str, "work": str},
        "accepted": {
            "case": str,
            "file": str,
            "sha256": str,
            "seconds": _PERHAPS,
            "largest_area": int,
            "slices": int,
            "slices_edited": int,
            "voxels_changed": int,
            "added_path_mm": _NUMBER,
        },
        "learned": {
            "model": str,
            "sha256": str,
            "training": list,
            "held_out": list,
            "dsc": _NUMBER,
            "start_dsc": _NUMBER,
            "kept_start": bool,
        },
        "using": {"model": str, "sha256": str},
    }
)
"""Kind of entry -> its parts; all have the time `at` as well, and may have more."""


def _proposed(state: State, entry: Mapping[str, Any], cases: dict[str, CaseState]) -> State:
    known = state.case(entry["case"])
    now = PROPOSED if known.state == TO_DO else known.state
    cases[entry["case"]] = replace(known, state=now, proposal=entry)
    return state


def _opened(state: State, entry: Mapping[str, Any], cases: dict[str, CaseState]) -> State:
    known = state.case(entry["case"])
    cases[entry["case"]] = replace(known, state=IN_WORK, work=entry["work"], by=str(entry.get("by", "")))
    return state


def _accepted(state: State, entry: Mapping[str, Any], cases: dict[str, CaseState]) -> State:
    told = {**entry, "round": state.round}
    cases[entry["case"]] = replace(state.case(entry["case"]), state=DONE, accepted=told)
    return replace(state, accepted=(*state.accepted, told))


def _learned(state: State, entry: Mapping[str, Any], _cases: dict[str, CaseState]) -> State:
    model = state.model if entry["kept_start"] else entry["model"]
    return replace(state, learned=(*state.learned, entry), model=model)


def _using(state: State, entry: Mapping[str, Any], _cases: dict[str, CaseState]) -> State:
    return replace(state, model=entry["model"])


_EFFECTS: Mapping[str, Callable[[State, Mapping[str, Any], dict[str, CaseState]], State]] = MappingProxyType(
    {
        "begun": _using,
        "proposed": _proposed,
        "opened": _opened,
        "accepted": _accepted,
        "learned": _learned,
        "using": _using,
    }
)
