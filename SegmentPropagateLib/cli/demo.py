"""`segment-propagate demo`: from nothing to a picture, through the same commands that a user types."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np

from SegmentPropagateLib.cli import evaluate, propagate
from SegmentPropagateLib.cli.arguments import make_parser
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.writing import write_segmentation, write_volume
from SegmentPropagateLib.models.registry import REGISTRY
from SegmentPropagateLib.phantoms.phantom import make_phantom
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateLib.volumes.volume import Volume

SEED = 22
SHAPE_KJI = (40, 160, 160)
ORGANS = {1: SegmentInfo(1, "kidney", (0.93, 0.35, 0.30)), 4: SegmentInfo(4, "liver", (0.20, 0.70, 0.62))}


def run(arguments: argparse.Namespace) -> None:
    """Draw a volume, propagate two organs from one slice each, compare with the drawing, say where to look."""
    folder = Path(arguments.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder '{folder}' cannot be made ({error.strerror}): choose another --out.") from error
    image, outlines, result = (str(folder / name) for name in ("image.nii.gz", "outlines.seg.nrrd", "result.seg.nrrd"))
    picture, report = str(folder / "overlay.png"), str(folder / "report.json")
    _draw(image, outlines)
    about = REGISTRY[arguments.model].about if arguments.model in REGISTRY else "your own file"
    _say(arguments, "A volume was drawn (no patient), with the outlines of two organs on every slice.")
    _say(arguments, "Of these the model is shown one slice each, where the organ is largest, and fills the others.")
    _say(arguments, f"Model: {arguments.model}, {about}.")
    words = ["--model", arguments.model, "-o", result, "--overlay", picture]
    words += ["--accept-licence"] if arguments.accept_licence else []
    _type(arguments, propagate.run, ["propagate", image, "--mask", outlines, *words, "--report", report])
    _type(arguments, evaluate.run, ["evaluate", result, outlines])
    _say(arguments, "\nDrawn organs are easier than real ones, and the starter was trained on drawings like these.")
    _say(arguments, f"Look at     {picture}\nin Slicer   {image} with {result}\nscores in   {report}")


def _draw(image: str, outlines: str) -> None:
    """Write the volume and its organs."""
    phantom = make_phantom(SEED, "organs", SHAPE_KJI)
    k, j, i = phantom.spacing_kji_mm
    geometry = Geometry(SHAPE_KJI, np.diag([-i, -j, k, 1.0]))  # stored as scanners do: toward left, back and head
    write_volume(image, Volume(phantom.values, geometry))
    masks = {value: phantom.labels == value for value in ORGANS}
    write_segmentation(outlines, masks, geometry, tuple(ORGANS.values()))


def _type(arguments: argparse.Namespace, command: Callable[[argparse.Namespace], None], words: list[str]) -> None:
    """Run a command as if it had been typed, showing it first."""
    _say(arguments, f"\n$ segment-propagate {shlex.join(words)}")
    command(make_parser().parse_args(words))


def _say(arguments: argparse.Namespace, sentence: str) -> None:
    if not arguments.quiet:
        print(sentence, flush=True)  # noqa: T201 - this command's output
