"""Windows that follow an object: alone, and in a run whose network knows the right answer."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from SegmentPropagateLib.networks.memory import MemoryPolicy, long_bank
from SegmentPropagateLib.propagation.propagator import Lane, PropagationSettings
from SegmentPropagateLib.propagators.tracking.appearance import resize_mask, rgb_appearance, windows_appearance
from SegmentPropagateLib.propagators.tracking.course import Objects, Propagation
from SegmentPropagateLib.propagators.tracking.encoder import FeatureCache
from SegmentPropagateLib.propagators.tracking.open_stack import OpenStack
from SegmentPropagateLib.propagators.tracking.tracker import Outcome, SliceMemory
from SegmentPropagateLib.propagators.tracking.views import PLACE_STEP, SIZE_STEP, View, ViewFinder
from SegmentPropagateLib.volumes.stack import ImageStack

SHAPE = (200, 300)


def disk(row, column, radius=10, shape=SHAPE):
    rows, columns = np.indices(shape)
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


class BrightnessTracker:
    """Says that what is bright is the object, and records what it was shown and told to remember."""

    image_size = 128
    device = torch.device("cpu")
    tokens = 64
    key_bytes = 0

    def __init__(self):
        self.remembered = []
        self.encoded = 0

    def encode(self, image, place=0):
        del place
        self.encoded += 1
        return SimpleNamespace(gray=image[0, 0], bytes=image.nbytes)

    def take_mask(self, features, mask):
        return self._outcome(mask * 20 - 10)

    def look(self, looks, slices):
        self.read = [
            [(key, float(look.memories[key].tokens.sum())) for key, _ in look.reads[0].spatial] for look in looks
        ]
        return [self._outcome(torch.where(look.features.gray > 0, 10.0, -10.0)) for look in looks]

    def remember(self, features, outcomes, given):
        self.remembered += outcomes
        return [SliceMemory(outcome, (outcome.logits > 0).sum()) for outcome in outcomes]

    def _outcome(self, logits):
        presence = torch.tensor(5.0 if (logits > 0).any() else -5.0)
        return Outcome(logits, torch.zeros(4), presence, torch.tensor(0.9))


def run(masks, key, finder_factor=2.0, tracker=None):
    """Propagate from `key` through a stack that is bright where the masks are; updates by slice."""
    gray = np.where(masks, 200, 0).astype(np.uint8)
    stack = ImageStack(gray, gray, (1.0, 1.0, 1.0))
    tracker = tracker or BrightnessTracker()
    opened = OpenStack(stack, tracker, FeatureCache(50))
    finder = ViewFinder(stack.slice_shape, (1.0, 1.0), finder_factor)
    objects = Objects({1: {key: masks[key]}}, rgb_appearance, {})
    propagation = Propagation(opened, finder, MemoryPolicy((long_bank(),)), PropagationSettings(), objects)
    legs = (range(key + 1, len(masks)), range(key - 1, -1, -1))
    lanes = [Lane(1, (key,), (leg,)) for leg in legs]
    return {update.slice_index: update for update in propagation.run(lanes)}


def overlap(one, other):
    return 2 * (one & other).sum() / max(one.sum() + other.sum(), 1)


def test_a_view_is_square_in_millimetres_and_twice_the_objects_size():
    view = ViewFinder(SHAPE, (1.0, 0.5), 2.0).around(disk(100, 150, radius=20))
    assert 82 <= view.rows <= 82 * SIZE_STEP
    assert abs(view.columns - 2 * view.rows) <= 1
    assert abs(view.row + view.rows / 2 - 100.5) <= view.rows / PLACE_STEP / 2 + 1
    assert abs(view.column + view.columns / 2 - 150.5) <= view.columns / PLACE_STEP / 2 + 1


def test_a_slightly_corrected_outline_mostly_gives_the_same_view():
    finder = ViewFinder(SHAPE, (1.0, 1.0), 2.0)
    views = [finder.around(disk(100 + row, 150 + column, 30)) for row in range(-2, 3) for column in range(-2, 3)]
    assert max(views.count(view) for view in views) >= 15


def test_a_view_stays_inside_the_slice():
    view = ViewFinder(SHAPE, (1.0, 1.0), 2.0).around(disk(5, 295))
    assert view.row == 0
    assert view.column + view.columns == SHAPE[1]


def test_a_small_object_gets_the_smallest_view_and_a_large_one_the_whole_slice():
    finder = ViewFinder(SHAPE, (1.0, 1.0), 2.0)
    assert finder.around(disk(100, 150, radius=2)).rows == 32
    assert finder.around(disk(100, 150, radius=90)) == finder.whole == View(0, 0, *SHAPE)


def test_without_a_factor_every_view_is_the_whole_slice():
    finder = ViewFinder(SHAPE, (1.0, 1.0), None)
    assert finder.around(disk(100, 150)) == finder.follow(finder.whole, disk(5, 5)) == finder.whole


def test_a_view_stays_where_it_is_while_the_object_is_well_inside():
    finder = ViewFinder(SHAPE, (1.0, 1.0), 2.0)
    view = finder.around(disk(100, 150))
    assert finder.follow(view, disk(103, 148)) == view
    assert finder.follow(view, np.zeros(SHAPE, bool)) == view
    moved = finder.follow(view, disk(112, 150))
    assert 0 < moved.row - view.row <= 12 + view.rows / PLACE_STEP
    assert (moved.rows, moved.columns) == (view.rows, view.columns)


def test_a_leaking_mask_widens_the_view_by_half_at_most():
    finder = ViewFinder(SHAPE, (1.0, 1.0), 2.0)
    view = finder.around(disk(100, 150))
    leaked = np.zeros(SHAPE, bool)
    view.cut(leaked)[:] = True
    assert finder.follow(view, leaked).rows <= 1.5 * SIZE_STEP * view.rows + 1


@pytest.mark.parametrize("step", [1, 4, 9])
def test_an_object_that_crosses_the_whole_slice_is_never_lost(step):
    masks = np.stack([disk(20 + step * at, 20 + step * at) for at in range(160 // step)])
    updates = run(masks, key=0)
    whole = run(masks, key=0, finder_factor=None)
    assert len(updates) == len(masks) - 1
    assert min(overlap(update.mask, masks[index]) for index, update in updates.items()) > 0.97
    close_up = np.mean([overlap(update.mask, masks[index]) for index, update in updates.items()])
    assert close_up > np.mean([overlap(update.mask, masks[index]) for index, update in whole.items()])


def test_an_object_that_grows_out_of_its_view_is_seen_whole():
    masks = np.stack([disk(100, 150, radius=8 + 5 * at) for at in range(18)])
    updates = run(masks, key=0)
    assert min(overlap(update.mask, masks[index]) for index, update in updates.items()) > 0.97


def test_memories_are_made_again_in_the_new_view():
    masks = np.stack([disk(100, 60 + 7 * at) for at in range(12)])
    tracker = BrightnessTracker()
    run(masks, key=0, tracker=tracker)
    # The object has 1250 of the 128 x 128 pixels of its views; seen from a view it has left, it would have none.
    areas = [area for _, area in tracker.read[0]]
    assert len(areas) == 7
    assert min(areas) > 700


def test_what_is_decoded_is_brought_to_the_size_of_its_slice_once_to_follow_it_and_to_report_it(monkeypatch):
    told, tell = [], OpenStack.tell
    monkeypatch.setattr(OpenStack, "tell", lambda opened, said: told.extend(said) or tell(opened, said))
    run(np.stack([disk(100, 60)] * 12), key=0)
    assert len(told) == 11


def test_masks_and_logits_lie_in_the_whole_slice():
    masks = np.stack([disk(100, 150), disk(101, 150)])
    update = run(masks, key=0)[1]
    assert update.mask.shape == update.logits.shape == SHAPE
    assert update.logits[0, 0] == -1024


@pytest.mark.parametrize("shape", [(40, 50), (128, 128), (300, 77)])
def test_a_mask_prompt_is_resized_and_stays_a_mask(shape):
    resized = resize_mask(disk(shape[0] // 2, shape[1] // 2, shape=shape), 128)
    assert resized.shape == (128, 128)
    assert set(resized.unique().tolist()) == {0.0, 1.0}


def test_the_windows_of_the_starter_are_chosen_from_the_object_and_its_surroundings():
    mask = disk(100, 150)
    values = np.where(mask, 300.0, 100.0).astype(np.float32) + np.arange(SHAPE[1], dtype=np.float32) / 100
    stack = ImageStack(np.stack([values, values + 50]), np.zeros((2, *SHAPE), np.uint8), (1.0, 1.0, 1.0))
    view = ViewFinder(SHAPE, (1.0, 1.0), 2.0).around(mask)
    appearance = windows_appearance(stack, 0, view, mask, 128)
    wide, centered, scaled = appearance.windows
    assert wide == pytest.approx((201.5, 100), abs=2)
    assert centered[0] == scaled[0] == pytest.approx(301.5, abs=1)
    assert scaled[1] == pytest.approx(400, rel=0.05)
    image = appearance.image(stack, 1, view, 128)
    assert image.shape == (1, 3, 128, 128)
    assert image.abs().max() <= 1.5
    assert appearance == windows_appearance(stack, 0, view, mask, 128)
    assert hash(appearance) == hash(windows_appearance(stack, 0, view, mask, 128))
