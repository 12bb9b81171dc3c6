"""The evaluation's targets: an image, the reference mask of one object, and the key slice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.phantoms import phantom
from SegmentPropagateLib.volumes.geometry import Geometry, Plane
from SegmentPropagateLib.volumes.stack import stack_of
from SegmentPropagateLib.volumes.volume import Volume

PLANE = Plane.AXIAL
SLICES, PIXELS = 5, 30
"""What a drawn target or an organ that is not listed must be found on, and have on one of them, at least."""
SAME_PATIENT = {"mr_t1_sarcoma": "ct_sarcoma"}
"""Cases that are no independent draws: resampled together."""
KINDS = {
    "organs": ("spleen", "kidney", "gallbladder", "liver", "stomach", "pancreas", "adrenal", "lung", "spinal_cord"),
    "bowel": ("colon", "bowel", "duodenum"),
    "vessels": ("aorta", "vena_cava", "vein", "artery"),
    "vertebrae": ("vertebra",),
    "other bones": ("rib", "costal", "humerus"),
    "muscles": ("autochthon", "iliopsoas"),
    "tumors and lesions": ("lesion", "tumour", "GTV"),
}
"""Kinds of objects whose figures are told apart, and what the names of their structures contain."""


@dataclass(frozen=True, eq=False)
class Target:
    """One object of one volume.

    Args:
        case: folder of the volume.
        name: the object.
        files: what the target was read from.
        volume: the image.
        truth: reference mask, bool `(slices, rows, columns)` along the axial plane.
        key: slice with the largest area.
        structure: what the object is, by the volumes' own list, where there is one.
    """

    case: str
    name: str
    files: tuple[Path, ...]
    volume: Volume
    truth: NDArray[np.bool_]
    key: int
    structure: str

    @property
    def kind(self) -> str:
        """One of `KINDS`, or "other"."""
        return next((kind for kind, parts in KINDS.items() if any(part in self.structure for part in parts)), "other")

    @property
    def group(self) -> str:
        """The patient: what is drawn as a whole by the bootstrap."""
        return SAME_PATIENT.get(self.case, self.case)

    @property
    def extent(self) -> tuple[int, int]:
        """First and last slice of the object."""
        present = np.flatnonzero(self.truth.any(axis=(1, 2)))
        return int(present[0]), int(present[-1])


def read_targets(data: Path, only: str = "", others: bool = False) -> Iterator[Target]:
    """Read targets, a volume at a time.

    Args:
        data: folder of the cases and of `TARGETS.json`.
        only: a part of `case/name`.
        others: the labels that `TARGETS.json` does not list, of 5 slices and 30 pixels on one of them or more.
    """
    listed = json.loads((data / "TARGETS.json").read_text(encoding="utf-8"))["targets"]
    structures = _structures(data / "MANIFEST.json")
    cases = (entry["case"] for entry in listed if others or only in f"{entry['case']}/{entry['name']}")
    for case in dict.fromkeys(cases):
        image, label_file = files_of(data / case)
        volume = read_volume(image)
        labels = read_labels(label_file, volume.geometry)
        axis = volume.geometry.plane_axis(PLANE)
        files = tuple(sorted(image.iterdir())) if image.is_dir() else (image,)
        wanted = [entry for entry in listed if entry["case"] == case]
        if others:
            known = {entry["label"] for entry in wanted}
            wanted = [{"label": value, "name": f"label {value}"} for value in labels.values if value not in known]
        for entry in wanted:
            if only not in f"{case}/{entry['name']}":
                continue
            mask = labels.mask(entry["label"])
            if entry.get("component") == "largest":
                parts, _ = ndimage.label(mask)
                mask = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
            truth = np.ascontiguousarray(stack_of(mask, axis))
            areas = truth.sum(axis=(1, 2))
            if others and (np.count_nonzero(areas) < SLICES or areas.max() < PIXELS):
                continue
            key = int(areas.argmax())
            structure = structures.get((case, entry["label"]), entry["name"])
            yield Target(case, entry["name"], (*files, label_file), volume, truth, key, structure)


def _structures(manifest: Path) -> dict[tuple[str, int], str]:
    """What each label of each case is."""
    if not manifest.exists():
        return {}
    cases = json.loads(manifest.read_text(encoding="utf-8"))["cases"]
    return {(case["id"], int(label)): told["name"] for case in cases for label, told in case["labels"].items()}


def drawn_target(
    seed: int, family: str, shape_kji: tuple[int, int, int] = (32, 96, 96), hardness: float | None = None
) -> Target | None:
    """The target of a phantom; None where it is too small. See `phantom.make_phantom`."""
    drawn = phantom.make_phantom(seed, family, shape_kji, hardness)
    target = drawn_target_of(drawn, 1, f"phantom {seed}")
    return None if target is None else replace(target, name=family, structure=family)


def drawn_target_of(drawn: phantom.Phantom, label: int, case: str) -> Target | None:
    """An object of a phantom; None where it is too small."""
    truth = drawn.labels == label
    areas = truth.sum(axis=(1, 2))
    if np.count_nonzero(areas) < SLICES or areas.max() < PIXELS:
        return None
    k, j, i = drawn.spacing_kji_mm
    volume = Volume(drawn.values, Geometry(truth.shape, np.diag([-i, -j, k, 1.0])))
    generator = tuple(sorted(Path(phantom.__file__).parent.glob("*.py")))
    name = drawn.names.get(label, f"label {label}")
    return Target(case, name, generator, volume, truth, int(areas.argmax()), name)


def files_of(folder: Path) -> tuple[Path, Path]:
    """Image and label file of a case."""
    archives = sorted(folder.glob("*.npz"))
    if archives:
        return archives[0], archives[0]
    image = next(path for path in sorted(folder.iterdir()) if path.name.startswith(("image.", "dicom")))
    return image, next(iter(sorted(folder.glob("labels.*"))))
