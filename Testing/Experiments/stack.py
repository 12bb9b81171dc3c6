"""What learning from a case's own key slices is worth; planned in PLAN_STACK.md.

python Testing/Experiments/stack.py [--resume] [--minutes 9] [--keys 3 5] [--data DIR] [--out build/stack.json]

Every row is kept at once, so that it goes on where it was stopped; the smallest objects come first.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from SegmentPropagateLib.files import writing
from SegmentPropagateLib.models.loading import load_model
from SegmentPropagateLib.propagation.prompts import MaskPrompt
from SegmentPropagateLib.propagation.propagator import Propagator
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.boxes import bounding_box
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.volume import Volume

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "Testing" / "Benchmarks"))
from evaluation_targets import PLANE, Target, read_targets  # noqa: E402 - the evaluation lies in the next folder

MARGIN, LEAST = 6, 12
DRAWS = 10_000


@dataclass(frozen=True)
class Task:
    """One object with some key slices.

    Args:
        side: `targets` or `others`.
        target: the object, whole.
        keys: its key slices.
    """

    side: str
    target: Target
    keys: tuple[int, ...]

    @property
    def name(self) -> str:
        """What it is called in the results."""
        return f"{self.side}/{self.target.case}/{self.target.name}/{len(self.keys)}"

    @property
    def size(self) -> int:
        """Voxels of the object's box, which say how long it takes."""
        rows, columns = bounding_box(self.target.truth.any(axis=0)) or (slice(0, 0), slice(0, 0))
        first, last = self.target.extent
        return (last - first + 1) * (rows.stop - rows.start) * (columns.stop - columns.start)


Measure = Callable[[Task], dict[str, Any]]
Rows = dict[str, dict[str, Any]]
"""By the name of the task."""


def main() -> None:
    """Measure what is not measured yet, and report."""

    def prepared() -> Measure:
        model = load_model("starter", device="cpu", precision="exact")
        return lambda task: measured(task, model)

    run(__doc__.splitlines()[0], "stack.json", [3, 5], prepared, report)


def run(about: str, name: str, keys: list[int], prepare: Callable[[], Measure], report: Callable[[Rows], None]) -> None:
    """Measure what is not measured yet, and report.

    Args:
        about: a line for `--help`.
        name: of the results, in `build`.
        keys: how many key slices, where nothing else is asked for.
        prepare: makes what measures one task; not called where nothing is to be measured.
        report: prints what the rows say.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / name)
    parser.add_argument("--keys", type=int, nargs="+", default=keys)
    parser.add_argument("--only", default="", help="a part of CASE/OBJECT")
    parser.add_argument("--resume", action="store_true", help="keep the rows that there are")
    parser.add_argument("--minutes", type=float, default=9.0, help="no object is begun after that; 0 only reports")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    began = time.monotonic()
    rows: Rows = json.loads(arguments.out.read_text()) if arguments.resume and arguments.out.exists() else {}
    if arguments.minutes:
        measure = prepare()
        for task in sorted(_tasks(arguments), key=lambda task: (task.size, task.name)):
            if time.monotonic() - began > 60 * arguments.minutes:
                break
            if task.name not in rows:
                rows[task.name] = measure(task)
                print(task.name, rows[task.name], flush=True)  # noqa: T201
                arguments.out.parent.mkdir(parents=True, exist_ok=True)
                with writing(arguments.out) as file:
                    file.write((json.dumps(rows, indent=1) + "\n").encode())
    report(rows)


def _tasks(arguments: argparse.Namespace) -> Iterator[Task]:
    for side in ("targets", "others"):
        for target in read_targets(arguments.data, arguments.only, others=side == "others"):
            for count in arguments.keys:
                keys = spread_keys(target.truth, count)
                if keys:
                    yield Task(side, target, keys)


def spread_keys(truth: NDArray[np.bool_], count: int) -> tuple[int, ...]:
    """Slices at (i + .5) / n of those with something to outline; none where there are no more than the keys."""
    present = np.flatnonzero(truth.sum(axis=(1, 2)) >= LEAST)
    if len(present) <= count:
        return ()
    return tuple(int(present[int((number + 0.5) / count * len(present))]) for number in range(count))


def measured(task: Task, model: Propagator) -> dict[str, Any]:
    """The row of one object."""
    first, last = task.target.extent
    first, last = max(0, first - MARGIN), min(len(task.target.truth), last + 1 + MARGIN)
    volume, axis = cut(task.target.volume, first, last)
    truth, keys = task.target.truth[first:last], [key - first for key in task.keys]
    session = Session(model, volume, plane=PLANE)
    for key in keys:
        session.add_key(1, key, MaskPrompt(truth[key]))
    rest = np.setdiff1d(np.arange(len(truth)), keys)
    began = time.process_time()
    before = propagated(session, axis)
    plain = time.process_time() - began
    for _ in session.learn():
        pass
    lesson = session.lessons[1]
    learning = time.process_time() - began - plain
    after = propagated(session, axis)
    return {
        "patient": task.target.group,
        "keys": list(task.keys),
        "slices": len(rest),
        "before": round(dice(before[rest], truth[rest]), 5),
        "after": round(dice(after[rest], truth[rest]), 5),
        "changed_slices": int((before != after).any(axis=(1, 2)).sum()),
        "weight": lesson.weight,
        "gains": {str(weight): [round(value, 5) for value in gain] for weight, gain in lesson.gains.items()},
        "cpu_s": [round(plain, 1), round(learning, 1)],
    }


def propagated(session: Session, axis: int) -> NDArray[np.bool_]:
    """Object 1 of a session, carried through: bool `(slices, rows, columns)`."""
    for _ in session.propagate():
        pass
    return np.moveaxis(session.mask(1), axis, 0)


def cut(volume: Volume, first: int, last: int) -> tuple[Volume, int]:
    """The volume's slices `first` to `last` - 1 along the plane, and the axis of the plane."""
    axis = volume.geometry.plane_axis(PLANE)
    place = tuple(slice(first, last) if it == axis else slice(None) for it in range(3))
    voxels = np.ascontiguousarray(volume.array_kji[place])
    matrix = np.array(volume.geometry.ijk_to_ras)
    matrix[:3, 3] += first * matrix[:3, 2 - axis]
    return Volume(voxels, Geometry(voxels.shape, matrix), volume.name, volume.modality), axis


def report(rows: Rows) -> None:
    """Print a line for each side and number of keys."""
    for count in sorted({len(row["keys"]) for row in rows.values()}):
        for side in ("targets", "others", ""):
            some = [row for name, row in rows.items() if name.startswith(side) and len(row["keys"]) == count]
            if some:
                print(f"{count} keys, {side or 'all'}: {_line(some)}")  # noqa: T201


def _line(rows: list[dict[str, Any]]) -> str:
    gains = np.array([row["after"] - row["before"] for row in rows])
    low, high = interval(gains, [row["patient"] for row in rows])
    used = sum(row["weight"] > 0 for row in rows)
    better, worse = int((gains > 0.002).sum()), int((gains < -0.002).sum())
    return (
        f"{len(rows)} objects, DSC {np.mean([row['before'] for row in rows]):.4f} {gains.mean():+.4f} [{low:+.4f} "
        f"{high:+.4f}], gate open {used}, better {better}, worse {worse}, lowest {gains.min():+.4f}, highest "
        f"{gains.max():+.4f}"
    )


def interval(gains: NDArray[np.float64], patients: list[str]) -> tuple[float, float]:
    """Of the mean, 95 %, whole patients drawn."""
    groups = [gains[[patient == name for patient in patients]] for name in sorted(set(patients))]
    sums, counts = np.array([it.sum() for it in groups]), np.array([len(it) for it in groups])
    drawn = np.random.default_rng(0).integers(len(groups), size=(DRAWS, len(groups)))
    low, high = np.percentile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), (2.5, 97.5))
    return float(low), float(high)


if __name__ == "__main__":
    main()
