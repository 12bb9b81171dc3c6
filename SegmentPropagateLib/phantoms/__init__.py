"""Drawn volumes with known masks, for the demo, for tests and for training; numpy alone."""
