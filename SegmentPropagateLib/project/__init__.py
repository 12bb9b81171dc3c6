"""Rounds: cases proposed, corrected and accepted one after another, and what that cost."""
