"""Worklists: which images there are, where results go and that `finetune` finds them, states, resuming."""

import json
import threading
import time

import pytest

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.cases import find_cases
from SegmentPropagateLib.formats.worklist import DONE, IN_WORK, PROPOSED, TO_DO, Worklist, second_name, stamp_of
from SegmentPropagateLib.locking import locked


def make(folder, *names):
    """Files with a byte in them; a DICOM file where the name says so."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(128) + b"DICM" if path.suffix == ".dcm" else b"x")


LAYOUTS = {
    "side by side": (["a.nrrd", "b.nii.gz", "b_label.nii.gz"], "a.seg.nrrd", "b.seg.nrrd"),
    "images and labels": (["images/a.nrrd", "images/b.nrrd"], "labels/a.seg.nrrd", "labels/b.seg.nrrd"),
    "nnU-Net": (["imagesTr/a_0000.nii.gz", "imagesTr/b_0000.nii.gz"], "labelsTr/a.seg.nrrd", "labelsTr/b.seg.nrrd"),
    "a folder each": (
        ["a/image.nii.gz", "b/image.nii.gz", "b/mask.nii.gz"],
        "a/labels.seg.nrrd",
        "b/mask.seg.nrrd",
    ),
    "a list": (["scans/a.nrrd", "scans/b.nrrd"], "scans/a.seg.nrrd", "scans/b.seg.nrrd"),
    "DICOM folders": (["a/1.dcm", "b/1.dcm"], "a.seg.nrrd", "b.seg.nrrd"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_results_lie_where_finetune_finds_them(tmp_path, layout):
    images, *results = LAYOUTS[layout]
    make(tmp_path, *images)
    source = tmp_path
    if layout == "a list":
        source = tmp_path / "list.csv"
        source.write_text("image\nscans/a.nrrd\nscans/b.nrrd\n")
    worklist = Worklist.of(source)
    assert [case.labels for case in worklist.cases] == [tmp_path / name for name in results]
    make(tmp_path, *results)
    for case in worklist.cases:
        worklist.note(case.name, state=DONE)
    pairs = [(case.name, case.image, case.labels) for case in Worklist.of(source).cases]
    listed = find_cases(worklist.path)
    assert [(c.name, c.image.resolve(), c.labels.resolve()) for c in listed] == pairs
    if layout not in ("a list", "DICOM folders"):
        assert [(case.name, case.image, case.labels) for case in find_cases(tmp_path)] == pairs


@pytest.mark.parametrize("cell", ["", "   ", '" "'])
def test_a_row_without_labels_has_none_whatever_stands_for_that(tmp_path, cell):
    make(tmp_path, "a.nrrd")
    (tmp_path / "list.csv").write_text(f"image,label\na.nrrd,{cell}\n")
    (case,) = Worklist.of(tmp_path / "list.csv").cases
    assert (case.labels, case.draft, case.state) == (tmp_path / "a.seg.nrrd", None, TO_DO)
    with pytest.raises(InputError, match="must name an image and a label file"):
        find_cases(tmp_path / "list.csv")


def test_results_in_a_folder_of_their_own_are_listed_there(tmp_path):
    make(tmp_path, "scans/a.nrrd", "scans/b.nrrd", "out/a.seg.nrrd", "out/b.seg.nrrd")
    worklist = Worklist.of(tmp_path / "scans", tmp_path / "out")
    worklist.note("b", state=DONE)
    (pair,) = find_cases(tmp_path / "out" / "worklist.json")
    assert (pair.name, pair.labels) == ("b", tmp_path / "out" / "b.seg.nrrd")
    assert pair.image.resolve() == tmp_path / "scans" / "b.nrrd"
    assert not (tmp_path / "scans" / "worklist.json").exists()


def test_states_are_found_again_and_labels_nobody_looked_at_are_a_proposal(tmp_path):
    make(tmp_path, "a.nrrd", "b.nrrd", "c.nrrd", "c_label.nii.gz", "d.nrrd", "d.seg.nrrd")
    worklist = Worklist.of(tmp_path)
    assert [case.state for case in worklist.cases] == [TO_DO, TO_DO, PROPOSED, PROPOSED]
    assert [case.draft and case.draft.name for case in worklist.cases] == [None, None, "c_label.nii.gz", "d.seg.nrrd"]
    worklist.note("b", state=IN_WORK, kept={"keys": [1]})
    worklist.note("c", state=DONE)
    again = Worklist.of(tmp_path)
    assert [case.state for case in again.cases] == [TO_DO, IN_WORK, DONE, PROPOSED]
    assert again.case("b").kept == {"keys": [1]}


def test_work_is_resumed_where_it_stopped_and_goes_on_with_what_is_not_done(tmp_path):
    make(tmp_path, *(f"{name}.nrrd" for name in "abcd"))
    worklist = Worklist.of(tmp_path)
    assert worklist.resume().name == "a"
    worklist.note("c", state=IN_WORK)
    assert Worklist.of(tmp_path).resume().name == "c"
    worklist.note("c", state=DONE)
    assert Worklist.of(tmp_path).resume().name == "d"
    worklist.note("d", state=DONE)
    assert worklist.next("d").name == "a"  # from the start again
    assert (worklist.previous("c").name, worklist.previous("a")) == ("b", None)
    for name in "ab":
        worklist.note(name, state=DONE)
    assert worklist.next("b") is worklist.next(None) is worklist.resume() is None


def test_two_people_on_one_list_keep_each_others_states(tmp_path):
    make(tmp_path, "a.nrrd", "b.nrrd")
    one, other = Worklist.of(tmp_path), Worklist.of(tmp_path)
    one.note("a", state=DONE)
    other.note("b", state=IN_WORK)
    one.refresh()
    assert [case.state for case in one.cases] == [DONE, IN_WORK]


def test_what_another_notes_between_reading_and_writing_is_kept(tmp_path, monkeypatch):
    make(tmp_path, "a.nrrd", "b.nrrd")
    one, other = Worklist.of(tmp_path), Worklist.of(tmp_path)
    meanwhile, read = threading.Thread(target=lambda: other.note("b", state=DONE)), one.refresh

    def read_slowly():
        read()
        meanwhile.start()
        meanwhile.join(0.3)  # long enough for one that does not wait

    monkeypatch.setattr(one, "refresh", read_slowly)
    one.note("a", state=IN_WORK)
    meanwhile.join()
    assert [case.state for case in Worklist.of(tmp_path).cases] == [IN_WORK, DONE]


@pytest.mark.parametrize("kind", ["folders, results together", "lists in a folder"])
def test_lists_of_two_sources_that_share_the_file_keep_each_others_cases(tmp_path, kind):
    make(tmp_path, "one/a.nrrd", "other/b.nrrd", "out/a.seg.nrrd", "out/b.seg.nrrd")
    make(tmp_path, "one/a.seg.nrrd", "other/b.seg.nrrd")
    sources, results = [tmp_path / "one", tmp_path / "other"], tmp_path / "out"
    if kind == "lists in a folder":
        sources, results = [tmp_path / "one.csv", tmp_path / "other.csv"], None
        for source, image in zip(sources, ("one/a.nrrd", "other/b.nrrd"), strict=True):
            source.write_text(f"image\n{image}\n")
    one, other = (Worklist.of(source, results) for source in sources)
    one.note("a", state=DONE, kept={"keys": [1]})
    other.note("b", state=DONE)
    (case,) = Worklist.of(sources[0], results).cases
    assert (case.name, case.state, case.kept) == ("a", DONE, {"keys": [1]})
    pairs = [(found.name, found.image.resolve()) for found in find_cases(one.path)]
    assert pairs == [("a", tmp_path / "one/a.nrrd"), ("b", tmp_path / "other/b.nrrd")]


def test_what_others_have_done_is_not_learned_from_while_it_is_not_there(tmp_path):
    make(tmp_path, "one/a.nrrd", "other/b.nrrd", "out/a.seg.nrrd", "out/b.seg.nrrd")
    one, other = (Worklist.of(tmp_path / name, tmp_path / "out") for name in ("one", "other"))
    one.note("a", state=DONE)
    (tmp_path / "one" / "a.nrrd").rename(tmp_path / "a.nrrd")
    other.note("b", state=DONE)
    assert [case.name for case in find_cases(one.path)] == ["b"]
    (tmp_path / "a.nrrd").rename(tmp_path / "one" / "a.nrrd")
    assert [case.state for case in Worklist.of(tmp_path / "one", tmp_path / "out").cases] == [DONE]


def test_work_on_another_image_of_that_name_is_neither_shown_nor_overwritten(tmp_path):
    make(tmp_path, "one/a.nrrd", "other/a.nrrd", "out/a.seg.nrrd")
    Worklist.of(tmp_path / "one", tmp_path / "out").note("a", state=DONE)
    before = (tmp_path / "out" / "worklist.json").read_text()
    with pytest.raises(InputError, match="has the case 'a' with another image"):
        Worklist.of(tmp_path / "other", tmp_path / "out")
    assert (tmp_path / "out" / "worklist.json").read_text() == before


@pytest.mark.parametrize("how", ["moved", "by a link", "not begun"])
def test_a_case_goes_on_where_nothing_is_lost(tmp_path, how):
    make(tmp_path, "one/a.nrrd")
    (tmp_path / "out").mkdir()
    Worklist.of(tmp_path / "one", tmp_path / "out").note("a", state=TO_DO if how == "not begun" else IN_WORK)
    if how == "moved":
        (tmp_path / "one").rename(tmp_path / "other")
    elif how == "by a link":
        (tmp_path / "other").symlink_to(tmp_path / "one")
    else:
        make(tmp_path, "other/a.nrrd")
    (case,) = Worklist.of(tmp_path / "other", tmp_path / "out").cases
    assert case.state == (TO_DO if how == "not begun" else IN_WORK)


def test_a_case_that_is_not_of_the_list_is_told_of_in_one_sentence(tmp_path):
    make(tmp_path, "a.nrrd", "b.nrrd")
    worklist = Worklist.of(tmp_path)
    with pytest.raises(InputError, match="no case 'c': choose one of its 2"):
        worklist.note("c", state=DONE)
    assert not worklist.path.exists()


def test_a_list_that_stays_in_use_is_refused_and_not_written(tmp_path, monkeypatch):
    make(tmp_path, "a.nrrd")
    worklist = Worklist.of(tmp_path)
    seconds = iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))

    def refuse():
        raise AssertionError

    with (
        locked(tmp_path / ".worklist.json.lock", refuse),
        pytest.raises(InputError, match="in use by another program"),
    ):
        worklist.note("a", state=DONE)
    assert not worklist.path.exists()


def test_a_result_under_a_second_name_stays_that_of_its_case(tmp_path):
    make(tmp_path, "a.nrrd", "a.seg.nrrd")
    second = second_name(tmp_path / "a.seg.nrrd")
    assert second.name == "a (2).seg.nrrd"
    make(tmp_path, second.name)
    Worklist.of(tmp_path).note("a", labels=second, state=DONE)
    assert [(case.name, case.labels.name) for case in Worklist.of(tmp_path).cases] == [("a", second.name)]
    assert [case.labels.name for case in find_cases(tmp_path / "worklist.json")] == [second.name]
    assert second_name(tmp_path / "a.seg.nrrd").name == "a (3).seg.nrrd"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"cases": 3}', "[" * 100_000])
def test_a_damaged_list_is_refused_and_left_alone(tmp_path, content):
    make(tmp_path, "a.nrrd")
    (tmp_path / "worklist.json").write_text(content)
    with pytest.raises(InputError, match="is damaged or no worklist: mend it or move it away"):
        Worklist.of(tmp_path)
    assert (tmp_path / "worklist.json").read_text() == content


def test_odd_entries_of_a_list_are_passed_over(tmp_path):
    make(tmp_path, "a.nrrd")
    entries = {"a": {"state": "perfect", "labels": 7, "kept": []}, "gone": {"state": DONE}, "b": 3}
    (tmp_path / "worklist.json").write_text(json.dumps({"cases": entries, "last": 3}))
    (case,) = Worklist.of(tmp_path).cases
    assert (case.state, case.labels.name, case.kept) == (TO_DO, "a.seg.nrrd", {})


@pytest.mark.parametrize(
    "labels", ["../theirs/a.seg.nrrd", "{tmp}/theirs/a.seg.nrrd", "sub/a.seg.nrrd", "a\0.seg.nrrd"]
)
def test_no_list_leads_to_a_file_beside_those_of_its_results(tmp_path, labels):
    make(tmp_path / "mine", "a.nrrd")
    make(tmp_path / "theirs", "a.seg.nrrd")
    content = {"cases": {"a": {"state": DONE, "labels": labels.format(tmp=tmp_path)}}}
    (tmp_path / "mine" / "worklist.json").write_text(json.dumps(content))
    (case,) = Worklist.of(tmp_path / "mine").cases
    assert (case.labels, case.draft) == (tmp_path / "mine" / "a.seg.nrrd", None)


@pytest.mark.parametrize(
    ("source", "results", "words"),
    [("gone", None, "does not exist"), (".", None, "No image was found"), (".", "gone", "create it first")],
)
def test_nothing_to_list_is_said_in_one_sentence(tmp_path, source, results, words):
    with pytest.raises(InputError, match=words):
        Worklist.of(tmp_path / source, results and tmp_path / results)


def test_a_stamp_changes_with_the_file(tmp_path):
    path = tmp_path / "a"
    assert stamp_of(path) is None
    path.write_bytes(b"1")
    before = stamp_of(path)
    path.write_bytes(b"12")
    assert stamp_of(path) != before
