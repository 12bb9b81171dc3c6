"""A project by its commands: propose, accept, measure; nothing that was written is lost."""

import json
import re
import shlex
from pathlib import Path

import pytest
from failing_disk import contents, files_end_at
from project_bench import (  # noqa: F401
    GEOMETRY,
    KIDNEY,
    NAMES,
    Bright,
    act,
    ball,
    drawn_cases,
    entries_of,
    here,
    project,
    truth,
)
from tiny_training import save_tiny

from SegmentPropagateLib.cli.arguments import make_parser
from SegmentPropagateLib.formats.cases import find_cases
from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.formats.worklist import DONE, IN_WORK, PROPOSED, TO_DO
from SegmentPropagateLib.formats.writing import write_segmentation, write_volume
from SegmentPropagateLib.project.folder import ORDERS, Project
from SegmentPropagateLib.project.holding import held
from SegmentPropagateLib.volumes.volume import Volume


def states(project):
    state = project.state()
    return [state.case(name).state for name in NAMES]


def accept_all(names):
    for number, name in enumerate(names):
        given = ["--mask", f"truth/{name}.seg.nrrd"] if number == 0 else []
        assert act("next", "p", "--case", name, *given) == 0
        assert act("accept", "p", name, f"truth/{name}.seg.nrrd") == 0


def test_the_first_case_goes_from_a_key_slice_and_costs_what_was_drawn(project, capsys):
    assert act("next", "p", "--mask", "truth/anna.seg.nrrd") == 0
    assert states(project) == [IN_WORK, TO_DO, TO_DO, TO_DO]
    assert read_labels("p/work/anna.seg.nrrd").segments[0].name == "kidney"
    assert act("accept", "p", "anna", "truth/anna.seg.nrrd", "--seconds", "12.5") == 0
    assert states(project) == [DONE, TO_DO, TO_DO, TO_DO]
    (entry,) = entries_of(project, "accepted")
    key, missed = truth("anna")[5].sum(), truth("anna")[8].sum()
    assert (entry["slices"], entry["slices_edited"], entry["voxels_changed"]) == (8, 2, key + missed)
    assert entry["seconds"] == 12.5
    assert entry["prompts"]["drawn"] == {"1": [5]}
    assert "2 of 8 slices edited" in capsys.readouterr().err


def test_later_cases_are_suggested_from_accepted_ones_and_cost_less(project):
    accept_all(NAMES[:2])
    first, second = entries_of(project, "accepted")
    assert second["prompts"]["kind"] == "support"
    assert list(second["prompts"]["support"]) == ["anna"]
    assert second["voxels_changed"] == truth("berta")[8].sum() < first["voxels_changed"]
    assert second["slices_edited"] == 1


def test_the_network_that_reads_accepted_cases_is_the_one_that_the_project_was_begun_with(here, monkeypatch, capsys):
    read_by = []

    class Read(Bright):
        def propose(self, volume, labels, support, plane, tick=None):
            read_by.append(support.model)
            return super().propose(volume, labels, support, plane, tick)

    monkeypatch.setattr("SegmentPropagateLib.cli.drafts.find_source", lambda name: Read())
    save_tiny(here / "reader.pt")
    begin = ("init", "p", "images", "--label", "kidney", "--model", "classical", "--support-model")
    assert act(*begin, "classical") == 2
    assert "no memory" in capsys.readouterr().err
    assert act(*begin, "reader.pt") == 0
    accept_all(NAMES[:2])
    assert [Path(path).resolve() for path in read_by] == [here / "reader.pt"]


def test_the_copy_in_work_is_what_is_accepted_unless_a_mask_is_named(project):
    act("next", "p", "--mask", "truth/anna.seg.nrrd", "--case", "anna")
    act("accept", "p", "anna")
    (entry,) = entries_of(project, "accepted")
    assert entry["slices_edited"] == 1  # the key slice, which was drawn
    write_segmentation("p/work/anna.seg.nrrd", {1: ball(0)}, GEOMETRY)
    assert act("accept", "p", "anna") == 2
    assert act("accept", "p", "anna", "--again") == 0
    files = [project.folder / entry["file"] for entry in entries_of(project, "accepted")]
    assert len(set(files)) == 2  # nothing is overwritten
    assert all(path.is_file() for path in files)


def test_a_key_slice_that_is_mended_is_measured_against_what_was_suggested_there(project):
    accept_all(NAMES[:1])
    act("next", "p", "--case", "berta")
    mended = ball(1).copy()
    mended[5, 9, 9] = False
    write_segmentation("mended.seg.nrrd", {7: mended}, GEOMETRY, [KIDNEY])
    act("next", "p", "--case", "berta", "--mask", "mended.seg.nrrd", "--key-slice", "5")
    act("accept", "p", "berta")
    entry = entries_of(project, "accepted")[-1]
    assert entry["voxels_changed"] == 1
    assert entry["prompts"]["over"]["prompts"]["kind"] == "support"


def test_an_accepted_case_reads_as_finetune_and_suggest_read_cases(project):
    accept_all(NAMES[:2])
    act("next", "p")
    cases = find_cases("p/finished.json")
    assert [case.name for case in cases] == ["anna", "berta"]
    labels = read_labels(cases[0].labels)
    assert (labels.mask(1) == truth("anna")).all()
    assert labels.segments[0].name == "kidney"


def test_two_people_are_given_two_cases_and_the_end_is_told(project, capsys):
    accept_all(NAMES[:1])
    for _ in range(3):
        assert act("next", "p") == 0
    assert states(project) == [DONE, IN_WORK, IN_WORK, IN_WORK]
    assert act("next", "p") == 2
    assert "in work (berta, clara, doris)" in capsys.readouterr().err
    for name in NAMES[1:]:
        act("accept", "p", name)
    assert act("next", "p") == 2
    assert "All cases are done" in capsys.readouterr().err


def test_what_is_to_be_typed_next_can_be_typed_as_it_is_told(here, capsys):
    assert act("init", "my project", "images", "--label", "kidney", "--model", "classical") == 0
    assert act("next", "my project", "--mask", "truth/anna.seg.nrrd") == 0
    (told,) = re.findall(r"`project (.*?)`", capsys.readouterr().err)
    assert act(*shlex.split(told)) == 0


def test_by_chance_is_the_same_for_the_same_seed(here):
    given = []
    for folder in ("p", "q"):
        act("init", folder, "images", "--label", "kidney", "--model", "classical", "--by", "random", "--seed", "4")
        act("next", folder, "--mask", "truth/anna.seg.nrrd")
        given += [entry["case"] for entry in entries_of(Project(folder), "opened")]
    assert len(set(given)) == 1


def test_a_project_in_use_is_not_touched(project, capsys):
    before = (project.folder / "ledger.jsonl").read_bytes()
    with held(project.folder):
        for words in (
            ["next", "p"],
            ["accept", "p", "anna"],
            ["collect", "p"],
            ["learn", "p"],
            ["use", "p", "starter"],
        ):
            assert act(*words) == 2
            assert "is in use" in capsys.readouterr().err
        assert act("status", "p") == 0
    assert (project.folder / "ledger.jsonl").read_bytes() == before


def test_a_suggestion_that_finds_nothing_leaves_an_empty_proposal(project, monkeypatch):
    accept_all(NAMES[:1])

    class Nothing:
        def propose(self, volume, labels, *_):
            from SegmentPropagateLib.prompting.source import Proposal

            return [Proposal(label, "not here", reason="Too dark.") for label in labels]

    monkeypatch.setattr("SegmentPropagateLib.cli.drafts.find_source", lambda name: Nothing())
    assert act("next", "p") == 0
    assert act("accept", "p", "berta", "truth/berta.seg.nrrd") == 0
    assert entries_of(project, "accepted")[-1]["voxels_changed"] == truth("berta").sum()


def test_a_case_without_the_object_is_accepted_and_nothing_is_suggested_from_it(project):
    write_segmentation("nothing.seg.nrrd", {7: ball() & False}, GEOMETRY, [KIDNEY])
    assert act("accept", "p", "anna", "nothing.seg.nrrd") == 0
    assert states(project)[0] == DONE
    assert act("next", "p") == 2  # there is nothing to suggest from
    accept_all(NAMES[1:2])
    act("next", "p")
    assert [case.name for case in find_cases("p/finished.json")] == ["berta"]


def test_a_proposal_that_was_edited_in_its_place_is_no_measure_of_work(project, capsys):
    act("next", "p", "--mask", "truth/anna.seg.nrrd")
    write_segmentation("p/proposals/anna.seg.nrrd", {1: ball(0)}, GEOMETRY)
    assert act("accept", "p", "anna") == 2
    assert "was changed since it was written" in capsys.readouterr().err


def test_a_box_makes_a_proposal_under_the_name_of_the_project(project):
    assert act("next", "p", "--box", "2,2,16,18", "--key-slice", "5") == 0
    (entry,) = entries_of(project, "proposed")
    assert (entry["prompts"]["kind"], entry["prompts"]["drawn"]) == ("box", {})
    assert act("accept", "p", "anna") == 0
    assert entries_of(project, "accepted")[0]["slices_edited"] == 0


def test_another_model_can_be_chosen_and_is_told(project, capsys):
    assert act("use", "p", "starter") == 0
    assert act("status", "p") == 0
    assert "model starter" in capsys.readouterr().out


def test_the_folder_can_be_moved_with_its_images(project, here):
    accept_all(NAMES[:1])
    (here / "moved").mkdir()
    for name in ("p", "images"):
        (here / name).rename(here / "moved" / name)
    assert act("next", "moved/p") == 0
    assert states(Project("moved/p"))[1] == IN_WORK


def test_the_page_tells_the_rounds_and_is_whole(project):
    accept_all(NAMES[:2])
    project.append("learned", model="models/round-1.pt", sha256="x", training=["anna"], held_out=["berta"], dsc=0.9,
                   start_dsc=0.8, kept_start=True)  # fmt: skip
    act("next", "p", "--case", "clara")
    act("accept", "p", "clara")
    assert act("report", "p", "-o", "page.html") == 0
    text = (project.folder / ".." / "page.html").read_text()
    assert text.count("<svg") == 5  # nobody has measured seconds
    assert "round 1" in text
    assert "round 2" in text
    assert "src=" not in text.replace("script-src", "")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["next", "p"], "Nothing is accepted yet"),
        (["next", "p", "--case", "nobody"], "has no case 'nobody'"),
        (["next", "p", "--mask", "truth/none.nrrd"], "none.nrrd"),
        (["accept", "p", "nobody"], "has no case 'nobody'"),
        (["accept", "p", "anna"], "was not given out"),
        (["accept", "p", "anna", "none.nrrd"], "does not exist"),
        (["learn", "p"], "nothing to learn"),
        (["status", "images"], "is no project"),
        (["init", "p", "images", "--label", "kidney"], "is not empty"),
        (["init", "q", "nowhere", "--label", "kidney"], "does not exist"),
        (["init", "q", "images", "--label", "kidney", "kidney"], "'kidney' 2 times"),
        (["init", "q", "images", "--label", "kidney", "--learn-after", "2"], "must be 4 or more"),
        (["init", "q", "images", "--label", "kidney", "--model", "nothing"], "no model"),
        (["init", "q", "images", "--label", "kidney", "--model", "images/anna.nii.gz"], "is no model file"),
        (["use", "p", "images/anna.nii.gz"], "is no model file"),
        (["report", "p", "-o", "page.txt"], "must end in .html"),
        (["use", "p", "models/round-9.pt"], "no model"),
        (["simulate", "p", "images"], "has none of the project's labels"),
        (["accept", "p", "anna", "images/anna.nii.gz"], "has none of the project's labels"),
    ],
)
def test_mistakes_are_told_in_a_sentence_and_change_nothing(project, capsys, words, sentence):
    before = (project.folder / "ledger.jsonl").read_bytes()
    assert act(*words) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1
    assert (project.folder / "ledger.jsonl").read_bytes() == before


@pytest.mark.parametrize("is_there", [False, True])
def test_a_project_that_cannot_be_begun_to_its_end_leaves_nothing(here, is_there, capsys):
    if is_there:
        Path("q").mkdir()
    before = contents(here)
    with files_end_at(200):  # the ledger fits, the settings do not
        assert act("init", "q", "images", "--label", "kidney") == 2
    assert contents(here) == before
    assert act("init", "q", "images", "--label", "kidney") == 0


SETTINGS_THAT_CANNOT_BE = [
    *[
        {"by": "size"},
        {"seed": "1"},
        {"seed": -1},
        {"learn_after": None},
        {"learn_after": 0},
        {"plane": 3},
        {"reader": 5},
    ],
    *[{"template": json.dumps(rows)} for rows in ([], [["a", [0, 0, 0], ""]] * 2, [["a", [7, 0, 0], ""]])],
    *[{"template": '[["a", [NaN, 0, 0], ""]]'}, {"template": "[" * 100_000}, {"training": [1]}],
    *[{"training": [{"name": "a", "image": image}]} for image in (None, 5, ["a.nii"])],
    *[{"training": [{"name": name, "image": "a.nii"}]} for name in (5, "../a", "a\nb", "a" * 300)],
    {"training": [{"name": "a", "image": "a.nii"}, {"name": "a", "image": "b.nii"}]},
]


def test_settings_that_are_damaged_are_told(project, capsys):
    path = project.folder / "project.json"
    whole = json.loads(path.read_text())
    for text in ("", "[]", *(json.dumps({**whole, **change}) for change in SETTINGS_THAT_CANNOT_BE)):
        path.write_text(text)
        assert act("status", "p") == 2, text
        assert "is damaged" in capsys.readouterr().err


def test_a_case_whose_image_has_lost_slices_since_it_was_proposed_is_still_accepted(project, here):
    key = ["--mask", "truth/anna.seg.nrrd", "--key-slice", "8"]
    assert act("next", "p", *key) == 0
    image = read_volume("images/anna.nii.gz")
    shorter = Volume(image.array_kji[:7], image.geometry.part((0, 0, 0), (7, *image.geometry.shape_kji[1:])))
    write_volume("images/anna.nii.gz", shorter)
    assert act("accept", "p", "anna", "truth/anna.seg.nrrd") == 0


def test_folders_that_a_copy_has_lost_are_made_again_and_nothing_is_taken_for_one(project, capsys):
    for folder in ("proposals", "labels", "work", "models"):
        (project.folder / folder).rmdir()
    assert act("next", "p", "--mask", "truth/anna.seg.nrrd") == 0
    assert act("accept", "p", "anna") == 0
    (project.folder / "models").rmdir()
    (project.folder / "models").write_text("a file")
    for words in (["next", "p"], ["learn", "p"]):
        assert act(*words) == 2
        assert "models' cannot be made" in capsys.readouterr().err


def test_a_proposal_by_disagreement_is_kept_and_the_least_agreed_case_comes_first(project, monkeypatch):
    from SegmentPropagateLib.cli import project_proposals

    accept_all(NAMES[:1])
    asked, values = [], {"berta": 0.9, "clara": 0.4, "doris": 0.7}

    def agreement(self, name, made):
        asked.append(name)
        return values[name]

    monkeypatch.setattr(project_proposals.Proposer, "agreement", agreement)
    assert act("next", "p", "--by", "disagreement") == 0
    assert states(project) == [DONE, PROPOSED, IN_WORK, PROPOSED]
    assert act("next", "p", "--by", "disagreement") == 0
    assert states(project) == [DONE, PROPOSED, IN_WORK, IN_WORK]
    assert asked == ["berta", "clara", "doris"]  # not again: nothing has changed


def test_cases_are_ranked_one_at_a_time_before_anybody_asks_and_once_for_a_model(project, monkeypatch, capsys):
    from SegmentPropagateLib.cli import project_proposals

    assert act("rank", "p") == 2
    assert "accept a case first" in capsys.readouterr().err
    accept_all(NAMES[:1])
    asked, values = [], {"berta": 0.9, "clara": 0.4, "doris": 0.7}

    def agreement(self, name, made):
        asked.append(name)
        return values[name]

    monkeypatch.setattr(project_proposals.Proposer, "agreement", agreement)
    for _time in range(2):
        assert act("rank", "p") == 0
        assert (asked, states(project)) == (["berta", "clara", "doris"], [DONE, PROPOSED, PROPOSED, PROPOSED])
    assert act("next", "p", "--by", "disagreement") == 0
    assert states(project)[2] == IN_WORK


def test_every_action_explains_its_options_and_has_an_example_that_it_takes(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "300")
    parser = make_parser()
    for action in ("init", "status", "next", "rank", "accept", "collect", "learn", "use", "report", "simulate"):
        with pytest.raises(SystemExit):
            parser.parse_args(["project", action, "--help"])
        text = capsys.readouterr().out
        options = re.findall(r"^  (-.*|[A-Z].*)\n( {24}\S)?", text, re.MULTILINE)
        assert [option for option, below in options if not below and not re.search(r"\S  +\S", option)] == [], action
        (example,) = re.findall(r"^example: segment-propagate (.*)$", text, re.MULTILINE)
        assert parser.parse_args(example.split()).action == action


@pytest.mark.parametrize("order", ORDERS)
def test_a_project_is_begun_with_any_order_that_it_knows(order):
    assert make_parser().parse_args(["project", "init", "p", "images", "--label", "a", "--by", order]).by == order
