"""Learning from the key slices of the very case: who can, and what came of it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

from SegmentPropagateLib.propagation.propagator import KeyMasks

FEWEST = 2
"""Key slices of an object, each of which is left out once."""


class Gain(NamedTuple):
    """What a weight would have gained on the key slices, each left out of the learning: differences of DSC.

    Args:
        mean: over the key slices.
        worst: of one of them.
    """

    mean: float
    worst: float


@dataclass(frozen=True)
class Lesson:
    """What came of learning from one object's key slices.

    Args:
        slices: number of its key slices.
        weight: of what was learned, on all other slices; 0 leaves them as they are.
        gains: weight -> what it would have gained, of every weight that was tried.
    """

    slices: int
    weight: float = 0.0
    gains: Mapping[float, Gain] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """The verdict, for the user."""
        if self.slices < FEWEST:
            return f"Not learned: there is {self.slices} key slice, and it takes {FEWEST} or more."
        said = f"Learned from {self.slices} slices: "
        if not self.weight:
            return f"{said}not used, no gain on your own slices."
        gain = self.gains[self.weight].mean
        return f"{said}used with a weight of {self.weight:g}, DSC {gain:+.3f} on your own slices."

    @property
    def facts(self) -> dict[str, Any]:
        """The same for reports, JSON-able."""
        gains = [{"weight": weight, **gain._asdict()} for weight, gain in self.gains.items()]
        return {"slices": self.slices, "weight": self.weight, "gains": gains, "verdict": self.sentence}


@runtime_checkable
class Learner(Protocol):
    """A propagator that can learn from key slices."""

    def learn(self, key_masks: KeyMasks) -> Generator[tuple[int, int], None, dict[int, Lesson]]:
        """Learn from the key slices of these objects; `run` makes use of it until `unlearn` or `open`.

        Yields the steps done and how many there are, and returns a lesson for each object, also for those that have
        too few key slices; closing the generator leaves everything as it was.
        """

    def unlearn(self) -> None:
        """Forget what was learned of all objects."""
