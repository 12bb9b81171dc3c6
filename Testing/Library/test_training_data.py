import json

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_training import ball, write_pair

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.cases import find_cases, find_images, find_labels
from SegmentPropagateLib.formats.reading import read_volume
from SegmentPropagateLib.formats.writing import write_segmentation
from SegmentPropagateLib.training.data import Library, gather, split
from SegmentPropagateLib.training.ranks import join
from SegmentPropagateLib.volumes.labels import SegmentInfo

TORCHRUN = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}


def _examples(dataset, skip_bad=False, told=None, **library):
    return gather(find_cases(dataset), Library(**library), skip_bad, (told if told is not None else []).append)


def _names(dataset):
    return [case.name for case in find_cases(dataset)]


def test_pairs_that_lie_side_by_side_are_found_and_read(tmp_path):
    for name in ("b", "a"):
        write_pair(tmp_path, name, *ball())
    (tmp_path / "notes.txt").write_text("no volume")
    examples, skipped = _examples(tmp_path)
    assert [example.case.name for example in examples] == ["a", "b"]
    assert examples[0].target.values == (1,)
    assert examples[0].target.slices == tuple(np.flatnonzero(ball()[1].sum((1, 2)) >= 12))
    assert skipped == []


def test_folders_of_images_and_labels_are_paired_by_name_as_nnunet_names_them(tmp_path):
    values, labels = ball()
    write_pair(tmp_path / "x", "liver_001", values, labels)
    for folder, source, name in (
        ("imagesTr", "liver_001", "liver_001_0000"),
        ("labelsTr", "liver_001_label", "liver_001"),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / "x" / f"{source}.nrrd").rename(tmp_path / folder / f"{name}.nrrd")
    assert _names(tmp_path) == ["liver_001"]


def test_a_folder_per_case_and_lists_give_the_same_pairs(tmp_path):
    values, labels = ball()
    for name in ("p1", "p2"):
        write_pair(tmp_path / name, "image", values, labels)
        (tmp_path / name / "image_label.nrrd").rename(tmp_path / name / "labels.nrrd")
    rows = [{"image": f"{name}/image.nrrd", "label": f"{name}/labels.nrrd"} for name in ("p1", "p2")]
    (tmp_path / "list.json").write_text(json.dumps({"training": rows}))
    (tmp_path / "list.csv").write_text("image,label\np1/image.nrrd,p1/labels.nrrd\np2/image.nrrd,p2/labels.nrrd\n")
    (tmp_path / "bare.csv").write_text("p1/image.nrrd,p1/labels.nrrd\np2/image.nrrd,p2/labels.nrrd\n")
    for dataset in (tmp_path, tmp_path / "list.json", tmp_path / "list.csv", tmp_path / "bare.csv"):
        assert find_cases(dataset)[1].labels.samefile(tmp_path / "p2" / "labels.nrrd")
        assert _names(dataset) == ["p1", "p2"]


CAPITALS = {
    "side by side": (("Ann.NII.GZ", "Ann_Label.NII.GZ"), "Ann"),
    "as Slicer saves": (("Ann.NRRD", "Ann.SEG.NRRD"), "Ann"),
    "segments beside a label of that name": (("Ann.nrrd", "Ann-Mask.Seg.nrrd"), "Ann"),
    "two folders": (("Images/Ann.nrrd", "Labels/Ann.SEG.NRRD"), "Ann"),
    "nnU-Net": (("IMAGESTR/Ann_0000.NII.GZ", "LabelsTR/Ann.NII.GZ"), "Ann"),
    "a folder each": (("Ann/Image.MHA", "Ann/LABELS.MHA"), "Ann"),
}


@pytest.mark.parametrize("layout", CAPITALS)
def test_capitals_make_no_difference_but_in_the_names_of_cases(tmp_path, layout):
    files, name = CAPITALS[layout]
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    image, labels = (tmp_path / file for file in files)
    assert [(case.name, case.image, case.labels) for case in find_cases(tmp_path)] == [(name, image, labels)]
    assert [case.labels for case in find_images(tmp_path)] == [labels]  # and no label file is an image


def test_label_files_alone_are_named_without_their_ends_whatever_their_capitals(tmp_path):
    for name in ("ann_Label.NII.GZ", "bob.SEG.NRRD"):
        (tmp_path / name).touch()
    assert {name: path.name for name, path in find_labels(tmp_path).items()} == {
        "ann": "ann_Label.NII.GZ",
        "bob": "bob.SEG.NRRD",
    }


def test_a_folder_per_case_may_hold_what_slicer_saves(tmp_path):
    write_pair(tmp_path / "p1", "image", *ball())
    (tmp_path / "p1" / "image_label.nrrd").rename(tmp_path / "p1" / "Segmentation.seg.nrrd")
    (case,) = find_cases(tmp_path)
    assert (case.name, case.labels.name) == ("p1", "Segmentation.seg.nrrd")


def lay_out(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("names", "image", "labels"),
    [
        (["a.nii.gz", "a.json", "a_seg.nii.gz", "a_seg.txt"], "a.nii.gz", "a_seg.nii.gz"),
        (["a/image.nii.gz", "a/image.txt", "a/labels.nii.gz", "a/labels.txt"], "a/image.nii.gz", "a/labels.nii.gz"),
        (["a/image.nrrd", "a/mask.nrrd", "a/mask.png", "a/._mask.nrrd"], "a/image.nrrd", "a/mask.nrrd"),
        (["images/a.nii.gz", "labels/a.nii.gz", "labels/a.npz", "labels/a.pkl"], "images/a.nii.gz", "labels/a.nii.gz"),
        (["images/a.nii.gz", "labels/a.nii.gz", "labels/a.seg.nrrd"], "images/a.nii.gz", "labels/a.seg.nrrd"),
        (["images/1.2.3/x.dcm", "labels/1.2.3.nrrd"], "images/1.2.3", "labels/1.2.3.nrrd"),
        (["a.nrrd", "a.npz", "a_label.nrrd"], "a.nrrd", "a_label.nrrd"),
        (["a.NPZ"], "a.NPZ", "a.NPZ"),
        (["a/lesion.NPZ"], "a/lesion.NPZ", "a/lesion.NPZ"),
        (["a.nii.gz", "a_label.seg.nrrd"], "a.nii.gz", "a_label.seg.nrrd"),  # as Slicer ends its names
    ],
)
def test_files_of_other_programs_beside_a_pair_do_no_harm(tmp_path, names, image, labels):
    (case,) = find_cases(lay_out(tmp_path, *names))
    assert (case.image, case.labels) == (tmp_path / image, tmp_path / labels)


def test_labels_of_other_programs_may_lie_beside_archives_of_theirs(tmp_path):
    lay_out(tmp_path, "a.nii.gz", "a.npz", "a.pkl", "b.nii.gz", "b.npz", "plans.json")
    assert find_labels(tmp_path) == {name: tmp_path / f"{name}.nii.gz" for name in "ab"}


def test_of_two_files_of_one_name_none_is_chosen(tmp_path):
    lay_out(tmp_path, "images/a.nii", "images/a.nii.gz", "labels/a.nii.gz")
    with pytest.raises(InputError, match="have one name"):
        find_cases(tmp_path)


def test_images_whose_results_would_be_one_file_on_some_disks_are_refused(tmp_path):
    lay_out(tmp_path, "Anna.nii.gz", "anna.nrrd")
    with pytest.raises(InputError, match="cases named 'Anna' and 'anna'"):
        find_images(tmp_path)


def test_series_in_folders_called_by_their_uids_are_told_apart(tmp_path):
    for uid in ("1.2.3.4", "1.2.3.5"):
        lay_out(tmp_path, f"{uid}/.DS_Store", f"{uid}/README.txt")
        (tmp_path / uid / "slice").write_bytes(bytes(128) + b"DICM")
    assert [case.name for case in find_images(tmp_path)] == ["1.2.3.4", "1.2.3.5"]
    (tmp_path / "list.csv").write_text("image,label\n1.2.3.4,a.nii\n1.2.3.5,b.nii\n")
    assert sorted(find_labels(tmp_path / "list.csv")) == ["1.2.3.4", "1.2.3.5"]


def test_the_layout_of_slm_sam2_is_read_in_the_order_of_the_slice_numbers(tmp_path):
    values, labels = ball(count=12)
    for kind, array, suffix in (
        ("images", values.astype(np.uint8), "jpg"),
        ("masks", labels.astype(np.uint8) * 3, "png"),
    ):
        (tmp_path / kind / "knee").mkdir(parents=True)
        for index, slice_ in enumerate(array):
            Image.fromarray(slice_).save(tmp_path / kind / "knee" / f"{index}.{suffix}")  # 10 sorts before 2 as text
    (example,), _ = _examples(tmp_path)
    volume = Library().load(example.case)
    assert example.target.values == (3,)
    assert np.array_equal(volume.masks((3,)), labels)
    assert np.abs(volume.stack.gray.astype(int) - values).mean() < 6  # JPEG


def test_medsam2_archives_hold_both_image_and_labels(tmp_path):
    values, labels = ball()
    np.savez_compressed(tmp_path / "lesion.npz", imgs=values.astype(np.uint8), gts=labels.astype(np.uint8))
    (example,), _ = _examples(tmp_path)
    assert example.case.name == "lesion"
    assert np.array_equal(Library().load(example.case).masks((1,)), labels)


def test_several_labels_are_several_targets_unless_some_are_asked_for(tmp_path):
    values, labels = ball()
    several = labels.astype(np.uint8)
    several[:, :, :20] *= 4
    write_pair(tmp_path, "a", values, several)
    assert [example.target.values for example in _examples(tmp_path)[0]] == [(1,), (4,)]
    assert [example.target.values for example in _examples(tmp_path, labels=[4])[0]] == [(4,)]
    with pytest.raises(InputError, match=r"Case 'a': .* does not show label 9 .*; it has label 1, label 4\. "):
        _examples(tmp_path, labels=[9])


def write_named(folder, case, **names):
    """A ball whose halves are labels of these names and numbers."""
    values, labels = ball()
    write_pair(folder, case, values, labels)
    (folder / f"{case}_label.nrrd").unlink()
    (left, first), (right, second) = names.items()
    masks = {first: labels & (np.arange(48) < 24), second: labels & (np.arange(48) >= 24)}
    segments = [SegmentInfo(first, left, (1, 0, 0)), SegmentInfo(second, right, (0, 1, 0))]
    geometry = read_volume(folder / f"{case}.nrrd").geometry
    write_segmentation(folder / f"{case}.seg.nrrd", masks, geometry, segments)


def test_labels_may_be_asked_for_by_names_whose_numbers_differ_between_cases(tmp_path):
    write_named(tmp_path, "a", Liver=1, Spleen=2)
    write_named(tmp_path, "b", Spleen=1, liver=3)
    found = [(example.case.name, example.target.values) for example in _examples(tmp_path, labels=["liver"])[0]]
    assert found == [("a", (1,)), ("b", (3,))]
    found = [(example.case.name, example.target.values) for example in _examples(tmp_path, labels=["SPLEEN", 3])[0]]
    assert found == [("a", (2,)), ("b", (1,)), ("b", (3,))]
    with pytest.raises(InputError, match=r"not show label 'kidney' .*; it has label 1 \(Liver\), label 2 \(Spleen\)\."):
        _examples(tmp_path, labels=["kidney"])


def test_a_name_that_two_labels_have_is_refused(tmp_path):
    write_named(tmp_path, "a", node=1, Node=2)
    with pytest.raises(InputError, match="has two labels of the name 'node': give the number"):
        _examples(tmp_path, labels=["node"])


def test_a_name_that_no_case_has_is_told_beside_those_that_there_are(tmp_path):
    write_named(tmp_path, "a", Liver=1, Spleen=2)
    library = Library(labels=["liver", "splene"])
    library.examples(find_cases(tmp_path)[0])
    with pytest.raises(InputError, match=r"No case has label 'splene'; they have label 1 \(Liver\)"):
        library.wanted.check()


def test_a_bad_pair_is_refused_by_name_or_left_out_as_asked(tmp_path):
    values, labels = ball()
    write_pair(tmp_path, "good", values, labels)
    write_pair(tmp_path, "void", values, np.zeros_like(labels))
    write_pair(tmp_path, "torn", values, labels)
    torn = tmp_path / "torn.nrrd"
    torn.write_bytes(torn.read_bytes()[:200])
    with pytest.raises(InputError, match="Case 'torn'"):
        _examples(tmp_path)
    told = []
    examples, skipped = _examples(tmp_path, skip_bad=True, told=told)
    assert [example.case.name for example in examples] == ["good"]
    assert skipped == ["torn", "void"]
    assert "'torn'" in told[0]
    assert "'void'" in told[1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1, 2]", "must hold a list"),
        ("{", "not valid JSON"),
        ('[{"image": "gone.nrrd", "label": "x.nrrd"}]', "Entry 1"),
        (json.dumps([{"image": "x" * 5000, "label": "x.nrrd"}]), "does not exist"),
        ('[{"image": "gone\\u0000.nrrd", "label": "x.nrrd"}]', "does not exist"),
        ("[" * 100_000, "nested too deep"),
        ("9" * 5000, "not valid JSON"),
        ('[{"image": "a.nrrd", "image": "b.nrrd", "label": "x.nrrd"}]', "'image' twice"),
        ('[{"name": NaN, "image": "a.nrrd", "label": "a.nrrd"}]', "does not exist|nan as name"),
    ],
)
def test_a_wrong_list_is_refused_in_one_sentence(tmp_path, content, words):
    path = tmp_path / "list.json"
    path.write_text(content)
    with pytest.raises(InputError, match=words) as told:
        find_cases(path)
    assert len(str(told.value)) < 600 + len(str(path))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";"])
def test_a_list_saved_by_excel_is_read(tmp_path, encoding, separator):
    write_pair(tmp_path, "Müller", *ball())
    rows = (("Name", "Image", "Label"), ("Jürgen", "Müller.nrrd", "Müller_label.nrrd"))
    text = "\r\n".join(separator.join(row) for row in rows)
    (tmp_path / "list.csv").write_bytes(text.encode(encoding))
    assert _names(tmp_path / "list.csv") == ["Jürgen"]


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\r\nname;image;label\r\nx;a.nii;a_seg.nii\r\n",
        '"sep=;"\r\nname;image;label\r\nx;a.nii;a_seg.nii\r\n',
        "sep=;;;\r\nname;image;label\r\nx;a.nii;a_seg.nii\r\n",
        "sep=,\nimage,label,name\na.nii,a_seg.nii,x\n",
        "name\timage\tlabel\nx\ta.nii\ta_seg.nii\n",
        "name,image,label\rx,a.nii,a_seg.nii\r",
        '\n\n"name","image","label"\n" x ","a.nii","a_seg.nii"\n',
        '"image","label","name","of ; which"\n"a.nii","a_seg.nii","x","1;2;3"\n',
    ],
    ids=[
        "told in its first line",
        "told in quotes",
        "told in a cell",
        "told to be the comma",
        "tabs",
        "ends of line of old",
        "quoted",
        "others in quotes",
    ],
)
def test_a_list_is_read_whatever_separates_its_cells_and_lines(tmp_path, text):
    (tmp_path / "list.csv").write_text(text, newline="")
    assert find_labels(tmp_path / "list.csv") == {"x": tmp_path / "a_seg.nii"}


def test_a_list_with_a_column_twice_is_refused(tmp_path):
    (tmp_path / "list.csv").write_text("image,image,label\na.nii,b.nii,c.nii\n")
    with pytest.raises(InputError, match="two columns named 'image'"):
        find_cases(tmp_path / "list.csv")


def test_a_field_of_a_list_that_never_ends_is_refused(tmp_path):
    (tmp_path / "list.csv").write_text("image,label\n" + "x" * 200_000 + ",y\n")
    with pytest.raises(InputError, match=r"no list in CSV|does not exist"):
        find_cases(tmp_path / "list.csv")


@pytest.mark.parametrize(
    "name", ["../../out", "a/b", "x" * 256, "bell\a", "C:evil", "dot.", "CON", "nul.tar", "com1 .x"]
)
def test_a_name_that_cannot_be_part_of_a_file_name_is_refused(tmp_path, name):
    write_pair(tmp_path, "a", *ball())
    rows = [{"name": name, "image": "a.nrrd", "label": "a_label.nrrd"}]
    (tmp_path / "list.json").write_text(json.dumps(rows))
    with pytest.raises(InputError, match=r"Entry 1 of .* is named") as told:
        find_cases(tmp_path / "list.json")
    assert str(told.value).isprintable()


def test_a_list_that_is_a_device_is_refused_unread(tmp_path):
    (tmp_path / "list.csv").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="no regular file"):
        find_cases(tmp_path / "list.csv")


@pytest.mark.parametrize(
    ("variables", "words"),
    [({"WORLD_SIZE": "2"}, "RANK is not"), ({"WORLD_SIZE": "two"}, "RANK is not"), ({"WORLD_SIZE": "1"}, None)]
    + [({**TORCHRUN, name: "x"}, "'x', not") for name in ("RANK", "MASTER_PORT")]
    + [({**TORCHRUN, "MASTER_PORT": "99999999"}, "cannot be met")],
)
def test_variables_of_torchrun_that_stand_alone_are_refused(variables, words, monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if words is None:
        assert join(torch.device("cpu")).count == 1
    else:
        with pytest.raises(InputError, match=words):
            join(torch.device("cpu"))


def test_an_empty_folder_says_how_to_name_pairs(tmp_path):
    with pytest.raises(InputError, match="NAME_label"):
        find_cases(tmp_path)


def test_an_image_without_labels_is_named(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    write_pair(tmp_path / "images", "lonely", *ball())
    with pytest.raises(InputError, match="lonely"):
        find_cases(tmp_path)


def test_whole_cases_are_set_aside_by_share_or_by_name(tmp_path):
    values, labels = ball()
    several = labels.astype(np.uint8)
    several[:, :, :20] *= 2
    for name in "abcde":
        write_pair(tmp_path, name, values, several)
    examples, _ = _examples(tmp_path)
    training, validating = split(examples, 0.4, seed=1)
    assert len({e.case.name for e in validating}) == 2
    assert not {e.case.name for e in validating} & {e.case.name for e in training}
    assert len(training) + len(validating) == 10
    assert split(examples, 0.4, seed=1) == (training, validating)
    assert {e.case.name for e in split(examples, ["c"], seed=1)[1]} == {"c"}
    assert split(examples, 0.0, seed=1)[1] == []
    with pytest.raises(InputError, match="no case 'z'"):
        split(examples, ["z"], seed=1)
    with pytest.raises(InputError, match="Nothing is left"):
        split(examples, list("abcde"), seed=1)


def test_the_library_reads_a_case_once_and_keeps_a_bounded_number(tmp_path, monkeypatch):
    for name in "abc":
        write_pair(tmp_path, name, *ball())
    cases = find_cases(tmp_path)
    library = Library(keep=2)
    first = library.load(cases[0])
    assert library.load(cases[0]) is first
    library.load(cases[1])
    library.load(cases[2])
    assert library.load(cases[0]) is not first
