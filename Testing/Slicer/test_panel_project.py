"""A project in the panel: what is done there comes into the ledger, as if it had been typed."""

import numpy as np
import pytest
from day import SLICE, TRUTH
from project_day import CollectorHere, beginProject, dayIn

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.project.folder import Project


@pytest.fixture
def project(tmp_path):
    return beginProject(tmp_path)


def status(project, capsys):
    """What `project status` tells of the cases."""
    capsys.readouterr()
    assert main(["project", "status", str(project.folder)]) == 0
    return [line.split("  ")[:2] for line in capsys.readouterr().out.splitlines()[1:]]


def boxedCase(day):
    """She draws a box, and takes what the machine makes of it."""
    day.click("boxButton")
    day.clickBox()
    day.click("acceptButton")


def test_three_cases_are_accepted_and_the_ledger_tells_what_each_has_cost(slicer, project, capsys):
    with dayIn(slicer, project) as day:
        assert day.names() == ["organ"]
        boxedCase(day)
        day.key("X")
        boxedCase(day)
        mask = day.mask()
        mask[SLICE + 1, 9, 9] = False
        day.draw(mask)
        day.key("X")
        day.draw(TRUTH)
        day.key("X")
        assert (day.casework.name, day.states()) == ("d", {"a": "done", "b": "done", "c": "done", "d": "in work"})
        assert status(project, capsys) == [["a", "done"], ["b", "done"], ["c", "done"], ["d", "in work"]]
        assert "Round 1: 3 of 4 cases accepted, model classical." in day.ui.projectLabel.text
    untouched, mended, drawn = project.state().accepted
    assert (untouched["slices_edited"], mended["slices_edited"], mended["voxels_changed"]) == (0, 1, 1)
    assert drawn["voxels_changed"] == TRUTH.sum()
    assert untouched["prompts"] == {"kind": "box", "keys": {"1": [SLICE]}, "drawn": {}}
    assert (untouched["model"], drawn["model"]) == ("classical", None)
    assert all(entry["seconds"] >= 0 for entry in (untouched, mended, drawn))
    assert untouched["proposal_sha256"] != mended["sha256"]
