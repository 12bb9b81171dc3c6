"""`segment-propagate finetune`."""

from __future__ import annotations

import argparse

from SegmentPropagateLib.errors import InputError


def run(arguments: argparse.Namespace) -> None:
    """Refuse: there is no fine-tuning in this version."""
    raise InputError(f"Fine-tuning is not available yet: '{arguments.dataset}' was not touched.")
