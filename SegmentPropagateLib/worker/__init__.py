"""The process that computes for the panel, and the messages that it speaks."""
