"""Cases in memory: read, checked, cut along a plane, split into training and validation."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.cases import Case
from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.training.clips import Target, TrainingVolume
from SegmentPropagateLib.volumes.intensity import to_gray
from SegmentPropagateLib.volumes.labels import Wanted, default_segment, listed_segments, values_in
from SegmentPropagateLib.volumes.stack import ImageStack, make_stack, stack_of
from SegmentPropagateLib.wording import counted

SMALLEST_AREA = 12
"""Pixels that a label must cover on some slice to be learned from."""


@dataclass(frozen=True)
class Example:
    """One target of one case: what an epoch visits once."""

    case: Case
    target: Target


class Library:
    """Reads cases and keeps the most recent ones.

    Args:
        plane: along which volumes are cut.
        preset: intensity preset.
        labels: numbers or names of the labels to learn; None takes all.
        keep: how many volumes to hold in memory.
        notify: takes a sentence about labels that were left out or lie at a doubtful place.
    """

    def __init__(
        self,
        plane: str = "axial",
        preset: str = "auto",
        labels: Sequence[int | str] | None = None,
        keep: int = 12,
        notify: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        self._plane, self._preset, self._keep, self._notify = plane, preset, keep, notify
        self.wanted = Wanted(labels)
        self._kept: OrderedDict[str, TrainingVolume] = OrderedDict()

    def load(self, case: Case) -> TrainingVolume:
        """The case's volume.

        Raises:
            InputError: it cannot be read, or image and labels do not fit; the sentence names the case.
        """
        if case.name in self._kept:
            self._kept.move_to_end(case.name)
            return self._kept[case.name]
        try:
            volume = _read_slices(case) if _is_slice_folder(case) else self._read_volume(case)
        except InputError as error:
            raise InputError(f"Case '{case.name}': {error}") from error
        self._kept[case.name] = volume
        while len(self._kept) > self._keep:
            self._kept.popitem(last=False)
        return volume

    def examples(self, case: Case) -> list[Example]:
        """The targets of a case, ascending by label value.

        Raises:
            InputError: the case cannot be read or holds none of the labels.
        """
        volume = self.load(case)
        examples = []
        for segment in self.wanted.of(volume, str(case.labels)):
            areas = volume.masks((segment.value,)).sum((1, 2))
            if areas.max() >= SMALLEST_AREA:
                present = tuple(int(index) for index in np.flatnonzero(areas >= SMALLEST_AREA))
                examples.append(Example(case, Target((segment.value,), present)))
        if not examples:
            raise InputError(
                f"Case '{case.name}': '{case.labels}' does not show {self.wanted} on {SMALLEST_AREA} pixels of a slice "
                f"within the image; it has {listed_segments(volume.segments)}."
            )
        return examples

    def _read_volume(self, case: Case) -> TrainingVolume:
        volume = read_volume(case.image)
        labels = read_labels(case.labels, volume.geometry, self._notify)
        stack, _ = make_stack(volume, self._plane, self._preset)
        axis = volume.geometry.plane_axis(self._plane)
        return TrainingVolume(
            case.name, stack, tuple(stack_of(layer, axis) for layer in labels.layers), labels.segments
        )


class HasExamples(Protocol):
    """Reads cases."""

    def examples(self, case: Case) -> list[Example]:
        """The targets of a case, or InputError."""


def gather(
    cases: Sequence[Case], library: HasExamples, skip_bad: bool, report: Callable[[str], None]
) -> tuple[list[Example], list[str]]:
    """Read all cases once and list their targets.

    Args:
        cases: of a dataset.
        library: reads them.
        skip_bad: leave out cases that cannot be used, telling `report`, instead of refusing the dataset.
        report: takes a sentence for the user.

    Returns:
        The targets, and the names of the cases left out.
    """
    examples: list[Example] = []
    skipped: list[str] = []
    for case in cases:
        try:
            examples.extend(library.examples(case))
        except InputError as error:
            if not skip_bad:
                raise InputError(f"{error} (Mend it, take it out, or let bad cases be skipped.)") from error
            report(f"Left out. {error}")
            skipped.append(case.name)
    if not examples:
        raise InputError("No case of the dataset can be used.")
    return examples, skipped


def split(
    examples: Sequence[Example], validation: float | Sequence[str], seed: int
) -> tuple[list[Example], list[Example]]:
    """Set whole cases aside.

    Args:
        examples: of all cases.
        validation: share of the cases (0 for none, else at least one), or their names.
        seed: of the choice.

    Returns:
        Examples to train on, and to validate on.

    Raises:
        InputError: there is no such case, or nothing is left to train on. Of a single case no share can be set aside:
            gains that were measured on the case that was learned from were losses elsewhere (Testing/Experiments).
    """
    names = sorted({example.case.name for example in examples})
    if isinstance(validation, (int, float)):
        if not 0 <= validation < 1:
            raise InputError(f"The share of cases for validation must be at least 0 and below 1, got {validation:g}.")
        if validation > 0 and len(names) == 1:
            raise InputError(
                f"'{names[0]}' is the only case, and measured on itself no model shows whether others gain by it: "
                "add a second case, or say --validation 0 to have the last step's model, unmeasured."
            )
        count = max(1, round(validation * len(names))) if validation > 0 else 0
        aside = set(np.random.default_rng([seed, 7]).permutation(names)[:count].tolist())
    else:
        aside = set(validation)
        if unknown := aside - set(names):
            raise InputError(f"There is no case '{min(unknown)}' to validate on: the cases are {', '.join(names)}.")
    training = [example for example in examples if example.case.name not in aside]
    if not training:
        raise InputError(
            f"Nothing is left to train on: the dataset has {counted(len(names), 'usable case')}, all set aside."
        )
    return training, [example for example in examples if example.case.name in aside]


# -------------------------------------------------------------------------------------------- folders of JPEG slices


def _is_slice_folder(case: Case) -> bool:
    return case.labels.is_dir() and bool(_numbered(case.labels, (".png",)))


def _read_slices(case: Case) -> TrainingVolume:
    """A volume of the SLM-SAM 2 layout: slices named by number; labels are the pixel values of PNG files."""
    images, labels = _numbered(case.image, (".jpg", ".jpeg", ".png")), _numbered(case.labels, (".png",))
    if images.keys() != labels.keys():
        odd = min(images.keys() ^ labels.keys())
        raise InputError(f"slice {odd} is in only one of '{case.image}' and '{case.labels}'.")
    order = sorted(images)
    gray = _stacked([images[number] for number in order], _gray_of)
    layer = _stacked([labels[number] for number in order], _labels_of)
    if layer.shape != gray.shape:
        raise InputError(f"the slices have shape {gray.shape[1:]}, their masks {layer.shape[1:]}.")
    prepared = to_gray(gray, "none")
    segments = tuple(map(default_segment, values_in(layer)))
    return TrainingVolume(case.name, ImageStack(prepared.values, prepared.gray, (1.0, 1.0, 1.0)), (layer,), segments)


def _numbered(folder: Path, suffixes: tuple[str, ...]) -> dict[int, Path]:
    try:
        files = [path for path in folder.iterdir() if path.suffix.lower() in suffixes and path.stem.isdecimal()]
    except OSError as error:
        raise InputError(f"'{folder}' is no folder of slices ({error.strerror}), as its labels are.") from error
    numbered = {int(path.stem): path for path in files}
    if len(numbered) < len(files):
        twice = next(path for path in files if path not in numbered.values())
        raise InputError(f"'{twice}' and '{numbered[int(twice.stem)].name}' have one number: leave one of them there.")
    return numbered


def _stacked(paths: Sequence[Path], pixels_of: Callable[[Image.Image, Path], NDArray[Any]]) -> NDArray[Any]:
    """Slices of one shape; what is opened has no more than a small file may hold."""
    slices: list[NDArray[Any]] = []
    for path in paths:
        found = _opened(path, pixels_of)
        if found.shape != (slices or [found])[0].shape:
            raise InputError(f"'{path}' has shape {found.shape}, the slices before it {slices[0].shape}.")
        if found.size * len(paths) > _MOST_PIXELS:
            raise InputError(f"'{path}' is one of {len(paths)} slices of shape {found.shape}, too many: crop them.")
        slices.append(found)
    return np.stack(slices)


def _opened(path: Path, pixels_of: Callable[[Image.Image, Path], NDArray[Any]]) -> NDArray[Any]:
    if not path.is_file():  # a pipe never ends
        raise InputError(f"'{path}' is no file.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=("JPEG", "PNG")) as image:  # other kinds start other programs
                return pixels_of(image, path)
    except _NO_PICTURE as error:
        raise InputError(f"'{path}' cannot be read as a picture.") from error


_MOST_PIXELS = 1 << 28  # of a volume: 1024 slices of 512 x 512
_NO_PICTURE = (  # what PIL raises
    *(OSError, SyntaxError, ValueError, EOFError, OverflowError, MemoryError, struct.error, zlib.error),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)


def _gray_of(image: Image.Image, path: Path) -> NDArray[np.uint8]:
    if image.mode[0] in "IF":
        raise InputError(f"'{path}' has more than 8 bits per pixel: save it with 8, or give the volume in a file.")
    return np.asarray(image.convert("L"))


def _labels_of(image: Image.Image, path: Path) -> NDArray[np.unsignedinteger]:
    pixels = np.asarray(image)
    if pixels.ndim != 2:
        raise InputError(f"'{path}' must have one channel, its pixel value being the label.")
    return pixels.astype(np.uint16 if pixels.max() > 255 else np.uint8)
