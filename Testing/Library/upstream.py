"""The predictor of the installed `sam2` as the reference, and networks with weights that depend on names alone."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import sam2.sam2_video_predictor as video_predictor
import torch
from numpy.typing import NDArray
from PIL import Image
from sam2.modeling.sam2_base import SAM2Base
from sam2.modeling.sam2_utils import get_1d_sine_pe
from sam2.sam2_video_predictor import SAM2VideoPredictor
from sam2.utils import misc
from torch import Tensor

from SegmentPropagateLib.networks.build import build_network
from SegmentPropagateLib.networks.families import NetworkConfig
from SegmentPropagateLib.networks.sam2 import ShortLongSam2

OBJECT_SCORE_BIAS = "sam_mask_decoder.pred_obj_score_head.layers.2.bias"
UPSCALE_BIAS = (
    *(-7.8, 11.9, 9.6, -7.6, -27.7, -27.4, -28.3, 4.3, 6.8, 5.1, -22.6, -6.0, -1.0, 1.0, 0.2, 0.5),
    *(-4.8, -40.6, 2.0, -24.9, 1.0, 2.4, -2.5, -4.9, 3.0, -9.5, -14.8, 0.6, 1.9, -10.5, 5.1, -36.0),
)
EMBEDDINGS = (
    *("maskmem_tpos_enc", "no_mem_embed", "no_mem_pos_enc", "no_obj_ptr", "no_obj_embed_spatial"),
    *("iou_token.weight", "mask_tokens.weight", "obj_score_token.weight", "point_embeddings"),
    *("not_a_point_embed", "no_mask_embed"),
)
GAIN = {
    "image_encoder.trunk.patch_embed.proj.weight": 4.0,
    "sam_mask_decoder.conv_s0.weight": 3.0,
    "sam_mask_decoder.iou_prediction_head.layers.2.weight": 4.0,
}


def weight(name: str, shape: Sequence[int]) -> Tensor:
    """A float32 tensor that depends on its name and shape only, scaled so that activations stay in range."""
    noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tuple(shape))
    if "positional_encoding_gaussian_matrix" in name or name.startswith("image_encoder.trunk.pos_embed"):
        values = noise
    elif name.endswith(".gamma"):
        values = 0.5 + 0.1 * noise
    elif name == OBJECT_SCORE_BIAS:
        values = np.ones(shape)
    elif any(part in name for part in EMBEDDINGS):
        values = 0.5 * noise
    elif name == "sam_mask_decoder.output_upscaling.3.bias" and tuple(shape) == (32,):
        values = np.array(UPSCALE_BIAS)
    elif len(shape) >= 2:
        transposed = name.endswith(("output_upscaling.0.weight", "output_upscaling.3.weight"))
        fan_in = shape[0] if transposed else int(np.prod(shape[1:]))
        values = noise * GAIN.get(name, 1.0) / np.sqrt(fan_in)
    else:
        values = 1 + 0.1 * noise if name.endswith("weight") else 0.02 * noise
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def network_with_fixed_weights(config: NetworkConfig, overrides: Mapping[str, float] | None = None) -> SAM2Base:
    """A network whose tensors are `weight(name, shape)`, or constant where overridden."""
    network = build_network(config)
    state = {name: weight(name, tensor.shape) for name, tensor in network.state_dict().items()}
    for name, value in (overrides or {}).items():
        state[name] = torch.full_like(state[name], value)
    network.load_state_dict(state, strict=True)
    return network


def synthetic_volume() -> tuple[NDArray[np.uint8], NDArray[np.bool_], tuple[float, float, float, float]]:
    """12 slices of 96 x 80 with a drifting ellipse: gray `(12, 96, 80)`, its mask on slice 6, a box around that."""
    slices, rows, columns, key = 12, 96, 80, 6
    rng = np.random.default_rng(20260101)
    k, j, i = np.meshgrid(np.arange(slices), np.arange(rows), np.arange(columns), indexing="ij")
    gray = np.full(k.shape, 45.0)
    for _ in range(14):
        center = rng.uniform(0, slices), rng.uniform(0, rows), rng.uniform(0, columns)
        width = rng.uniform(1.5, 5), rng.uniform(5, 16), rng.uniform(5, 16)
        height = rng.uniform(-45, 70)
        parts = [-(((axis - c) / w) ** 2) / 2 for axis, c, w in zip((k, j, i), center, width, strict=True)]
        gray += height * np.exp(parts[0] + parts[1] + parts[2])
    center_j, center_i = 46 + 1.6 * (k - key), 36 - 1.2 * (k - key)
    size = np.clip(1 - ((k - key) / 5.2) ** 2, 0, None)
    radius_j, radius_i = 20 * np.sqrt(size) + 1e-6, 13 * np.sqrt(size) + 1e-6
    distance = ((j - center_j) / radius_j) ** 2 + ((i - center_i) / radius_i) ** 2
    soft = 0.8 / (1 + np.exp(4 * (np.sqrt(distance) - 1) * np.minimum(radius_j, 8) / 2))
    gray = gray * (1 - soft) + 190 * soft + rng.normal(0, 4, k.shape)
    mask = distance[key] <= 1
    j_in, i_in = np.nonzero(mask)
    box = float(i_in.min() - 2), float(j_in.min() - 2), float(i_in.max() + 2), float(j_in.max() + 2)
    return np.clip(np.rint(gray), 0, 255).astype(np.uint8), mask, box


class _ReadsBothMemories(ShortLongSam2):
    """SLM-SAM 2 whose `track_step` is written down as released, slice by slice; the library's steps must equal it."""

    def _prepare_memory_conditioned_features(
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


def reading_both(network: SAM2Base, short_slices: int) -> SAM2Base:
    """The same modules as a network whose `track_step` reads the long and the short memory; nothing is copied."""
    reader = _ReadsBothMemories.__new__(_ReadsBothMemories)
    reader.__dict__.update(network.__dict__)
    reader.short_slices = short_slices
    return reader


def predictor_of(network: SAM2Base) -> SAM2VideoPredictor:
    """The same modules and settings as a `SAM2VideoPredictor`; nothing is copied."""
    predictor = SAM2VideoPredictor.__new__(SAM2VideoPredictor)
    predictor.__dict__.update(network.__dict__)
    predictor.fill_hole_area = 0
    predictor.non_overlap_masks = False
    predictor.clear_non_cond_mem_around_input = False
    predictor.add_all_frames_to_correct_as_cond = False
    return predictor


def frames_of(gray: NDArray[np.uint8], folder: Path) -> str:
    """Write slices where `SAM2VideoPredictor.init_state` finds them, without loss: PNG bytes named .jpg."""
    for index, pixels in enumerate(gray):
        with (folder / f"{index:05d}.jpg").open("wb") as file:
            Image.fromarray(pixels).save(file, format="PNG")
    return str(folder)


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """`sam2` writes progress bars to stderr."""
    modules = (video_predictor, misc)
    originals = [module.tqdm for module in modules]
    for module in modules:
        module.tqdm = lambda items, **_: items
    try:
        yield
    finally:
        for module, original in zip(modules, originals, strict=True):
            module.tqdm = original
