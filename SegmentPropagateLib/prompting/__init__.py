"""Sources of drafts: where an object is in a volume, before anybody has outlined it there."""
