"""A draft that finished cases give for one segment, and what the panel says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from SegmentPropagateSlicer.Values.Proposal import Proposal
from SegmentPropagateSlicer.Values.Words import tr as _


@dataclass(frozen=True)
class Support:
    """Where finished cases are.

    Args:
        folders: folders or lists, in the layouts of `formats.cases`.
        cases: files one by one, `(image, labels)`.
    """

    folders: tuple[str, ...] = ()
    cases: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Suggestion:
    """Key slices with their outlines, and a range; nothing of it is in a segment yet.

    Args:
        number: unique among those that came together.
        name: of the label, by which its segment is found.
        color: red, green, blue, 0..1.
        status: `found`; `unsure`; `not here`.
        sliceIndex: the surest key slice; 0 where the object is not here.
        outlines: key slice -> outline, ascending; empty where the object is not here.
        first: first slice with the object; None leaves open where it begins.
        last: last slice with it; None leaves open where it ends.
        reason: one sentence, for what is unsure or not here.
        isTicked: whether *Use* takes it.
        isUsed: whether it has been taken.
    """

    number: int
    name: str
    color: tuple[float, float, float]
    status: Literal["found", "unsure", "not here"]
    sliceIndex: int
    outlines: Mapping[int, Proposal]
    first: int | None
    last: int | None
    reason: str
    isTicked: bool
    isUsed: bool = False

    @property
    def isHere(self) -> bool:
        """Whether there is an outline to look at."""
        return self.status != "not here"

    @property
    def sentence(self) -> str:
        """`Kidney: slice 14, 4 to 22, sure`, or `slice 14 and 3 more`."""
        if not self.isHere:
            return _("{name}: not here").format(name=self.name)
        first, last = (_("open") if end is None else str(end) for end in (self.first, self.last))
        state = _("a key now") if self.isUsed else _("sure") if self.status == "found" else _("unsure")
        more = len(self.outlines) - 1
        text = _("{name}: slice {number}, {first} to {last}, {state}")
        if more:
            state = _("keys now") if self.isUsed else state
            text = _("{name}: slice {number} and {more} more, {first} to {last}, {state}")
        return text.format(name=self.name, number=self.sliceIndex, more=more, first=first, last=last, state=state)
