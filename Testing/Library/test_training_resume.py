"""A run goes on from a whole state of its own; of any other, one sentence names the file and says what to do."""

import numpy as np
import pytest
import torch
from tiny_training import ball, ball_volume, save_tiny, tiny_network, write_pair

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.networks.memory import MemoryPolicy, long_bank, short_bank
from SegmentPropagateLib.training.clips import ClipSettings, draw_clip
from SegmentPropagateLib.training.finetune import Conduct, finetune
from SegmentPropagateLib.training.forward import ClipPrompt
from SegmentPropagateLib.training.optimizer import Rates
from SegmentPropagateLib.training.resume import read_state
from SegmentPropagateLib.training.settings import FinetuneSettings
from SegmentPropagateLib.training.trainer import Trainer, TrainerSettings


def new_trainer():
    policy = MemoryPolicy((long_bank(), short_bank(1)))
    settings = TrainerSettings(4, Rates(1e-3, 1e-3, layer_decay=1.0))
    return Trainer(tiny_network(), policy, settings, torch.device("cpu"))


@pytest.fixture(scope="module")
def trained():
    """The state of a run after one step, as it is written."""
    trainer = new_trainer()
    volume, target = ball_volume()
    clips = ClipSettings(64, windows=True, slices=2, roi_factor=(2.0, 2.0), augmentation=None)
    clip = draw_clip(volume, target, clips, np.random.default_rng(0))
    record = {"step": 1, **trainer.step([clip], ClipPrompt(masks=clip.prompt_mask[None]))}
    return {"trainer": trainer.state_dict(), "records": [record], "best": -np.inf, "run": "digest"}


@pytest.fixture(scope="module")
def like():
    return new_trainer().state_like()


def test_a_whole_state_comes_back(trained, like, tmp_path):
    torch.save(trained, tmp_path / "m.state.pt")
    state = read_state(tmp_path / "m.state.pt", like, "digest")
    assert state.records == trained["records"]
    assert state.run == "digest"
    trainer = new_trainer()
    trainer.load_state_dict(state.trainer)
    assert trainer.step_count == 1
    own, before = trainer.state_dict()["network"], trained["trainer"]["network"]
    assert all(torch.equal(own[name], before[name]) for name in before)


def changed(value, path, new):
    """A copy of nested dicts and lists in which one place holds something else; None takes it out."""
    copy = value.copy()
    if len(path) > 1:
        copy[path[0]] = changed(value[path[0]], path[1:], new)
    elif new is None:
        del copy[path[0]]
    else:
        copy[path[0]] = new
    return copy


WRONG = [
    *((path, new) for path in (["trainer"], ["records"], ["best"], ["run"]) for new in (None, "xxx", 3j)),
    (["trainer", "step"], 2),
    (["trainer", "step"], -1),
    (["trainer", "step"], 1.0),
    (["trainer", "network"], {}),
    (["trainer", "network", "no_mem_embed"], torch.zeros(3)),
    (["trainer", "network", "no_mem_embed"], None),
    (["trainer", "network", "no_mem_embed"], "x"),
    (["trainer", "network", "more"], torch.zeros(3)),
    (["trainer", "optimizer"], {}),
    (["trainer", "optimizer", "state"], [1]),
    (["trainer", "optimizer", "state", 0], {}),
    (["trainer", "optimizer", "state", 0, "exp_avg"], torch.zeros(1)),
    (["trainer", "optimizer", "state", 0, "step"], 1),
    (["trainer", "optimizer", "state", 10**6], {}),
    (["trainer", "optimizer", "param_groups"], []),
    (["trainer", "optimizer", "param_groups", 0, "params"], [0]),
    (["trainer", "optimizer", "param_groups", 0, "lr"], float("nan")),
    (["trainer", "optimizer", "param_groups", 0, "lr"], 5.0),
    (["trainer", "optimizer", "param_groups", 0, "betas"], (0.9, 2.0)),
    (["records"], []),
    (["records", 0], "x"),
    (["records", 0, "step"], 7),
    (["records", 0, "loss"], None),
    (["records", 0, "loss"], float("nan")),
    (["records", 0, "loss"], "x"),
    (["best"], float("nan")),
]


@pytest.mark.parametrize(("path", "new"), WRONG, ids=lambda value: str(value)[:40])
def test_every_part_of_a_state_is_checked(trained, like, tmp_path, path, new):
    torch.save(changed(trained, path, new), tmp_path / "m.state.pt")
    with pytest.raises(InputError) as caught:
        read_state(tmp_path / "m.state.pt", like, "digest")
    assert "m.state.pt' is damaged" in str(caught.value) or "belongs to a run with other settings" in str(caught.value)
    assert "another name." in str(caught.value)


@pytest.mark.parametrize("content", [[1], "x", {}, {"model": torch.zeros(3)}], ids=str)
def test_another_file_is_no_state(like, tmp_path, content):
    torch.save(content, tmp_path / "m.state.pt")
    with pytest.raises(InputError, match=r"m\.state\.pt' is damaged.*start the run anew under another name\."):
        read_state(tmp_path / "m.state.pt", like, "digest")


def test_a_state_in_which_any_byte_has_changed_is_refused_or_the_same(trained, like, tmp_path):
    path = tmp_path / "m.state.pt"
    torch.save(trained, path)
    data = np.frombuffer(path.read_bytes(), np.uint8)
    generator = np.random.default_rng(5)
    refused = 0
    for _ in range(25):
        damaged = data.copy()
        place = generator.integers(0, len(data))
        damaged[place] ^= generator.integers(1, 256)
        path.write_bytes(damaged[: None if generator.random() < 0.8 else place].tobytes())
        try:
            state = read_state(path, like, "digest")
        except InputError:
            refused += 1
        else:  # the byte fills the gap between two parts
            weights = state.trainer["network"]
            assert all(torch.equal(weights[name], tensor) for name, tensor in trained["trainer"]["network"].items())
    assert refused > 12


def test_a_damaged_state_is_told_before_anything_is_trained(tmp_path):
    write_pair(tmp_path / "data", "ann", *ball())
    words = (tmp_path / "data", save_tiny(tmp_path / "tiny.pt"), tmp_path / "m.pt", FinetuneSettings(steps=1, slices=2))
    finetune(*words, Conduct())
    (tmp_path / "m.state.pt").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=r"m\.state\.pt' is damaged"):
        finetune(*words, Conduct(resume=True))
