"""How commands speak: one sentence at a time on stderr, and a progress bar where someone is watching."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from tqdm import tqdm


def printable(text: str) -> str:
    """The text without what a terminal would obey: names in files and scenes may hold anything.

    Control characters, and those that turn the direction of writing, become their escapes in Python.
    """
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def speaker(quiet: bool) -> Callable[[str], None]:
    """A function that tells the user one sentence, unless quiet."""

    def say(sentence: str) -> None:
        if not quiet:
            tqdm.write(printable(sentence), file=sys.stderr)  # does not tear a bar apart

    return say


def progress_bar(quiet: bool, **options: Any) -> tqdm:
    """A bar on a terminal, nothing in a pipe or when quiet."""
    return tqdm(file=sys.stderr, disable=quiet or not sys.stderr.isatty(), leave=False, **options)
