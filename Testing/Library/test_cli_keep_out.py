"""What `--keep-out` names is left out of propagated slices, and an outline that somebody drew stays as it is."""

import json

import numpy as np
from cli_bench import BALL, SPACING, double, here, inputs, out, propagate, read, save  # noqa: F401
from doubles import ThresholdPropagator, drawn_volume

from SegmentPropagateLib.propagation.prompts import BoxPrompt, MaskPrompt
from SegmentPropagateLib.propagation.session import Session

RIGHT = np.zeros_like(BALL)
RIGHT[:, :, 8:] = True


def test_the_result_leaves_the_neighbors_out_but_for_the_outline_that_was_drawn(double, out):
    save(out.parent / "right.nrrd", RIGHT.astype(np.uint8) * 7)
    report = out.with_suffix(".json")
    words = ("--mask", "labels.nii.gz", "--label", 1, "--key-slice", 5, "--range", "2:9", "--report", report)
    assert propagate("image.nii.gz", *words, "--keep-out", out.parent / "right.nrrd", "-o", out) == 0
    found = read(out)
    assert not found[RIGHT][np.nonzero(RIGHT)[0] != 5].any()
    assert (found[5] == BALL[5]).all()
    assert (found[4] > 0)[BALL[4] & ~RIGHT[4]].all()
    told = json.loads(report.read_text())
    assert told["keep_out"] == "right.nrrd"
    assert sum(one["area"] for one in told["objects"][0]["slices"]) == np.count_nonzero(found)


def test_the_neighbors_may_lie_on_another_grid(double, out):
    save(out.parent / "coarse.nrrd", RIGHT[:, ::2, ::2].astype(np.uint8), (3.0, 3.0, 3.0), (-9.25, 5.75, 3.0))
    words = ("--mask", "labels.nii.gz", "--label", 1, "--key-slice", 5)
    assert propagate("image.nii.gz", *words, "--keep-out", out.parent / "coarse.nrrd", "-o", out) == 0
    assert not read(out)[4][RIGHT[4]].any()


def test_an_object_outlined_within_what_is_kept_out_is_refused_by_its_name_and_slice(double, out, capsys):
    words = ("--mask", "labels.nii.gz", "--label", 1, "--key-slice", 5, "--keep-out", "labels.nii.gz")
    assert propagate("image.nii.gz", *words, "-o", out) == 2
    told = capsys.readouterr().err
    assert "label 1 on key slice 5 lies within the segments of 'labels.nii.gz'" in told
    assert not out.exists()


def test_the_output_may_not_take_the_place_of_what_is_kept_out(double, out, capsys):
    save(out, RIGHT.astype(np.uint8))
    words = ("--mask", "labels.nii.gz", "--label", 1, "--keep-out", out, "-o", out)
    assert propagate("image.nii.gz", *words) == 2
    assert "is given for --keep-out and for --output" in capsys.readouterr().err


def test_a_box_on_a_key_slice_and_a_confirmed_slice_leave_the_neighbors_out_on_every_plane():
    volume, truth = drawn_volume()
    right = np.zeros_like(truth)
    right[:, :, 12:] = True
    for plane in ("axial", "coronal"):
        session = Session(ThresholdPropagator(), volume, plane=plane, keep_out=right)
        rows, columns = session.stack.slice_shape
        session.add_key(1, 6, BoxPrompt((0, 0, columns - 1, rows - 1)))
        list(session.propagate())
        session.confirm(1, 7)
        assert (session.masks()[1] == (truth & ~right)).all()


def test_without_it_an_outline_propagates_as_before():
    volume, truth = drawn_volume()
    session = Session(ThresholdPropagator(), volume)
    session.add_key(1, 6, MaskPrompt(truth[6]))
    list(session.propagate())
    assert (session.masks()[1] == truth).all()
