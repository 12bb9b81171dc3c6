"""The Slicer half of SegmentPropagate: one class per file."""
