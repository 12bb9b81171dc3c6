"""MRML in and out: nodes to arrays and back; no widgets."""
