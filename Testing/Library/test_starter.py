import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from SegmentPropagateLib.models import registry
from SegmentPropagateLib.networks.checkpoints import inspect_checkpoint, load_network
from SegmentPropagateLib.phantoms.phantom import make_phantom
from SegmentPropagateLib.training.starter import batches, run, targets
from SegmentPropagateLib.training.starter.batches import (
    FROM_NOTHING,
    Stage,
    StarterSettings,
    draw_batch,
    draw_batches,
)
from SegmentPropagateLib.training.starter.run import StarterRun, measure
from SegmentPropagateLib.training.starter.targets import PhantomPool, as_volume, draw_target

FOLDER = registry.bundled_folder()
SHORT = StarterSettings(steps=3, rate=1e-4, stages=(Stage(0.5, 2, 2, 0.5), Stage(1.0, 3, 1, 0.0)))


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def small_phantoms(monkeypatch):
    monkeypatch.setattr(targets, "VOLUME_SHAPES", ((16, 48, 48),))
    monkeypatch.setattr(batches, "POOL", 3)


def test_the_bundled_file_is_the_recorded_one_and_small_enough():
    record = json.loads((FOLDER / "starter.json").read_text(encoding="utf-8"))
    summary = inspect_checkpoint(FOLDER / "starter.pt")
    assert summary.sha256 == record["sha256"]
    assert (FOLDER / "starter.pt").stat().st_size <= 10_000_000
    assert summary.problems == ()


def test_the_bundled_card_says_how_it_was_trained_and_how_good_it_is():
    card = inspect_checkpoint(FOLDER / "starter.pt").card
    assert (card.family, card.roi, card.short_slices) == ("starter", "auto", 1)
    assert "no reference mask" in card.recipe["data"]
    assert card.training_cases == ("phantoms",)
    assert 0 < card.metrics["phantoms"]["dsc"] < 1
    assert card.metrics["real_targets"]["count"] == 33


@pytest.mark.parametrize("seed", json.loads((FOLDER / "starter.json").read_text(encoding="utf-8"))["dsc"])
def test_the_bundled_model_reproduces_its_recorded_figures(seed):
    network, card = load_network(FOLDER / "starter.pt")
    recorded = json.loads((FOLDER / "starter.json").read_text(encoding="utf-8"))["dsc"][seed]
    assert abs(measure(network, card, torch.device("cpu"), [int(seed)])["dsc"] - recorded) <= 0.01


def test_training_goes_on_from_its_saved_state_as_if_it_had_not_stopped(tmp_path, small_phantoms, monkeypatch):
    def train(name, minutes):
        training = StarterRun(SHORT, tmp_path / name, FOLDER / "starter.pt", torch.device("cpu"))
        training.go(minutes, measure_every=100)

    minute_by_look = SimpleNamespace(monotonic=itertools.count(0, 60).__next__)  # a minute has passed at each look
    monkeypatch.setattr(run, "time", minute_by_look)
    monkeypatch.setattr(run, "measure", lambda *arguments: {"dsc": 0.5})
    train("whole.pt", 100)
    train("torn.pt", 4)
    assert inspect_checkpoint(tmp_path / "torn.pt").card.recipe["steps_done"] == 2
    train("torn.pt", 100)
    whole, torn = (torch.load(tmp_path / f"{name}.pt", weights_only=True)["model"] for name in ("whole", "torn"))
    assert all(torch.equal(whole[name], torn[name]) for name in whole)
    card = inspect_checkpoint(tmp_path / "torn.pt").card
    assert card.parents["starter.pt"] == json.loads((FOLDER / "starter.json").read_text(encoding="utf-8"))["sha256"]
    assert card.recipe["steps_done"] == 3


def test_clips_follow_the_curriculum_and_depend_on_seed_and_step_alone(small_phantoms):
    clips, teacher = draw_batch(PhantomPool(4), SHORT, 0)
    again, _ = draw_batch(PhantomPool(8), SHORT, 0)
    assert [clip.images.shape for clip in clips] == [(2, 3, run.CONFIG.image_size, run.CONFIG.image_size)] * 2
    assert teacher.masks.shape[:2] == (2, 2)
    assert all(torch.equal(one.images, other.images) for one, other in zip(clips, again, strict=True))
    assert len(draw_batch(PhantomPool(4), SHORT, 2)[0]) == 1
    assert FROM_NOTHING[0].slices < FROM_NOTHING[-1].slices


@pytest.mark.parametrize("workers", [0, 2])
def test_processes_draw_the_batches_that_one_draws(tmp_path, small_phantoms, workers):
    settings = StarterSettings(steps=5, rate=1e-4, stages=(Stage(1.0, 2, 2, 0.5),))
    drawn = list(draw_batches(settings, 1, workers, tmp_path / "phantoms"))
    assert len(drawn) == 4
    pool = PhantomPool(64)
    for step, (clips, teacher) in enumerate(drawn, start=1):
        expected, taught = draw_batch(pool, settings, step)
        assert all(torch.equal(one.images, other.images) for one, other in zip(clips, expected, strict=True))
        assert torch.equal(teacher.stands_in, taught.stands_in)


def test_targets_may_have_several_parts_and_many_clips_end_beyond_them():
    rng = np.random.default_rng(0)
    drawn = [draw_target(as_volume(make_phantom(seed, "mixed", (24, 64, 64))), 6, rng) for seed in range(60)]
    drawn = [pair for pair in drawn if pair is not None]
    assert len(drawn) > 45
    ends = [volume.masks(target.values, [target.slices[0] + 5]).any() for volume, target in drawn]
    assert 0.2 < 1 - np.mean(ends) < 0.8
    assert 0.1 < np.mean([len(target.values) > 1 for _, target in drawn]) < 0.5
    for volume, target in drawn:
        assert volume.masks(target.values, target.slices).any()


def test_some_clips_leave_out_every_other_slice():
    volume = as_volume(make_phantom(3, "mixed", (24, 64, 64)))
    drawn = [draw_target(volume, 6, np.random.default_rng(seed), 0.35) for seed in range(40)]
    depths = [len(pair[0].stack) for pair in drawn if pair is not None]
    assert set(depths) == {24, 12}
    assert 0.15 < np.mean(np.array(depths) == 12) < 0.55


def test_seeds_for_training_and_for_validation_never_meet():
    assert max(run.VALIDATION_SEEDS) < batches.TRAINING_SEEDS
