"""Files of the library safetensors: read as strictly as those of PyTorch, and as hard to fool."""

import contextlib
import json
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_models import CARD, random_weights, refusal, write_safetensors

from SegmentPropagateLib.errors import CheckpointError
from SegmentPropagateLib.files import file_sha256
from SegmentPropagateLib.models import registry
from SegmentPropagateLib.networks.checkpoints import inspect_checkpoint, load_network, save_checkpoint
from SegmentPropagateLib.networks.safe_load import read_weights

ENTRY = '{"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}'


def save_safetensors(path, weights, card=None):
    save_file(weights, path, None if card is None else {"card": json.dumps(card.to_dict())})
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_safetensors_file_gives_the_network_and_card_of_the_pt_file(tmp_path, dtype):
    weights = random_weights()
    save_checkpoint(tmp_path / "mine.pt", weights, CARD, dtype)
    save_safetensors(tmp_path / "mine.safetensors", {name: t.to(dtype) for name, t in weights.items()}, CARD)
    (one, card), (other, other_card) = (load_network(tmp_path / f"mine.{ending}") for ending in ("pt", "safetensors"))
    assert card.to_dict() == other_card.to_dict() == CARD.to_dict()
    assert other_card.sha256 == file_sha256(tmp_path / "mine.safetensors")
    assert one.state_dict().keys() == other.state_dict().keys()
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())


@pytest.mark.parametrize("ending", registry.FILE_ENDINGS)
def test_files_of_every_ending_on_offer_open(tmp_path, ending):
    path, weights = tmp_path / f"x{ending}", random_weights()
    save_safetensors(path, weights)  # its bytes tell what it is
    assert torch.equal(load_network(path)[0].no_obj_ptr, weights["no_obj_ptr"])
    if ending != ".safetensors":
        torch.save(weights, path)
        assert torch.equal(load_network(path)[0].no_obj_ptr, weights["no_obj_ptr"])


def test_a_pytorch_file_that_is_called_safetensors_is_refused_with_the_right_ending(tmp_path):
    for name in ("x.safetensors", "X.SAFETENSORS"):
        torch.save(random_weights(), tmp_path / name)
        assert "name a PyTorch file .pt" in refusal(tmp_path / name)


def test_a_network_does_not_depend_on_its_safetensors_file(tmp_path):
    weights = random_weights()
    path = save_safetensors(tmp_path / "x.safetensors", weights)
    network, _ = load_network(path)
    with path.open("r+b") as file:
        file.write(b"\0" * path.stat().st_size)
    assert all(torch.equal(network.state_dict()[name], weights[name]) for name in weights)


def test_what_is_wrong_in_a_safetensors_file_is_named(tmp_path):
    weights = random_weights()
    del weights["obj_ptr_tpos_proj.bias"]
    weights |= {"extra": torch.zeros(3), "no_obj_ptr": torch.zeros(1, 33)}
    weights["no_mem_embed"][0, 0, 1] = float("nan")
    summary = inspect_checkpoint(save_safetensors(tmp_path / "x.safetensors", weights))
    assert (summary.missing, summary.unexpected) == (("obj_ptr_tpos_proj.bias",), ("extra",))
    assert summary.misshaped == ("no_obj_ptr [1, 33] instead of [1, 32]",)
    assert summary.non_finite == ("no_mem_embed",)


@pytest.mark.parametrize("share", [0.0001, 0.001, 0.1, 0.5, 0.99])
def test_a_truncated_safetensors_file_is_refused(tmp_path, share):
    path = save_safetensors(tmp_path / "x.safetensors", random_weights())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert "damaged" in refusal(path)


@pytest.mark.parametrize(
    ("header", "length"),
    [
        ('{"a": ' + ENTRY + ', "a": ' + ENTRY + "}", None),
        ('{"a": ' + ENTRY + ', "b": ' + ENTRY + "}", None),
        ('{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}', None),
        ('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}', None),
        ('{"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}', None),
        ('{"a": ' + ENTRY + ', "__metadata__": {"card": "{"}}', None),
        ('{"a": ' + ENTRY + ', "__metadata__": 3}', None),
        ('{"a": ' * 100_000, None),
        ("{a}", None),
        ('{"a": ' + ENTRY + "}", 2**40),
        ('{"a": ' + ENTRY + "}", 2**63),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_hostile_safetensors_header_is_refused(tmp_path, header, length):
    write_safetensors(tmp_path / "x.safetensors", header, length)
    assert "damaged" in refusal(tmp_path / "x.safetensors")


def test_a_header_without_end_is_refused_before_it_is_read(tmp_path):
    """A sparse file: the length that it claims is there."""
    path = tmp_path / "x.safetensors"
    write_safetensors(path, "{", 2**31)
    with path.open("r+b") as file:
        file.truncate(2**31 + 100)
    assert "damaged" in refusal(path)


def test_a_safetensors_file_with_changed_bytes_raises_nothing_but_one_sentence(tmp_path):
    path = save_safetensors(tmp_path / "x.safetensors", {"a": torch.ones(20), "b": torch.zeros(3, 3)}, CARD)
    data = np.frombuffer(path.read_bytes(), np.uint8)
    header = 8 + int.from_bytes(data[:8].tobytes(), "little")
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        changed = data.copy()
        changed[generator.integers(0, header, 3)] = generator.integers(0, 256, 3)
        path.write_bytes(changed.tobytes())
        with contextlib.suppress(CheckpointError):
            read_weights(path)
            refused -= 1
        refused += 1
    assert refused > 100


def test_without_the_library_a_safetensors_file_is_refused_with_what_to_do(tmp_path, monkeypatch):
    path = save_safetensors(tmp_path / "x.safetensors", random_weights())
    monkeypatch.setitem(sys.modules, "safetensors", None)
    assert "the package safetensors is not installed: install it, or give the .pt" in refusal(path)
