"""A batch in which nothing is drawn: key slices are suggested from finished cases, or told in a list."""

import json
import shutil

import numpy as np
import pytest
from batch_bench import draw_case, rows, statuses
from cli_bench import BALL, OTHER, save
from doubles import ThresholdPropagator
from tiny_training import save_tiny

from SegmentPropagateLib.batch.jobs import find_jobs
from SegmentPropagateLib.cli import batch as command
from SegmentPropagateLib.cli import evaluate_all, main
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.formats.writing import write_segmentation
from SegmentPropagateLib.prompting.source import Proposal
from SegmentPropagateLib.volumes.labels import SegmentInfo


class Threshold:
    """A source that finds what is as bright as in the finished case, and is unsure of what is not quite."""

    def propose(self, volume, labels, support, plane, tick=None):
        case = read_volume(support.cases[0].case.image)
        mask = volume.array_kji[5] > case.array_kji.max() / 3
        if not mask.any():
            return [Proposal(label, "not here", reason="All is dark.") for label in labels]
        status = "found" if volume.array_kji.max() >= case.array_kji.max() else "unsure"
        return [Proposal(label, status, 5, mask, 2, 9, 0.9, "threshold", "It is dim.") for label in labels]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A finished case in `done`; in `new` a copy of it, a dim one, and air. The batch does them in this process."""
    monkeypatch.chdir(tmp_path)
    for name in ("done", "new"):
        (tmp_path / name).mkdir()
    values = (BALL * 100).astype(np.int16)
    save(tmp_path / "done" / "anna.nrrd", values)
    geometry = read_labels(tmp_path / "done" / "anna.nrrd").geometry
    segment = SegmentInfo(9, "Spleen", (1.0, 0.5, 0.0))
    write_segmentation(tmp_path / "done" / "anna.seg.nrrd", {9: BALL}, geometry, [segment])
    for name, factor in (("air", 0), ("berta", 1), ("dim", 0.5)):
        save(tmp_path / "new" / f"{name}.nrrd", (values * factor).astype(np.int16))

    def carry_out(tasks, crew):
        model = {"load_model": lambda *args, **options: ThresholdPropagator()} if crew.runner == command.RUNNER else {}
        work = (command if model else evaluate_all).start(crew.settings, **model)
        for task in tasks:
            yield task, work(task)

    for module in (command, evaluate_all):
        monkeypatch.setattr(module, "carry_out", carry_out)
    monkeypatch.setattr("SegmentPropagateLib.cli.drafts.find_source", lambda name: Threshold())
    return tmp_path


def batch(*words):
    return main(["batch", "new", "-o", "out", "--model", "classical", *map(str, words)])


def test_what_is_found_is_propagated_and_what_is_not_is_recorded_with_its_reason(here, capsys):
    assert batch("--support", "done") == 0
    told = capsys.readouterr().err.splitlines()
    assert "air has no result: Nothing was found. Spleen: not here. All is dark." in told
    unsure = "dim has no result: Nothing sure was found, --unsure takes the rest too. Spleen: slice 5, 2 to 9, unsure."
    assert f"{unsure} It is dim." in told
    assert statuses(here) == dict.fromkeys(("air", "berta", "dim"), "done")
    nothing = json.loads((here / "out" / "air" / "record.json").read_text())
    assert (nothing["outputs"], nothing["sentence"]) == ({}, "Nothing was found. Spleen: not here. All is dark.")
    assert [path.name for path in (here / "out" / "air").iterdir()] == ["record.json"]
    found = read_labels(here / "out" / "berta" / "segmentation.seg.nrrd")
    assert [segment.name for segment in found.segments] == ["Spleen"]
    assert [row["name"] for row in rows(here / "out" / "table.csv")] == ["", "Spleen", ""]
    page = (here / "out" / "index.html").read_text()
    assert "1 done, 2 without a result" in page
    assert page.count("nothing found") == 2
    assert batch("--support", "done") == 0
    assert capsys.readouterr().err.splitlines() == ["3 of 3 cases are done. See out/index.html."]
    assert batch("--support", "done", "--unsure") == 0
    assert (here / "out" / "dim" / "segmentation.seg.nrrd").is_file()


def test_another_set_of_finished_cases_makes_all_due_again_and_takes_back_what_is_not_found_now(here, capsys):
    assert batch("--support", "done") == 0
    assert (here / "out" / "berta" / "overlay.png").is_file()
    shutil.copytree(here / "done", here / "moved")
    capsys.readouterr()
    assert batch("--support", "moved") == 0  # the same content
    assert "to do" not in capsys.readouterr().err
    save(here / "moved" / "anna.nrrd", (BALL * 200).astype(np.int16))
    assert batch("--support", "moved") == 0
    told = capsys.readouterr().err
    assert "3 of 3 cases to do" in told
    assert "berta has no result" in told
    assert [path.name for path in (here / "out" / "berta").iterdir()] == ["record.json"]
    assert main(["evaluate-all", "out", "--quiet"]) == 2
    assert "anything to be told of" in capsys.readouterr().err


def test_another_network_that_reads_finished_cases_is_told_to_the_source_and_makes_all_due_again(
    here, capsys, monkeypatch
):
    read_by = []

    class Read(Threshold):
        def propose(self, volume, labels, support, plane, tick=None):
            read_by.append(support.model)
            return super().propose(volume, labels, support, plane, tick)

    monkeypatch.setattr("SegmentPropagateLib.cli.drafts.find_source", lambda name: Read())
    save_tiny(here / "reader.pt")
    for words in ((), ("--support-model", "reader.pt")):
        assert batch("--support", "done", *words) == 0
        assert "3 of 3 cases to do" in capsys.readouterr().err
    assert read_by == [None] * 3 + ["reader.pt"] * 3
    assert batch("--support", "done", "--support-model", "reader.pt") == 0
    assert "3 of 3 cases are done" in capsys.readouterr().err


def test_finished_cases_among_the_images_are_left_out(here, capsys):
    shutil.copy(here / "new" / "berta.nrrd", here / "done" / "carla.nrrd")
    assert main(["batch", "done", "--support", "done", "-o", "out", "--model", "classical"]) == 0
    assert "1 of 2 cases is left out, being finished in --support." in capsys.readouterr().err
    assert statuses(here) == {"carla": "done"}


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--support", "nowhere"], "nowhere"),
        (["--support", "done", "--label", "Liver"], "has no label 'Liver'"),
        (["--support", "done", "--key-slice", "3"], "not allowed with"),
        (["--support", "done", "--keys", "keys.csv"], "not allowed with"),
        (["--unsure"], "belongs to --support"),
        (["--support-model", "starter"], "belongs to --support"),
        (["--support", "done", "--support-model", "classical"], "no memory"),
        (["--support", "done", "-o", "done"], "lies where results"),
    ],
)
def test_mistakes_are_told_in_one_sentence_before_anything_is_made(here, capsys, words, part):
    before = sorted(here.rglob("*"))
    assert batch(*words) == 2
    told = capsys.readouterr().err
    assert part in told
    assert told.count("\n") == 1
    assert sorted(here.rglob("*")) == before


def test_a_case_in_which_nothing_was_found_counts_as_a_miss_against_its_reference(here, capsys):
    assert batch("--support", "done") == 0
    (here / "references").mkdir()
    for name in ("air", "berta", "dim"):
        shutil.copy(here / "done" / "anna.seg.nrrd", here / "references" / f"{name}.seg.nrrd")
    assert main(["evaluate-all", "out", "references", "--processes", "1"]) == 0
    assert "Each case is in a mean" in capsys.readouterr().err
    found = {row["case"]: float(row["dsc"]) for row in rows(here / "out" / "evaluation.csv")}
    assert (found["air"], found["dim"]) == (0, 0)
    assert found["berta"] > 0.5


def keyed(folder, text, name="keys.csv"):
    (folder / name).write_text(text)
    return find_jobs(folder / "cases", folder / name)


def test_a_list_of_keys_tells_slices_of_the_cases_that_it_names(tmp_path):
    for name in ("a", "b"):
        draw_case(tmp_path / "cases" / name, BALL | OTHER)
    a, b = keyed(tmp_path, "name,key_slice,first,last\nb,3 5,2,9\n")
    assert (a.options, b.options) == ({}, {"key_slice": [3, 5], "range": [2, 9]})
    assert b.inputs == {role: str(tmp_path / "cases" / "b" / f"{name}.nii.gz") for role, name in ROLES.items()}
    (tmp_path / "cases" / "b" / "labels.nii.gz").unlink()
    a, b = keyed(tmp_path, 'name,box,key_slice,object\nb,"1,2,3,4",3,ball\na,"5,6,7,8",4,\n')
    assert b.inputs == {"image": str(tmp_path / "cases" / "b" / "image.nii.gz")}
    assert b.options == {"box": [[1, 2, 3, 4]], "key_slice": [3], "name": ["ball"]}


ROLES = {"image": "image", "mask": "labels"}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("name,key_slice\nc,3\n", "has 'c' as name, which is no case"),
        ("key_slice\n3\n", "has '' as name"),
        ("name,key_slice\na,x\n", "as key_slice"),
        ("name,key_slice\na,3\na,4\n", "names a case twice"),
        ('name,box,key_slice\na,"1,2,3,4",3\n', "has no box for the case 'b'"),
    ],
)
def test_a_list_of_keys_that_does_not_fit_is_refused(tmp_path, text, part):
    for name in ("a", "b"):
        draw_case(tmp_path / "cases" / name)
    with pytest.raises(InputError, match=part):
        keyed(tmp_path, text)
    with pytest.raises(InputError, match="is no list"):
        find_jobs(tmp_path / "cases", tmp_path / "keys.txt")
