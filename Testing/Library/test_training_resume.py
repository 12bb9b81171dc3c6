"""A run goes on from a whole state of its own; of any other, one sentence names the file and says what to do."""

from collections.abc import Mapping

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
from SegmentPropagateLib.training.resume import as_bytes, read_state, read_trainer
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
    return {"trainer": trainer.state_dict(), "records": [record], "start": torch.zeros(0), "run": "digest"}


@pytest.fixture(scope="module")
def like():
    return new_trainer().state_like()


def save(path, state):
    """As a run does; whatever else is in place of its records as it is."""
    records = state.get("records")
    torch.save({**state, "records": as_bytes(records)} if isinstance(records, list) else state, path)


def test_a_whole_state_comes_back(trained, like, tmp_path):
    save(tmp_path / "m.state.pt", trained)
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
    *((path, new) for path in (["trainer"], ["records"], ["start"], ["run"]) for new in (None, "xxx", 3j)),
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
    (["records"], torch.zeros(3)),
    (["records"], as_bytes({})),
    (["records"], as_bytes([[[]]])[:-1]),
    (["records", 0], "x"),
    (["records", 0, "step"], 7),
    (["records", 0, "loss"], None),
    (["records", 0, "loss"], float("nan")),
    (["records", 0, "loss"], "x"),
    (["start"], torch.tensor([0.5, float("nan"), 1.0])),
    (["start"], torch.zeros(2)),
]


@pytest.mark.parametrize(("path", "new"), WRONG, ids=lambda value: str(value)[:40])
def test_every_part_of_a_state_is_checked(trained, like, tmp_path, path, new):
    save(tmp_path / "m.state.pt", changed(trained, path, new))
    with pytest.raises(InputError) as caught:
        read_state(tmp_path / "m.state.pt", like, "digest")
    assert "m.state.pt' is damaged" in str(caught.value) or "belongs to a run with other settings" in str(caught.value)
    assert "another name." in str(caught.value)


def test_a_run_of_very_many_steps_goes_on(trained, like, tmp_path):
    record, count = trained["records"][0], 200_000
    records = [{**record, "step": step} for step in range(1, count + 1)]
    state = {**trained, "records": records, "trainer": {**trained["trainer"], "step": count}}
    save(tmp_path / "m.state.pt", state)
    assert read_state(tmp_path / "m.state.pt", like, "digest").records == records


def test_a_trainer_and_its_average_are_read_as_safely(trained, like, tmp_path):
    path = tmp_path / "s.state.pt"
    state = {"trainer": trained["trainer"], "average": trained["trainer"]["network"], "parents": {}}
    torch.save(state, path)
    read = read_trainer(path, like, average=Mapping, parents=Mapping)
    assert read["trainer"]["step"] == 1
    for name, wrong in {"average": {}, "parents": 3, "trainer": {**trained["trainer"], "step": 1.5}}.items():
        torch.save({**state, name: wrong}, path)
        with pytest.raises(InputError, match=r"s\.state\.pt' is damaged"):
            read_trainer(path, like, average=Mapping, parents=Mapping)


@pytest.mark.parametrize("content", [[1], "x", {}, {"model": torch.zeros(3)}], ids=str)
def test_another_file_is_no_state(like, tmp_path, content):
    torch.save(content, tmp_path / "m.state.pt")
    with pytest.raises(InputError, match=r"m\.state\.pt' is damaged.*start the run anew under another name\."):
        read_state(tmp_path / "m.state.pt", like, "digest")


def test_a_state_in_which_any_byte_has_changed_is_refused_or_the_same(trained, like, tmp_path):
    path = tmp_path / "m.state.pt"
    save(path, trained)
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
