"""The small network of our own."""

from __future__ import annotations

from itertools import zip_longest

import torch
from sam2.modeling.memory_attention import MemoryAttention
from sam2.modeling.memory_encoder import CXBlock, Fuser
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.transformer import TwoWayTransformer
from torch import Tensor, nn
from torch.nn import functional

from SegmentPropagateLib.networks.families import NetworkConfig
from SegmentPropagateLib.networks.lite0 import CHANNELS, Lite0
from SegmentPropagateLib.networks.sam2 import (
    COMMON,
    SINCE_2_1,
    AttentionShape,
    ShortLongSam2,
    image_encoder_of,
    memory_attention,
    memory_encoder,
)


class ConvTrunk(nn.Module):
    """Plain residual convolutions at strides 2, 4, 8 and 16, in place of Hiera.

    Args:
        channels: of the four stages.
        blocks: residual blocks of the four stages.
        with_lite0: put a pretrained trunk beside them, whose features are added to each stage's. That begins with
            nothing: a network that gains it says what it said before, until it is trained.
    """

    def __init__(self, channels: tuple[int, ...], blocks: tuple[int, ...], with_lite0: bool = False) -> None:
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
        self.lite = Lite0() if with_lite0 else None
        self.join = nn.ModuleList()
        for seen, width in zip(CHANNELS, channels, strict=True) if with_lite0 else ():
            projection = nn.Conv2d(seen, width, 1, bias=False)
            nn.init.zeros_(projection.weight)
            self.join.append(projection)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Turn `(B, 3, S, S)` into feature maps of strides 2, 4, 8 and 16."""
        beside = () if self.lite is None else self.lite(image)
        maps = []
        for stage, join, seen in zip_longest(self.st, self.join, beside):
            image = stage(image) if join is None else stage(image) + join(seen)
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


def starter_network(config: NetworkConfig) -> ShortLongSam2:
    """The starter with random weights that train well from nothing."""
    shape, stride = config.starter, 8
    trunk = ConvTrunk(shape.stage_channels, shape.stage_blocks, with_lite0=config.variant == "conv+lite0")

    attention_shape = AttentionShape(
        width=shape.width,
        memory_width=shape.memory_width,
        layers=shape.attention_layers,
        mlp=shape.attention_mlp,
        rope_theta=100.0,  # wavelengths for 16 x 16 tokens rather than 64 x 64
        dropout=0.0,
    )

    def attention() -> MemoryAttention:
        return _with_place_prior(memory_attention(config.image_size // stride, attention_shape))

    network = ShortLongSam2(
        image_encoder=image_encoder_of(trunk, shape.width),
        memory_attention=attention(),
        memory_encoder=memory_encoder(shape.width, shape.memory_width, stride, blocks=1, layer_scale=0.1),
        short_attention=attention(),
        short_fuser=Fuser(CXBlock(shape.width, layer_scale_init_value=0.1), num_layers=2),
        unused_position_table=False,
        image_size=config.image_size,
        backbone_stride=stride,
        **COMMON,
        **SINCE_2_1,
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
