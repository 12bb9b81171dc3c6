"""Contact sheets: the right slices, the right way up, outlines where the object is."""

import numpy as np
import pytest
from doubles import ThresholdPropagator, drawn_volume
from PIL import Image
from scipy import ndimage
from test_geometry import STORAGE, directions_of, geometry_of

from SegmentPropagateLib.propagation.prompts import MaskPrompt
from SegmentPropagateLib.propagation.results import SliceResult
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.reports.overlay import (
    Orientation,
    OverlayObject,
    chosen_slices,
    draw_contact_sheet,
    write_overlay,
)
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.labels import SegmentInfo

GREEN = (0.0, 1.0, 0.0)
BRIGHT_GREEN, KEY_YELLOW = (85, 255, 85), (255, 205, 64)


def results_of(present, keys, first, last):
    """One result per slice: a square where present."""
    results = {}
    for index in range(first, last + 1):
        mask = np.zeros((40, 50), bool)
        mask[10:20, 15:25] = index in present
        source = "key" if index in keys else "propagated" if index in present else "empty"
        results[index] = SliceResult.of_mask(mask, source, 4.0 if index in present else -4.0, 0.9)
    return results


def test_all_slices_of_a_short_range_are_shown():
    assert chosen_slices(results_of({5, 6}, {5}, 3, 9), 12) == list(range(3, 10))


def test_slices_are_spread_evenly_over_a_range_that_the_object_fills():
    chosen = chosen_slices(results_of(set(range(100)), {0}, 0, 99), 12)
    assert len(chosen) == 12
    assert (chosen[0], chosen[-1]) == (0, 99)
    assert max(np.diff(chosen)) - min(np.diff(chosen)) <= 1


@pytest.mark.parametrize("key", [37, 0, 99, 50])
def test_keys_and_range_ends_are_always_shown(key):
    chosen = chosen_slices(results_of(set(range(100)), {key}, 0, 99), 12)
    assert {0, key, 99} <= set(chosen)
    assert len(chosen) == 12


def test_in_a_long_range_the_stretch_with_the_object_gets_the_tiles():
    chosen = chosen_slices(results_of(set(range(40, 60)), {50}, 0, 199), 12)
    assert {0, 39, 50, 60, 199} <= set(chosen)  # both ends of the range, and both ends of the object from outside
    assert sum(40 <= index < 60 for index in chosen) == 8


def test_tiles_that_a_tiny_object_leaves_over_show_the_rest_of_the_range():
    chosen = chosen_slices(results_of({50, 51}, {50}, 0, 99), 12)
    assert {49, 50, 51, 52} <= set(chosen)
    assert len(chosen) >= 11


def test_more_keys_than_tiles_do_not_overflow_the_sheet():
    assert len(chosen_slices(results_of(set(range(60)), set(range(10, 50)), 0, 59), 12)) == 12


@pytest.mark.parametrize("plane", list(Plane))
def test_patients_are_upright_in_all_48_storage_orders(plane):
    right_of_screen, down = {
        Plane.AXIAL: ((-1, 0, 0), (0, -1, 0)),  # left is on the right, back is below
        Plane.CORONAL: ((-1, 0, 0), (0, 0, -1)),
        Plane.SAGITTAL: ((0, -1, 0), (0, 0, -1)),
    }[plane]
    for storage in STORAGE:
        geometry = geometry_of(directions_of(*storage), spacing_ijk=(1, 1, 1), origin=(0, 0, 0))
        axis = geometry.plane_axis(plane)
        kji = np.indices(geometry.shape_kji).reshape(3, -1)
        ras = (geometry.ijk_to_ras[:3, :3] @ kji[::-1]).reshape(3, *geometry.shape_kji)
        upright = Orientation.upright(geometry, plane)
        picture = [upright.turn(np.moveaxis(part, axis, 0)[1]) for part in ras]
        assert np.allclose([np.diff(part, axis=1).mean() for part in picture], right_of_screen)
        assert np.allclose([np.diff(part, axis=0).mean() for part in picture], down)


def test_letters_name_the_sides_that_they_stand_at():
    geometry = geometry_of(np.eye(3))
    found = [Orientation.upright(geometry, plane) for plane in (Plane.AXIAL, Plane.CORONAL, Plane.SAGITTAL)]
    assert [(orientation.left, orientation.top) for orientation in found] == [("R", "A"), ("R", "S"), ("A", "S")]


def sheet_of(results, spacing_mm=(3.0, 1.0, 1.0), count=1):
    gray = np.full((100, 40, 50), 60, np.uint8)
    objects = [OverlayObject(f"object {number}", GREEN, results) for number in range(count)]
    return np.asarray(draw_contact_sheet(gray, spacing_mm, objects, Orientation()))


def where(sheet, color):
    return np.argwhere((sheet == color).all(-1))


def test_key_slices_are_framed_and_others_are_not():
    with_key = where(sheet_of(results_of({5, 6, 7}, {6}, 3, 8)), KEY_YELLOW)
    without = where(sheet_of(results_of({5, 6, 7}, set(), 3, 8)), KEY_YELLOW)
    assert len(with_key) > 232 * 4 * 2  # a frame of three pixels and its badge
    assert len(without) == 0


def test_an_outline_follows_the_object_in_true_proportions():
    """A square of pixels 1 mm wide and 2 mm high is drawn twice as high as wide."""
    points = where(sheet_of({**results_of({3}, set(), 3, 3)}, spacing_mm=(3.0, 2.0, 1.0)), BRIGHT_GREEN)
    points = points[points[:, 0] > 80]  # below the title
    height, width = np.ptp(points, axis=0) + 1
    assert height / width == pytest.approx(2, rel=0.05)
    area_of_line = len(points) / (2 * (height + width))
    assert 1 <= area_of_line <= 2.5  # a line of two pixels, not a filled shape


def test_an_empty_slice_has_no_outline():
    sheet = sheet_of(results_of(set(), set(), 3, 3))
    points = where(sheet, BRIGHT_GREEN)
    assert len(points[points[:, 0] > 80]) == 0


def test_a_single_voxel_is_visible_on_a_large_slice():
    mask = np.zeros((512, 512), bool)
    mask[1, 1] = mask[500, 500] = True
    results = {0: SliceResult.of_mask(mask, "propagated", 1.0, 0.5)}
    sheet = draw_contact_sheet(
        np.zeros((1, 512, 512), np.uint8), (1, 1, 1), [OverlayObject("dot", GREEN, results)], Orientation()
    )
    assert len(where(np.asarray(sheet)[80:], BRIGHT_GREEN)) >= 2


def test_every_object_has_a_block_of_its_own():
    heights = [sheet_of(results_of({5}, {5}, 3, 8), count=count).shape[0] for count in (1, 2, 3)]
    assert heights[2] - heights[1] == heights[1] - heights[0] > 232


def test_the_sheet_of_a_session_is_a_png_and_shows_what_is_written(tmp_path):
    volume, mask = drawn_volume()
    session = Session(ThresholdPropagator(), volume)
    session.add_key(1, 6, MaskPrompt(mask[6]))
    session.add_key(2, 6, MaskPrompt(mask[6]))
    list(session.propagate(0, 11))
    write_overlay(
        tmp_path / "o.png", session, [SegmentInfo(2, "the sure one", GREEN), SegmentInfo(1, "loser", (1, 0, 0))]
    )
    with Image.open(tmp_path / "o.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    assert len(where(pixels, BRIGHT_GREEN)) > 500
    assert list(tmp_path.iterdir()) == [tmp_path / "o.png"]


def test_a_session_without_a_run_still_gives_a_sheet(tmp_path):
    volume, mask = drawn_volume()
    session = Session(ThresholdPropagator(), volume)
    session.add_key(1, 6, MaskPrompt(mask[6]))
    write_overlay(tmp_path / "o.png", session, [SegmentInfo(1, "only a key", GREEN)])
    assert (tmp_path / "o.png").stat().st_size > 1000


@pytest.mark.parametrize("turns", [(), (True,), (False, True), (True, True, True), (False, False, True)])
def test_an_outline_lies_around_the_object_however_slices_are_turned(turns):
    """The object is the only bright thing: what is bright is inside the outline, and touches it on all sides."""
    results = results_of({3}, set(), 3, 3)
    results[3].mask[10:13, 15:40] = True  # an L, so that turns and mirrors show
    gray = np.zeros((4, 40, 50), np.uint8)
    gray[3][results[3].mask] = 250
    sheet = np.asarray(draw_contact_sheet(gray, (3, 1, 1), [OverlayObject("L", GREEN, results)], Orientation(*turns)))
    tile = sheet[20 + 34 + 40 :][:232, 20:252]
    outline = (tile == BRIGHT_GREEN).all(-1)
    bright = (tile.min(-1) > 200) & ~outline
    filled = ndimage.binary_fill_holes(outline)
    assert bright.sum() > 500
    assert not (bright & ~filled).any()
    assert (filled & ~outline & ~bright).mean() < 0.003  # nothing dark is enclosed but the blurred rim


def test_turned_slices_are_shown_turned():
    results = results_of(set(), set(), 3, 3)
    gray = np.zeros((4, 40, 40), np.uint8)
    gray[3, :10, :20] = 250  # above, on the left half
    corners = {}
    for name, turns in {"as stored": (), "down": (False, True), "turned": (True, False, True)}.items():
        sheet = draw_contact_sheet(gray, (3, 1, 1), [OverlayObject("", GREEN, results)], Orientation(*turns))
        tile = np.asarray(sheet)[20 + 34 + 40 :][:232, 20:252].min(-1) > 200
        corners[name] = [bool(tile[row, column]) for row in (30, 200) for column in (30, 200)]
    assert corners == {
        "as stored": [True, False, False, False],
        "down": [False, False, True, False],
        "turned": [False, True, False, False],
    }
