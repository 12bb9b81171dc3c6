"""How a project learns, as MedSAM2's rounds did (Ma et al. 2025): half the rates, 6 epochs, later 15.

All accepted cases are replayed in every round. Some are never learned from: the new model proposes from now on only if
it is not worse on these.
"""

from __future__ import annotations

from collections.abc import Sequence

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.project.folder import LEAST_TO_LEARN, Project
from SegmentPropagateLib.project.state import State
from SegmentPropagateLib.wording import are, counted

EPOCHS = (6, 15)
"""Of the first round that learns, and of those after it."""
RATE = 0.5
"""Share of the recipe's learning rates."""


def held_out(names: Sequence[str]) -> list[str]:
    """The accepted cases that are measured on, which stay the same as more are accepted: two of four, then one in five.

    Args:
        names: in the order in which they were accepted first.
    """
    return [name for place, name in enumerate(names) if place == 1 or place % 5 == 3]


def check_enough(project: Project, state: State, *, at_once: bool) -> None:
    """Raise InputError unless there are cases enough to learn from and to be measured on.

    Args:
        project: with the number of cases that it waits for.
        state: of the project.
        at_once: whether fewer new ones will do.
    """
    count = len(state.usable)
    if count < LEAST_TO_LEARN:
        raise InputError(
            f"Learning needs {LEAST_TO_LEARN} accepted cases, two to learn from and two to be measured on, and there "
            f"{are(count)} {count}: accept {LEAST_TO_LEARN - count} more."
        )
    new, wanted = state.since_learning, project.settings.learn_after
    if new < (1 if at_once else wanted):
        advice = "accept another case first" if at_once else "accept more, or say --now"
        raise InputError(
            f"{new} of {counted(wanted, 'case')} {are(new)} accepted since the model learned last: {advice}."
        )
