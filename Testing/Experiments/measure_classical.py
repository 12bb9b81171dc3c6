"""Measure the numbers of the classical propagator that its votes depend on: `classical/carrier.py` and `patches.py`.

They change what is carried from slice to slice, so each value takes a run of its own over every case: a minute a
phantom, and hours for the real volumes. What has been measured is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import SimpleITK as sitk
from tuning_cases import Target, parse, sides
from tuning_recording import digest_of_sources
from tuning_replay import EXTENTS, figures_of
from tuning_report import compare, say, write

from SegmentPropagateLib.models import loading
from SegmentPropagateLib.propagation.prompts import MaskPrompt
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.propagators import finishing
from SegmentPropagateLib.propagators.classical import carrier, patches

PARTS = {"carrier": carrier, "patches": patches}
GRIDS: Mapping[str, tuple[Any, ...]] = {
    "carrier.INTENSITY_VOTE": (0.0, 0.05, 0.1, 0.2),
    "carrier.SHARPNESS": (4.0, 8.0, 16.0),
    "carrier.REACH": (10, 20, 40),
    "carrier.COARSE": (2, 4),
    "patches.REACH": (1, 2, 3),
    "patches.PATCH": (3, 5, 7),
    "patches.TOLERANCE": (0.5, 0.7, 1.0),
}


def main(argv: list[str] | None = None) -> None:
    """Measure each number alone, the others as in the code."""
    arguments = parse(__doc__, argv)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # as in the evaluation
    results: dict[str, list[dict[str, Any]]] = {}
    for side, targets in sides(arguments).items():
        groups, rows = [], []
        for target in targets:
            rows.append(measured(target, arguments.work))
            groups.append(target.group)
        results[side] = [
            compare(
                name, values, in_code(name), np.array([[row[label(name, v)] for v in values] for row in rows]), groups
            )
            for name, values in GRIDS.items()
        ]
        for result in results[side]:
            say(f"{side}, classical", result)
    write(arguments.work / "measure_classical.json", results)


def in_code(name: str) -> Any:
    """The number that the library has."""
    part, own = name.split(".")
    return getattr(PARTS[part], own)


def label(name: str, value: Any) -> str:
    """What a value is kept under; the code's is run once for all numbers."""
    return "code" if value == in_code(name) else f"{name}={value}"


def measured(target: Target, work: Path) -> dict[str, list[float]]:
    """Label -> figures of one case, from its file where they are known."""
    path = work / "classical" / f"{target.case} {target.name} {_version()}.json"
    known: dict[str, list[float]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name, values in GRIDS.items():
        for value in values:
            if label(name, value) not in known:
                known[label(name, value)] = measure(target, name, value)
                write(path, known)
    return known


def _version() -> str:
    """Of everything that the figures depend on, but for the volumes: what is recorded, and what is done with it."""
    later = b"".join(Path(str(module.__file__)).read_bytes() for module in (finishing, loading))
    return hashlib.sha256(digest_of_sources().encode() + later).hexdigest()[:12]


def measure(target: Target, name: str, value: Any) -> list[float]:
    """Figures of one case with one number changed."""
    part, own = name.split(".")
    masks = {}
    with patch.object(PARTS[part], own, value):
        for extent in EXTENTS:
            session = Session(loading.load_model("classical"), target.volume)
            session.add_key(1, target.key, MaskPrompt(target.truth[target.key]))
            for _ in session.propagate(*(target.extent if extent == "range" else ())):
                pass
            results = session.results(1)
            empty = np.zeros(target.truth.shape[1:], dtype=bool)
            masks[extent] = np.stack(
                [results[index].mask if index in results else empty for index in range(len(target.truth))]
            )
    return figures_of(masks, target.truth, target.key)


if __name__ == "__main__":
    main()
