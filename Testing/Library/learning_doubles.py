"""Propagators whose mistakes are known, and can be learned from."""

from __future__ import annotations

import numpy as np
import torch
from doubles import ThresholdPropagator
from scipy import ndimage

from SegmentPropagateLib.propagation.prompts import MaskPrompt
from SegmentPropagateLib.propagation.propagator import SliceUpdate
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.propagators.finishing import FinishingPropagator
from SegmentPropagateLib.propagators.partner import PartnerPropagator
from SegmentPropagateLib.propagators.stacking.engine import StackingPropagator
from SegmentPropagateLib.volumes.cropped import Cropped
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.volume import Volume

SHAPE, KEYS, LAST = (14, 24, 28), (3, 6, 10), 11
ROWS, COLUMNS = np.indices(SHAPE[1:])
TRUTH = np.stack(
    [((ROWS - 11) / 6) ** 2 + ((COLUMNS - 12 - k / 4) / 7) ** 2 <= 1 if 1 <= k <= LAST else ROWS < 0 for k in range(14)]
)
VOLUME = Volume((TRUTH * 100).astype(np.int16), Geometry(SHAPE, np.diag([1.0, 1, 2, 1])))


class Half(ThresholdPropagator):
    """Takes what is bright, and believes a little in a ring around it where it is told to."""

    def __init__(self, ring: float) -> None:
        super().__init__()
        self._ring = ring

    def _update(self, lane, slice_index, key_masks):
        self.visited.append((lane.object_id, slice_index))
        bright = np.asarray(self.stack.values[slice_index]) > 50
        grown = ndimage.binary_dilation(bright)
        logits = np.where(bright, 4.0, np.where(grown, self._ring, -4.0)).astype(np.float32)
        mask = logits > 0
        return SliceUpdate(lane.object_id, slice_index, mask, 4.0 if mask.any() else -4.0, 0.9, Cropped.of(logits))

    def look(self, index, view, key, mask):
        return [torch.tensor(np.array(view.cut(self.stack.values[index]), np.float32))[None] / 100]


def pair(network, partner):
    return FinishingPropagator(PartnerPropagator(network, partner))


def learner(ring):
    return StackingPropagator(Half(ring), Half(ring), pair)


def session_of(model, keys=KEYS, masks=TRUTH):
    session = Session(model, VOLUME)
    for key in keys:
        session.add_key(1, key, MaskPrompt(masks[key]))
    return session


def propagated(session, learn=False):
    """Slice -> its last update."""
    if learn:
        for _ in session.learn():
            pass
    return {update.slice_index: update for update in session.propagate()}


def same(one, other):
    """Whether two runs say the same on every slice, bit for bit."""
    return one.keys() == other.keys() and all(
        np.array_equal(one[index].mask, other[index].mask)
        and np.array_equal(one[index].logits, other[index].logits)
        and (one[index].presence, one[index].predicted_iou) == (other[index].presence, other[index].predicted_iou)
        for index in one
    )
