"""The networks, built in code from `sam2` modules: SAM 2, SAM 2.1, MedSAM2, SLM-SAM 2 and the small starter network.

State-dict keys are exactly those of the released files. This is the only place that knows the architectures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.transformer import RoPEAttention, TwoWayTransformer
from sam2.modeling.sam2_base import SAM2Base
from sam2.modeling.sam2_utils import get_1d_sine_pe
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from SegmentPropagateLib.networks.families import HIERA_TRUNKS, NetworkConfig, Variant


class ShortLongSam2(SAM2Base):
    """SAM 2.1 with a second memory attention over the last slices and a fuser (SLM-SAM 2).

    `track_step` of the base class works as in SAM 2, with both memories read.

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
        self.short_slices = 1
        self.recent_memory_attention = short_attention
        self.recent_memory_fuser = short_fuser
        if unused_position_table:
            self.rec_maskmem_tpos_enc = nn.Parameter(torch.zeros_like(self.maskmem_tpos_enc))

    def _prepare_memory_conditioned_features(  # noqa: PLR0913 (signature of the base class)
        self,
        frame_idx: int,
        is_init_cond_frame: bool,
        current_vision_feats: list[Tensor],
        current_vision_pos_embeds: list[Tensor],
        feat_sizes: list[tuple[int, int]],
        output_dict: Mapping[str, Mapping[int, Mapping[str, Any]]],
        num_frames: int,
        track_in_reverse: bool = False,
    ) -> Tensor:
        """Return image features of shape `(B, C, H, W)` that have read the long and the short memory."""
        long = super()._prepare_memory_conditioned_features(
            frame_idx,
            is_init_cond_frame,
            current_vision_feats,
            current_vision_pos_embeds,
            feat_sizes,
            output_dict,
            num_frames,
            track_in_reverse,
        )
        if is_init_cond_frame:
            return self.recent_memory_fuser(long + long)
        step = 1 if track_in_reverse else -1
        outputs = {**output_dict["cond_frame_outputs"], **output_dict["non_cond_frame_outputs"]}
        near = {
            distance: outputs[frame_idx + step * distance]
            for distance in range(1, self.short_slices + 1)
            if frame_idx + step * distance in outputs
        }
        if not near:  # the released code crashes here
            return self.recent_memory_fuser(long + long)
        memory, memory_pos, pointer_tokens = self._short_bank(near, min(num_frames, self.max_obj_ptrs_in_encoder))
        short = self.recent_memory_attention(
            curr=current_vision_feats[-1],
            curr_pos=current_vision_pos_embeds[-1],
            memory=memory,
            memory_pos=memory_pos,
            num_obj_ptr_tokens=pointer_tokens,
        )
        return self.recent_memory_fuser(short.permute(1, 2, 0).reshape(long.shape) + long)

    def _short_bank(self, near: Mapping[int, Mapping[str, Any]], max_pointers: int) -> tuple[Tensor, Tensor, int]:
        """Tokens and positions of shape `(tokens, B, memory width)`, pointer tokens last, and how many those are."""
        device = self.maskmem_tpos_enc.device
        memory = [out["maskmem_features"].to(device).flatten(2).permute(2, 0, 1) for out in near.values()]
        position = [
            out["maskmem_pos_enc"][-1].to(device).flatten(2).permute(2, 0, 1) + self.maskmem_tpos_enc[distance - 1]
            for distance, out in near.items()
        ]
        pointers = {distance: out["obj_ptr"] for distance, out in near.items() if distance < max_pointers}
        if not pointers:
            return torch.cat(memory), torch.cat(position), 0
        split = self.hidden_dim // self.mem_dim
        tokens = torch.stack(list(pointers.values()))  # (pointers, B, C)
        count, batch, _ = tokens.shape
        tokens = tokens.reshape(count, batch, split, self.mem_dim).permute(0, 2, 1, 3).flatten(0, 1)
        distances = torch.tensor(list(pointers), device=device) / (max_pointers - 1)
        sine = self.obj_ptr_tpos_proj(get_1d_sine_pe(distances, dim=self.hidden_dim))
        sine = sine.unsqueeze(1).expand(-1, batch, -1).repeat_interleave(split, dim=0)
        return torch.cat([*memory, tokens]), torch.cat([*position, sine]), len(tokens)


class ConvTrunk(nn.Module):
    """Plain residual convolutions at strides 2, 4, 8 and 16, in place of Hiera."""

    def __init__(self, channels: tuple[int, ...], blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.channel_list = list(channels[::-1])  # read by ImageEncoder
        self.st = nn.ModuleList()
        before, kernel = 3, 5
        for width, count in zip(channels, blocks, strict=True):
            self.st.append(
                nn.Sequential(
                    nn.Conv2d(before, width, kernel, stride=2, padding=kernel // 2, bias=False),
                    nn.GroupNorm(8, width),
                    *[_ResidualBlock(width) for _ in range(count)],
                )
            )
            before, kernel = width, 3

    def forward(self, image: Tensor) -> list[Tensor]:
        """Turn `(B, 3, S, S)` into feature maps of strides 2, 4, 8 and 16."""
        maps = []
        for stage in self.st:
            image = stage(image)
            maps.append(image)
        return maps


class _ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.n1 = nn.GroupNorm(8, width)
        self.c2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.n2 = nn.GroupNorm(8, width)
        nn.init.zeros_(self.n2.weight)  # the block starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.n1(self.c1(functional.relu(x))))
        return x + self.n2(self.c2(y))


def build_network(config: NetworkConfig, state_dict: Mapping[str, Tensor] | None = None) -> SAM2Base:
    """Build a network on the CPU in evaluation mode, without gradients.

    Args:
        config: which network.
        state_dict: float32 weights with exactly the network's keys; they become the network's own tensors and are
            not copied. None draws random weights, for training from scratch.
    """
    if state_dict is None:
        network = _assemble(config)
    else:
        with _Unfilled():
            network = _assemble(config)
        network.load_state_dict(state_dict, strict=True, assign=True)
    _share_rotations(network)
    return network.eval().requires_grad_(False)


def _share_rotations(network: SAM2Base) -> None:
    """Let all memory attention layers use one table: at 1024 pixels each of their 16 tables takes 4 MB."""
    layers = [module for module in network.modules() if isinstance(module, RoPEAttention)]
    for layer in layers:
        layer.freqs_cis = layers[0].freqs_cis


def expected_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors in the network's state dict."""
    with _Unfilled():
        network = _assemble(config)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def new_fuser() -> Fuser:
    """The fuser of SLM-SAM 2 with the random weights that fine-tuning starts from; nearly the identity."""
    return Fuser(CXBlock(256), num_layers=2)


class _Unfilled(TorchFunctionMode):
    """Builds modules whose parameters take neither memory nor time, to be replaced by those of a state dict.

    `torch.device("meta")` would do so for every tensor, but Hiera reads some values while it is built.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        if func is torch.empty:  # what torch.nn makes parameters from
            return func(*args, **{**kwargs, "device": "meta"})
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def _assemble(config: NetworkConfig) -> SAM2Base:
    if config.family == "starter":
        return _starter(config)
    arguments = {
        "image_encoder": _hiera_encoder(config.variant),
        "memory_attention": _memory_attention(config.image_size // 16),
        "memory_encoder": _memory_encoder(width=256, memory_width=64, stride=16, blocks=2),
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
        **_COMMON,
    }
    if config.family == "sam2":
        return SAM2Base(**arguments, add_tpos_enc_to_obj_ptrs=False)
    if config.family == "sam2.1":
        return SAM2Base(**arguments, **_SINCE_2_1)
    return ShortLongSam2(
        short_attention=_memory_attention(config.image_size // 16),
        short_fuser=new_fuser(),
        unused_position_table=True,
        **arguments,
        **_SINCE_2_1,
    )


_COMMON: Mapping[str, Any] = {
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
_SINCE_2_1: Mapping[str, Any] = {
    "no_obj_embed_spatial": True,
    "add_tpos_enc_to_obj_ptrs": True,
    "proj_tpos_enc_in_obj_ptrs": True,
    "use_signed_tpos_enc_to_obj_ptrs": True,
}


def _starter(config: NetworkConfig) -> ShortLongSam2:
    shape, stride = config.starter, 8

    attention_shape = _AttentionShape(
        width=shape.width,
        memory_width=shape.memory_width,
        layers=shape.attention_layers,
        mlp=shape.attention_mlp,
        rope_theta=100.0,  # wavelengths for 16 x 16 tokens rather than 64 x 64
        dropout=0.0,
    )

    def attention() -> MemoryAttention:
        return _with_place_prior(_memory_attention(config.image_size // stride, attention_shape))

    network = ShortLongSam2(
        image_encoder=_image_encoder(ConvTrunk(shape.stage_channels, shape.stage_blocks), shape.width),
        memory_attention=attention(),
        memory_encoder=_memory_encoder(shape.width, shape.memory_width, stride, blocks=1, layer_scale=0.1),
        short_attention=attention(),
        short_fuser=Fuser(CXBlock(shape.width, layer_scale_init_value=0.1), num_layers=2),
        unused_position_table=False,
        image_size=config.image_size,
        backbone_stride=stride,
        **_COMMON,
        **_SINCE_2_1,
    )
    # SAM2Base fixes these two widths at 2048 and 256.
    network.sam_mask_decoder = MaskDecoder(
        transformer=TwoWayTransformer(depth=2, embedding_dim=shape.width, mlp_dim=shape.decoder_mlp, num_heads=8),
        transformer_dim=shape.width,
        iou_head_hidden_dim=shape.iou_mlp,
        use_high_res_features=True,
        iou_prediction_use_sigmoid=True,
        pred_obj_scores=True,
        pred_obj_scores_mlp=True,
        use_multimask_token_for_obj_ptr=True,
    )
    # Training starts by believing in the object: +2 as a logit is a presence of 0.88.
    nn.init.constant_(network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias, 2.0)
    return network


def _hiera_encoder(variant: Variant) -> ImageEncoder:
    return _image_encoder(Hiera(**HIERA_TRUNKS[variant]), width=256)


def _image_encoder(trunk: nn.Module, width: int) -> ImageEncoder:
    neck = FpnNeck(
        _sine(width),
        d_model=width,
        backbone_channel_list=trunk.channel_list,
        fpn_top_down_levels=[2, 3],
        fpn_interp_model="nearest",
    )
    return ImageEncoder(trunk, neck, scalp=1)


def _sine(width: int) -> PositionEmbeddingSine:
    # Warming up its cache would create tables on a CUDA device that may not be the one in use.
    return PositionEmbeddingSine(width, normalize=True, temperature=10000, warmup_cache=False)


@dataclass(frozen=True)
class _AttentionShape:
    width: int = 256
    memory_width: int = 64
    layers: int = 4
    mlp: int = 2048
    rope_theta: float = 10000.0
    dropout: float = 0.1


def _memory_attention(tokens_per_side: int, shape: _AttentionShape = _AttentionShape()) -> MemoryAttention:
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


def _with_place_prior(attention: MemoryAttention, strength: float = 1.9) -> MemoryAttention:
    """Let cross-attention start out looking at the same place in the memory slice.

    Rotary encoding turns equal query and key biases into a score that peaks where both positions agree; on the
    higher half of the frequencies of x and of y the peak is narrow. Training from scratch takes off sooner with it.
    """
    for layer in attention.layers:
        cross = layer.cross_attn_image
        bias = torch.zeros(2, 2, cross.internal_dim // 8, 2)  # (x or y, high or low frequencies, pair, member)
        bias[:, 0, :, 0] = strength
        with torch.no_grad():
            cross.q_proj.bias.copy_(bias.flatten())
            cross.k_proj.bias.copy_(bias.flatten())
    return attention


def _memory_encoder(
    width: int, memory_width: int, stride: int, *, blocks: int, layer_scale: float = 1e-6
) -> MemoryEncoder:
    return MemoryEncoder(
        out_dim=memory_width,
        mask_downsampler=MaskDownSampler(width, kernel_size=3, stride=2, padding=1, total_stride=stride),
        fuser=Fuser(CXBlock(width, layer_scale_init_value=layer_scale), num_layers=blocks),
        position_encoding=_sine(memory_width),
        in_dim=width,
    )
