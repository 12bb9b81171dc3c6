"""The source `prototypes`: SAP-Net of SAM^Med, taught by 2 to 5 outlined slices of this very volume.

It does not replace propagation: from three slices of 11 objects of real volumes its mean DSC on the others was .80, and
that of the classical propagator .88 (Testing/Experiments/measure_few_slices.py). It is for slices without neighbors:
2-D stacks, gaps. See `sap_net` for its parts.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.models import registry
from SegmentPropagateLib.networks.checkpoints import load_network
from SegmentPropagateLib.prompting.few_slices import FromSlices, Mask, proposal_of
from SegmentPropagateLib.prompting.sap_net import fit, largest_components, prototypes, scores
from SegmentPropagateLib.prompting.source import Proposal
from SegmentPropagateLib.propagators.tracking.appearance import resize_mask, windows_appearance
from SegmentPropagateLib.propagators.tracking.tracker import Tracker
from SegmentPropagateLib.propagators.tracking.views import View, ViewFinder
from SegmentPropagateLib.volumes.choice import evenly
from SegmentPropagateLib.volumes.stack import ImageStack

SIDE = 40
"""Of the grid of features."""
FEWEST, MOST = 2, 5
"""Outlined slices that it is taught by: of more those that are spread evenly."""
VIEW = 2.0
"""Side of what is looked at over the side of all outlines together."""


class Prototypes(FromSlices):
    """Compares every pixel with the means of object and background; see `PromptSource`."""

    name = "prototypes"

    @cached_property
    def _tracker(self) -> Tracker:
        network, _card = load_network(registry.bundled_folder() / "starter.pt", None)
        return Tracker(network, torch.device("cpu"), torch.float32)

    def _proposal(self, label: int, stack: ImageStack, masks: Mask) -> Proposal:
        count = int(masks.any(axis=(1, 2)).sum())
        if 0 < count < FEWEST:
            raise InputError(f"Label {label} is outlined on {count} slice: 'prototypes' needs {FEWEST} or more.")
        found = _drafts(self._tracker, stack, masks) if count else {}
        return proposal_of(label, self.name, masks, found)


def _drafts(tracker: Tracker, stack: ImageStack, masks: Mask) -> dict[int, tuple[Mask, float]]:
    """Slice -> its mask and the mean probability of it, of the slices that are not outlined."""
    outlined = [int(index) for index in np.flatnonzero(masks.any(axis=(1, 2)))]
    keys = evenly(outlined, MOST)
    size = tracker.image_size
    view = ViewFinder(stack.slice_shape, stack.spacing_mm[1:], VIEW).around(np.asarray(masks.any(axis=0)))
    middle_key = keys[len(keys) // 2]
    appearance = windows_appearance(stack, middle_key, view, masks[middle_key], size)

    def look(index: int) -> Tensor:
        return _features(tracker, appearance.image(stack, index, view, size))

    own = torch.stack([look(key) for key in keys])
    mean, spread = own.mean((0, 2, 3))[:, None, None], own.std((0, 2, 3))[:, None, None] + 1e-3
    own = (own - mean) / spread
    shares = torch.stack([_pooled(resize_mask(view.cut(masks[key]), size)[None])[0] for key in keys])
    network = fit(own, shares)
    parts = max(int(ndimage.label(masks[key])[1]) for key in keys)
    found = {}
    with torch.no_grad():
        means = prototypes(network(own), shares)
        for index in range(len(stack)):
            if index not in outlined:
                logits = scores(network(((look(index) - mean) / spread)[None]), means)[0]
                found[index] = _on_slice(logits[1] - logits[0], view, stack.slice_shape, parts)
    return found


def _features(tracker: Tracker, image: Tensor) -> Tensor:
    """What the frozen network makes of an image `(1, 3, S, S)`, with the image itself: `(channels, SIDE, SIDE)`."""
    seen = tracker.encode(image)
    side = round(seen.top.shape[1] ** 0.5)
    top = seen.top.transpose(1, 2).unflatten(2, (side, side))
    levels = [level[0].float().clone() for level in (top, *seen.fine)]  # copies, which can be trained on
    return torch.cat([_pooled(level) for level in (*levels, image[0])])


def _pooled(maps: Tensor) -> Tensor:
    """Maps `(channels, h, w)` on the grid of `SIDE`."""
    if maps.shape[-1] < SIDE:
        return functional.interpolate(maps[None], size=(SIDE, SIDE), mode="bilinear", align_corners=False)[0]
    return functional.adaptive_avg_pool2d(maps[None], SIDE)[0]


def _on_slice(logits: Tensor, view: View, shape: tuple[int, int], parts: int) -> tuple[Mask, float]:
    """The mask on the whole slice, of no more parts than were outlined, and its mean probability."""
    seen = functional.interpolate(
        logits[None, None], size=(view.rows, view.columns), mode="bilinear", align_corners=False
    )[0, 0]
    mask = np.zeros(shape, dtype=bool)
    view.cut(mask)[:] = largest_components((seen > 0).numpy(), parts)
    inside = view.cut(mask)
    return mask, float(seen.sigmoid().numpy()[inside].mean()) if inside.any() else 0.0
