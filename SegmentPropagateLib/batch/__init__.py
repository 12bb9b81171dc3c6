"""Many cases: what is done, what is left, and the processes that do it."""
