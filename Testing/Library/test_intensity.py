"""Presets: exact ranges, one mapping for the whole volume, the user's array untouched."""

import tracemalloc

import numpy as np
import pytest

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.volumes.intensity import is_ct, to_gray, water_of
from SegmentPropagateLib.volumes.presets import PRESET_OF, PRESETS


def ct(shape=(6, 8, 10)):
    return np.random.default_rng(0).integers(-1024, 2000, shape).astype(np.int16)


@pytest.mark.parametrize(
    ("preset", "width", "level"),
    [("brain", 80, 40), ("abdomen", 400, 40), ("bone", 1800, 400), ("lung", 1500, -600), ("mediastinum", 400, 40)],
)
def test_a_ct_window_is_black_below_and_white_above(preset, width, level):
    low, high = level - width / 2, level + width / 2
    assert PRESET_OF[preset].window_hu == (low, high)
    values = np.array([-5000, low, level, high, 5000], dtype=np.float32).reshape(1, 1, 5)
    np.testing.assert_array_equal(to_gray(values, preset).gray.ravel(), [0, 0, 128, 255, 255])


def test_the_full_ct_range_is_there():
    assert PRESET_OF["ct-full"].window_hu == (-1024, 2000)


def test_lists_show_what_a_preset_does():
    assert [preset.title for preset in PRESET_OF.values()] == [
        "Automatic",
        "CT brain (0 to 80 HU)",
        "CT abdomen (-160 to 240 HU)",
        "CT bone (-500 to 1300 HU)",
        "CT lung (-1350 to 150 HU)",
        "CT mediastinum (-160 to 240 HU)",
        "CT full range (-1024 to 2000 HU)",
        "Percentiles 0.5 to 99.5 (MR, PET, ultrasound)",
        "Lowest to highest value",
        "As stored (8 bit)",
    ]


def test_percentiles_are_those_of_the_foreground():
    values = np.zeros((10, 20, 20), dtype=np.float32)
    values[:, 5:15, 5:15] = np.linspace(1, 1000, 1000).reshape(10, 10, 10)
    result = to_gray(values, "percentile")
    assert result.low == pytest.approx(np.percentile(np.linspace(1, 1000, 1000), 0.5))
    assert result.high == pytest.approx(np.percentile(np.linspace(1, 1000, 1000), 99.5))
    assert result.gray[0, 0, 0] == 0
    assert result.gray.max() == 255


def test_padding_below_zero_is_no_foreground():
    values = np.full((4, 10, 10), -2000, dtype=np.int16)
    values[:, 2:8, 2:8] = 100
    values[:, 4:6, 4:6] = 300
    assert (to_gray(values, "percentile").low, to_gray(values, "percentile").high) == (100, 300)


def test_minmax_spans_everything_and_none_takes_values_as_they_are():
    values = np.array([-300, 0, 127, 255, 400], dtype=np.int16).reshape(1, 1, 5)
    assert (to_gray(values, "minmax").low, to_gray(values, "minmax").high) == (-300, 400)
    np.testing.assert_array_equal(to_gray(values, "none").gray.ravel(), [0, 0, 127, 255, 255])


@pytest.mark.parametrize(
    ("values", "modality", "preset"),
    [
        (ct(), None, "abdomen"),
        (ct(), "CT", "abdomen"),
        (ct(), "MR", "percentile"),
        (ct().astype(np.float32), None, "abdomen"),
        (np.abs(ct()), None, "percentile"),
        (np.abs(ct()), "CT", "abdomen"),
        ((ct() // 50).astype(np.int8), None, "percentile"),
        (np.abs(ct() % 256).astype(np.uint8), "CT", "none"),
    ],
)
def test_auto_goes_by_modality_and_range(values, modality, preset):
    result = to_gray(values, "auto", modality)
    assert result.preset == preset
    np.testing.assert_array_equal(result.gray, to_gray(values, preset).gray)


def crop(**parts):
    """HU of a crop without air: fat and tissue, and what else is asked for as `(value, share)`."""
    shares = {**parts, "fat": (-100, 0.15), "bone": (400, 0.1), "tissue": (50, 1.0), **parts}
    values = np.concatenate([np.full(round(20_000 * share), value) for value, share in shares.values()])
    values = np.resize(values, (10, 20, 100))  # tissue is what is left
    return values + np.random.default_rng(0).normal(0, 15, values.shape)


@pytest.mark.parametrize(
    ("values", "hounsfield"),
    [
        (crop(), True),
        (crop(gas=(-1000, 1 / 20_000)), True),
        (crop().astype(np.int16), True),
        (crop(lung=(-400, 0.3)), True),
        (crop() + 1024, False),
        (crop(fat=(-100, 0.0)), False),
        (crop(background=(-8000, 0.01)), False),
        (crop() / 100, False),
        (np.where(np.abs(crop() - 50) < 10, 0, crop()), False),
        (np.random.default_rng(0).integers(-4096, 4096, (10, 20, 100)), False),
        (crop(gas=(-1000, 0.1)).clip(0, 255).astype(np.uint8), False),
    ],
    ids=["no air", "bubble", "whole", "lung", "shifted", "no fat", "below air", "scores", "zeros", "phases", "bytes"],
)
def test_a_crop_of_ct_without_air_is_known_by_fat_and_tissue(values, hounsfield):
    assert is_ct(values) == hounsfield


RAISED = {
    "raised": (crop(gas=(-1000, 0.3)) + 1024, None, 1024),
    "raised and padded": (crop(gas=(-1000, 0.3), padding=(-2000, 0.1)) + 1024, None, 1024),
    "raised, said to be CT": (crop(gas=(-1000, 0.3)) + 1024, "CT", 1024),
    "raised, said to be MR": (crop(gas=(-1000, 0.3)) + 1024, "MR", None),
    "Hounsfield units": (crop(gas=(-1000, 0.3)), None, 0),
    "no air": (crop() + 1024, None, None),
    "inverted": (900 - 1.6 * crop(gas=(-1000, 0.3)).clip(-200, 300), None, None),
    "another image": (np.random.default_rng(0).gamma(2, 300, (10, 20, 100)), None, None),
}


@pytest.mark.parametrize("kind", RAISED)
def test_ct_that_lost_its_intercept_is_known_by_air_fat_and_tissue(kind):
    values, modality, water = RAISED[kind]
    assert water_of(values, modality) == water


def test_ct_that_was_cut_to_a_window_is_known_however_much_air_is_around():
    assert is_ct(crop(gas=(-1000, 0.6)).clip(-160, 240))


@pytest.mark.parametrize("preset", PRESETS)
def test_the_mapping_belongs_to_the_volume_and_not_to_a_slice(preset):
    values = ct() + np.arange(6, dtype=np.int16)[:, None, None] * 100
    gray = to_gray(values, preset).gray
    for axis in range(3):
        turned = np.moveaxis(values, axis, 0)
        np.testing.assert_array_equal(to_gray(turned, preset).gray, np.moveaxis(gray, axis, 0))
        np.testing.assert_array_equal(to_gray(np.flip(values, axis), preset).gray, np.flip(gray, axis))


@pytest.mark.parametrize("preset", PRESETS)
def test_nan_and_infinities_are_counted_and_replaced_on_a_copy(preset):
    values = ct().astype(np.float32)
    clean = values.copy()
    clean[0, 0, :2] = values.min()
    values[0, 0, :4] = np.nan, -np.inf, np.inf, np.inf
    clean[0, 0, 2:4] = clean.max()
    before = values.copy()
    result = to_gray(values, preset)
    assert result.nonfinite_voxels == 4
    assert result.note.startswith("4 voxels held NaN or infinity")
    np.testing.assert_array_equal(values, before)
    np.testing.assert_array_equal(result.values, clean)
    np.testing.assert_array_equal(result.gray, to_gray(clean, preset).gray)


def test_a_finite_volume_is_not_copied_and_stays_writable():
    values = ct()
    result = to_gray(values)
    assert result.nonfinite_voxels == 0
    assert result.note == ""
    assert np.shares_memory(result.values, values)
    assert values.flags.writeable
    assert not result.values.flags.writeable


def test_a_volume_without_any_number_is_refused():
    with pytest.raises(InputError, match="every voxel is NaN or infinite"):
        to_gray(np.full((2, 3, 4), np.nan))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("value", [0, -1000, 7])
def test_a_constant_volume_gives_one_gray(preset, value):
    assert len(np.unique(to_gray(np.full((3, 4, 5), value, dtype=np.int16), preset).gray)) == 1


@pytest.mark.parametrize("preset", ["percentile", "minmax"])
def test_two_values_become_black_and_white(preset):
    values = np.zeros((4, 5, 6), dtype=np.int16)
    values[1:3, 1:4, 2:4] = 100
    np.testing.assert_array_equal(to_gray(values, preset).gray, np.where(values, 255, 0))


def test_an_unknown_preset_is_refused_with_the_choices():
    with pytest.raises(InputError, match="Unknown intensity preset 'liver': choose one of auto, brain, abdomen"):
        to_gray(ct(), "liver")


@pytest.mark.parametrize("preset", ["abdomen", "percentile"])
def test_memory_stays_at_the_volume_s_own_type(preset):
    values = ct((40, 128, 128))  # 1.3 MB of int16
    tracemalloc.start()
    to_gray(values, preset)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * values.nbytes  # float64 alone would be 4
