"""Which case comes next: in order, by chance, or the one on which two runs agree least.

The last is how MedSAM2's annotators were given their cases (Ma et al. 2025): a low agreement of two segmentations tells
where a correction teaches most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from SegmentPropagateLib.formats.worklist import IN_WORK, PROPOSED, TO_DO
from SegmentPropagateLib.project.folder import Project
from SegmentPropagateLib.project.state import State


def open_cases(project: Project, state: State) -> list[str]:
    """Cases that nobody works on and that are not done, in the order of the images."""
    return [name for name in project.images if state.case(name).state in (TO_DO, PROPOSED)]


def in_work(project: Project, state: State) -> list[str]:
    """Cases that somebody has been given."""
    return [name for name in project.images if state.case(name).state == IN_WORK]


def unranked(project: Project, state: State) -> list[str]:
    """Open cases of which nobody knows yet how well two runs of the model in use agree."""
    proposals = {name: state.case(name).proposal or {} for name in open_cases(project, state)}
    return [
        name for name, entry in proposals.items() if entry.get("agreement") is None or entry.get("model") != state.model
    ]


def choose_by_chance(names: Sequence[str], state: State, seed: int) -> str:
    """One of the names; the same for the same seed and number of accepted cases."""
    return names[int(np.random.default_rng([seed, len(state.accepted)]).integers(len(names)))]


def least_agreed(agreements: Mapping[str, float]) -> str:
    """The case of the lowest agreement; of equals the first."""
    return min(agreements, key=lambda name: agreements[name])
