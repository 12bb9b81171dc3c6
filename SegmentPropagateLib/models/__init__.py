"""A model's name or file becomes a propagator: registry, download, device, loading."""
