"""The source `draft`: a mask of another tool, of which the slices that can be trusted become key slices."""

from __future__ import annotations

import numpy as np

from SegmentPropagateLib.prompting.few_slices import FromSlices, Mask
from SegmentPropagateLib.prompting.source import Proposal
from SegmentPropagateLib.prompting.trust import TRUSTED, trust_of
from SegmentPropagateLib.propagation.results import SliceResult
from SegmentPropagateLib.volumes.stack import ImageStack


class MaskAsDraft(FromSlices):
    """Takes the labels of a whole object, which begins and ends where they do; see `PromptSource`.

    What it makes of masks that are spoiled on some slices: Testing/Benchmarks/evaluate_draft.py.
    """

    name = "draft"

    def _proposal(self, label: int, stack: ImageStack, masks: Mask) -> Proposal:
        trust = trust_of(stack, masks)
        if not trust:
            return Proposal(label, "not here", source=self.name, reason=f"The draft of label {label} is empty.")
        keys = {index for index, value in trust.items() if value >= TRUSTED}
        reason = ""
        if not keys:
            reason = "No two slices of the draft bear each other out: look at its largest one."
            keys = {max(trust, key=lambda index: np.count_nonzero(masks[index]))}
        key = max(keys, key=lambda index: np.count_nonzero(masks[index]))
        return Proposal(
            label,
            "unsure" if reason else "found",
            key,
            masks[key],
            min(trust),
            max(trust),
            confidence=round(float(np.mean([trust[index] >= TRUSTED for index in trust])), 4),
            source=self.name,
            reason=reason,
            slices={index: SliceResult.of_draft(masks[index], value, index in keys) for index, value in trust.items()},
        )
