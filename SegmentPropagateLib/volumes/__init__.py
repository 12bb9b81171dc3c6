"""Images as numbers in space: grids, planes, intensities, labels, stacks of slices; knows no file."""
