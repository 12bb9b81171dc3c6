"""Our own model: how it is trained, measured and bundled."""
