"""The worklist of a project, and the notes by which a panel tells its ledger what was done."""

import json

import numpy as np
import pytest
from project_bench import GEOMETRY, KIDNEY, NAMES, act, ball, drawn_cases, entries_of, here, project, truth  # noqa: F401

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.worklist import DONE, IN_WORK, PROPOSED, TO_DO
from SegmentPropagateLib.formats.writing import write_segmentation
from SegmentPropagateLib.project.holding import held
from SegmentPropagateLib.project.listing import ProjectWorklist, project_at
from SegmentPropagateLib.project.notes import OUTSIDE, leave_note, note_files, notes_in, packed, paint

GRID = {"shape": list(GEOMETRY.shape_kji), "ijk_to_ras": GEOMETRY.ijk_to_ras.tolist()}


@pytest.fixture
def cases(project):
    return ProjectWorklist(project_at("p"))


def states(cases):
    cases.refresh()
    return [case.state for case in cases.cases]


def draw(cases, name, mask):
    """She has drawn, and saves the case as done."""
    labels = cases.case(name).labels
    write_segmentation(labels, {7: mask}, GEOMETRY, [KIDNEY])
    return cases.note(name, state=DONE, labels=labels, kept={"seconds": 12.5})


def said(mask, slices, **changes):
    """A note of what the machine has said on slices."""
    pieces = {index: ((2, 1), mask[index, 2:, 1:]) for index in slices}
    prompts = {"kind": "mask", "keys": {"kidney": [5]}}
    words = {"model": "classical", "plane": "axial", "grid": GRID, "labels": {"kidney": packed(pieces)}}
    return {**words, "prompts": prompts, **changes}


def finished(**changes):
    """The text of a note of a case that is done."""
    words = {"case": "clara", "work": "w", "over": None, "session": "s", "seconds": 1, "at": "now", "by": "me"}
    return json.dumps({"event": "accepted", **words, **changes})


def test_what_is_done_in_the_panel_is_told_to_the_ledger_with_its_proposal_and_seconds(project, cases):
    cases.open("anna")
    first = [index for index in range(12) if index != 5]
    cases.note_proposal("anna", **said(ball(0), first))
    cases.note_proposal("anna", **said(ball(3), [8]))  # of a correction
    draw(cases, "anna", truth("anna"))
    assert states(cases) == [DONE, TO_DO, TO_DO, TO_DO]  # before the ledger knows
    assert entries_of(project, "accepted") == []
    assert act("collect", "p") == 0
    assert states(cases) == [DONE, TO_DO, TO_DO, TO_DO]
    assert note_files(project.folder) == []
    (entry,) = entries_of(project, "accepted")
    changed = truth("anna")[5].sum() + (truth("anna") ^ ball(3))[8].sum()
    assert (entry["slices_edited"], entry["voxels_changed"], entry["seconds"]) == (2, changed, 12.5)
    assert entry["prompts"] == {"kind": "mask", "keys": {"1": [5]}, "drawn": {}}
    assert entry["proposal_sha256"] == entries_of(project, "proposed")[-1]["sha256"]
    assert len(entry["model_sha256"]) > 0
    assert act("collect", "p") == 0
    assert len(entries_of(project, "accepted")) == 1


def test_slices_that_the_panel_counts_from_the_other_end_are_measured_where_they_are(project, cases):
    turned = GEOMETRY.ijk_to_ras @ [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 11], [0, 0, 0, 1]]
    pieces = {11 - index: ((0, 0), ball(0)[index]) for index in range(12) if index != 4}
    cases.open("anna")
    grid = {**GRID, "ijk_to_ras": turned.tolist()}
    cases.note_proposal("anna", **said(ball(0), [], grid=grid, labels={"kidney": packed(pieces)}))
    draw(cases, "anna", ball(0))
    assert act("collect", "p") == 0
    (entry,) = entries_of(project, "accepted")
    assert (entry["slices_edited"], entry["voxels_changed"]) == (1, ball(0)[4].sum())


def test_a_case_that_is_proposed_or_was_given_out_is_begun_from_that(project, cases):
    act("next", "p", "--mask", "truth/anna.seg.nrrd")
    write_segmentation("p/work/doris.seg.nrrd", {7: truth("doris")}, GEOMETRY, [KIDNEY])
    act("accept", "p", "doris", "p/work/doris.seg.nrrd")
    cases.refresh()
    assert cases.case("anna").draft == project_at("p").folder / "work/anna.seg.nrrd"
    cases.open("anna")
    assert note_files(project.folder) == []  # the ledger knows
    assert [case.name for case in cases.finished()] == ["doris"]
    assert cases.finished()[0].labels == project_at("p").folder / "labels/doris.seg.nrrd"


def test_cases_come_in_the_order_of_the_project_and_those_of_others_are_left_to_them(project, cases, monkeypatch):
    cases.open("anna")
    assert (cases.resume().name, cases.next("anna").name) == ("anna", "berta")
    act("collect", "p")
    monkeypatch.setenv("LOGNAME", "eva")
    others = ProjectWorklist(project_at("p"))
    assert (others.holder("anna") != "", others.resume().name) == (True, "berta")
    for name, agreement in (("berta", 0.9), ("clara", 0.2), ("doris", 0.5)):
        project.append("proposed", case=name, model="m", model_sha256="", file="", sha256="", prompts={},
                       agreement=agreement)  # fmt: skip
    told = json.loads((project.folder / "project.json").read_text())
    for by, expected in (("disagreement", "clara"), ("order", "berta")):
        (project.folder / "project.json").write_text(json.dumps({**told, "by": by}))
        others = ProjectWorklist(project_at("p"))
        assert others.next("anna").name == expected
        assert [case.state for case in others.cases] == [IN_WORK, PROPOSED, PROPOSED, PROPOSED]


def test_a_case_that_somebody_else_has_accepted_meanwhile_is_not_overwritten(project, cases, capsys):
    cases.open("anna")
    act("accept", "p", "anna", "truth/anna.seg.nrrd")
    draw(cases, "anna", ball(4))
    draw(cases, "berta", truth("berta"))
    assert act("collect", "p") == 2
    told = capsys.readouterr().err
    assert "'anna' was accepted by" in told
    assert "anna.seg.nrrd' stays beside it" in told
    assert [entry["case"] for entry in entries_of(project, "accepted")] == ["anna", "berta"]
    assert states(cases)[:2] == [DONE, DONE]
    assert note_files(project.folder) == []


def test_a_case_may_be_accepted_again_by_whoever_has_seen_what_was_accepted(project, cases):
    cases.open("anna")
    draw(cases, "anna", ball(4))
    draw(cases, "anna", truth("anna"))  # before the ledger has heard of the first time
    act("collect", "p")
    draw(cases, "anna", truth("anna"))  # nothing is changed
    act("collect", "p")
    assert len(entries_of(project, "accepted")) == 1
    cases.note("anna", state=IN_WORK)
    act("collect", "p")
    assert project.state().case("anna").state == IN_WORK
    later = ProjectWorklist(project_at("p"))
    later.open("anna")
    draw(later, "anna", ball(4))
    assert act("collect", "p") == 0
    assert len(entries_of(project, "accepted")) == 2


def test_a_ledger_that_was_written_before_the_note_was_removed_is_not_written_twice(project, cases):
    cases.open("anna")
    cases.note_proposal("anna", **said(ball(0), [4]))
    draw(cases, "anna", truth("anna"))
    notes = {path: path.read_bytes() for path in note_files(project.folder)}
    act("collect", "p")
    before = project.state()
    for path, content in list(notes.items())[1:]:  # power was lost between
        path.write_bytes(content)
    act("collect", "p")
    assert len(project.state().accepted) == len(before.accepted)
    assert project.state().case("anna").accepted == before.case("anna").accepted


def test_notes_wait_while_somebody_holds_the_project_and_a_line_that_was_not_written_to_its_end(project, cases):
    cases.open("anna")
    draw(cases, "anna", truth("anna"))
    with held(project.folder):
        assert act("collect", "p") == 2
    assert states(cases)[0] == DONE
    with (project.folder / "ledger.jsonl").open("ab") as file:
        file.write(b'{"event": "accep')
    assert act("collect", "p") == 0
    assert [entry["case"] for entry in project.state().accepted] == ["anna"]


def test_the_chosen_model_is_told_once(project, cases):
    cases.note_model("classical")
    assert note_files(project.folder) == []
    cases.note_model("starter")
    cases.note_model("starter")
    act("collect", "p")
    assert [entry["model"] for entry in entries_of(project, "using")] == ["starter"]


@pytest.mark.parametrize(
    ("note", "sentence"),
    [
        ("nothing", "damaged"),
        ('{"event": "opened", "case": "anna"}', "damaged"),
        (said(ball(0), [11], grid={**GRID, "shape": [1, 1, 1]}), "lay elsewhere"),
        (said(ball(0), [11], labels={"kidney": {"places": [[0, 0, 0, 99, 99]], "bits": "eA=="}}), "does not fit"),
        (said(ball(0), [11], model="none.pt"), "none.pt"),
        (said(ball(0), [11], prompts={"keys": 5}), "damaged"),
        (said(ball(0), [11], prompts={"keys": {"kidney": ["5"]}}), "damaged"),
        (said(ball(0), [11], prompts={"drawn": {"kidney": [-1]}}), "damaged"),
        (finished(work="a\0.seg.nrrd"), "damaged"),
        *((finished().replace(f'"{part}"', '"else"'), "damaged") for part in ("over", "seconds")),
        *((finished(seconds=number), "damaged") for number in (float("nan"), float("inf"), -5, 10**400)),
    ],
)
def test_a_note_that_cannot_be_taken_is_told_once_and_stops_no_other(project, cases, capsys, note, sentence):
    if isinstance(note, str):
        cases.open("clara")
        note_files(project.folder)[0].write_text(note)
    else:
        cases.note_proposal("anna", **note)
    draw(cases, "berta", truth("berta"))
    assert act("collect", "p") == 2
    assert sentence in capsys.readouterr().err
    assert [entry["case"] for entry in entries_of(project, "accepted")] == ["berta"]
    assert act("collect", "p") == 0


def test_notes_keep_their_order_and_none_takes_the_place_of_another_whatever_the_clock_says(project, monkeypatch):
    for clock in (500, 500, 300, 700):
        monkeypatch.setattr("time.time_ns", lambda clock=clock: clock)
        leave_note(project.folder, "using", model=f"m{len(note_files(project.folder))}")
    notes, _odd = notes_in(project.folder)
    assert [note.parts["model"] for note in notes] == ["m0", "m1", "m2", "m3"]


def test_masks_come_out_of_a_note_as_they_went_in():
    rng = np.random.default_rng(3)
    boxes = {
        4: ((1, 2), rng.random((5, 7)) > 0.5),
        0: ((0, 0), np.zeros((0, 0), bool)),
        2: ((3, 0), np.ones((1, 1), bool)),
    }
    target = np.zeros((6, 9, 10), np.uint8)
    paint(target, json.loads(json.dumps(packed(boxes))))
    for index, ((row, column), box) in boxes.items():
        expected = np.full((9, 10), OUTSIDE)
        expected[row : row + box.shape[0], column : column + box.shape[1]] += box
        assert (target[index] == expected).all()
    assert not target[[1, 3, 5]].any()


def test_a_folder_that_is_no_project_is_none(here):
    assert project_at("images") is None
    assert project_at("images/anna.nii.gz") is None


def test_a_note_that_cannot_be_written_is_told(project, cases):
    (project.folder / "work" / ".notes").write_text("a file")
    with pytest.raises(InputError, match="Cannot write"):
        cases.open("anna")
