"""Accuracy on real volumes: one reference outline on the key slice, everything else propagated (`make evaluate`).

Each target is run on an open range (the whole volume) and with the object's first and last slice given, through
`Session`, as a user would. The baselines run the same way, so that a figure never stands alone. With `--prompts` it is
boxes and clicks on the key slice instead, and the volume that comes of a box.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from evaluation_baselines import baselines
from evaluation_prompts import boxes, measure, write_prompt_report
from evaluation_report import write_report
from evaluation_targets import PLANE, Target, read_targets
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.models import download, registry
from SegmentPropagateLib.models.loading import load_model
from SegmentPropagateLib.propagation.prompts import MaskPrompt, Prompt
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
    parser.add_argument("--prompts", action="store_true", help="boxes and clicks, on the targets and the other labels")
    parser.add_argument("--roi", choices=("auto", "off"), default="auto")
    parser.add_argument("--no-baselines", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "evaluation")
    arguments = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # seconds per slice are those of one thread
    if not (arguments.data / "TARGETS.json").exists():
        print(f"Skipped: there are no evaluation volumes in '{arguments.data}'.")
        return
    settings = PropagationSettings(roi=arguments.roi)
    methods = [model_method(name, settings) for name in arguments.model or ("classical", STARTER, "starter")]
    if arguments.prompts:
        sides = {
            side: list(read_targets(arguments.data, arguments.only, others))
            for side, others in (("targets", False), ("others", True))
        }
        every = [target for targets in sides.values() for target in targets]
        rows = {method.name: list(results_of(method, every, arguments.out, prompts_run)) for method in methods}
        write_prompt_report(arguments.out, {side: len(targets) for side, targets in sides.items()}, rows)
        return
    if not arguments.no_baselines:
        methods = [*baseline_methods(), *methods]
    targets = list(read_targets(arguments.data, arguments.only, arguments.others))
    results = {method.name: list(results_of(method, targets, arguments.out, both_ranges)) for method in methods}
    write_report(arguments.out, targets, results)


def baseline_methods() -> list[Method]:
    """The simplest ways to carry a mask."""
    sources = (HERE / "evaluation_baselines.py", *classical_sources("regions", "registration", "demons", "growcut"))
    return [Method(name, make, sources, PropagationSettings()) for name, make in baselines().items()]


def model_method(name: str, settings: PropagationSettings) -> Method:
    """A model by name, or the network of a file alone."""
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
    helpers = [LIBRARY / "volumes" / "boxes.py", LIBRARY / "volumes" / "robust.py", LIBRARY / "bundled" / "prompts.npz"]
    helpers += sorted((folder.parent / "prompted").glob("*.py"))
    return (*sorted(folder.glob("*.py")), *helpers, folder.parent / "finishing.py", LIBRARY / "models" / "loading.py")


Run = Callable[[Any, Target, PropagationSettings], tuple[dict[str, Any], Mapping[str, NDArray[np.bool_]]]]


def results_of(method: Method, targets: list[Target], out: Path, run: Run) -> Iterator[dict[str, Any]]:
    """One result per target: what `run` finds, and in `masks` the file with its masks."""
    propagator = None
    own = ("evaluate", "evaluation_targets", "evaluation_prompts")
    code = _digest((*method.sources, *(HERE / f"{name}.py" for name in own)))  # before it can change
    for target in targets:
        what = (method.name, code, target.case, target.name, method.settings, run.__name__)
        name = hashlib.sha256(repr(what).encode())
        name.update(_digest(target.files).encode())
        cached = out / "runs" / f"{name.hexdigest()}.json"
        masks = cached.with_suffix(".npz")
        if not cached.exists():
            propagator = propagator or method.make()
            cached.parent.mkdir(parents=True, exist_ok=True)
            result, found = run(propagator, target, method.settings)
            np.savez_compressed(masks, **found)
            cached.write_text(json.dumps({"case": target.case, "target": target.name, **result}))
            print(f"{method.name:12s} {target.case}/{target.name}: {result}", flush=True)
        yield {**json.loads(cached.read_text(encoding="utf-8")), "masks": str(masks)}


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def both_ranges(
    propagator: Any, target: Target, settings: PropagationSettings
) -> tuple[dict[str, Any], dict[str, NDArray[np.bool_]]]:
    """Figures and masks from the reference outline, on an open range and with the object's ends given."""
    masks, results = {}, {}
    for extent, ends in (("open", (None, None)), ("range", target.extent)):
        masks[extent], seconds = propagate(propagator, target, settings, ends)
        results[extent] = {**figures(masks[extent], target), "seconds_per_slice": seconds}
    return results, masks


def prompts_run(
    propagator: Any, target: Target, settings: PropagationSettings
) -> tuple[dict[str, Any], dict[str, NDArray[np.bool_]]]:
    """Figures of boxes and clicks on the key slice, and DSC of the volumes from a box and from the reference."""
    session, truth = Session(propagator, target.volume, plane=PLANE, settings=settings), target.truth[target.key]

    def segment(prompt: Prompt) -> NDArray[np.bool_]:
        try:
            return session.preview(target.key, prompt)
        except InputError:  # found nothing
            return np.zeros_like(truth)

    found = measure(segment, truth, session.stack.spacing_mm[1:])
    box = segment(boxes(truth)["box, 1 px wider"][0])
    for name, outline in (("volume from a box", box), ("volume from the reference", truth)):
        masks = np.zeros_like(target.truth)
        if outline.any():
            masks, _ = propagate(propagator, target, settings, (None, None), outline)
        found[name] = dice(masks, target.truth)
    return found, {}


def propagate(
    propagator: Any,
    target: Target,
    settings: PropagationSettings,
    extent: tuple[int | None, int | None],
    outline: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.bool_], float]:
    """Return the masks `(slices, rows, columns)` of a whole run, and its seconds per propagated slice.

    The run starts from an outline of the key slice `(rows, columns)`, where none is given from the reference's.
    """
    session = Session(propagator, target.volume, plane=PLANE, settings=settings)
    session.add_key(1, target.key, MaskPrompt(target.truth[target.key] if outline is None else outline))
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
