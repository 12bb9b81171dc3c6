"""What a batch costs beside its cases, and how it scales.

    python Testing/Benchmarks/bench_batch.py [--cases N] [--data FOLDER]

Real volumes, each with its label 1 and the classical method: a bare loop over them in one process, then `batch` with
one process and with two. Processor time tells what the batch adds, also on a machine that has other work; the clock
tells what the second process gains. Then cases that only wait, with up to 8 processes, against the time they wait.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from SegmentPropagateLib.batch.pool import Crew, carry_out  # noqa: E402
from SegmentPropagateLib.cli import propagate  # noqa: E402
from SegmentPropagateLib.cli.arguments import make_parser  # noqa: E402
from SegmentPropagateLib.formats.reading import read_labels  # noqa: E402
from SegmentPropagateLib.formats.writing import write_segmentation  # noqa: E402
from SegmentPropagateLib.models.loading import load_model  # noqa: E402
from SegmentPropagateLib.volumes.labels import default_segment  # noqa: E402

TAKEN_FOR_LABEL_1 = {"ct_vertebra": 21}
WAIT_S, WAITS = 0.5, 24  # seconds of a case, cases per process


def list_cases(data, count):
    """Image and labels of the cases, the smallest files first."""
    found = []
    for case in json.loads((data / "MANIFEST.json").read_text())["cases"]:
        files, folder = case["files"], data / case["id"]
        both = files.get("image+labels")
        image = both or files["image"]
        labels = both or files["labels"]
        found.append((case["id"], folder / image["file"], folder / labels["file"]))
    return sorted(found, key=lambda case: sum(path.stat().st_size for path in case[1].parent.rglob("*")))[:count]


def with_label_1(case, folder):
    """A case whose labels have a label 1; where they have none, in a file in `folder`."""
    name, image, labels = case
    if name not in TAKEN_FOR_LABEL_1:
        return case
    known, path = read_labels(labels), folder / f"{name}.seg.nrrd"
    write_segmentation(path, {1: known.mask(TAKEN_FOR_LABEL_1[name])}, known.geometry, [default_segment(1)])
    return name, image, path


def loop(listed, out):
    """What the batch does for each case, without all that makes it a batch."""
    model = load_model("classical")
    for row in json.loads(listed.read_text()):
        folder = out / row["name"]
        folder.mkdir(parents=True)
        words = ["propagate", row["image"], "--mask", row["label"], "--label", "1", "--model", "classical", "--quiet"]
        files = ["-o", "segmentation.seg.nrrd", "--overlay", "overlay.png", "--report", "report.json"]
        words += [str(folder / word) if "." in word else word for word in files]
        arguments = make_parser().parse_args(words)
        propagate.write(arguments, propagate.carry_out(arguments, lambda: model, lambda _sentence: None))


def measured(words):
    """Seconds of the clock and of the processor that a command takes, with all of its processes."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *map(str, words)], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - started, sum(after[:2]) - sum(before[:2])


def wait(settings):
    """A runner whose tasks only take their time."""

    def do(task):
        time.sleep(settings["seconds"])
        return {"status": "done", "pid": os.getpid()}

    return do


def show_scaling():
    for count in (1, 2, 4, 8):
        crew = Crew("bench_batch:wait", {"seconds": WAIT_S}, [{}] * count)
        at_work, left, started = set(), WAITS * count, time.perf_counter()
        for _task, answer in carry_out(({} for _ in range(left)), crew):
            if len(at_work) < count:  # until all processes have been started
                at_work.add(answer["pid"])
                started, begun = time.perf_counter(), left
            left -= 1
        ideal = WAIT_S * (begun - 1) / count
        took = time.perf_counter() - started
        print(f"{count} processes, cases that wait {WAIT_S} s: {took / ideal:.2f} of the time that they wait")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--cases", type=int, default=11)
    parser.add_argument("--loop", nargs=2, type=Path, metavar=("LIST", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.loop:
        loop(*arguments.loop)
        return
    if not arguments.data.is_dir():
        sys.exit(f"The real volumes are not at {arguments.data}.")
    show_scaling()
    folder = Path(tempfile.mkdtemp())
    cases = [with_label_1(case, folder) for case in list_cases(arguments.data, arguments.cases)]
    listed = folder / "list.json"
    listed.write_text(
        json.dumps([dict(zip(("name", "image", "label"), map(str, case), strict=True)) for case in cases])
    )
    clock, processor = measured([__file__, "--loop", listed, folder / "bare"])
    print(f"bare loop over {len(cases)} volumes: {clock:.1f} s, processor {processor:.1f} s")
    for count in (1, 2):
        words = ["-m", "SegmentPropagateLib", "batch", listed, "-o", folder / str(count), "--label", 1, "--quiet"]
        took, work = measured([*words, "--model", "classical", "--processes", count])
        print(
            f"batch, {count} processes: {took:.1f} s, {took / clock:.2f} of the loop; processor {work:.1f} s, "
            f"{work / processor:.3f} of the loop, {(work - processor) / len(cases):.2f} s more per case"
        )
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
