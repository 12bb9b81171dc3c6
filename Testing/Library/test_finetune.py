import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_training import CARD, UndecidedPropagator, ball, ball_volume, tiny_network, write_pair

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.errors import InputError, OutOfMemoryError
from SegmentPropagateLib.files import Outputs
from SegmentPropagateLib.models.loading import load_model
from SegmentPropagateLib.networks.build import build_network
from SegmentPropagateLib.networks.checkpoints import inspect_checkpoint, load_network, save_checkpoint
from SegmentPropagateLib.networks.families import NetworkConfig
from SegmentPropagateLib.networks.memory import MemoryPolicy, long_bank, short_bank
from SegmentPropagateLib.training.clips import ClipSettings, draw_clip
from SegmentPropagateLib.training.finetune import Conduct, finetune, starting_network
from SegmentPropagateLib.training.forward import ClipPrompt
from SegmentPropagateLib.training.losses import LossWeights
from SegmentPropagateLib.training.optimizer import Rates, make_optimizer
from SegmentPropagateLib.training.run_files import RunFiles
from SegmentPropagateLib.training.settings import RECIPES, FinetuneSettings
from SegmentPropagateLib.training.trainer import Trainer, TrainerSettings
from SegmentPropagateLib.training.validation import Examiner, Score

RATES = Rates(1e-3, 1e-3, layer_decay=1.0, weight_decay=0.05)
SETTINGS = FinetuneSettings(steps=4, batch=2, slices=3, rates=RATES, clip_norm=1.0)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("SegmentPropagateLib.training.validation.ClassicalPropagator", UndecidedPropagator)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _weights(path):
    return torch.load(path, weights_only=True)["model"]


def _equal(first, second):
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


class _KilledError(Exception):
    pass


def _kill_after(step):
    def tick(record, steps):
        if record["step"] == step:
            raise _KilledError

    return tick


def test_a_run_that_was_killed_resumes_to_the_weights_it_would_have_had(dataset, tiny, tmp_path):
    settings = replace(SETTINGS, prompt="mixed", validation=("cleo",), validations=2)
    finetune(dataset, tiny, tmp_path / "whole.pt", settings, Conduct(save_seconds=0))
    for step, save_seconds in ((1, 0), (3, 1e9)):  # killed after a save, and a step after one
        conduct = Conduct(resume=step > 1, save_seconds=save_seconds, tick=_kill_after(step))
        with pytest.raises(_KilledError):
            finetune(dataset, tiny, tmp_path / "torn.pt", settings, conduct)
    finetune(dataset, tiny, tmp_path / "torn.pt", settings, Conduct(resume=True))
    assert _equal(_weights(tmp_path / "whole.last.pt"), _weights(tmp_path / "torn.last.pt"))
    assert _equal(_weights(tmp_path / "whole.pt"), _weights(tmp_path / "torn.pt"))
    logs = [json.loads((tmp_path / name).read_text(encoding="utf-8")) for name in ("whole.log.json", "torn.log.json")]
    assert logs[0]["records"] == logs[1]["records"]
    assert [record["step"] for record in logs[1]["records"]] == [1, 2, 3, 4]
    assert not _equal(_weights(tmp_path / "whole.last.pt"), _weights(tiny))


def test_the_result_is_a_model_that_opens_like_any_other_and_says_where_it_comes_from(
    dataset, tiny, tmp_path, monkeypatch
):
    _scored(monkeypatch, Score(0.1, 0.1, 1.0), Score(0.2, 0.2, 1.0), Score(0.3, 0.3, 1.0))
    settings = replace(SETTINGS, steps=2, validation=0.3)
    facts = finetune(dataset, tiny, tmp_path / "mine.pt", settings, Conduct())
    info = load_model(tmp_path / "mine.pt", device="cpu").info
    assert (info["model"], info["partner"]) == ("mine", "classical")  # of its family, whatever its name
    summary = inspect_checkpoint(tmp_path / "mine.pt")
    card = summary.card
    assert summary.problems == ()
    assert card.parents == {"tiny": inspect_checkpoint(tiny).sha256}
    assert len(card.training_cases) == 2
    assert card.metrics["validation"]["cases"] == facts["validation_cases"]
    assert card.metrics["validation"]["best_dsc"] == pytest.approx(facts["validation_dsc"], abs=1e-3)
    assert (card.recipe["steps_done"], card.recipe["method"]) == (2, "full")
    assert (card.family, card.image_size, card.roi) == ("starter", 64, "auto")
    records = json.loads((tmp_path / "mine.log.json").read_text(encoding="utf-8"))["records"]
    terms = ("focal", "cross_entropy", "dice", "iou", "presence")
    assert records[0]["loss"] == pytest.approx(sum(records[0][term] for term in terms), rel=1e-4)
    with Image.open(tmp_path / "mine.curve.png") as curve:
        assert np.asarray(curve.convert("RGB")).std() > 5


def _scored(monkeypatch, *scores):
    """Let models be measured as told, one after the other: the starting point first."""
    left = iter(scores)
    monkeypatch.setattr("SegmentPropagateLib.training.lessons.Examiner.score", lambda *_: next(left))


def test_the_best_weights_are_kept_beside_the_last_ones(dataset, tiny, tmp_path, monkeypatch):
    _scored(monkeypatch, *(Score(dsc, dsc, 1.0) for dsc in (0.5, 0.4, 0.6, 0.7, 0.6, 0.7)))
    facts = finetune(dataset, tiny, tmp_path / "m.pt", replace(SETTINGS, steps=5, **FIVE_TIMES), Conduct())
    best = inspect_checkpoint(tmp_path / "m.pt").card
    assert best.recipe["steps_done"] == 3
    assert best.metrics["validation"]["figures"]["start"]["open_dsc"] == 0.5
    assert inspect_checkpoint(tmp_path / "m.last.pt").card.recipe["steps_done"] == 5
    assert (facts["start_dsc"], facts["validation_dsc"], facts["kept_start"]) == (0.5, 0.7, False)


FIVE_TIMES = {"validation": 0.3, "validations": 5}
WORSE = {"lower": Score(0.49, 0.5, 1.0), "hardly better": Score(0.5, 0.503, 1.0), "spilling": Score(0.9, 0.9, 0.7)}


@pytest.mark.parametrize("score", WORSE.values(), ids=WORSE)
def test_where_nothing_is_better_the_result_is_the_starting_point_itself(score, dataset, tiny, tmp_path, monkeypatch):
    _scored(monkeypatch, Score(0.5, 0.5, 0.8), score)
    settings = replace(SETTINGS, steps=1, batch=1, validation=0.3, validations=1)
    facts = finetune(dataset, tiny, tmp_path / "m.pt", settings, Conduct())
    assert facts["kept_start"]
    assert (tmp_path / "m.pt").read_bytes() == tiny.read_bytes()
    assert (tmp_path / "m.last.pt").read_bytes() != tiny.read_bytes()


def test_a_starting_point_that_is_known_by_its_name_alone_is_the_result_with_what_the_name_says(tiny, tmp_path):
    bare, model = tmp_path / "bare_512.pt", RunFiles(tmp_path / "m.pt")
    torch.save({"model": _weights(tiny)}, bare)
    with Outputs() as outputs:
        model.write_model(tiny_network(), CARD, bare, False, outputs)
    assert _equal(_weights(model.model), _weights(bare))
    assert inspect_checkpoint(model.model).card.name == "bare_512"


def test_a_run_ends_early_when_nothing_gets_better(dataset, tiny, tmp_path, monkeypatch):
    _scored(monkeypatch, *(Score(dsc, dsc, 1.0) for dsc in (0.5, 0.6, 0.5, 0.5, 0.9, 0.9)))
    settings = replace(SETTINGS, steps=5, batch=1, patience=2, **FIVE_TIMES)
    assert finetune(dataset, tiny, tmp_path / "m.pt", settings, Conduct())["steps"] == 3
    assert inspect_checkpoint(tmp_path / "m.pt").card.recipe["steps_done"] == 1
    assert finetune(dataset, tiny, tmp_path / "m.pt", settings, Conduct(resume=True))["steps"] == 3


def test_a_single_case_is_learned_from_only_where_nobody_asks_whether_that_helps(tiny, tmp_path):
    write_pair(tmp_path / "data", "only", *ball())
    words = tmp_path / "data", tiny, tmp_path / "m.pt"
    settings = replace(SETTINGS, steps=1, batch=1)
    with pytest.raises(InputError, match=r"'only' is the only case.*add a second case, or say --validation 0"):
        finetune(*words, replace(settings, validation=0.2), Conduct())
    assert not (tmp_path / "m.pt").exists()
    facts = finetune(*words, replace(settings, validation=0.0), Conduct())
    assert (facts["validation_cases"], facts["validation_dsc"]) == ([], None)
    assert not _equal(_weights(tmp_path / "m.pt"), _weights(tiny))


def test_what_is_not_of_the_method_stays_as_it_was(dataset, tiny, tmp_path):
    finetune(dataset, tiny, tmp_path / "m.pt", replace(SETTINGS, steps=1, method="decoder"), Conduct())
    before, changed = _weights(tiny), _weights(tmp_path / "m.pt")  # what differs is all that is written
    assert changed
    assert all(name.startswith("sam_mask_decoder.") for name in changed)
    assert not any(torch.equal(before[name], tensor) for name, tensor in changed.items())
    card = inspect_checkpoint(tmp_path / "m.pt").card
    assert card.base == {"name": "tiny.pt", "sha256": inspect_checkpoint(tiny).sha256}
    words = (dataset, tmp_path / "m.pt", tmp_path / "n.pt")
    finetune(*words, replace(SETTINGS, steps=1, method="decoder"), Conduct())
    assert inspect_checkpoint(tmp_path / "n.pt").card.base == {}  # whole: it comes of a delta


def test_a_delta_beside_which_the_base_does_not_lie_comes_with_advice(dataset, tiny, tmp_path):
    told, output = [], tmp_path / "elsewhere" / "m.pt"
    output.parent.mkdir()
    finetune(dataset, tiny, output, replace(SETTINGS, steps=1, method="decoder"), Conduct(say=told.append))
    assert told == [f"The result holds only what differs from '{tiny}': keep a copy of that file beside it."]


def test_the_starter_is_told_to_have_no_place_for_lora(dataset, tiny, tmp_path, capsys):
    words = ["finetune", dataset, "--init", tiny, "-o", tmp_path / "m.pt", "--method", "lora"]
    assert main([str(word) for word in words]) == 2
    assert "choose the method full or decoder" in capsys.readouterr().err


@pytest.mark.slow
def test_lora_of_a_full_network_is_a_small_file_that_says_what_was_learned(dataset, tmp_path):
    base = tmp_path / "slm.pt"
    card = replace(CARD, family="slm-sam2", variant="t", image_size=128, roi="off", name="slm")
    torch.manual_seed(0)
    save_checkpoint(base, build_network(NetworkConfig("slm-sam2", "t", 128)).state_dict(), card)
    settings = replace(SETTINGS, steps=1, batch=1, slices=2, method="lora")
    finetune(dataset, base, tmp_path / "m.pt", settings, Conduct(device="cpu"))
    summary = inspect_checkpoint(tmp_path / "m.pt")
    assert (summary.own_parameters, summary.problems) == (69_888, ())
    before, after = (load_network(path)[0].state_dict() for path in (base, tmp_path / "m.pt"))
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert len(changed) == 12
    assert all(name.endswith("attn.qkv.weight") for name in changed)


def test_some_clips_may_come_from_drawn_volumes(dataset, tiny, tmp_path):
    losses = {}
    for drawn in (0.0, 1.0):
        settings = replace(SETTINGS, steps=1, slices=2, drawn=drawn)
        losses[drawn] = finetune(dataset, tiny, tmp_path / f"{drawn}.pt", settings, Conduct())["loss"]
    assert losses[0.0] != losses[1.0]


def test_an_earlier_run_is_not_overwritten_and_another_one_not_resumed(dataset, tiny, tmp_path):
    finetune(dataset, tiny, tmp_path / "m.pt", replace(SETTINGS, steps=1), Conduct())
    before = (tmp_path / "m.pt").read_bytes()
    with pytest.raises(InputError, match="exists already"):
        finetune(dataset, tiny, tmp_path / "m.pt", SETTINGS, Conduct())
    with pytest.raises(InputError, match="other settings"):
        finetune(dataset, tiny, tmp_path / "m.pt", SETTINGS, Conduct(resume=True))
    with pytest.raises(InputError, match="no run to resume"):
        finetune(dataset, tiny, tmp_path / "n.pt", SETTINGS, Conduct(resume=True))
    assert (tmp_path / "m.pt").read_bytes() == before


def _train_in_two_processes(dataset, tiny, output, settings):
    code = (
        "import sys, torch\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "torch.set_num_threads(1)\n"
        "from test_finetune import TWICE, Conduct, finetune, replace\n"
        f"finetune({str(dataset)!r}, {str(tiny)!r}, {str(output)!r}, replace(TWICE, batch=1), Conduct(device='cpu'))\n"
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    runs = [
        subprocess.Popen([sys.executable, "-c", code], env={**common, "RANK": str(rank), "WORLD_SIZE": "2"})
        for rank in range(2)
    ]
    assert [run.wait(timeout=240) for run in runs] == [0, 0]


TWICE = replace(SETTINGS, batch=2, steps=3, validation=0.3, validations=1)


@pytest.mark.slow  # starts processes that load torch, 20 s
def test_two_processes_learn_what_one_does_with_twice_the_batch(dataset, tiny, tmp_path):
    _train_in_two_processes(dataset, tiny, tmp_path / "two.pt", TWICE)
    finetune(dataset, tiny, tmp_path / "one.pt", TWICE, Conduct(device="cpu"))
    start, one, two = (_weights(path) for path in (tiny, tmp_path / "one.last.pt", tmp_path / "two.last.pt"))
    moved = torch.cat([(one[name] - start[name]).flatten() for name in one]).norm()
    apart = torch.cat([(one[name] - two[name]).flatten() for name in one]).norm()
    assert moved > 0.1
    assert apart < 0.005 * moved  # sums in another order, and AdamW magnifies gradients that are next to nothing
    logs = [
        json.loads((tmp_path / f"{name}.log.json").read_text(encoding="utf-8"))["records"] for name in ("one", "two")
    ]
    for first, second in zip(*logs, strict=True):
        assert first["loss"] == pytest.approx(second["loss"], rel=1e-4)
        assert first["gradient_norm"] == pytest.approx(second["gradient_norm"], rel=1e-3)


def test_running_out_of_memory_says_what_to_lower(dataset, tiny, tmp_path, monkeypatch):
    def full(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("SegmentPropagateLib.training.trainer.clip_loss", full)
    with pytest.raises(OutOfMemoryError, match="lower --batch, --slices or --image-size"):
        finetune(dataset, tiny, tmp_path / "m.pt", SETTINGS, Conduct())


def test_a_loss_that_is_no_number_stops_the_run_with_advice(dataset, tiny, tmp_path):
    network, card = load_network(tiny)
    broken = {name: tensor * 1e30 for name, tensor in network.state_dict().items()}
    save_checkpoint(tmp_path / "broken.pt", broken, card)
    with pytest.raises(InputError, match="lower learning rate"):
        finetune(dataset, tmp_path / "broken.pt", tmp_path / "m.pt", SETTINGS, Conduct())


def test_a_short_volume_shortens_the_clips_and_says_so(tiny, tmp_path):
    write_pair(tmp_path / "data", "thin", *ball(count=4, center=2))
    told = []
    finetune(tmp_path / "data", tiny, tmp_path / "m.pt", replace(SETTINGS, steps=1, slices=8), Conduct(say=told.append))
    assert told == ["The shortest volume has 4 slices: clips have 4 instead of 8."]


def test_clips_of_one_slice_are_refused_and_not_the_volumes(dataset, tiny, tmp_path):
    with pytest.raises(InputError, match="Sequences of 1 slice have nothing to propagate to: give --slices 2 or more"):
        finetune(dataset, tiny, tmp_path / "m.pt", replace(SETTINGS, slices=1), Conduct())


def test_the_command_line_trains_and_tells_what_it_wrote(dataset, tiny, tmp_path, capsys):
    words = ["finetune", dataset, "--init", tiny, "-o", tmp_path / "m.pt", "--steps", 1, "--slices", 2, "--batch", 1]
    words += ["--validation", "bob", "--rate", 0.001, "--prompt", "box", "--clicks", 1]
    assert main([str(word) for word in words]) == 0
    told = capsys.readouterr().err
    assert "Step 1 of 1, loss" in told
    assert "it is the starting point itself" in told or ": 1 step, loss" in told
    assert main([str(word) for word in words]) == 2
    assert "exists already" in capsys.readouterr().err


def test_learning_rates_fall_towards_the_first_layers_and_norms_do_not_decay():
    network = tiny_network().requires_grad_(True)
    optimizer = make_optimizer(network, Rates(encoder=1e-4, rest=1e-3, layer_decay=0.5, weight_decay=0.1))
    found = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    named = dict(network.named_parameters())
    assert len(found) == len(named)
    trunk = [found[id(named[f"image_encoder.trunk.st.{stage}.0.weight"])]["lr"] for stage in range(4)]
    assert trunk == pytest.approx([1e-4 / 16, 1e-4 / 8, 1e-4 / 4, 1e-4 / 2])
    assert found[id(named["image_encoder.neck.convs.0.conv.weight"])]["lr"] == 1e-4
    assert found[id(named["memory_attention.norm.weight"])] == found[id(named["memory_attention.norm.bias"])]
    assert found[id(named["memory_attention.norm.weight"])]["weight_decay"] == 0
    assert found[id(named["maskmem_tpos_enc"])]["weight_decay"] == 0.1


def test_rates_rise_during_the_warm_up_and_end_at_the_final_share():
    rates = Rates(final=0.1, warm_up=4)
    assert rates.share(0, 100) == pytest.approx(0.2, rel=0.01)
    assert rates.share(4, 100) == pytest.approx(1.0, rel=0.01)
    assert rates.share(99, 100) == pytest.approx(0.1, rel=0.01)


def test_the_published_recipes_are_what_the_papers_say():
    slm, medsam2 = RECIPES["slm-sam2"], RECIPES["medsam2"]
    assert (slm.epochs, slm.batch, slm.slices, slm.reverse, slm.prompt) == (100, 1, 8, 0.5, "mask")
    assert (slm.rates.encoder, slm.rates.rest, slm.clip_norm) == (3e-6, 5e-6, 0.1)
    assert (slm.weights.focal, slm.weights.dice, slm.weights.iou, slm.weights.presence) == (20, 1, 1, 1)
    assert (medsam2.rates.encoder, medsam2.rates.rest, medsam2.image_size) == (3e-5, 5e-5, 512)


@pytest.mark.slow
def test_the_short_attention_of_a_sam21_file_starts_as_the_long_one(tmp_path):
    save_checkpoint(
        tmp_path / "sam21.pt",
        build_network(NetworkConfig("sam2.1", "t", 256)).state_dict(),
        replace(CARD, family="sam2.1", variant="t", image_size=256, roi="off", name="sam21"),
    )
    network, card = starting_network(tmp_path / "sam21.pt", FinetuneSettings())
    assert card.family == "slm-sam2"
    state = network.state_dict()
    for name, tensor in network.memory_attention.state_dict().items():
        assert torch.equal(tensor, state[f"recent_memory_attention.{name}"])
    plain, card = starting_network(tmp_path / "sam21.pt", FinetuneSettings(short_memory=False))
    assert card.family == "sam2.1"
    assert not hasattr(plain, "recent_memory_attention")


@pytest.mark.slow  # 14 s
def test_one_volume_can_be_learned_by_heart():
    volume, target = ball_volume(side=64, radius=8.0, count=8, center=4)
    policy = MemoryPolicy((long_bank(), short_bank(1)))
    weights = LossWeights(cross_entropy=1.0, iou=0.1, absent_masks=0.3)
    rates = Rates(4e-3, 4e-3, final=0.02, layer_decay=1.0, weight_decay=0.0, warm_up=10)
    trainer = Trainer(tiny_network(), policy, TrainerSettings(60, rates, weights, clip_norm=1.0), torch.device("cpu"))
    clips = ClipSettings(64, windows=True, slices=3, roi_factor=(2.0, 2.0), augmentation=None)
    examiner = Examiner([(lambda: volume, target)], torch.device("cpu"))
    before = examiner.score(trainer.network, CARD).open_dsc
    trainer.network.train()
    for step in range(60):
        clip = draw_clip(volume, target, clips, np.random.default_rng(step))
        trainer.step([clip], ClipPrompt(masks=clip.prompt_mask[None]))
    after = examiner.score(trainer.network, CARD).open_dsc
    assert before < 0.8
    assert after > 0.95
