"""How much too large an outline is that was carried away from its key slice.

People outline an object where it is large, so carried masks had 1.04 to 1.12 times the area of the true ones (median)
and 1.22 times at the end of a stated range, where objects are tapering off: 33 evaluation targets; 1.0 to 1.09 and 1.16
times on 32 other organs. The correction raised the mean DSC of the classical half in a stated range from .808 to .815
on the former and from .775 to .777 on the latter, and changed nothing on phantoms.
"""

from __future__ import annotations

from SegmentPropagateLib.propagator import Lane

ANYWHERE = 0.25
"""Taken off the logits of all slices beyond the last key slice."""
AT_THE_END = 0.8
"""Taken off in addition on the last slice of a stated range; before it as the square of the way from the key."""


def shrinkage(lane: Lane, leg: range, index: int, slices: int) -> float:
    """What to take off the logits of one slice.

    Args:
        lane: the lane that fills the slice.
        leg: its leg that holds the slice.
        index: the slice.
        slices: number of slices of the stack.
    """
    if any((key - leg[-1]) * leg.step > 0 for key in lane.keys):
        return 0.0  # between two key slices nothing tapers off
    if leg[-1] in (0, slices - 1):
        return ANYWHERE  # nobody said that the object ends here
    return ANYWHERE + AT_THE_END * ((leg.index(index) + 1) / len(leg)) ** 2
