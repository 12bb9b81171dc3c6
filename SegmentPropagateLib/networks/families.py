"""Which network a state dict belongs to, by the names and shapes of its tensors alone; knows no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from SegmentPropagateLib.errors import CheckpointError, InputError

Shapes = Mapping[str, tuple[int, ...]]
"""Name -> shape of every tensor of a state dict."""

Family = Literal["sam2", "sam2.1", "slm-sam2", "starter"]
Variant = Literal["t", "s", "b+", "l", "conv"]

# embed_dim, heads, blocks per stage, blocks with global attention, size of the coarse position table, windows per stage
# (sam2/configs/sam2.1/*.yaml; MedSAM2 and SLM-SAM 2 use the same trunks).
HIERA_TRUNKS: Mapping[Variant, Mapping[str, Any]] = {
    "t": {
        "embed_dim": 96,
        "num_heads": 1,
        "stages": (1, 2, 7, 2),
        "global_att_blocks": (5, 7, 9),
        "window_pos_embed_bkg_spatial_size": (7, 7),
        "window_spec": (8, 4, 14, 7),
    },
    "s": {
        "embed_dim": 96,
        "num_heads": 1,
        "stages": (1, 2, 11, 2),
        "global_att_blocks": (7, 10, 13),
        "window_pos_embed_bkg_spatial_size": (7, 7),
        "window_spec": (8, 4, 14, 7),
    },
    "b+": {
        "embed_dim": 112,
        "num_heads": 2,
        "stages": (2, 3, 16, 3),
        "global_att_blocks": (12, 16, 20),
        "window_pos_embed_bkg_spatial_size": (14, 14),
        "window_spec": (8, 4, 14, 7),
    },
    "l": {
        "embed_dim": 144,
        "num_heads": 2,
        "stages": (2, 6, 36, 4),
        "global_att_blocks": (23, 33, 43),
        "window_pos_embed_bkg_spatial_size": (7, 7),
        "window_spec": (8, 4, 16, 8),
    },
}


@dataclass(frozen=True)
class StarterShape:
    """Sizes of the starter network; all of them show in the shapes of its state dict.

    Args:
        stage_channels: channels of the four convolutional stages, at strides 2, 4, 8 and 16; multiples of 8.
        stage_blocks: residual blocks per stage.
        width: channels of the image features and tokens.
        memory_width: channels of a stored memory.
        attention_layers: layers in each of the two memory attentions.
        attention_mlp: hidden width of their feed-forward part.
        decoder_mlp: hidden width of the mask decoder's transformer.
        iou_mlp: hidden width of the head that predicts the mask's IoU.
    """

    stage_channels: tuple[int, int, int, int] = (24, 48, 96, 128)
    stage_blocks: tuple[int, int, int, int] = (1, 1, 2, 1)
    width: int = 96
    memory_width: int = 32
    attention_layers: int = 1
    attention_mlp: int = 192
    decoder_mlp: int = 256
    iou_mlp: int = 64


@dataclass(frozen=True)
class NetworkConfig:
    """Which network to build.

    Args:
        family: `sam2`, `sam2.1` (MedSAM2 too), `slm-sam2`, or our own `starter`.
        variant: size of the Hiera trunk (`t`, `s`, `b+`, `l`), or `conv` for the starter.
        image_size: side of the square input in pixels, a multiple of 32; weights do not depend on it.
        starter: sizes of the starter network; other families ignore it.
    """

    family: Family
    variant: Variant
    image_size: int = 1024
    starter: StarterShape = field(default_factory=StarterShape)

    def __post_init__(self) -> None:
        variants = {"conv"} if self.family == "starter" else set(HIERA_TRUNKS)
        if self.family not in ("sam2", "sam2.1", "slm-sam2", "starter") or self.variant not in variants:
            raise InputError(f"There is no network of family {self.family!r} and variant {self.variant!r}.")
        if self.image_size < 64 or self.image_size % 32:
            raise InputError(f"The image size must be a multiple of 32 and at least 64 pixels, got {self.image_size}.")


def recognize(shapes: Shapes, image_size: int, origin: str) -> NetworkConfig:
    """Tell which network a state dict belongs to.

    Single missing or odd tensors do not matter here: the strict comparison with the network's own list names them.

    Args:
        shapes: of the state dict.
        image_size: for the network.
        origin: what to call the state dict in messages, such as the file's path.

    Raises:
        CheckpointError: it is no network of ours; the message says what it is where that is known.
    """
    for mark, kind in _FOREIGN.items():
        if any(re.match(mark, name) for name in shapes):
            raise CheckpointError(
                f"{origin} holds {kind}, which cannot run here: give a SAM 2, MedSAM2 or SLM-SAM 2 file."
            )
    if any(name.startswith("image_encoder.trunk.st.") for name in shapes):
        return NetworkConfig("starter", "conv", image_size, _starter_shape(shapes, origin))
    if not any(name.startswith("image_encoder.trunk.blocks.") for name in shapes):
        examples = ", ".join(list(shapes)[:3]) or "none"
        raise CheckpointError(
            f"{origin} holds no SAM 2 network (its {len(shapes)} tensors begin with {examples}): {_INSTEAD}."
        )
    if len(shapes.get("image_encoder.trunk.pos_embed", ())) == 3:
        raise CheckpointError(
            f"{origin} holds an EfficientTAM or EfficientMedSAM network (plain ViT trunk), which cannot "
            f"run here: {_INSTEAD}."
        )
    if any(name.startswith("recent_memory_attention.") for name in shapes):
        family: Family = "slm-sam2"
    elif "no_obj_embed_spatial" in shapes or "obj_ptr_tpos_proj.weight" in shapes:
        family = "sam2.1"
    else:
        family = "sam2"
    return NetworkConfig(family, _hiera_variant(shapes, origin), image_size)


_INSTEAD = "give a SAM 2, MedSAM2 or SLM-SAM 2 file"

# Beginnings of tensor names that give another kind of network away.
_FOREIGN: Mapping[str, str] = {
    r"(image_encoder\.blocks\.|image_encoder\.neck\.0\.|mask_decoder\.)": "a SAM 1 or MedSAM 1 network",
    r"(vision_encoder\.|model\.vision_encoder\.)": "a SAM 2 network of the transformers library",
    r"(encoder\.stages\.|conv_blocks_context\.|decoder\.seg_layers\.)": "an nnU-Net network",
}


def _hiera_variant(shapes: Shapes, origin: str) -> Variant:
    trunk = "image_encoder.trunk."
    patches = shapes.get(trunk + "patch_embed.proj.weight") or shapes.get(trunk + "patch_embed.proj.bias") or (0,)
    depth = _count(shapes, trunk + r"blocks\.(\d+)\.")
    for variant, sizes in HIERA_TRUNKS.items():
        if (sizes["embed_dim"], sum(sizes["stages"])) == (patches[0], depth):
            return variant
    raise CheckpointError(
        f"{origin} has an image encoder of width {patches[0]} with {depth} blocks, which is "
        f"none of SAM 2's sizes {', '.join(HIERA_TRUNKS)}: {_INSTEAD}."
    )


def _starter_shape(shapes: Shapes, origin: str) -> StarterShape:
    stages = range(4)
    try:
        return StarterShape(
            stage_channels=_four(shapes[f"image_encoder.trunk.st.{stage}.0.weight"][0] for stage in stages),
            stage_blocks=_four(_blocks(shapes, stage) for stage in stages),
            width=shapes["no_mem_embed"][-1],
            memory_width=shapes["maskmem_tpos_enc"][-1],
            attention_layers=_count(shapes, r"memory_attention\.layers\.(\d+)\."),
            attention_mlp=shapes["memory_attention.layers.0.linear1.weight"][0],
            decoder_mlp=shapes["sam_mask_decoder.transformer.layers.0.mlp.layers.0.weight"][0],
            iou_mlp=shapes["sam_mask_decoder.iou_prediction_head.layers.0.weight"][0],
        )
    except (KeyError, IndexError) as error:
        raise CheckpointError(f"{origin} is a starter network without the tensor {error}: get it again.") from error


def _blocks(shapes: Shapes, stage: int) -> int:
    entries = _count(shapes, rf"image_encoder\.trunk\.st\.{stage}\.(\d+)\.c1\.weight")
    return max(0, entries - 2)  # convolution and norm come before


def _four(values: Iterable[int]) -> tuple[int, int, int, int]:
    first, second, third, fourth = values
    return first, second, third, fourth


def _count(shapes: Shapes, pattern: str) -> int:
    """One more than the highest number that the pattern's group takes among the names."""
    found = (re.match(pattern, name) for name in shapes)
    highest = max((int(match[1]) for match in found if match), default=-1)
    return min(highest + 1, len(shapes))  # a forged name must not ask for a billion layers
