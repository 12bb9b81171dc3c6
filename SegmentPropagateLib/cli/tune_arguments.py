"""What can be typed behind `tune-prompts`."""

from __future__ import annotations

import argparse

from SegmentPropagateLib.cli.shared_arguments import INTENSITY_HELP, add_licence
from SegmentPropagateLib.cli.suggest_arguments import PLANES
from SegmentPropagateLib.cli.words import count, label
from SegmentPropagateLib.formats.kinds import READABLE, listed
from SegmentPropagateLib.volumes.presets import PRESETS

STEPS = 40
SEED = 123


def add_tune(parser: argparse.ArgumentParser) -> None:
    """Add the options of `tune-prompts`.

    Args:
        parser: of the command.
    """
    images = listed([kind.name for kind in READABLE if kind.holds_images], "or")
    parser.add_argument("image", metavar="IMAGE", help=images)
    outlines = "label file with 2 to 5 outlined slices of it; of more starter reads all, other models 5 evenly spread"
    parser.add_argument("--mask", required=True, metavar="LABELS", help=outlines)
    parser.add_argument("--label", type=label, metavar="N|NAME", help="which object (default: the only one)")
    parser.add_argument(
        "--model",
        required=True,
        metavar="NAME_OR_FILE",
        help="what to tune: starter, or a SAM 2.1, SLM-SAM 2 or MedSAM2 model",
    )
    add_licence(parser)
    parser.add_argument("-o", "--output", required=True, metavar="MODEL.pt", help="what differs from the model")
    parser.add_argument(
        "--steps",
        type=count,
        default=STEPS,
        metavar="N",
        help="of training; the starter needs none",
    )
    parser.add_argument("--seed", type=count, default=SEED, metavar="N", help="of everything random")
    parser.add_argument("--plane", choices=PLANES, default="axial", help="whose slices are outlined")
    parser.add_argument("--intensity", choices=PRESETS, default="auto", metavar="PRESET", help=INTENSITY_HELP)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="where to compute")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
