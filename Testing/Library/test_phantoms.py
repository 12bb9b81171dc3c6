import numpy as np
import pytest
from scipy import ndimage

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.phantoms import phantom as drawing
from SegmentPropagateLib.phantoms.columns import column
from SegmentPropagateLib.phantoms.phantom import FAMILIES, cached_phantom, make_phantom, uneven_gray
from SegmentPropagateLib.phantoms.scene import Scene
from SegmentPropagateLib.phantoms.shapes import Canvas, borders
from SegmentPropagateLib.phantoms.trunks import trunk


@pytest.mark.parametrize("family", FAMILIES)
def test_a_seed_gives_the_same_phantom_again_and_another_seed_another(family):
    first, again, other = (make_phantom(seed, family, (12, 48, 48)) for seed in (5, 5, 6))
    assert np.array_equal(first.values, again.values)
    assert np.array_equal(first.labels, again.labels)
    assert first.spacing_kji_mm == again.spacing_kji_mm
    assert not np.array_equal(first.values, other.values)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in ("soup", "crowd", "trunk", "mixed")])
def test_a_named_family_has_a_visible_target_that_ends_within_the_volume(family):
    present, absent, contrast = [], 0, []
    for seed in range(8):
        phantom = make_phantom(seed, family)
        target = phantom.labels == 1
        assert phantom.names[1] == "target"
        present.append(target.any((1, 2)).sum())
        absent += (~target.any((1, 2))).sum()
        values = phantom.values.astype(float)
        around = (phantom.labels > 0) & ~target
        contrast.append(abs(values[target].mean() - values[around].mean()) / values[around].std())
    assert min(present) >= 2
    assert np.mean(present) >= 5
    assert absent >= 8
    assert np.mean(contrast) > 0.5


@pytest.mark.parametrize("family", ["crowd", "trunk"])
def test_in_a_crowd_the_target_touches_many_organs_of_nearly_its_own_gray(family):
    neighbors, alike, present = [], [], []
    for seed in range(8):
        phantom = make_phantom(seed, family)
        target = phantom.labels == 1
        around = ndimage.binary_dilation(target, np.ones((1, 5, 5))) & ~target
        touching = [value for value in np.unique(phantom.labels[around]) if value not in (0, 3, 5)]  # air and fat
        neighbors.append(len(touching))
        spread = phantom.values[target].std()
        gaps = [
            abs(float(phantom.values[target].mean() - phantom.values[phantom.labels == value].mean()))
            for value in touching
        ]
        alike += [gap < 2 * spread for gap in gaps]
        present.append(target.any((1, 2)).sum())
    assert np.mean(neighbors) >= 3
    assert np.mean(alike) >= 0.4
    assert min(present) >= 2


def test_the_ribs_of_a_trunk_cut_most_slices_and_move_from_slice_to_slice():
    moves = []
    for seed in range(6):
        phantom = make_phantom(seed, "trunk")
        ribs = phantom.labels == next(value for value, name in phantom.names.items() if name == "ribs")
        assert ribs.any((1, 2)).mean() > 0.8
        parts, count = ndimage.label(ribs)
        for part in range(1, count + 1):
            there = np.flatnonzero((parts == part).any((1, 2)))
            middles = [np.argwhere(parts[index] == part).mean(0) for index in there]
            moves += list(np.linalg.norm(np.diff(middles, axis=0), axis=1)) if len(there) > 2 else []
    assert np.median(moves) > 1.5  # pixels of 96


def test_organs_of_a_trunk_have_walls_and_patches_of_another_gray():
    walls, patches = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        scene = Scene(rng, Canvas(rng, (24, 72, 72), (6.7, 2.0, 2.0), 1.0), 1.0, 1.0)
        trunk(scene)
        labels, even = scene.labels, np.zeros(scene.labels.shape, np.float32)
        gray = uneven_gray(scene, even)
        outer = borders(labels, 3)
        for value, level in scene.walls.items():
            walls += list(gray[outer & (labels == value)] == np.float32(level))
        for value, level in scene.patches.items():
            patches += list(gray[~borders(labels, 5) & (labels == value)] == np.float32(level))
    assert np.mean(walls) == 1
    assert 0.1 < np.mean(patches) < 0.5


def test_a_vertebra_of_a_column_goes_on_beside_the_next_one_where_its_body_has_ended():
    for seed in range(4):
        phantom = make_phantom(seed, "column")
        target, next_one = phantom.labels == 1, phantom.labels == 2
        shared = target.any((1, 2)) & next_one.any((1, 2))
        assert shared.any()
        areas = target.sum((1, 2))
        assert areas[shared].min() < 0.3 * areas.max()


def test_a_bone_of_a_column_is_a_shell_of_one_gray_around_marrow_of_another():
    for seed in range(4):
        rng = np.random.default_rng(seed)
        scene = Scene(rng, Canvas(rng, (40, 96, 96), (4.0, 1.5, 1.5), 1.0), 1.0, 1.0)
        column(scene)
        bone = scene.labels == 1
        middle = int(bone.sum((1, 2)).argmax())
        gray = uneven_gray(scene, np.full(bone.shape, scene.gray[1], np.float32))[middle]
        outer, inner = bone[middle] & borders(scene.labels, 3)[middle], bone[middle] & ~borders(scene.labels, 5)[middle]
        assert np.median(gray[outer]) == np.float32(scene.walls[1])
        assert np.median(gray[inner]) == np.float32(scene.gray[1])


def test_contact_phantoms_are_as_hard_as_they_are_said_to_be():
    rows = []
    for seed in range(40):
        phantom = make_phantom(seed, "contact", (40, 96, 96), hardness=1.0)
        target, twin = phantom.labels == 1, phantom.labels == 2
        slices, twin_slices = (np.flatnonzero(mask.any((1, 2))) for mask in (target, twin))
        absent = set(range(40)) - set(range(slices[0], slices[-1] + 1))
        last = slices[-1]
        covered = (target[last] & twin[last + 1]).sum() / target[last].sum()
        gap = abs(phantom.values[target].mean() - phantom.values[twin].mean()) / phantom.values[target].std()
        rows.append((len(slices), len(absent & set(twin_slices)), twin_slices[0] - last, covered, gap))
    present, contested, start, covered, gap = np.mean(rows, 0)
    assert 12 <= present <= 18  # slices with the target, of 40
    assert 8 <= contested <= 13  # absent slices that hold the look-alike
    assert 0 <= start <= 1.5  # slices from the target's last to the look-alike's first
    assert covered >= 0.75  # share of the target's last slice that the look-alike takes over
    assert gap <= 1  # in standard deviations of the target's voxels


def test_twins_and_spines_hold_an_equal_neighbor_on_other_slices_or_places():
    for family in ("twins", "spine"):
        phantom = make_phantom(2, family, hardness=1.0)
        target, twin = phantom.labels == 1, phantom.labels == 2
        assert twin.sum() > 0.3 * target.sum()


def test_a_vertebra_has_several_parts_on_some_slice():
    parts = [ndimage.label(slice_ == 1)[1] for seed in range(4) for slice_ in make_phantom(seed, "spine").labels]
    assert max(parts) >= 2


def test_both_looks_occur_and_air_is_dark_in_the_ct_look():
    looks = {seed: make_phantom(seed, "organs") for seed in range(8)}
    assert {phantom.look for phantom in looks.values()} == {"ct", "mr"}
    for phantom in looks.values():
        if phantom.look == "ct":
            assert np.median(phantom.values[phantom.labels == 0]) < -500
        else:
            assert phantom.values.min() >= 0


def test_the_cache_returns_what_was_made_and_replaces_a_damaged_file(tmp_path, monkeypatch):
    made = cached_phantom(tmp_path, 3, "organs", (12, 48, 48))
    (path,) = tmp_path.glob("*.npz")
    with monkeypatch.context() as patch:
        patch.setattr(drawing, "make_phantom", None)  # the second time nothing is generated
        kept = cached_phantom(tmp_path, 3, "organs", (12, 48, 48))
    path.write_bytes(path.read_bytes()[:100])
    anew = cached_phantom(tmp_path, 3, "organs", (12, 48, 48))
    for phantom in (kept, anew):
        assert np.array_equal(phantom.values, made.values)
        assert np.array_equal(phantom.labels, made.labels)
        assert (phantom.names, phantom.spacing_kji_mm, phantom.look) == (made.names, made.spacing_kji_mm, made.look)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_cached_file_that_was_damaged_anywhere_is_made_anew(tmp_path):
    made = cached_phantom(tmp_path, 1, "nested", (8, 16, 16))
    (path,) = tmp_path.glob("*.npz")
    good = path.read_bytes()
    for place in range(0, len(good), 37):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x55]) + good[place + 1 :])
        assert cached_phantom(tmp_path, 1, "nested", (8, 16, 16)).names == made.names


@pytest.mark.parametrize("family", FAMILIES)
def test_the_smallest_grid_has_room_for_every_family(family):
    for seed in range(3):
        assert make_phantom(seed, family, (8, 8, 8)).labels.shape == (8, 8, 8)


def test_an_unknown_family_is_refused_with_the_choices():
    with pytest.raises(InputError, match="organs, contact"):
        make_phantom(0, "kidneys")
