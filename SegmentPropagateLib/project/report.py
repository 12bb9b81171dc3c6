"""What each round has cost: a page with tables and plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from SegmentPropagateLib.project.state import State
from SegmentPropagateLib.reports import html
from SegmentPropagateLib.reports.cohort import spread_of
from SegmentPropagateLib.wording import are, counted

Entry = Mapping[str, Any]

FIGURES: Mapping[str, Callable[[Entry], float | None]] = MappingProxyType(
    {
        "seconds of work": lambda entry: entry["seconds"],
        "slices edited": lambda entry: entry["slices_edited"],
        "voxels changed": lambda entry: entry["voxels_changed"],
        "added path, mm": lambda entry: entry["added_path_mm"],
        "share of slices untouched": lambda entry: (
            1 - entry["slices_edited"] / entry["slices"] if entry["slices"] else None
        ),
        "share of cases untouched": lambda entry: float(entry["slices_edited"] == 0),
    }
)
"""What is told of a round, from its accepted cases."""


def rounds_of(state: State) -> dict[int, list[Entry]]:
    """Round -> what was accepted first in it, ascending; a later acceptance of the same case is no new case."""
    seen: set[str] = set()
    found: dict[int, list[Entry]] = {}
    for entry in state.accepted:
        if entry["case"] not in seen:
            seen.add(entry["case"])
            found.setdefault(entry["round"], []).append(entry)
    return found


def write_rounds(path: Path, name: str, state: State, cases: int) -> None:
    """Write the page.

    Args:
        path: of the page.
        name: of the project.
        state: of the project.
        cases: how many it has.

    Raises:
        InputError: it cannot be written.
    """
    html.write_page(path, f"{name}: what the rounds have cost", _parts(state, cases))


def _parts(state: State, cases: int) -> list[str]:
    rounds = rounds_of(state)
    done = len(state.done)
    parts = [html.note(f"{done} of {counted(cases, 'case')} {are(done)} accepted; model in use: {state.model}.")]
    if not rounds:
        return parts
    parts.append(html.heading("Means per round"))
    rows = [
        [number, len(entries), *(_mean(entries, figure) for figure in FIGURES)] for number, entries in rounds.items()
    ]
    parts.append(html.table(("round", "cases", *FIGURES), rows))
    for figure, value_of in FIGURES.items():
        groups = []
        for number, entries in rounds.items():
            values = [value for value in map(value_of, entries) if value is not None]
            if values:
                groups.append((f"round {number}", values, spread_of(values)[1:]))
        if groups:
            parts += [html.heading(figure.capitalize()), html.strip_plot(figure, groups)]
    parts += [html.heading("Cases"), html.table(("case", "round", "from", "model", *list(FIGURES)[:4]), _cases(rounds))]
    if state.learned:
        columns = ("round", "model", "learned from", "measured on", "DSC before", "DSC after", "kept")
        parts += [html.heading("What was learned"), html.table(columns, _learned(state))]
    parts.append(html.note("Slices that the annotator outlined before anything was proposed count as drawn."))
    return parts


def _mean(entries: Sequence[Entry], figure: str) -> float | None:
    spread = spread_of(map(FIGURES[figure], entries))
    return spread.mean if spread.cases else None


def _cases(rounds: Mapping[int, Sequence[Entry]]) -> list[list[html.Cell]]:
    return [
        [entry["case"], number, entry.get("prompts", {}).get("kind", ""), entry.get("model") or ""]
        + [value_of(entry) for value_of in list(FIGURES.values())[:4]]
        for number, entries in rounds.items()
        for entry in entries
    ]


def _learned(state: State) -> list[list[html.Cell]]:
    return [
        [
            *(number, entry["model"], *(", ".join(map(str, entry[part])) for part in ("training", "held_out"))),
            *(entry["start_dsc"], entry["dsc"], "the model before" if entry["kept_start"] else "the new one"),
        ]
        for number, entry in enumerate(state.learned, start=1)
    ]
