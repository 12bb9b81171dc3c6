"""Files of a small starter: its weights, its card, and the sentence with which a bad file is refused."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch

from SegmentPropagateLib.errors import CheckpointError
from SegmentPropagateLib.networks.build import expected_shapes
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.checkpoints import inspect_checkpoint, load_network
from SegmentPropagateLib.networks.families import NetworkConfig, StarterShape

SMALL = NetworkConfig("starter", "conv", 96, StarterShape((8, 8, 16, 16), (1, 1, 1, 1), 32, 16, 1, 32, 32, 16))
CARD = Card(
    family="starter",
    variant="conv",
    image_size=96,
    name="mine",
    short_slices=2,
    intensity="abdomen",
    roi="auto",
    parents={"starter.pt": "ab" * 32},
    recipe={"steps": 100, "lr": 1e-3},
    training_cases=("case1", "case2"),
    metrics={"dice": 0.9},
)


def random_weights(config=SMALL):
    generator = torch.Generator().manual_seed(1)
    return {name: torch.rand(shape, generator=generator) for name, shape in shapes(config).items()}


@cache
def shapes(config):
    """To ask takes as long as to build the network, and many tests do."""
    return expected_shapes(config)


def refusal(path):
    """The one sentence with which a file is refused, by inspection and by loading alike."""
    sentences = []
    for attempt in (inspect_checkpoint, load_network):
        with pytest.raises(CheckpointError) as caught:
            attempt(path)
        sentences.append(str(caught.value))
    assert sentences[0] == sentences[1]
    assert sentences[0].count(". ") == 0
    assert sentences[0].endswith(".")
    assert Path(path).name in sentences[0]
    return sentences[0]


def write_safetensors(path, header='{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', length=None):
    length = len(header) if length is None else length
    path.write_bytes(length.to_bytes(8, "little") + header.encode() + bytes(4))


def constant_weights(family, variant="t"):
    """A full state dict of half-precision numbers; a state dict that is not stored number by number is refused."""
    tensors = shapes(NetworkConfig(family, variant)).items()
    return {name: torch.full(shape, 0.01, dtype=torch.float16) for name, shape in tensors}
