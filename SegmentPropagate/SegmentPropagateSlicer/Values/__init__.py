"""Plain values that pass between the parts; no scene, no widgets."""
