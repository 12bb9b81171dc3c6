"""A network as a propagator."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.families import find_family
from SegmentPropagateLib.networks.memory import MemoryPolicy
from SegmentPropagateLib.networks.memory_rules import find_rule
from SegmentPropagateLib.networks.sam2 import Network
from SegmentPropagateLib.networks.steps import memory_attentions
from SegmentPropagateLib.propagation.prompts import NOTHING_KNOWN, BoxPrompt, Known, PointsPrompt
from SegmentPropagateLib.propagation.propagator import KeyMasks, Lane, PropagationSettings, SliceUpdate
from SegmentPropagateLib.propagators.tracking.appearance import CHOOSERS
from SegmentPropagateLib.propagators.tracking.course import Objects, PromptOutcomes, Propagation
from SegmentPropagateLib.propagators.tracking.encoder import FeatureCache, Features
from SegmentPropagateLib.propagators.tracking.open_stack import OpenStack
from SegmentPropagateLib.propagators.tracking.points import as_points, box_mask
from SegmentPropagateLib.propagators.tracking.tracker import Outcome, Tracker
from SegmentPropagateLib.propagators.tracking.views import View, ViewFinder
from SegmentPropagateLib.volumes.stack import ImageStack

DTYPES: Mapping[str, torch.dtype] = {"exact": torch.float32, "bf16": torch.bfloat16}


class NetworkPropagator:
    """Carries masks with a network of the SAM 2 kind.

    Args:
        network: from `build.build_network` or `checkpoints.load_network`.
        card: what is known of it.
        device: where to compute.
        precision: `exact` equals `sam2` in float32 up to rounding; `bf16` is quicker on hardware made for it.
        cache_mb: bound of the features kept; None takes the family's.
        keep_prompt_memory: remember a prompted slice as `sam2` does, by the logits decoded from its box or points.
            Otherwise only the mask counts, which the user may have edited.
    """

    def __init__(
        self,
        network: Network,
        card: Card,
        device: torch.device | str = "cpu",
        precision: Literal["exact", "bf16"] = "exact",
        *,
        cache_mb: float | None = None,
        keep_prompt_memory: bool = False,
    ) -> None:
        self._card = card
        family = find_family(card.family)
        self._choose_appearance = CHOOSERS[family.appearance]
        self._reads_short_bank = len(memory_attentions(network)) > 1
        self._tracker = Tracker(network, torch.device(device), DTYPES[precision])
        self._cache = FeatureCache(family.cache_mb if cache_mb is None else cache_mb)
        self._settings = PropagationSettings()
        self._policy = self._policy_of(self._settings)
        self._threads = torch.get_num_threads()
        self._opened: OpenStack | None = None
        self._keeps_prompt_memory = keep_prompt_memory
        self._prompted: PromptOutcomes = {}
        self._running: Propagation | None = None

    @property
    def info(self) -> Mapping[str, Any]:
        """JSON-able facts for reports."""
        tracker = self._opened.tracker if self._opened else self._tracker
        return {
            "model": self._card.name,
            "family": self._card.family,
            "variant": self._card.variant,
            "image_size": tracker.image_size,
            "sha256": self._card.sha256,
            "intensity": self._card.intensity,
            "device": str(tracker.device),
            "precision": next(name for name, dtype in DTYPES.items() if dtype == tracker.dtype),
            "short_slices": self._policy.banks[1].recent if len(self._policy.banks) > 1 else None,
            "memory": self._settings.memory,
            "notes": list(self._opened.notes) if self._opened else [],
        }

    def open(self, stack: ImageStack, settings: PropagationSettings) -> None:
        """Forget the previous stack and take a new one; the same one again may have other settings.

        Raises:
            InputError: the settings ask for a memory rule that does not exist, or for a short memory bank of a length
                that it cannot have.
        """
        self._policy = self._policy_of(settings)
        if self._opened is None or self._opened.stack is not stack:
            self._cache.clear()
            self._prompted.clear()
        self._settings = settings
        if self._opened is not None:
            self._tracker = self._opened.tracker  # it may have had to move to the CPU
        self._opened = OpenStack(stack, self._tracker, self._cache)
        factor = self._card.roi_factor if settings.roi == "auto" else None
        self._finder = ViewFinder(stack.slice_shape, stack.spacing_mm[1:], factor)

    def segment(
        self, slice_index: int, prompt: BoxPrompt | PointsPrompt, known: Known = NOTHING_KNOWN
    ) -> NDArray[np.bool_]:
        """Turn a box or points on a slice into a mask of shape (rows, columns); what else is known is not heard."""
        del known
        return self.segment_logits(slice_index, prompt) > 0

    def segment_logits(self, slice_index: int, prompt: BoxPrompt | PointsPrompt) -> NDArray[np.float32]:
        """The same before thresholding: logits of shape (rows, columns)."""
        opened = self._opened_stack()
        boxed = box_mask(prompt, opened.stack.slice_shape)
        view = self._finder.around(boxed)
        appearance = self._choose_appearance(opened.stack, slice_index, view, boxed, opened.tracker.image_size)
        points, labels = as_points(prompt, view, opened.tracker.image_size)

        def decode(_: Sequence[object]) -> list[Outcome]:
            features = opened.features(slice_index, view, appearance)
            return [opened.tracker.take_points(features, points, labels)]

        outcome = opened.in_batches(decode, [prompt], when_moved=lambda: None)[0]
        logits = opened.tell([(outcome, view)])[0].logits.whole
        if self._keeps_prompt_memory:
            self._prompted[slice_index, (logits > 0).tobytes()] = outcome
        return logits

    def look(self, index: int, view: View, key: int, mask: NDArray[np.bool_]) -> list[torch.Tensor]:
        """What the network sees of a slice in a view, in the colors that it chooses for a key slice.

        Args:
            index: of the slice.
            view: what is looked at.
            key: the key slice.
            mask: its mask, bool `(rows, columns)`.

        Returns:
            Float32 maps `(C, h, w)` on the CPU, coarsest first.
        """
        opened = self._opened_stack()
        appearance = self._choose_appearance(opened.stack, key, view, mask, opened.tracker.image_size)

        def see(_: Sequence[object]) -> list[Features]:
            return [opened.features(index, view, appearance)]

        seen = opened.in_batches(see, [index], when_moved=lambda: None)[0]
        side = round(seen.top.shape[1] ** 0.5)
        top = seen.top.transpose(1, 2).unflatten(2, (side, side))
        return [level[0].float().cpu().clone() for level in (top, *seen.fine)]  # copies, which can be trained on

    def get_ahead(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Iterator[None]:
        """Encode the slices that `run` looks at first, a slice per step, as many as are kept.

        What looks at a view around the object needs the outline that the run will begin with, to the pixel: its
        windows of gray depend on it. What looks at whole slices needs none.
        """
        return self._propagation(key_masks).get_ahead(lanes)

    def run(self, lanes: Sequence[Lane], key_masks: KeyMasks) -> Generator[SliceUpdate, None, None]:
        """Carry the masks along the lanes, all lanes one slice per step; closing the generator cancels the run.

        Where somebody else was given the second of two cores, slices are encoded there in turns: the classical half
        takes two thirds of the network's time, so that core would be idle for a third. On a GPU they always are.
        """
        self._running = self._propagation(key_masks)
        device = self._tracker.device.type
        has_room = device == "cuda" or (device == "cpu" and torch.get_num_threads() == 1 < self._threads)
        return self._running.run(lanes, encodes_beside=has_room)

    def leave(self, lane: Lane) -> None:
        """Spare the run that goes on the rest of a lane."""
        if self._running is not None:
            self._running.leave(lane)

    def _propagation(self, key_masks: KeyMasks) -> Propagation:
        objects = Objects(key_masks, self._choose_appearance, self._prompted)
        return Propagation(self._opened_stack(), self._finder, self._policy, self._settings, objects)

    def _policy_of(self, settings: PropagationSettings) -> MemoryPolicy:
        slices = None
        if self._reads_short_bank:
            slices = self._card.short_slices if settings.short_slices is None else settings.short_slices
        return find_rule(settings.memory).policy(slices)

    def _opened_stack(self) -> OpenStack:
        if self._opened is None:
            raise RuntimeError("open() must come first")
        return self._opened
