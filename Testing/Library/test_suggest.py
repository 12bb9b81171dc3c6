"""`suggest` and `propagate --support` as a user types them, on drawn bodies."""

import json

import numpy as np
import pytest
from doubles import ThresholdPropagator

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.cli import propagate as command
from SegmentPropagateLib.formats.reading import read_labels
from SegmentPropagateLib.formats.writing import write_segmentation, write_volume
from SegmentPropagateLib.phantoms.bodies import make_body
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateLib.volumes.volume import Volume

NAMES = {4: "Pancreas", 9: "Spleen", 14: "Kidney"}
SEGMENTS = [SegmentInfo(value, name, (1.0, 0.5, 0.0)) for value, name in NAMES.items()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished case, its image alone, an image of air and one of another modality."""
    folder = tmp_path_factory.mktemp("suggest")
    phantom = make_body(0, mm=6.0, cropped=False).phantom  # taken for voxels of 3 mm: quick
    values, labels = phantom.values[26:50].copy(), phantom.labels[26:50].copy()
    geometry = Geometry(values.shape, np.diag([-3.0, -3.0, 3.0, 1.0]))
    (folder / "cases").mkdir()
    for path in (folder / "cases" / "anna.nrrd", folder / "image.nrrd"):
        write_volume(path, Volume(values, geometry))
    masks = {value: labels == value for value in NAMES}
    write_segmentation(folder / "cases" / "anna.seg.nrrd", masks, geometry, SEGMENTS)
    write_volume(folder / "air.nrrd", Volume(np.full_like(values, -1000), geometry))
    write_volume(folder / "other.nrrd", Volume((np.abs(values) % 300 + 5).astype(np.int16), geometry))
    return folder


@pytest.fixture
def double(monkeypatch):
    propagator = ThresholdPropagator()
    monkeypatch.setattr(command, "load_model", lambda *args, **options: propagator)
    return propagator


def run(folder, *words, image="image.nrrd", command="suggest"):
    return main([command, str(folder / image), "--support", str(folder / "cases"), *map(str, words)])


def truth(folder):
    return read_labels(folder / "cases" / "anna.seg.nrrd")


def test_drafts_are_written_told_and_reported(folder, tmp_path, capsys):
    draft, report, picture = (tmp_path / name for name in ("draft.seg.nrrd", "report.json", "draft.png"))
    assert run(folder, "-o", draft, "--report", report, "--overlay", picture) == 0
    told = capsys.readouterr().err.splitlines()
    proposals = json.loads(report.read_text())["proposals"]
    assert [(entry["label"], entry["name"], entry["status"]) for entry in proposals] == [
        (value, name, "found") for value, name in NAMES.items()
    ]
    drawn, reference = read_labels(draft), truth(folder)
    for line, entry in zip(told, proposals, strict=True):
        there = np.flatnonzero(reference.mask(entry["label"]).any(axis=(1, 2)))
        assert [entry["first"], entry["last"]] == [there[0], there[-1]]
        assert line == f"{entry['name']}: slice {entry['key_slice']}, {there[0]} to {there[-1]}, sure"
        assert np.array_equal(drawn.mask(entry["label"]), reference.mask(entry["label"]))
        assert set(entry) >= {"key_slice", "first", "last", "confidence", "source", "reason"}
    assert [segment.name for segment in drawn.segments] == list(NAMES.values())
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_labels_are_chosen_by_name_or_number_and_quiet_says_nothing(folder, tmp_path, capsys):
    draft = tmp_path / "draft.nrrd"
    assert run(folder, "--label", "spleen", 4, "-o", draft, "--quiet") == 0
    assert capsys.readouterr().err == ""
    assert read_labels(draft).values == (4, 9)


MISTAKES = {
    "no such folder": (["--support", "nowhere", "-o", "draft.nrrd"], "nowhere"),
    "no such label": (["--label", "Liver", "-o", "draft.nrrd"], "has no label 'Liver'"),
    "no such source": (["--source", "oracle", "-o", "draft.nrrd"], "oracle"),
    "output over an input": (["-o", "image.nrrd"], "given for IMAGE and for --output"),
    "picture of another kind": (["-o", "draft.nrrd", "--overlay", "draft.jpg"], ".png"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes_are_told_in_one_sentence(folder, kind, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    words, told = MISTAKES[kind]
    assert run(folder, *words) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not (folder / "draft.nrrd").exists()


@pytest.mark.parametrize(("image", "why"), [("air.nrrd", "shows no body"), ("other.nrrd", "modality")])
@pytest.mark.parametrize("name", ["suggest", "propagate"])
def test_where_nothing_is_each_reason_is_told_once_and_nothing_is_written(folder, tmp_path, image, why, name, capsys):
    draft = tmp_path / "draft.nrrd"
    assert run(folder, "-o", draft, image=image, command=name) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.count(why) == 1
    assert "Nothing was found. Pancreas, Spleen, Kidney: not here. " in error
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_suggestion_leaves_nothing(folder, tmp_path, monkeypatch, capsys):
    def interrupt(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("SegmentPropagateLib.cli.suggest.write_report", interrupt)
    assert run(folder, "--label", 9, "-o", tmp_path / "draft.nrrd", "--report", tmp_path / "report.json") == 130
    assert list(tmp_path.iterdir()) == []
    capsys.readouterr()


def test_finished_cases_are_propagated_each_object_in_its_own_range(folder, tmp_path, double, capsys):
    out, report = tmp_path / "out.seg.nrrd", tmp_path / "report.json"
    assert run(folder, "-o", out, "--report", report, command="propagate") == 0
    told = json.loads(report.read_text())
    assert [entry["name"] for entry in told["proposals"]] == list(NAMES.values())
    for entry, thing in zip(told["proposals"], told["objects"], strict=True):
        assert thing["key_slices"] == [entry["key_slice"]]
        slices = [row["slice"] for row in thing["slices"]]
        assert (slices[0], slices[-1]) == (entry["first"], entry["last"])
        key = truth(folder).mask(entry["label"])[entry["key_slice"]]
        assert np.array_equal(read_labels(out).mask(entry["label"])[entry["key_slice"]], key)
    assert "Spleen: slice" in capsys.readouterr().err
    assert len(double.runs) == 1  # all at once
    ends = {(lane.object_id, end) for lane in double.runs[0] for end in lane.given_ends}
    assert ends == {(entry["label"], entry[end]) for entry in told["proposals"] for end in ("first", "last")}


def test_a_typed_range_takes_the_place_of_the_suggested_ones(folder, tmp_path, double):
    report = tmp_path / "report.json"
    words = ("--label", 9, "--range", "8:20", "-o", tmp_path / "out.nrrd", "--report", report, "--quiet")
    assert run(folder, *words, command="propagate") == 0
    slices = [row["slice"] for row in json.loads(report.read_text())["objects"][0]["slices"]]
    assert (slices[0], slices[-1]) == (8, 20)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--key-slice", "3"], "--key-slice does not go with --support"),
        (["--name", "Spleen"], "--name does not go with --support"),
        (["--mask", "labels.nrrd"], "not allowed with argument"),
    ],
)
def test_what_is_suggested_cannot_be_typed_as_well(folder, tmp_path, words, why, capsys):
    assert run(folder, *words, "-o", tmp_path / "out.nrrd", command="propagate") == 2
    assert why in capsys.readouterr().err


def test_unsure_alone_means_nothing(folder, tmp_path, capsys):
    words = ["--box", "1,1,5,5", "--key-slice", "3", "--unsure", "-o", str(tmp_path / "out.nrrd")]
    assert main(["propagate", str(folder / "image.nrrd"), *words]) == 2
    assert "--unsure belongs to --support" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["suggest", "--support", "cases", "--source", "atlas", "--model", "starter"], "leave it out with atlas"),
        (["suggest", "--support", "cases", "--source", "atlas-memory", "--model", "classical"], "no memory"),
        (["propagate", "--box", "1,1,5,5", "--support-model", "starter"], "belongs to --support"),
    ],
    ids=lambda words: words[-1] if isinstance(words, list) else "",
)
def test_a_network_for_finished_cases_goes_with_sources_that_have_a_memory(
    folder, tmp_path, monkeypatch, capsys, words, told
):
    monkeypatch.chdir(folder)
    assert main([words[0], "image.nrrd", *words[1:], "-o", str(tmp_path / "out.nrrd")]) == 2
    assert told in capsys.readouterr().err
