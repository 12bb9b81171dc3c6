"""The seam: prompts, lanes, sessions and results, and what a propagator must do; knows no torch."""
