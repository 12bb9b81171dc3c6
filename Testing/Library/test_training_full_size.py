"""Training at the sizes of released models, with random weights."""

import numpy as np
import pytest
import torch
from tiny_training import ball_volume

from SegmentPropagateLib.networks.build import build_network
from SegmentPropagateLib.networks.checkpoints import seed_slm_from_sam21
from SegmentPropagateLib.networks.families import NetworkConfig
from SegmentPropagateLib.process import peak_memory_mib
from SegmentPropagateLib.training.clips import ClipSettings, draw_clip
from SegmentPropagateLib.training.forward import ClipPrompt, policy_of
from SegmentPropagateLib.training.trainer import Trainer, TrainerSettings


@pytest.mark.slow
def test_sam21_tiny_with_a_short_memory_learns_a_step_at_512_pixels(capsys):
    torch.manual_seed(0)
    plain = build_network(NetworkConfig("sam2.1", "t", 512)).state_dict()
    network = build_network(NetworkConfig("slm-sam2", "t", 512), seed_slm_from_sam21(plain))
    before = network.recent_memory_attention.layers[0].linear1.weight.clone()
    volume, target = ball_volume(side=96, radius=14.0, count=10, center=5)
    trainer = Trainer(network, policy_of(network, 1), TrainerSettings(10, checkpointing=True), torch.device("cpu"))
    clip = draw_clip(volume, target, ClipSettings(512, slices=4), np.random.default_rng(0))
    record = trainer.step([clip], ClipPrompt(masks=clip.prompt_mask[None]))
    assert np.isfinite(record["loss"])
    assert not torch.equal(network.recent_memory_attention.layers[0].linear1.weight, before)
    peak_gib = peak_memory_mib() / 1024
    with capsys.disabled():
        print(f"\nSLM-SAM 2 tiny, 512 px, a clip of 4 slices: loss {record['loss']:.2f}, peak {peak_gib:.2f} GiB")  # noqa: T201
    assert peak_gib < 8
