"""What goes wrong on the annotated slices of a case, learned and put right on its other slices."""
