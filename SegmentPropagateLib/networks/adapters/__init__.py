"""Small additions to a network that are trained in its place."""
