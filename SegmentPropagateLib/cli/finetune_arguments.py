"""The options of `finetune`."""

from __future__ import annotations

import argparse

from SegmentPropagateLib.cli.shared_arguments import INTENSITY_HELP, add_device, add_licence
from SegmentPropagateLib.cli.suggest_arguments import PLANES
from SegmentPropagateLib.cli.words import count, label, side, validation
from SegmentPropagateLib.volumes.presets import PRESETS

_RECIPE = " (default: the recipe's)"
_MODEL = " (default: the model's own)"


def add_finetune(parser: argparse.ArgumentParser) -> None:
    """Add the options of `finetune`.

    Args:
        parser: of the command.
    """
    parser.add_argument("dataset", metavar="DATASET", help="folder, or CSV or JSON list, of images and labels")
    parser.add_argument("--init", required=True, metavar="NAME_OR_FILE", help="model to start from")
    add_licence(parser)
    parser.add_argument("-o", "--output", required=True, metavar="MODEL.pt", help="the model; its log lies beside it")
    _add_method(parser)
    _add_steps(parser)
    parser.add_argument("--no-short-memory", action="store_true", help="let a SAM 2.1 or MedSAM2 file stay one")
    parser.add_argument("--label", nargs="+", type=label, metavar="N|NAME", help="labels to learn, or all (default)")
    parser.add_argument(
        "--validation",
        type=validation,
        metavar="SHARE|NAME[,NAME...]",
        help="cases to measure on; default: one in five; 0: none, and the last model",
    )
    parser.add_argument("--leave-one-out", action="store_true", help="train once per case, each time without it")
    parser.add_argument("--image-size", type=side, metavar="N", help=f"side of the network's input, pixels{_MODEL}")
    parser.add_argument("--short-slices", type=count, metavar="N", help=f"slices in the short memory{_MODEL}")
    parser.add_argument("--plane", choices=PLANES, help="whose slices are learned from (default: axial)")
    parser.add_argument("--intensity", choices=PRESETS, metavar="PRESET", help=f"{INTENSITY_HELP}{_MODEL}")
    parser.add_argument("--seed", type=count, metavar="N", help=f"of everything random{_RECIPE}")
    add_device(parser)
    parser.add_argument("--resume", action="store_true", help="go on with the run of that name")
    parser.add_argument("--skip-bad", action="store_true", help="leave out cases that cannot be used")
    told = "for programs: compute at low priority, tell the progress in lines of JSON on stdout"
    parser.add_argument("--background", action="store_true", help=told)
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def _add_method(parser: argparse.ArgumentParser) -> None:
    """What is trained."""
    parser.add_argument(
        "--method",
        choices=("full", "decoder", "lora", "prompt"),
        help="train all weights (default), those of one part, or low-rank additions to the image encoder",
    )
    parser.add_argument(
        "--rank", type=count, metavar="N", help="of the additions of lora (default: 4, of --recipe sgp 16)"
    )


def _add_steps(parser: argparse.ArgumentParser) -> None:
    """How it is trained."""
    parser.add_argument(
        "--recipe",
        choices=("auto", "slm-sam2", "medsam2", "starter", "sgp"),
        default="auto",
        help="rates, steps and losses of a published training; auto: that of the model to start from; sgp: learn to "
        "read slices of finished cases, for suggest --source support-memory",
    )
    parser.add_argument("--epochs", type=count, metavar="N", help=f"visits to each object{_RECIPE}")
    parser.add_argument("--steps", type=count, metavar="N", help="instead of --epochs")
    parser.add_argument("--batch", type=count, metavar="N", help=f"sequences per step{_RECIPE}")
    parser.add_argument("--slices", type=count, metavar="N", help=f"slices per sequence{_RECIPE}")
    parser.add_argument(
        "--prompt",
        choices=("mask", "box", "points", "mask-box", "mixed"),
        help=f"on the first slice{_RECIPE}",
    )
    parser.add_argument(
        "--roi",
        choices=("auto", "off"),
        help=f"learn from crops around the object, or whole slices{_RECIPE}",
    )
    parser.add_argument(
        "--clicks", type=count, metavar="N", help=f"simulated clicks that correct a box or point{_RECIPE}"
    )
    parser.add_argument(
        "--rate",
        type=float,
        metavar="X",
        help=f"learning rate; the image encoder's keeps its ratio{_RECIPE}",
    )
    parser.add_argument(
        "--checkpointing", choices=("auto", "on", "off"), default="auto", help="on: less memory, slower"
    )
