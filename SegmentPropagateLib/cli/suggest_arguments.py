"""The options of `suggest`, and the one that chooses what makes drafts."""

from __future__ import annotations

import argparse

from SegmentPropagateLib.cli.words import label
from SegmentPropagateLib.formats.kinds import OUTPUT_ENDINGS, READABLE, listed

PLANES = ("axial", "coronal", "sagittal")
SOURCES = (
    *("auto", "atlas-memory", "atlas", "support-memory", "support-memory-walk", "landmarks"),
    *("prototypes", "carried-points"),
)
_SOURCE_HELP = (
    "how. From finished cases: atlas-memory (default for --support), atlas (needs no PyTorch), support-memory, "
    "support-memory-walk, landmarks (with --localizer, worse than atlas). From outlined slices of --mask, for slices "
    "without neighbors: prototypes (default for it), carried-points; worse than propagation from the same slices: a "
    "mean DSC of .80 and .68 on 11 objects, propagation .88. Each one's worth: .github/DRAFTS.md"
)


def add_suggest(parser: argparse.ArgumentParser) -> None:
    """Add the options of `suggest`.

    Args:
        parser: of the command.
    """
    images = listed([kind.name for kind in READABLE if kind.holds_images], "or")
    parser.add_argument("image", metavar="IMAGE", help=images)
    basis = parser.add_mutually_exclusive_group(required=True)
    basis.add_argument("--support", metavar="DIR", help="finished cases, laid out as for finetune")
    basis.add_argument("--draft", metavar="LABELS", help="label file of another tool: which of its slices to trust")
    basis.add_argument("--mask", metavar="LABELS", help="label file with a few outlined slices of this very image")
    parser.add_argument("--label", nargs="+", type=label, metavar="N|NAME", help="labels, or all (default)")
    add_source(parser, "--model", "--support-model")  # elsewhere --model is what propagates
    parser.add_argument("--plane", choices=PLANES, default="axial", help="whose slices are counted, from 0")
    parser.add_argument("-o", "--output", required=True, metavar="DRAFT", help=listed(OUTPUT_ENDINGS, "or"))
    parser.add_argument("--overlay", metavar="PNG", help="write a picture of the drafts")
    parser.add_argument("--report", metavar="JSON", help="write status, key slice, range and confidence per label")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def add_source(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add `--source`, and the files that some of the sources take.

    Args:
        parser: of the command.
        names: of the option for the network that reads finished cases.
    """
    parser.add_argument("--source", choices=SOURCES, help=_SOURCE_HELP)
    parser.add_argument("--localizer", metavar="FILE", help="for --source landmarks: what train-localizer wrote")
    add_reader(parser, *names, only="for the sources with a memory: ")


def add_reader(parser: argparse.ArgumentParser, *names: str, only: str = "") -> None:
    """Add the option for the network that reads finished cases.

    Args:
        parser: of the command.
        names: of the option.
        only: when it counts.
    """
    parser.add_argument(
        *names,
        dest="support_model",
        metavar="FILE",
        help=f"{only}the network that reads finished cases (default: starter)",
    )
