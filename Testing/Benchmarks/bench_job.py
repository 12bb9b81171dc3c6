"""What a whole job takes, from file to file: 512 x 512 x 200 voxels, the command as people type it.

Every job runs in a process of its own, which tells wall time, processor time and peak memory of each phase. Several
source trees (`--tree`, for a change beside what was before it) run in turns, so that what else the computer does hits
all of them. A correction follows the first pass: one slice of it becomes a key slice, and what that changes is computed
again. The last line is one JSON object: tree -> job -> phase -> figures.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve()
SHAPE = (200, 512, 512)
OBJECTS = {1: (50, 149), 2: (5, 193), 3: (60, 139), 4: (80, 159)}
"""Label -> first and last slice; the key slice is the one in the middle."""
JOBS = {
    "default": ("starter", (1,)),
    "long": ("starter", (2,)),
    "classical": ("classical", (1,)),
    "classical, long": ("classical", (2,)),
    "four objects": ("starter", (1, 2, 3, 4)),
}
"""Name -> model and labels."""

CORRECTION = ("first corrected slice", "other corrected slices")
"""Its phases."""

Phases = dict[str, tuple[float, float, float]]
"""Phase -> wall s, processor s, peak of the memory up to its end in GB."""


def draw(folder: Path) -> None:
    """Write a volume in HU with four objects of unlike shape, tapering at both ends, and their labels."""
    import numpy as np

    from SegmentPropagateLib.formats.writing import write_segmentation, write_volume
    from SegmentPropagateLib.volumes.geometry import Geometry
    from SegmentPropagateLib.volumes.volume import Volume

    rng = np.random.default_rng(5)
    rows, columns = np.indices(SHAPE[1:], dtype=np.float32)
    body = ((rows - 256) / 190) ** 2 + ((columns - 256) / 230) ** 2 <= 1
    array = np.empty(SHAPE, dtype=np.int16)
    masks = {label: np.zeros(SHAPE, dtype=bool) for label in OBJECTS}
    middles = {1: (220, 170, 60), 2: (300, 330, 34), 3: (330, 200, 26), 4: (190, 320, 45)}
    for k in range(SHAPE[0]):
        plane = np.where(body, 20.0, -1000.0)
        for label, (first, last) in OBJECTS.items():
            along = (k - (first + last) / 2) / ((last - first + 1) / 2)
            if abs(along) < 1:
                row, column, radius = middles[label]
                row, column = row + 12 * np.sin(k / 25 + label), column + 12 * np.cos(k / 30)
                size = radius * (1 - along**2) ** 0.5
                angle = np.arctan2(rows - row, columns - column)
                inside = np.hypot(rows - row, columns - column) < size * (1 + 0.15 * np.sin(3 * angle + k / 20))
                masks[label][k] = inside
                plane[inside] = 60 + 25 * label
        array[k] = np.rint(plane + rng.normal(0, 12, plane.shape))
    matrix = np.diag([0.8, 0.8, 2.5, 1.0])
    geometry = Geometry(SHAPE, matrix)
    for ending in ("nii.gz", "nrrd"):
        write_volume(folder / f"image.{ending}", Volume(array, geometry, "drawn"))
    write_segmentation(folder / "labels.seg.nrrd", masks, geometry)


class Clock:
    """Wall and processor time of each phase, and the peak of the memory at its end, GB."""

    def __init__(self) -> None:
        self.phases: Phases = {}
        self._last = time.perf_counter(), 0.0  # the processor time of the start counts too

    def ends(self, phase: str) -> None:
        """A phase has ended."""
        now = time.perf_counter(), time.process_time()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        self.phases[phase] = now[0] - self._last[0], now[1] - self._last[1], peak
        self._last = now


def do_job(folder: Path, name: str, ending: str) -> Phases:
    """One job in this process: the command, and then a correction."""
    clock = Clock()
    from SegmentPropagateLib.cli import propagate
    from SegmentPropagateLib.cli.arguments import make_parser
    from SegmentPropagateLib.models.loading import load_model
    from SegmentPropagateLib.propagation.prompts import MaskPrompt

    clock.ends("import")
    model, labels = JOBS[name]
    chosen = ["--label", *map(str, labels)]
    words = [str(folder / f"image.{ending}"), "--mask", str(folder / "labels.seg.nrrd"), *chosen, "--model", model]
    output = folder / f"out-{os.getpid()}.seg.nrrd"
    arguments = make_parser().parse_args(["propagate", *words, "--quiet", "-o", str(output)])

    def open_model() -> object:
        clock.ends("read")
        loaded = load_model(arguments.model, device="cpu")
        clock.ends("load model")
        return loaded

    if hasattr(propagate, "import_ahead"):  # as the command does; trees from before this have none
        propagate.import_ahead(model)
    done = propagate.carry_out(arguments, open_model, lambda _sentence: None)
    clock.ends("propagate")
    propagate.write(arguments, done)
    clock.ends("write")
    output.unlink()
    label = labels[0]
    session, index = done.session, OBJECTS[label][1] - 10
    session.add_key(label, index, MaskPrompt(session.results(label)[index].mask.copy() | done.masks[label][index - 2]))
    updates = session.propagate()
    next(updates)
    clock.ends(CORRECTION[0])
    for _update in updates:
        pass
    clock.ends(CORRECTION[1])
    return clock.phases


def child(tree: Path, *words: str, threads: int) -> str:
    """Run this file on another source tree."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    command = [sys.executable, str(HERE), *words]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if found.returncode:
        raise RuntimeError(found.stderr)
    return found.stdout


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, dict[str, Phases]]:
    """Medians over the turns, of every tree and job; `whole` is all but the correction, with the process's start."""
    jobs = arguments.jobs
    runs: dict[str, dict[str, list[Phases]]] = {str(tree): {job: [] for job in jobs} for tree in arguments.tree}
    for _turn in range(arguments.repeats):
        for job in jobs:
            for tree in arguments.tree:
                words = ("--do", job, "--folder", str(folder), "--ending", arguments.ending)
                before = _spent()
                phases = json.loads(child(tree, *words, threads=arguments.threads).splitlines()[-1])
                spent = [after - at for after, at in zip(_spent(), before, strict=True)]
                wall, cpu = (all_of_it - sum(phases[it][n] for it in CORRECTION) for n, all_of_it in enumerate(spent))
                runs[str(tree)][job].append({"whole": (wall, cpu, phases["write"][2]), **phases})
    return {tree: {job: _medians(told) for job, told in jobs.items()} for tree, jobs in runs.items()}


def _spent() -> tuple[float, float]:
    """Wall time, and processor time of all children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter(), children.ru_utime + children.ru_stime


def _medians(told: list[Phases]) -> Phases:
    columns = {phase: zip(*(phases[phase] for phases in told), strict=True) for phase in told[0]}
    return {
        phase: tuple(round(statistics.median(values), 2) for values in column)  # type: ignore[misc]
        for phase, column in columns.items()
    }


def report(found: dict[str, dict[str, Phases]]) -> None:
    """Print a table."""
    for job in next(iter(found.values())):
        print(f"{job}: wall s / processor s / peak GB")
        for tree, jobs in found.items():
            figures = [f"{phase} {wall} / {cpu} / {peak}" for phase, (wall, cpu, peak) in jobs[job].items()]
            print(f"  {tree}: {', '.join(figures)}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jobs", nargs="*", help=f"of {', '.join(JOBS)}; all")
    parser.add_argument("--tree", type=Path, action="append", help="a source tree; this one")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="0: torch decides")
    parser.add_argument("--ending", default="nii.gz", choices=("nii.gz", "nrrd"))
    parser.add_argument("--folder", type=Path, help="keep the drawn volume there for the next time")
    parser.add_argument("--do", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.tree = arguments.tree or [HERE.parents[2]]
    arguments.jobs = arguments.jobs or list(JOBS)
    return arguments


def main() -> None:
    arguments = parse()
    if arguments.do:
        print(json.dumps(do_job(arguments.folder, arguments.do, arguments.ending)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        if not (folder / "labels.seg.nrrd").exists():
            sys.path.insert(0, str(HERE.parents[2]))
            draw(folder)
        print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
        found = measure(arguments, folder)
    report(found)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
