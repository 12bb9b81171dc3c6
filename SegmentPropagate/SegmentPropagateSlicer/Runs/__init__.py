"""The course of a run, and the process that computes it."""
