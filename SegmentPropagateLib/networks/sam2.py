"""SAM 2, SAM 2.1 and SLM-SAM 2 put together from the modules of `sam2`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam.transformer import RoPEAttention
from sam2.modeling.sam2_base import NO_OBJ_SCORE, SAM2Base
from torch import Tensor, nn

from SegmentPropagateLib.networks.families import HIERA_TRUNKS, NetworkConfig

Network: TypeAlias = SAM2Base
"""A network of any family: all are put together on it, so that few files have to import `sam2`."""
ABSENT_LOGIT: float = NO_OBJ_SCORE
"""What masks hold where the object is absent."""


class ShortLongSam2(SAM2Base):
    """SAM 2.1 with a second memory attention over the last slices and a fuser (SLM-SAM 2).

    It only holds the modules, under the names of the released files: `track_step` of the base class knows nothing of
    the second attention. Runs and training read both, see `steps`.

    Args:
        short_attention: memory attention over the short bank.
        short_fuser: applied to the sum of the two attention results.
        unused_position_table: whether to register `rec_maskmem_tpos_enc`, which released files carry and nothing reads.
        sam2_arguments: passed on to `SAM2Base`.
    """

    def __init__(
        self,
        *,
        short_attention: nn.Module,
        short_fuser: nn.Module,
        unused_position_table: bool,
        **sam2_arguments: Any,
    ) -> None:
        super().__init__(**sam2_arguments)
        self.recent_memory_attention = short_attention
        self.recent_memory_fuser = short_fuser
        if unused_position_table:
            self.rec_maskmem_tpos_enc = nn.Parameter(torch.zeros_like(self.maskmem_tpos_enc))


def new_fuser() -> Fuser:
    """The fuser of SLM-SAM 2 with the random weights that fine-tuning starts from; nearly the identity."""
    return Fuser(CXBlock(256), num_layers=2)


COMMON: Mapping[str, Any] = {
    "num_maskmem": 7,
    "sigmoid_scale_for_mem_enc": 20.0,
    "sigmoid_bias_for_mem_enc": -10.0,
    "use_mask_input_as_output_without_sam": True,
    "directly_add_no_mem_embed": True,
    "use_high_res_features_in_sam": True,
    "iou_prediction_use_sigmoid": True,
    "use_obj_ptrs_in_encoder": True,
    "only_obj_ptrs_in_the_past_for_eval": True,
    "pred_obj_scores": True,
    "pred_obj_scores_mlp": True,
    "fixed_no_obj_ptr": True,
    "use_mlp_for_obj_ptr_proj": True,
}

SINCE_2_1: Mapping[str, Any] = {
    "no_obj_embed_spatial": True,
    "add_tpos_enc_to_obj_ptrs": True,
    "proj_tpos_enc_in_obj_ptrs": True,
    "use_signed_tpos_enc_to_obj_ptrs": True,
}


def hiera_encoder(variant: str) -> ImageEncoder:
    """SAM 2's image encoder of a size."""
    return image_encoder_of(Hiera(**HIERA_TRUNKS[variant]), width=256)


def image_encoder_of(trunk: nn.Module, width: int) -> ImageEncoder:
    """A trunk with the feature pyramid that SAM 2 puts on it."""
    neck = FpnNeck(
        _SharedSine(width),
        d_model=width,
        backbone_channel_list=trunk.channel_list,
        fpn_top_down_levels=[2, 3],
        fpn_interp_model="nearest",
    )
    return ImageEncoder(trunk, neck, scalp=1)


class _SharedSine(PositionEmbeddingSine):
    """Does not copy its table for every image; that took 5 % of the starter's time."""

    def __init__(self, width: int) -> None:
        # Warming up its cache would create tables on a CUDA device that may not be the one in use.
        super().__init__(width, normalize=True, temperature=10000, warmup_cache=False)

    def forward(self, x: Tensor) -> Tensor:
        size = tuple(x.shape[-2:])
        if size not in self.cache:
            super().forward(x[:1])
        return self.cache[size].to(x.device).expand(len(x), -1, -1, -1)


@dataclass(frozen=True)
class AttentionShape:
    """Sizes of a memory attention; the defaults are SAM 2's."""

    width: int = 256
    memory_width: int = 64
    layers: int = 4
    mlp: int = 2048
    rope_theta: float = 10000.0
    dropout: float = 0.1


def memory_attention(tokens_per_side: int, shape: AttentionShape = AttentionShape()) -> MemoryAttention:
    """A memory attention over square feature maps of so many tokens a side."""

    def attention(**cross: Any) -> RoPEAttention:
        return RoPEAttention(
            embedding_dim=shape.width,
            num_heads=1,
            downsample_rate=1,
            dropout=shape.dropout,
            rope_theta=shape.rope_theta,
            feat_sizes=(tokens_per_side, tokens_per_side),
            **cross,
        )

    layer = MemoryAttentionLayer(
        activation="relu",
        cross_attention=attention(rope_k_repeat=True, kv_in_dim=shape.memory_width),
        d_model=shape.width,
        dim_feedforward=shape.mlp,
        dropout=shape.dropout,
        pos_enc_at_attn=False,
        pos_enc_at_cross_attn_keys=True,
        pos_enc_at_cross_attn_queries=False,
        self_attention=attention(),
    )
    return MemoryAttention(shape.width, pos_enc_at_input=True, layer=layer, num_layers=shape.layers)


def memory_encoder(
    width: int, memory_width: int, stride: int, *, blocks: int, layer_scale: float = 1e-6
) -> MemoryEncoder:
    """What turns image features and a mask at `stride` into a memory of `memory_width` channels."""
    return MemoryEncoder(
        out_dim=memory_width,
        mask_downsampler=MaskDownSampler(width, kernel_size=3, stride=2, padding=1, total_stride=stride),
        fuser=Fuser(CXBlock(width, layer_scale_init_value=layer_scale), num_layers=blocks),
        position_encoding=_SharedSine(memory_width),
        in_dim=width,
    )


def sam2_network(config: NetworkConfig) -> Network:
    """SAM 2 as first published."""
    return SAM2Base(**_released(config), add_tpos_enc_to_obj_ptrs=False)


def sam21_network(config: NetworkConfig) -> Network:
    """SAM 2.1, and MedSAM2."""
    return SAM2Base(**_released(config), **SINCE_2_1)


def slm_sam2_network(config: NetworkConfig) -> Network:
    """SLM-SAM 2 as published."""
    return ShortLongSam2(
        short_attention=memory_attention(config.image_size // 16),
        short_fuser=new_fuser(),
        unused_position_table=True,
        **_released(config),
        **SINCE_2_1,
    )


def _released(config: NetworkConfig) -> dict[str, Any]:
    """Arguments of `SAM2Base` that the released networks have in common."""
    return {
        "image_encoder": hiera_encoder(config.variant),
        "memory_attention": memory_attention(config.image_size // 16),
        "memory_encoder": memory_encoder(width=256, memory_width=64, stride=16, blocks=2),
        "image_size": config.image_size,
        "binarize_mask_from_pts_for_mem_enc": True,  # this and the stability fall-back: as the released predictors run
        "multimask_output_in_sam": True,
        "multimask_output_for_tracking": True,
        "use_multimask_token_for_obj_ptr": True,
        "multimask_min_pt_num": 0,
        "multimask_max_pt_num": 1,
        "sam_mask_decoder_extra_args": {
            "dynamic_multimask_via_stability": True,
            "dynamic_multimask_stability_delta": 0.05,
            "dynamic_multimask_stability_thresh": 0.98,
        },
        **COMMON,
    }
