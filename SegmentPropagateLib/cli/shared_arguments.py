"""Options that several commands have."""

from __future__ import annotations

import argparse

from SegmentPropagateLib.volumes.presets import PRESETS

INTENSITY_HELP = f"how gray values are made: {', '.join(PRESETS)}"


def add_licence(parser: argparse.ArgumentParser) -> None:
    """Add what confirms a licence that not every use has."""
    parser.add_argument("--accept-licence", action="store_true", help="confirm what the weights may be used for")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add where is computed, and how exactly."""
    devices = ("auto", "cpu", "cuda", "mps")
    parser.add_argument("--device", choices=devices, default="auto", help="auto: a GPU where there is one")
    parser.add_argument(
        "--precision",
        choices=("auto", "exact", "bf16"),
        default="auto",
        help="exact: float32; bf16: faster on hardware made for it; auto: by the device",
    )
