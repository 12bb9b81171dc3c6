"""Comparison of label files that cover different parts of space."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.reports.common_grid import on_common_grid
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import Labels, default_segment

SPACING = (0.8, 0.8, 2.5)


def drawn(start=(0, 0, 0), shape=(12, 40, 48)):
    """The labels of a part of one image, k, j, i: a block on slices 3 to 8."""
    whole = np.zeros((12, 40, 48), dtype=np.uint8)
    whole[3:9, 10:30, 12:32] = 1
    image = sitk.GetImageFromArray(whole)
    image.SetSpacing(SPACING)
    image.SetOrigin((-20.0, 30.0, 40.0))
    k, j, i = (slice(first, first + size) for first, size in zip(start, shape, strict=True))
    return image[i, j, k]


def leaking():
    image = drawn()
    image[32:44, 10:30, 5:10] = 1
    return image


def figures(folder, prediction, reference, *words, capsys):
    for name, image in (("prediction", prediction), ("reference", reference)):
        sitk.WriteImage(image, str(folder / f"{name}.nrrd"))
    status = main(["evaluate", f"{folder}/prediction.nrrd", f"{folder}/reference.nrrd", "--json", *words])
    said = capsys.readouterr()
    return json.loads(said.out)["objects"][0] if status == 0 else said.err


CROP = {"start": (3, 10, 12), "shape": (6, 20, 20)}


@pytest.mark.parametrize("keys", [(), ("--key-slice", "5"), ("--key-slice", "9")], ids=["no key", "within", "beyond"])
def test_a_crop_of_the_reference_gives_the_figures_of_the_whole(keys, tmp_path, capsys):
    whole = figures(tmp_path, leaking(), drawn(), *keys, capsys=capsys)
    assert whole["dsc"] == 0.8  # 2400 voxels, and 1200 too many
    assert figures(tmp_path, leaking(), drawn(**CROP), *keys, capsys=capsys) == whole


def test_a_crop_of_the_prediction_gives_the_figures_of_the_whole(tmp_path, capsys):
    whole = figures(tmp_path, drawn(), leaking(), "--key-slice", "9", capsys=capsys)
    assert figures(tmp_path, drawn(**CROP), leaking(), "--key-slice", "9", capsys=capsys) == whole


def test_a_reference_stored_from_the_other_end_keeps_the_numbers_of_the_larger_file(tmp_path, capsys):
    flipped = sitk.Flip(drawn(**CROP), (False, False, True))
    whole = figures(tmp_path, leaking(), drawn(), "--key-slice", "9", capsys=capsys)
    assert figures(tmp_path, leaking(), flipped, "--key-slice", "9", capsys=capsys) == whole


def test_two_crops_of_one_grid_that_do_not_meet_score_nothing(tmp_path, capsys):
    far = drawn(**CROP)
    far.SetOrigin((-20.0 + 100 * 0.8, 30.0, 40.0))
    told = figures(tmp_path, far, drawn(**CROP), capsys=capsys)
    assert (told["dsc"], told["iou"], told["nsd"]) == (0, 0, 0)
    assert told["assd_mm"] > 40


def test_two_places_on_different_grids_are_refused(tmp_path, capsys):
    far = drawn(**CROP)
    far.SetOrigin((500.3, 30.0, 40.0))
    assert "different images" in figures(tmp_path, far, drawn(**CROP), capsys=capsys)


@pytest.mark.parametrize("voxels", [5e3, 1e6, 1e8])
def test_no_grid_is_made_over_two_far_places(voxels, tmp_path, capsys):
    far = drawn(**CROP)
    far.SetOrigin([place + voxels * step for place, step in zip(far.GetOrigin(), SPACING, strict=True)])
    assert "apart" in figures(tmp_path, far, drawn(**CROP), capsys=capsys)


def test_a_key_slice_counts_within_the_larger_file(tmp_path, capsys):
    assert "run from 0 to 11" in figures(tmp_path, drawn(), drawn(**CROP), "--key-slice", "12", capsys=capsys)


def test_a_coarser_prediction_is_compared_on_the_axes_of_the_reference():
    fine = Geometry((8, 20, 20), np.diag([1.0, 1.0, 1.0, 1.0]))
    coarse = Geometry((8, 8, 8), np.diag([4.0, 4.0, 1.0, 1.0]) + np.array([[0, 0, 0, 1.5]] * 2 + [[0] * 4] * 2))
    full = [Labels((np.ones(grid.shape_kji, dtype=np.uint8),), grid, (default_segment(1),)) for grid in (coarse, fine)]
    grid = on_common_grid(*full, "axial")
    assert grid.reference.geometry.shape_kji == (8, 32, 32)
    assert grid.prediction.mask(1).all()
    assert np.array_equal(np.argwhere(grid.reference.mask(1)).max(axis=0), [7, 19, 19])


def test_grids_that_cannot_be_told_in_whole_numbers_are_refused():
    tiny = Geometry((4, 4, 4), np.diag([1e-3, 1e-3, 1e-3, 1.0]))
    far = Geometry((4, 4, 4), np.diag([1.0, 1.0, 1.0, 1.0]) + np.array([[0, 0, 0, 1e9]] + [[0] * 4] * 3))
    full = [Labels((np.ones((4, 4, 4), dtype=np.uint8),), grid, (default_segment(1),)) for grid in (far, tiny)]
    with pytest.raises(InputError, match="too far apart"):
        on_common_grid(*full, "axial")
