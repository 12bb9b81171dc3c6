"""From a box or points to an outline on one slice, by a small network of its own; needs no torch."""
