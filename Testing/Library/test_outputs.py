"""A write that fails after any number of bytes leaves the older file and nothing else, whoever writes."""

import os
import sys

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from doubles import ThresholdPropagator, drawn_volume
from drawn_files import oblique_geometries, sentence_of
from failing_disk import contents, files_end_at
from PIL import Image
from tiny_training import CARD, ball, save_tiny, tiny_network, write_pair

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.files import Outputs
from SegmentPropagateLib.formats.reading import read_labels
from SegmentPropagateLib.formats.writing import check_output, write_segmentation, write_volume
from SegmentPropagateLib.networks.checkpoints import load_network, save_checkpoint
from SegmentPropagateLib.phantoms.phantom import cached_phantom
from SegmentPropagateLib.propagation.prompts import MaskPrompt
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.reports.overlay import write_overlay
from SegmentPropagateLib.reports.report import write_report
from SegmentPropagateLib.training.finetune import Conduct, finetune
from SegmentPropagateLib.training.run_files import RunFiles
from SegmentPropagateLib.training.settings import FinetuneSettings
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateLib.volumes.volume import Volume

SHAPE = (12, 40, 44)
GRID = Geometry(SHAPE, np.diag([-1.0, -1.0, 2.0, 1.0]))
NOISE = np.random.default_rng(0).integers(0, 200, SHAPE)  # packs badly


def segmentation(path):
    write_segmentation(path, {value: value == NOISE for value in range(1, 200)}, GRID)


def volume(path):
    write_volume(path, Volume(NOISE.astype(np.float32) / 7, GRID))


def overlay(path):
    drawn, mask = drawn_volume()
    session = Session(ThresholdPropagator(), drawn)
    session.add_key(1, 6, MaskPrompt(mask[6]))
    list(session.propagate(0, 11))
    write_overlay(path, session, [SegmentInfo(1, "organ", (0, 1, 0))])


def report(path):
    write_report(path, {"areas": NOISE.ravel()[:4000].tolist()})


def model(path):
    save_checkpoint(path, tiny_network().state_dict(), CARD)


def state(path):
    with Outputs() as outputs:
        RunFiles(path.with_name("run.pt")).write_state(
            {"weights": torch.rand(9000), "records": [], "start": None}, outputs
        )


def log(path):
    with Outputs() as outputs:
        records = [{"step": step, "loss": 1 / (step + 1)} for step in range(400)]
        RunFiles(path.with_name("run.pt")).write_log({}, records, None, outputs)


KINDS = {
    "labels.seg.nrrd": segmentation,
    "labels.nrrd": segmentation,
    "labels.nii.gz": segmentation,
    "labels.mha": segmentation,
    "image.nrrd": volume,
    "image.nii.gz": volume,
    "image.mha": volume,
    "picture.png": overlay,
    "report.json": report,
    "model.pt": model,
    "run.state.pt": state,
    "run.log.json": log,
    "run.curve.png": log,
}


@pytest.mark.parametrize("name", KINDS)
def test_a_write_that_fails_after_some_bytes_leaves_the_older_file_alone(name, tmp_path, capfd):
    (tmp_path / "new").mkdir()
    KINDS[name](tmp_path / "new" / name)
    size = (tmp_path / "new" / name).stat().st_size
    assert size > 4096, "the table needs a larger one"
    before = contents(tmp_path)
    for limit in (0, 1, 4096, size // 2, size - 1):
        for place in (tmp_path, tmp_path / "new"):  # none there before; an older one there
            with files_end_at(limit):
                sentence = sentence_of(KINDS[name], place / name)
            assert "Cannot write" in sentence
            assert "File too large" in sentence
            assert contents(tmp_path) == before, limit
    assert capfd.readouterr() == ("", "")  # nor does a library complain past us


def test_a_phantom_that_cannot_be_kept_is_no_file_of_the_cache(tmp_path):
    with files_end_at(4096):
        assert "Cannot write" in sentence_of(cached_phantom, tmp_path, 1, "contact", (8, 24, 24))
    assert contents(tmp_path) == {}


@pytest.fixture
def training(tmp_path):
    """What a training starts from, and where it writes."""
    write_pair(tmp_path / "data", "ann", *ball())
    return tmp_path / "data", save_tiny(tmp_path / "tiny.pt"), tmp_path / "run.pt"


def test_a_training_that_cannot_be_saved_ends_in_a_sentence_and_leaves_no_file(training, tmp_path, capsys):
    dataset, init, output = map(str, training)
    before = contents(tmp_path)
    words = ["finetune", dataset, "--init", init, "-o", output, "--steps", "1", "--slices", "2", "--batch", "1"]
    words += ["--validation", "0"]
    for limit in (1, 500_000):
        with files_end_at(limit):
            assert main(words) == 2
        assert contents(tmp_path) == before, limit
        assert "File too large" in capsys.readouterr().err.splitlines()[-1]


def test_a_training_that_cannot_be_saved_again_can_be_resumed_from_the_save_before(training, tmp_path):
    def stop(*_words):
        raise KeyboardInterrupt

    settings = FinetuneSettings(steps=2, batch=1, slices=2)
    with pytest.raises(KeyboardInterrupt):
        finetune(*training, settings, Conduct(save_seconds=0, tick=stop))
    before = contents(tmp_path)
    with files_end_at(500_000):
        sentence_of(finetune, *training, settings, Conduct(resume=True))
    assert contents(tmp_path) == before
    finetune(*training, settings, Conduct(resume=True))


@pytest.mark.parametrize("name", ["x" * 251 + ".pt", "x" * 246 + ".pt"], ids=["the model", "its curve"])
def test_a_model_whose_files_would_have_too_long_names_is_refused_before_the_training(name, tmp_path):
    assert "too long" in sentence_of(RunFiles(tmp_path / name).check, resume=False)
    assert contents(tmp_path) == {}


def test_a_full_disk_is_told_as_one_and_other_reasons_are_not(tmp_path, monkeypatch):
    def fail(*_arguments):
        raise OSError(28, "No space left on device")

    with files_end_at(0):
        assert "disk is full" not in sentence_of(segmentation, tmp_path / "o.nrrd")
    monkeypatch.setattr("os.fsync", fail)
    assert "the disk is full" in sentence_of(segmentation, tmp_path / "o.nrrd")


@pytest.mark.parametrize("ending", [".nrrd", ".nii.gz", ".mha"])
@pytest.mark.parametrize("kind", ["i1", "u2", "i2", ">i2", "i4", "u4", "f4", "f8"])
def test_a_volume_comes_back_as_it_was_with_numbers_of_every_type(ending, kind, tmp_path):
    values = (NOISE - 100 if "u" not in kind else NOISE).astype(kind)
    write_volume(tmp_path / f"o{ending}", Volume(values, Geometry(SHAPE, oblique_geometries()[0].ijk_to_ras)))
    back = sitk.ReadImage(str(tmp_path / f"o{ending}"))
    assert np.array_equal(sitk.GetArrayFromImage(back), values)
    assert sitk.GetArrayViewFromImage(back).dtype == np.dtype(kind).newbyteorder("=")


def test_a_volume_of_no_type_that_files_have_is_refused(tmp_path):
    for kind in (bool, np.float16, complex):
        assert "type" in sentence_of(write_volume, tmp_path / "o.nrrd", Volume(NOISE.astype(kind), GRID))
    assert "segmentations" in sentence_of(write_volume, tmp_path / "o.seg.nrrd", Volume(NOISE, GRID))
    assert contents(tmp_path) == {}


SLANTED = np.array([[-1, 0, 0.5, 0], [0, -1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("ending", [".seg.nrrd", ".nrrd", ".nii.gz", ".mha"])
def test_slanted_axes_are_written_into_no_kind_of_file(ending, tmp_path):
    path, grid = tmp_path / f"o{ending}", Geometry(SHAPE, SLANTED)
    assert "right angles, resample it" in sentence_of(write_segmentation, path, {1: NOISE == 1}, grid)
    if ending != ".seg.nrrd":
        assert "right angles, resample it" in sentence_of(write_volume, path, Volume(NOISE, grid))
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("ending", [".seg.nrrd", ".nrrd", ".nii.gz", ".mha"])
def test_axes_that_were_rounded_to_four_digits_are_written_where_itk_reads_them(ending, tmp_path):
    matrix = np.array([[-0.9563, 0.2924, 0, 5], [-0.2924, -0.9563, 0, 7], [0, 4e-4, 2, 9], [0, 0, 0, 1.0]])
    write_segmentation(tmp_path / f"o{ending}", {1: NOISE == 1}, Geometry(SHAPE, matrix))
    image = sitk.ReadImage(str(tmp_path / f"o{ending}"))
    np.testing.assert_allclose(
        image.TransformIndexToPhysicalPoint((4, 0, 0)), (matrix @ (4, 0, 0, 1))[:3] * (-1, -1, 1), atol=2e-3
    )


NAMES = (
    *("OUT.NII.GZ", "out.Nii.gz", "OUT.MHA", "OUT.NRRD", "OUT.SEG.NRRD", "case.img.nii.gz", "case.hdr.nii.gz"),
    *("case.nii.nii.gz", ".nii.gz", "-o.mha", "x" * 248 + ".nii.gz", "Ä ö 肺 %d %s mask.nii.gz", "a\nb.nrrd"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_accepted_can_be_written(name, tmp_path):
    mask = NOISE == 1
    check_output(tmp_path / name)
    write_segmentation(tmp_path / name, {1: mask}, GRID)
    assert list(contents(tmp_path)) == [name]
    (tmp_path / "plain.").mkdir()
    ending = next(e for e in (".nii.gz", ".mha", ".nrrd") if name.lower().endswith(e))
    plain = (tmp_path / name).rename(tmp_path / "plain." / f"o{ending}")
    assert (read_labels(plain).mask(1) == mask).all()


IMPOSSIBLE = ("x" * 249 + ".nii.gz", "肺" * 84 + ".nrrd", "a\0b.nrrd", "a\ud800b.nrrd")


@pytest.mark.parametrize("name", IMPOSSIBLE, ids=ascii)
def test_an_impossible_name_is_refused_before_the_work(name, tmp_path):
    sentence = sentence_of(check_output, tmp_path / name)
    assert "Cannot write" in sentence
    assert sentence == sentence_of(write_segmentation, tmp_path / name, {1: NOISE == 1}, GRID)
    assert contents(tmp_path) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="a system whose names are letters, not bytes")
@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".seg.nrrd", ".mha"])
def test_a_name_and_a_folder_in_latin_1_can_be_written_and_read(ending, tmp_path):
    folder = tmp_path / os.fsdecode(b"na\xefve")
    folder.mkdir()
    path = folder / os.fsdecode(b"\xe9" + ending.encode())
    check_output(path)
    write_segmentation(path, {1: NOISE == 1}, GRID)
    assert (read_labels(path).mask(1) == (NOISE == 1)).all()


def test_equal_files_are_written_for_equal_results(tmp_path):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        for name, write in KINDS.items():
            write(tmp_path / place / name)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    load_network(tmp_path / "a" / "model.pt")
    with Image.open(tmp_path / "a" / "picture.png") as picture:
        picture.load()
