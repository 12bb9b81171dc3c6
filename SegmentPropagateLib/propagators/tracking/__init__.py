"""A network on its way through the slices: lanes, steps, views, features."""
