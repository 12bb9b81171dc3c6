"""A project in the panel: what is done there comes into the ledger, as if it had been typed."""

import sys
import time
from functools import partial

import numpy as np
import pytest
from day import SLICE, TRUTH
from project_day import CommandHere, beginProject, dayIn
from SegmentPropagateSlicer.Panel.Thumbnails import Thumbnails
from SegmentPropagateSlicer.Runs.ProjectCommand import ProjectCommand
from SegmentPropagateSlicer.Runs.Training import Training
from SegmentPropagateSlicer.Worklist.WorkTime import WorkTime
from test_learning import STANDIN

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.formats.reading import read_volume
from SegmentPropagateLib.project.choosing import unranked
from SegmentPropagateLib.project.holding import held
from SegmentPropagateLib.project.proposing import keep_proposal


@pytest.fixture
def project(tmp_path):
    return beginProject(tmp_path)


@pytest.fixture(autouse=True)
def _noPictures(monkeypatch):
    """A process of its own draws them, for each panel anew."""
    monkeypatch.setattr(Thumbnails, "want", lambda self, cases: None)


@pytest.fixture
def opened(slicer, warmWorker):
    """Opens a project in the panel."""
    return partial(dayIn, slicer, process=warmWorker)


def status(project, capsys):
    """What `project status` tells of the cases."""
    capsys.readouterr()
    assert main(["project", "status", str(project.folder)]) == 0
    return [line.split("  ")[:2] for line in capsys.readouterr().out.splitlines()[1:5]]


def boxedCase(day):
    """She draws a box, and takes what the machine makes of it."""
    day.click("boxButton")
    day.clickBox()
    day.click("acceptButton")


def test_three_cases_are_accepted_and_the_ledger_tells_what_each_has_cost(opened, project, capsys):
    with opened(project) as day:
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
        assert day.ui.resultsSelector.isHidden()
    untouched, mended, drawn = project.state().accepted
    assert (untouched["slices_edited"], mended["slices_edited"], mended["voxels_changed"]) == (0, 1, 1)
    assert drawn["voxels_changed"] == TRUTH.sum()
    assert untouched["prompts"] == {"kind": "box", "keys": {"1": [SLICE]}, "drawn": {}}
    assert (untouched["model"], drawn["model"]) == ("classical", None)
    assert all(entry["seconds"] >= 0 for entry in (untouched, mended, drawn))
    assert untouched["proposal_sha256"] != mended["sha256"]


def test_what_she_outlines_counts_whole_and_what_she_corrects_by_what_was_proposed_there(opened, project):
    with opened(project) as day:
        segmentId, key = day.node.GetSegmentation().GetNthSegmentID(0), np.zeros_like(TRUTH)
        key[SLICE] = TRUTH[SLICE]
        day.draw(key)
        day.press("addKeyButton")
        day.press("propagateButton")
        day.until("review")
        day.logic.editSlice(segmentId, SLICE + 2)
        mask = day.mask()
        mask[SLICE + 2, 9, 9] = False
        day.draw(mask)
        day.widget.strokes.take()
        day.until("review")
        day.click("acceptButton")
        day.key("X")
    (entry,) = project.state().accepted
    assert (entry["slices_edited"], entry["voxels_changed"]) == (2, TRUTH[SLICE].sum() + 1)
    assert entry["prompts"] == {"kind": "mask", "keys": {"1": [SLICE, SLICE + 2]}, "drawn": {}}


def test_another_panel_goes_on_where_the_power_was_lost_before_the_ledger_knew(opened, project, capsys):
    with opened(project, CommandHere(isOn=False)) as day:
        boxedCase(day)
        day.key("X")
        day.draw()
    assert status(project, capsys) == [["a", "to do"], ["b", "to do"], ["c", "to do"], ["d", "to do"]]
    with (project.folder / "ledger.jsonl").open("ab") as file:
        file.write(b'{"event": "accepted", "ca')
    with opened(project) as day:
        assert (day.casework.name, day.mask().sum()) == ("b", 36)
        assert status(project, capsys) == [["a", "done"], ["b", "in work"], ["c", "to do"], ["d", "to do"]]
    (entry,) = project.state().accepted
    assert (entry["slices_edited"], entry["prompts"]["kind"]) == (0, "box")


def test_while_somebody_else_holds_the_project_she_is_told_once_and_nothing_is_lost(opened, project, capsys):
    with opened(project) as day, held(project.folder):
        day.draw()
        day.key("X")
        assert f"'{project.folder}' is in use: " in day.ui.projectLabel.text
        assert day.states()["a"] == "done"
        day.widget.context.status.say("")
        fireTimer(day)
        assert day.sentence() == ""
    assert status(project, capsys)[0] == ["a", "in work"]
    with opened(project) as day:
        assert status(project, capsys)[:2] == [["a", "done"], ["b", "in work"]]


def fireTimer(day):
    """The ledger is tried again."""
    day.widget.project.tryAgain()
    day.settle()


def test_what_somebody_else_has_accepted_meanwhile_is_told_and_stays(opened, project, capsys):
    with opened(project) as day:
        day.draw(TRUTH)
        day.press("saveCaseButton")
        assert main(["project", "accept", str(project.folder), "a", "--quiet"]) == 0
        day.draw()
        day.key("X")
        assert "'a' was accepted by" in day.ui.projectLabel.text
    assert len(project.state().accepted) == 1
    assert status(project, capsys)[0] == ["a", "done"]


def test_a_case_that_somebody_else_works_on_is_passed_over_and_told_when_it_is_opened(opened, project, monkeypatch):
    monkeypatch.setenv("LOGNAME", "eva")
    project.append("opened", case="a", work="work/a.seg.nrrd")
    monkeypatch.undo()
    with opened(project) as day:
        assert day.casework.name == "b"
        day.key("H")
        assert "eva works on it, too: nothing of theirs is overwritten." in day.sentence()


def test_a_break_is_no_work():
    times = iter([0.0, 5.0, 20.0, 60.0, 61.0])
    work = WorkTime(lambda: next(times))
    for _event in range(4):
        work.note()
    assert work.seconds == 21.0


def test_work_is_counted_by_what_is_done_in_the_views_and_not_while_she_waits_for_a_run(slicer, opened, project):
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    with opened(project) as day:
        clock = [0.0]
        day.cases.workTime = work = WorkTime(lambda: clock[0])
        crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        for now in (4.0, 9.0):
            clock[0] = now
            crosshair.InvokeEvent(crosshair.CursorPositionModifiedEvent)
        assert work.seconds == 9.0
        clock[0] = 10.0
        day.click("boxButton")
        day.clickBox()  # the run begins and ends at once
        began = work.seconds
        clock[0] = 30.0
        work.skip()
        clock[0] = 32.0
        day.draw(TRUTH)
        assert work.seconds == began + 2.0
        day.key("X")
    assert project.state().case("a").accepted["seconds"] == 12.0


def test_a_round_of_learning_is_the_projects_and_its_model_is_used(slicer, tmp_path, capsys):
    project = beginProject(tmp_path, "abcde")
    training = Training([*STANDIN, "project"])
    with dayIn(slicer, project, training=training) as day:
        for _case in range(4):
            assert not day.ui.learnButton.enabled
            day.draw(TRUTH)
            day.key("X")
        assert "4 are new to the model: let it learn from them." in day.ui.projectLabel.text
        day.widget.model.choose("starter")
        assert project.state().model == "starter"
        day.press("learnButton")
        end = time.monotonic() + 30
        while training.isRunning:
            assert time.monotonic() < end
            day.settle()
        day.settle()
        assert "Better than the present model" in day.ui.learnLabel.text
        assert day.parameters.model == str(project.folder / "models" / "round-1.pt")
        assert day.ui.learnButton.text == "Learn from these cases"
        assert "Round 2: 4 of 5 cases accepted, model round-1.pt." in day.ui.projectLabel.text
        assert not day.ui.useLearnedButton.isVisible()
        assert not day.ui.learnButton.enabled
        day.widget.model.choose("starter")  # earlier ones can be chosen again
        assert project.state().model == "starter"
        assert str(project.folder / "models" / "round-1.pt") in day.widget.model.recentFiles()


def test_in_a_project_by_disagreement_cases_are_ranked_meanwhile_and_the_least_agreed_one_comes_next(
    opened, tmp_path, monkeypatch
):
    project = beginProject(tmp_path, "abcd", "--by", "disagreement")
    agreements = {"b": 0.9, "c": 0.6, "d": 0.3}

    def rank(proposer, say):
        for name in unranked(project, project.state()):
            geometry = read_volume(project.image(name)).geometry
            parts = {"model": "classical", "model_sha256": "", "prompts": {}, "agreement": agreements[name]}
            keep_proposal(project, name, {1: TRUTH}, geometry, **parts)

    monkeypatch.setattr("SegmentPropagateLib.cli.project.rank", rank)
    with opened(project) as day:
        for expected in "adcb":  # nothing is ranked before the first case is accepted
            assert day.casework.name == expected
            day.draw(TRUTH)
            day.key("X")
        edited = [entry["slices_edited"] for entry in project.state().accepted]
        assert edited == [TRUTH.any((1, 2)).sum(), 0, 0, 0]


@pytest.mark.parametrize(
    ("code", "ended"),
    [
        ("print('loading', *sys.argv[1:], file=sys.stderr)", ("loading project rank {folder}", True)),
        ("sys.exit('segment-propagate: It is in use.')", ("It is in use.", False)),
    ],
)
def test_the_end_of_a_command_is_told_by_its_last_sentence(slicer, tmp_path, code, ended):
    command, told = ProjectCommand(command=[sys.executable, "-S", "-c", f"import sys; {code}"]).other("rank"), []
    command.ended.connect(lambda *words: told.append(words))
    command.start(tmp_path)
    command.start(tmp_path)  # it is being done
    end = time.monotonic() + 30
    while command.isRunning:
        assert time.monotonic() < end
        slicer.app.processEvents()
    assert told == [(ended[0].format(folder=tmp_path), ended[1])]


@pytest.mark.slow
def test_the_real_process_takes_the_notes_while_the_panel_goes_on(slicer, project, capsys):
    with dayIn(slicer, project, ProjectCommand(command=[sys.executable, "-m", "SegmentPropagateLib"])) as day:
        day.draw()
        day.key("X")
        assert day.casework.name == "b"
        end = time.monotonic() + 60
        while "Accepted a:" not in day.ui.projectLabel.text:
            assert time.monotonic() < end
            day.settle()
    assert status(project, capsys)[0] == ["a", "done"]
