"""`segment-propagate demo`: from nothing to a picture, through the same commands that a user types."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from SegmentPropagateLib.cli import evaluate, propagate
from SegmentPropagateLib.cli.arguments import make_parser
from SegmentPropagateLib.cli.console import printable
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import Outputs, check_writable
from SegmentPropagateLib.formats.writing import write_segmentation, write_volume
from SegmentPropagateLib.models.registry import REGISTRY
from SegmentPropagateLib.phantoms.phantom import make_phantom
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateLib.volumes.volume import Volume

SEED = 22
SHAPE_KJI = (40, 160, 160)
ORGANS = {1: SegmentInfo(1, "kidney", (0.93, 0.35, 0.30)), 4: SegmentInfo(4, "liver", (0.20, 0.70, 0.62))}


FILES = ("image.nii.gz", "outlines.seg.nrrd", "result.seg.nrrd", "overlay.png", "report.json")
REPORT_BYTES = 1 << 20
"""More than a report of the demo has."""


def run(arguments: argparse.Namespace) -> None:
    """Draw a volume, propagate two organs from one slice each, compare with the drawing, say where to look."""
    folder = Path(arguments.out)
    with _own_files(folder):
        _show(arguments, *(str(folder / name) for name in FILES))


@contextmanager
def _own_files(folder: Path) -> Iterator[None]:
    """Make the folder where it is missing; a demo that does not come to its end leaves nothing new.

    Raises:
        InputError: it cannot be made, or has files of those names that are not of a demo.
    """
    try:
        made = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"The folder '{folder}' cannot be made ({reason}): choose another --out.") from error
    there = [folder / name for name in FILES if os.path.lexists(folder / name)]
    try:
        if there and not _is_report(folder / "report.json"):
            raise InputError(f"'{there[0]}' is there and not of a demo: choose another --out, or move it away.")
        for name in FILES:
            check_writable(folder / name)
        yield
    except BaseException:  # an interrupt too
        for name in FILES:
            if folder / name not in there:
                (folder / name).unlink(missing_ok=True)
        for place in made:
            with suppress(OSError):
                place.rmdir()
        raise


def _is_report(path: Path) -> bool:
    """Whether a file is the report of a demo, which is written with all the others or not at all."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            told = json.loads(file.read(REPORT_BYTES))
        found = {thing["label"]: thing["name"] for thing in told["objects"]}
        return "program" in told and found == {value: organ.name for value, organ in ORGANS.items()}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False


def _show(arguments: argparse.Namespace, image: str, outlines: str, result: str, picture: str, report: str) -> None:
    """Make the files and tell of each step; in the order of `FILES`."""
    _draw(image, outlines)
    about = REGISTRY[arguments.model].about if arguments.model in REGISTRY else "your own file"
    _say(arguments, "A volume was drawn (no patient), with the outlines of two organs on every slice.")
    _say(arguments, "Of these the model is shown one slice each, where the organ is largest, and fills the others.")
    _say(arguments, f"Model: {arguments.model}, {about}.")
    words = ["--model", arguments.model, "-o", result, "--overlay", picture]
    words += ["--accept-licence"] * arguments.accept_licence + ["--quiet"] * arguments.quiet
    _type(arguments, propagate.run, ["propagate", image, "--mask", outlines, *words, "--report", report])
    if arguments.quiet:
        return
    _type(arguments, evaluate.run, ["evaluate", result, outlines])
    _say(arguments, "\nDrawn organs are easier than real ones, and the starter was trained on drawings like these.")
    _say(arguments, f"Look at     {picture}\nin Slicer   {image} with {result}\nscores in   {report}")


def _draw(image: str, outlines: str) -> None:
    """Write the volume and its organs."""
    phantom = make_phantom(SEED, "organs", SHAPE_KJI)
    k, j, i = phantom.spacing_kji_mm
    geometry = Geometry(SHAPE_KJI, np.diag([-i, -j, k, 1.0]))  # stored as scanners do: toward left, back and head
    masks = {value: phantom.labels == value for value in ORGANS}
    with Outputs() as outputs:
        write_volume(image, Volume(phantom.values, geometry), outputs)
        write_segmentation(outlines, masks, geometry, tuple(ORGANS.values()), outputs)


def _type(arguments: argparse.Namespace, command: Callable[[argparse.Namespace], None], words: list[str]) -> None:
    """Run a command as if it had been typed, showing it first."""
    _say(arguments, f"\n$ segment-propagate {shlex.join(words)}")
    command(make_parser().parse_args(words))


def _say(arguments: argparse.Namespace, sentence: str) -> None:
    if not arguments.quiet:
        print("\n".join(map(printable, sentence.split("\n"))), flush=True)  # noqa: T201 - this command's output
