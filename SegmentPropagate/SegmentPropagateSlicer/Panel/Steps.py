"""One step of the work is open at a time, so that the panel fits the screen of a laptop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from SegmentPropagateSlicer.Values.State import State


class Steps:
    """Folds the other steps when one is opened; opens the one that a change of state leads to.

    Args:
        sections: name -> ctkCollapsibleButton; "keys" and "review" are opened by the state.
    """

    def __init__(self, sections: Mapping[str, Any]) -> None:
        self._sections, self._inReview = sections, False
        for name, section in sections.items():
            section.collapsed = name != "keys"
            section.connect("contentsCollapsed(bool)", lambda folded, name=name: self._onFolded(name, folded))

    def follow(self, state: str) -> None:
        """Open the review when slices arrive, and the key slices when it has ended."""
        inReview = state in (State.RUNNING, State.REVIEW) or (self._inReview and state in State.BUSY)
        if inReview != self._inReview:
            self._inReview = inReview
            self.open("review" if inReview else "keys")

    def open(self, name: str) -> None:
        """Open a step, which folds the others."""
        self._sections[name].collapsed = False

    def _onFolded(self, name: str, folded: bool) -> None:
        for other, section in self._sections.items():
            if not folded and other != name:
                section.collapsed = True
