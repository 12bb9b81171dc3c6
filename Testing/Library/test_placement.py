"""Where a template lies: correlation against brute force, and places against a known shift."""

import numpy as np
import pytest

from SegmentPropagateLib.phantoms.bodies import make_body
from SegmentPropagateLib.prompting.atlas.grid import MM, Lattice, body_of, resample
from SegmentPropagateLib.prompting.atlas.placement import APART_MM, masked_ncc, places
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.volume import Volume


def brute_force(volume, inside, template, within):
    """The definition, offset by offset."""
    shape = [a + b - 1 for a, b in zip(inside.shape, within.shape, strict=True)]
    score, common = np.zeros(shape), np.zeros(shape)
    for index in np.ndindex(*shape):
        start = np.array(index) - np.array(within.shape) + 1
        low = np.maximum(start, 0)
        high = np.minimum(start + within.shape, inside.shape)
        mine = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        other = tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))
        both = (inside[mine] > 0) & (within[other] > 0)
        common[index] = both.sum()
        a, b = volume[(slice(None), *mine)][:, both], template[(slice(None), *other)][:, both]
        if a.size and a.std() > 0 and b.std() > 0:
            score[index] = ((a - a.mean()) * (b - b.mean())).mean() / a.std() / b.std()
    return score, common


@pytest.mark.parametrize("channels", [1, 3])
def test_masked_correlation_is_that_of_brute_force(channels):
    rng = np.random.default_rng(channels)
    volume = rng.random((channels, 6, 7, 5), np.float32)
    template = rng.random((channels, 4, 5, 6), np.float32)
    inside = (rng.random(volume.shape[1:]) < 0.8).astype(np.float32)
    within = (rng.random(template.shape[1:]) < 0.8).astype(np.float32)
    score, common = masked_ncc(volume, inside, template, within)
    wanted, count = brute_force(volume, inside, template, within)
    assert np.array_equal(common, count)
    enough = count * channels >= 8  # of fewer numbers the spread is lost in single precision
    assert np.abs(score - wanted)[enough].max() < 1e-3


def test_correlation_with_a_constant_is_nothing():
    ones = np.ones((4, 4, 4), np.float32)
    score, _ = masked_ncc(ones[None], ones, np.random.default_rng(0).random((1, 4, 4, 4), np.float32), ones)
    assert np.abs(score).max() == 0


def drawn(cut):
    values = make_body(0, mm=6.0, cropped=False).phantom.values[cut].copy()
    return body_of(Volume(values, Geometry(values.shape, np.diag([-MM, -MM, MM, 1.0]))))


def test_a_part_that_reaches_beyond_a_body_ends_with_it_on_the_lattice_as_in_the_image():
    body = drawn(slice(30, 54))
    part = body.part((slice(3, 99), slice(0, 7), slice(5, 999)))
    shape = (body.gray.shape[0] - 3, 7, body.gray.shape[2] - 5)
    assert part.lattice.shape == part.gray.shape == part.inside.shape == shape
    assert np.allclose(part.lattice.origin_mm - body.lattice.origin_mm, [3 * MM, 0, 5 * MM])


def test_the_best_place_of_a_stretch_of_a_body_is_where_it_was_cut_out_and_the_others_are_apart():
    body, part = drawn(slice(20, 60)), drawn(slice(30, 54))
    found = places(body, part)
    assert np.allclose(found[0].scale, 1)
    assert found[0].shift[0] == pytest.approx(-10, abs=1)  # slices; the search goes in steps of two
    assert [place.score for place in found] == sorted((place.score for place in found), reverse=True)
    middle = (np.array(body.body.shape) - 1) / 2
    at = [middle * place.scale + place.shift for place in found]
    assert all(MM * np.abs(at[a] - at[b]).max() >= APART_MM for a in range(len(at)) for b in range(a))


def test_a_mean_over_the_voxels_that_a_grid_step_covers_is_taken():
    fine = np.arange(24, dtype=np.float32)[:, None, None] * np.ones((1, 24, 24), np.float32)
    geometry = Geometry(fine.shape, np.diag([1.0, 1.0, 1.0, 1.0]))
    body = body_of(Volume(fine + 100, geometry))
    values = resample(fine, geometry, body.lattice)
    assert np.allclose(np.diff(values[:, 0, 0]), MM, atol=1e-4)


@pytest.mark.parametrize(
    ("modality", "stored", "expected"), [(None, np.int16, True), ("MR", np.int16, False), ("CT", np.uint8, False)]
)
def test_a_crop_with_one_voxel_of_air_is_ct_although_the_grid_has_no_air_left(modality, stored, expected):
    values = np.random.default_rng(0).normal(60, 12, (40, 40, 40))
    values[3, 3, 3] = -1000
    found = body_of(
        Volume(
            values.clip(np.iinfo(stored).min, np.iinfo(stored).max).astype(stored),
            Geometry(values.shape, np.eye(4)),
            modality=modality,
        )
    )
    assert found.is_ct == expected


@pytest.mark.parametrize("size_mm", [1.0, 2.0, 5.0])
def test_the_reach_of_a_mask_on_the_grid_has_all_of_it(size_mm):
    """Outlines are kept where they are, which for a hundred labels of a whole body is a hundredth of the memory."""
    lattice = Lattice(np.array([-20.0, -31.0, -12.0]), (20, 24, 18))
    mask = np.ones((4, 3, 5), bool)
    for corner in ([-20.0, -31.0, -12.0], [3.7, 2.2, 9.9], [60.0, 3.0, 3.0], [-90.0, 3.0, 3.0]):
        matrix = np.diag([-size_mm, size_mm, size_mm, 1.0])
        matrix[:3, 3] = corner
        geometry = Geometry(mask.shape, matrix)
        whole = resample(mask, geometry, lattice, "grid-constant")
        reach = lattice.over(geometry)
        part = np.zeros_like(whole)
        part[reach] = resample(mask, geometry, lattice.part(reach), "grid-constant")
        np.testing.assert_allclose(part, whole, atol=1e-5)
