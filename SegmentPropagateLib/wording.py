"""Counts in sentences: one slice is, two slices are."""

from __future__ import annotations


def counted(count: int, thing: str) -> str:
    """A count with what is counted.

    Args:
        count: how many.
        thing: one of them, of which an `s` makes several.

    Example:
        >>> counted(1, "slice"), counted(0, "slice"), counted(12, "label voxel")
        ('1 slice', '0 slices', '12 label voxels')
    """
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def are(count: int) -> str:
    """The verb after a count."""
    return "is" if count == 1 else "are"
