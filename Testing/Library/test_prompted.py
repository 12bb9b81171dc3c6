"""Boxes and points on drawn objects."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage

from SegmentPropagateLib.propagation.prompts import BoxPrompt, PointsPrompt
from SegmentPropagateLib.propagators.prompted.channels import COUNT, SIZE, Given
from SegmentPropagateLib.propagators.prompted.finishing import MARGIN, finish
from SegmentPropagateLib.propagators.prompted.network import WEIGHTS, bundled_network
from SegmentPropagateLib.propagators.prompted.outline import outline
from SegmentPropagateLib.reports.metrics import dice

SHAPE = (96, 112)
EVEN = (1.0, 1.0)
MIDDLE = 56, 44  # column, row


def ellipse(center=MIDDLE, radii=(22, 14), shape=SHAPE):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return ((columns - center[0]) / radii[0]) ** 2 + ((rows - center[1]) / radii[1]) ** 2 <= 1


def image_of(mask, inside=60.0, noise=6.0):
    """The object on a slope, with noise."""
    rows, _ = np.mgrid[: mask.shape[0], : mask.shape[1]]
    drawn = 100 + 0.2 * rows + inside * ndimage.gaussian_filter(mask.astype(float), 0.7)
    return (drawn + np.random.default_rng(0).normal(0, noise, mask.shape)).astype(np.float32)


def box_of(mask, wider=1):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return BoxPrompt(tuple(map(float, (columns[0] - wider, rows[0] - wider, columns[-1] + wider, rows[-1] + wider))))


def points(*signed, box=None):
    """Points `(i, j, is positive)`."""
    return PointsPrompt(np.array([place[:2] for place in signed], float), np.array([p[2] for p in signed]), box)


def pieces(mask):
    return ndimage.label(mask, np.ones((3, 3)))[1]


OBJECTS = {
    "bright": (ellipse(), 60.0),
    "dark": (ellipse(), -60.0),
    "upright": (ellipse(radii=(10, 25)), 60.0),
    "at the edge": (ellipse(center=(4, 40)), 60.0),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_a_box_around_an_object_gives_it_in_one_piece(name):
    truth, inside = OBJECTS[name]
    (i0, j0, i1, j1) = box_of(truth).box_ij
    mask = outline(image_of(truth, inside), EVEN, BoxPrompt((max(i0, 0.0), j0, i1, j1)))
    assert dice(mask, truth) > 0.95
    assert pieces(mask) == 1


def test_a_tight_box_around_a_few_pixels_gives_them():
    truth = ellipse(radii=(5, 4))
    assert dice(outline(image_of(truth), EVEN, box_of(truth, wider=0)), truth) > 0.9


def test_a_box_drawn_in_haste_gives_nearly_the_same():
    truth = ellipse()
    for shifts in ((-4, 2, -3, 2), (3, -2, 4, -1), (4, 2, -4, -2)):
        box = BoxPrompt(tuple(np.array(box_of(truth).box_ij) + shifts))
        assert dice(outline(image_of(truth), EVEN, box), truth) > 0.85


def test_a_click_on_an_object_gives_it():
    for radii in ((22, 14), (9, 12)):
        truth = ellipse(radii=radii)
        mask = outline(image_of(truth), EVEN, points((*MIDDLE, True)))
        assert dice(mask, truth) > 0.85
        assert pieces(mask) == 1


def test_pixels_that_are_not_square_make_little_difference():
    truth = ellipse(radii=(22, 22))
    flat, spacing = truth[::3], (3.0, 1.0)
    for prompt in (box_of(flat), points((56, 14, True))):
        assert dice(outline(image_of(flat), spacing, prompt), flat) > 0.85


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("boxed", [False, True])
def test_points_always_count(seed, boxed):
    rng, truth = np.random.default_rng(seed), ellipse()
    places = np.column_stack([rng.integers(30, 82, 7), rng.integers(25, 65, 7)]).astype(float)
    positive = rng.random(7) < 0.5
    positive[0] = True
    prompt = PointsPrompt(places, positive, box_of(truth) if boxed else None)
    mask = outline(image_of(truth), EVEN, prompt)
    columns, rows = places.astype(int).T
    assert mask[rows, columns].tolist() == positive.tolist()
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    assert boxed or set(range(1, count + 1)) == set(labels[rows[positive], columns[positive]])


def test_corrections_bring_the_mask_nearer_to_the_object():
    truth = ellipse(center=(40, 44), radii=(16, 14)) | ellipse(center=(68, 44), radii=(14, 10))
    image = image_of(truth, noise=4.0) + 60 * ellipse(center=(88, 50), radii=(9, 9))  # a neighbor of the same gray
    clicks = [(38, 44, True), (70, 44, True), (90, 50, False), (82, 48, False), (54, 44, True)]
    reached = [dice(outline(image, EVEN, points(*clicks[:count])), truth) for count in (1, 3, 5)]
    assert reached[2] > 0.9
    assert reached[2] >= reached[0]


def test_two_points_on_two_objects_give_two_pieces_and_one_point_one():
    left, right = ellipse(center=(34, 44), radii=(12, 14)), ellipse(center=(78, 44), radii=(12, 14))
    image = image_of(left | right)
    both = outline(image, EVEN, points((34, 44, True), (78, 44, True)))
    one = outline(image, EVEN, points((34, 44, True)))
    assert dice(both, left | right) > 0.85
    assert dice(one, left) > 0.85
    assert pieces(both) == 2


def test_a_mask_leaves_its_box_by_no_more_than_the_margin():
    truth = ellipse()
    for i0, i1 in ((45, 60), (40, 56)):  # only a part of the object
        mask = outline(image_of(truth), EVEN, BoxPrompt((i0, 38, i1, 50)))
        columns = np.flatnonzero(mask.any(axis=0))
        room = MARGIN * (i1 - i0 + 1)
        assert columns[0] >= i0 - 0.5 - room
        assert columns[-1] <= i1 + 0.5 + room


def test_gray_values_may_be_of_any_unit_and_type():
    truth = ellipse()
    image = np.rint(image_of(truth)).astype(np.int16)
    plain = outline(image, EVEN, box_of(truth))
    assert np.array_equal(plain, outline(image, EVEN, box_of(truth)))
    for other in (image * np.float32(1000.0) - 5000, image.astype(np.float64) / 1e4):
        assert dice(outline(other, EVEN, box_of(truth)), plain) > 0.99


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 3), (40, 2)])
def test_an_image_of_one_gray_or_of_a_few_pixels_gives_something(shape):
    image = np.zeros(shape, dtype=np.uint8)
    edge = (0, 0, shape[1] - 1, shape[0] - 1)
    for prompt in (BoxPrompt(edge), points((0, 0, True)), points((0, 0, True), box=BoxPrompt(edge))):
        assert outline(image, EVEN, prompt).any()


def soft_of(*masks):
    return 0.9 * np.any(masks, axis=0).astype(np.float32)


NOTHING = np.zeros((0, 2))
WHOLE = (-0.5, -0.5, SHAPE[0] - 0.5, SHAPE[1] - 0.5)


def test_a_box_that_reaches_far_beyond_one_piece_asks_for_the_others():
    left, right = ellipse(center=(20, 40), radii=(12, 20)), ellipse(center=(80, 40), radii=(12, 20))
    speck = ellipse(center=(50, 40), radii=(2, 2))
    wide = Given((19.5, 7.5, 60.5, 92.5), NOTHING, NOTHING)
    narrow = Given((19.5, 7.5, 60.5, 32.5), NOTHING, NOTHING)
    assert np.array_equal(finish(soft_of(left, right, speck), wide), left | right)
    assert np.array_equal(finish(soft_of(left, right, speck), narrow), left)


def test_a_hole_is_filled_unless_it_looks_like_one_or_is_asked_for():
    ring, hole = ellipse() & ~ellipse(radii=(6, 5)), ellipse(radii=(6, 5))
    doubtful = soft_of(ring) + np.float32(0.4) * hole
    middle = np.array([[MIDDLE[1], MIDDLE[0]]], dtype=float)
    assert np.array_equal(finish(doubtful, Given(WHOLE, NOTHING, NOTHING)), ellipse())
    assert np.array_equal(finish(soft_of(ring), Given(WHOLE, NOTHING, NOTHING)), ring)
    assert np.array_equal(finish(doubtful, Given(WHOLE, NOTHING, middle)), ring)


def test_the_bundled_weights_are_small_and_need_no_torch():
    assert WEIGHTS.stat().st_size < 1_000_000
    logits, quality = bundled_network()(np.zeros((COUNT, SIZE, SIZE), dtype=np.float32))
    assert logits.shape == (SIZE, SIZE)
    assert np.isfinite(logits).all()
    assert np.isfinite(quality)
    code = "import sys, SegmentPropagateLib.propagators.prompted.outline; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
