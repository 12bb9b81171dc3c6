"""A project of four small drawn cases, done in this process by a propagator that finds what is bright."""

import json
import shutil

import numpy as np
import pytest
from doubles import ThresholdPropagator

from SegmentPropagateLib.cli import main, project_proposals
from SegmentPropagateLib.formats.writing import write_segmentation, write_volume
from SegmentPropagateLib.project.folder import Project
from SegmentPropagateLib.prompting.source import Proposal
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateLib.volumes.volume import Volume

SHAPE = (12, 20, 24)
NAMES = ("anna", "berta", "clara", "doris")
KIDNEY = SegmentInfo(7, "kidney", (0.5, 0.2, 0.1))  # another number than the project gives it
GEOMETRY = Geometry(SHAPE, np.diag([-1.5, -1.5, 3.0, 1.0]))


def ball(shift=0):
    grid = np.stack(np.indices(SHAPE), -1)
    return (((grid - np.array((5.5, 9.5, 8.0 + shift))) / np.array((4, 6, 5))) ** 2).sum(-1) <= 1


def truth(name):
    return ball(NAMES.index(name))


class Bright:
    """A source that finds what is bright, on slice 5."""

    def propose(self, volume, labels, support, plane, tick=None):
        mask = volume.array_kji[5] > 50
        if not mask.any():
            return [Proposal(label, "not here", reason="All is dark.") for label in labels]
        return [Proposal(label, "found", 5, mask, None, None, 0.9, "bright") for label in labels]


@pytest.fixture(scope="module")
def drawn_cases(tmp_path_factory):
    """Images in `images`, what is right in `truth`."""
    folder = tmp_path_factory.mktemp("cases")
    for name in ("images", "truth"):
        (folder / name).mkdir()
    for name in NAMES:
        mask = truth(name)
        bright = mask.copy()
        bright[8] = False  # what the propagator misses
        write_volume(folder / "images" / f"{name}.nii.gz", Volume((bright * 100).astype(np.int16), GEOMETRY))
        write_segmentation(folder / "truth" / f"{name}.seg.nrrd", {7: mask}, GEOMETRY, [KIDNEY])
    return folder


@pytest.fixture
def here(drawn_cases, tmp_path, monkeypatch):
    """The present folder, with the drawn cases."""
    shutil.copytree(drawn_cases, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(project_proposals, "load_model", lambda *args, **options: ThresholdPropagator())
    monkeypatch.setattr("SegmentPropagateLib.cli.drafts.find_source", lambda name: Bright())
    return tmp_path


@pytest.fixture
def project(here):
    """A project that was begun."""
    assert act("init", "p", "images", "--label", "kidney", "--model", "classical") == 0
    return Project("p")


def act(action, *words):
    return main(["project", action, *map(str, words)])


def entries_of(project, event):
    """Entries of one kind, by what the ledger's file says."""
    lines = (project.folder / "ledger.jsonl").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if entry["event"] == event]
