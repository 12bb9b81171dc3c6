"""Accuracy on real volumes: one reference outline on the key slice, everything else propagated (`make evaluate`).

Each target is run on an open range (the whole volume) and with the object's first and last slice given, through
`Session`, as a user would. The baselines run the same way, so that a figure never stands alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from evaluation_baselines import baselines
from evaluation_report import write_report
from evaluation_targets import PLANE, Target, read_targets
from numpy.typing import NDArray

from SegmentPropagateLib.models import download, registry
from SegmentPropagateLib.models.loading import load_model
from SegmentPropagateLib.propagation.prompts import MaskPrompt
from SegmentPropagateLib.propagation.propagator import PropagationSettings
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.reports.metrics import dice

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIBRARY = ROOT / "SegmentPropagateLib"
STARTER = str(LIBRARY / "bundled" / "starter.pt")
"""The bundled network alone; the model named `starter` has its partner beside it."""
NEAR = 5
"""Slices on either side of the key slice that count as near."""


@dataclass(frozen=True)
class Method:
    """A propagator under test.

    Args:
        name: for the tables.
        make: loads it; called once.
        sources: files whose change makes earlier results stale.
        settings: how it is run.
    """

    name: str
    make: Callable[[], Any]
    sources: tuple[Path, ...]
    settings: PropagationSettings


def main() -> None:
    """Run what has not been run before and write tables, JSON and contact sheets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", help="model name or file; may be given several times")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--only", default="", help="a part of CASE/TARGET")
    parser.add_argument("--others", action="store_true", help="the labels that are not among the targets")
    parser.add_argument("--roi", choices=("auto", "off"), default="auto")
    parser.add_argument("--no-baselines", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "evaluation")
    arguments = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # seconds per slice are those of one thread
    if not (arguments.data / "TARGETS.json").exists():
        print(f"Skipped: there are no evaluation volumes in '{arguments.data}'.")
        return
    methods = [_model(name, arguments.roi) for name in arguments.model or ("classical", STARTER, "starter")]
    if not arguments.no_baselines:
        sources = (HERE / "evaluation_baselines.py", *classical_sources("regions", "registration", "growcut"))
        plain = PropagationSettings()
        methods = [*(Method(name, make, sources, plain) for name, make in baselines().items()), *methods]
    targets = list(read_targets(arguments.data, arguments.only, arguments.others))
    results = {method.name: list(_results(method, targets, arguments.out)) for method in methods}
    write_report(arguments.out, targets, results)


def _model(name: str, roi: str) -> Method:
    settings = PropagationSettings(roi=roi)
    if name == "classical":
        return Method(name, lambda: _load(name), classical_sources(), settings)
    is_named = name in registry.REGISTRY
    path = download.fetch(registry.find(name)) if is_named else Path(name)
    sources = (path, *sorted(LIBRARY.rglob("*.py")))
    return Method(name if is_named else f"{path.stem} alone", lambda: _load(name), sources, settings)


def _load(name: str) -> Any:
    partner = None if name in registry.REGISTRY else False  # a file stands for its network alone
    propagator = load_model(name, device="cpu", precision="exact", partner=partner)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    return propagator


def classical_sources(*names: str) -> tuple[Path, ...]:
    """Source files of the classical propagator; where none is named all of them, with what `load_model` adds."""
    folder = LIBRARY / "propagators" / "classical"
    if names:
        return tuple(folder / f"{name}.py" for name in names)
    helpers = (LIBRARY / "volumes" / "boxes.py", LIBRARY / "volumes" / "robust.py")
    return (*sorted(folder.glob("*.py")), *helpers, folder.parent / "finishing.py", LIBRARY / "models" / "loading.py")


def _results(method: Method, targets: list[Target], out: Path) -> Iterator[dict[str, Any]]:
    """One result per target: `open` and `range` hold figures, `masks` the file with the masks of both runs."""
    propagator = None
    code = _digest((*method.sources, HERE / "evaluate.py", HERE / "evaluation_targets.py"))  # before it can change
    for target in targets:
        name = hashlib.sha256(repr((method.name, code, target.case, target.name, method.settings)).encode())
        name.update(_digest(target.files).encode())
        cached = out / "runs" / f"{name.hexdigest()}.json"
        masks = cached.with_suffix(".npz")
        if not cached.exists():
            propagator = propagator or method.make()
            cached.parent.mkdir(parents=True, exist_ok=True)
            opened, open_seconds = propagate(propagator, target, method.settings, (None, None))
            ranged, range_seconds = propagate(propagator, target, method.settings, target.extent)
            result = {
                "case": target.case,
                "target": target.name,
                "open": {**figures(opened, target), "seconds_per_slice": open_seconds},
                "range": {**figures(ranged, target), "seconds_per_slice": range_seconds},
            }
            np.savez_compressed(masks, open=opened, range=ranged)
            cached.write_text(json.dumps(result))
            print(f"{method.name:12s} {target.case}/{target.name}: DSC {result['open']['dsc']:.3f}", flush=True)
        yield {**json.loads(cached.read_text(encoding="utf-8")), "masks": str(masks)}


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def propagate(
    propagator: Any, target: Target, settings: PropagationSettings, extent: tuple[int | None, int | None]
) -> tuple[NDArray[np.bool_], float]:
    """Return the masks `(slices, rows, columns)` of a whole run, and its seconds per propagated slice."""
    session = Session(propagator, target.volume, plane=PLANE, settings=settings)
    session.add_key(1, target.key, MaskPrompt(target.truth[target.key]))
    begin = time.perf_counter()
    count = sum(1 for _ in session.propagate(*extent))
    seconds = (time.perf_counter() - begin) / max(count, 1)
    masks = np.zeros(target.truth.shape, dtype=bool)
    for index, result in session.results(1).items():
        masks[index] = result.mask
    return masks, seconds


def figures(masks: NDArray[np.bool_], target: Target) -> dict[str, float | None]:
    """DSC in 3-D (key slice included), near the key slice (excluded), and what happens where the object is absent."""
    present = target.truth.any(axis=(1, 2))
    others = np.arange(len(present)) != target.key
    near = others & (np.abs(np.arange(len(present)) - target.key) <= NEAR)
    absent = ~present
    return {
        "dsc": dice(masks, target.truth),
        "dsc_near": dice(masks[near], target.truth[near]),
        "absent_with_false_positive": float(masks[absent].any(axis=(1, 2)).mean()) if absent.any() else None,
        "present_but_empty": float((~masks[present].any(axis=(1, 2))).mean()),
    }


if __name__ == "__main__":
    main()
