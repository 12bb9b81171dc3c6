"""Folders of drawn cases for tests of `batch`, and its command line in processes of its own."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from cli_bench import BALL, OTHER, save

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("drawn_batch.py")
CODE_BESIDE_THE_DATA = ("json.py", "numpy.py", "queue.py", "SegmentPropagateLib.py")


def draw_case(folder, values=BALL | OTHER, labels=BALL * 1 + OTHER * 3):
    """A folder of `image.nii.gz` and `labels.nii.gz`."""
    folder.mkdir(parents=True)
    save(folder / "image.nii.gz", (values * 100).astype(np.int16))
    save(folder / "labels.nii.gz", labels.astype(np.uint8))
    return folder


def draw_cases(folder, *names):
    """Cases in the folder `cases` of a folder that also has files which Python would take for its own modules."""
    for name in names:
        draw_case(folder / "cases" / name)
    for name in CODE_BESIDE_THE_DATA:
        (folder / name).write_text("raise SystemExit('code beside the data was run')\n")


def environment():
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}


def begin(folder, *words, cases="cases"):
    """A running batch; its output is read by `communicate`."""
    command = [sys.executable, str(SCRIPT), "batch", cases, "-o", "out", "--model", "classical", *map(str, words)]
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as shells start what runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment(), **pipes)


def batch(folder, *words, cases="cases"):
    """Status and stderr of a batch that has ended."""
    process = begin(folder, *words, cases=cases)
    _out, told = process.communicate(timeout=120)
    return process.returncode, told


def records(folder):
    return {path.parent.name: json.loads(path.read_text()) for path in (folder / "out").glob("*/record.json")}


def statuses(folder):
    return {name: record["status"] for name, record in sorted(records(folder).items())}


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def tries(folder, name):
    path = folder / f"{name}.tries"
    return len(path.read_text()) if path.exists() else 0
