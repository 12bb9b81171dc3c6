"""The options of `train-localizer`."""

from __future__ import annotations

import argparse

from SegmentPropagateLib.cli.words import count


def add_train_localizer(parser: argparse.ArgumentParser) -> None:
    """Add the options of `train-localizer`.

    Args:
        parser: of the command.
    """
    images = "folder, or CSV or JSON list, of images of one kind; labels beside them are not read"
    parser.add_argument("dataset", metavar="IMAGES", help=images)
    parser.add_argument("-o", "--output", required=True, metavar="LOCALIZER.pt", help="its log lies beside it")
    parser.add_argument("--steps", type=count, metavar="N", help="default: 4000, about half an hour on a CPU")
    parser.add_argument("--batch", type=count, metavar="N", help="volumes per step (default: 4)")
    parser.add_argument(
        "--voxel-mm",
        type=int,
        choices=(3, 6, 9, 12),
        help="side of the voxels that it sees (default: 9; the paper has 3)",
    )
    parser.add_argument(
        "--width", type=int, choices=range(4, 65, 4), metavar="N", help="channels, 4 to 64 (default: 8)"
    )
    parser.add_argument("--seed", type=count, metavar="N", help="of everything random (default: 1)")
    devices = ("auto", "cpu", "cuda", "mps")
    parser.add_argument("--device", choices=devices, default="auto", help="auto: a GPU where there is one")
    parser.add_argument("--resume", action="store_true", help="go on with the run of that name")
    parser.add_argument("--skip-bad", action="store_true", help="leave out images that cannot be used")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
