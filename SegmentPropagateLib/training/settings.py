"""Everything about a fine-tuning run that its result depends on, and what published recipes set it to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from SegmentPropagateLib.networks.adapters.lora import RANK
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.families import find_family
from SegmentPropagateLib.training.clips import Augmentation, ClipSettings, PromptKind
from SegmentPropagateLib.training.losses import LossWeights
from SegmentPropagateLib.training.optimizer import Rates
from SegmentPropagateLib.training.supports.loss import SupportWeights

ROI_FACTORS = (0.8, 1.4)
"""Views in training, relative to the card's own `roi_factor`: users' first outlines differ in size from later ones."""


METHODS: Mapping[str, str] = {
    "full": "",
    "decoder": r"sam_mask_decoder\.",
    "lora": r".*\.parametrizations\.weight\.0\.",
    "prompt": r"sam_prompt_encoder\.",
    "sgp": r"(?!image_encoder\.trunk\.)|.*\.parametrizations\.weight\.0\.",
}
"""How to fine-tune -> pattern of the names of the weights that are trained, at their beginning. All but `full` are
written as what differs from the starting point; `sgp` is low-rank products in the trunk and all that follows it."""


@dataclass(frozen=True)
class FinetuneSettings:
    """A fine-tuning run.

    Args:
        method: a name of `METHODS`.
        rank: of the low-rank products of the methods `lora` and `sgp`.
        lessons: `sequences` of a volume's own slices, or slices with `supports` from other cases.
        absent: with supports, share of the slices that do not show the object.
        epochs: visits to every target; ignored where `steps` is given.
        steps: optimizer steps.
        batch: clips per step and process.
        slices: consecutive slices per clip.
        reverse: share of the clips that run towards lower slice numbers.
        prompt: what the network is told on the first slice.
        clicks: simulated clicks that correct a box or point.
        augmentation: None leaves the images as they are.
        rates: learning rates.
        drawn: share of the clips that are cut from drawn volumes, against forgetting what a starter knows.
        weights: of the loss terms.
        support_weights: of those where finished cases support slices.
        clip_norm: largest norm of the gradient.
        short_memory: give a SAM 2.1 or MedSAM2 file a short memory first, which makes it an SLM-SAM 2.
        short_slices: length of the short memory bank; None takes the starting point's.
        image_size: side of the network's input; None takes the starting point's.
        roi: `auto` shows a crop around the object, as runs do by default; `off` shows whole slices, as the papers do.
        plane: along which volumes are cut.
        intensity: preset for gray levels.
        labels: numbers or names of the labels to learn; None takes all.
        validation: share of the cases, or names of the cases, to measure on and not to learn from.
        left_out: names of cases that are not touched at all.
        validations: how many times to measure during the run, at least.
        patience: after how many of these in a row without a better one to stop.
        checkpointing: None decides by the image size.
        seed: of everything random.
    """

    method: str = "full"
    rank: int = RANK
    lessons: Literal["sequences", "supports"] = "sequences"
    absent: float = 0.4
    epochs: int = 100
    steps: int | None = None
    batch: int = 1
    slices: int = 8
    reverse: float = 0.5
    prompt: PromptKind = "mask"
    clicks: int = 0
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    rates: Rates = field(default_factory=Rates)
    drawn: float = 0.0
    weights: LossWeights = field(default_factory=LossWeights)
    support_weights: SupportWeights = field(default_factory=SupportWeights)
    clip_norm: float = 0.1
    short_memory: bool = True
    short_slices: int | None = None
    image_size: int | None = None
    roi: Literal["auto", "off"] = "auto"
    plane: str = "axial"
    intensity: str = "auto"
    labels: tuple[int | str, ...] | None = None
    validation: float | tuple[str, ...] = 0.0
    left_out: tuple[str, ...] = ()
    validations: int = 10
    patience: int = 5
    checkpointing: bool | None = None
    seed: int = 123

    def clips_for(self, card: Card, length: int) -> ClipSettings:
        """How to cut clips for a model whose volumes allow clips of that length."""
        roi = (ROI_FACTORS[0] * card.roi_factor, ROI_FACTORS[1] * card.roi_factor) if self.roi == "auto" else None
        return ClipSettings(
            image_size=card.image_size,
            windows=find_family(card.family).appearance == "windows",
            slices=length,
            reverse=self.reverse,
            roi_factor=roi,
            augmentation=self.augmentation,
        )


RECIPES: Mapping[str, FinetuneSettings] = {
    # Chen et al. 2025 and the released configuration; reversal as the paper has it.
    "slm-sam2": FinetuneSettings(validation=0.2),
    # Ma et al. 2025: rates of the paper, epochs and prompts of the released configuration.
    "medsam2": FinetuneSettings(
        epochs=75,
        prompt="mask-box",
        rates=Rates(encoder=3e-5, rest=5e-5),
        image_size=512,
        short_memory=False,
        validation=0.2,
    ),
    # A small network that never saw a real image has more to learn.
    "starter": FinetuneSettings(
        epochs=200,
        batch=2,
        rates=Rates(encoder=2e-4, rest=3e-4, final=0.02, layer_decay=1.0, weight_decay=0.05, warm_up=10),
        weights=LossWeights(cross_entropy=1.0, iou=0.1, presence=0.5, absent_masks=0.3),
        clip_norm=1.0,
        augmentation=Augmentation(shear_deg=8, stretch=0.08, gamma=0.2, noise=0.04, mask_jitter=0.4),
        validation=0.2,
    ),
    # Xing et al. 2025, who state neither rates nor steps; 4 supports a slice, as there. Absent slices, which their
    # training has none of, are ours.
    "sgp": FinetuneSettings(
        method="sgp",
        rank=16,
        lessons="supports",
        epochs=20,
        batch=4,
        rates=Rates(encoder=3e-4, rest=3e-4, final=0.05, layer_decay=1.0, weight_decay=0.01, warm_up=20),
        clip_norm=1.0,
        short_memory=False,
        augmentation=Augmentation(rotation_deg=15, shear_deg=5, stretch=0.05, noise=0.02, slice_jitter=0.03),
        validation=0.2,
        validations=5,
    ),
}
