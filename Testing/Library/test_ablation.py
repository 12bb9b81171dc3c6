import dataclasses
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

EXPERIMENTS = Path(__file__).resolve().parents[1] / "Experiments"


@pytest.fixture(scope="module")
def ablation():
    sys.path.insert(0, str(EXPERIMENTS))
    yield importlib.import_module("ablation")
    sys.path.remove(str(EXPERIMENTS))


def _runs(arms, gain, seed_noise=0.0, present=0.8):
    rng = np.random.default_rng(0)
    runs = []
    for regime in (5, 1):
        for seed in range(5):
            for arm in arms:
                level = 0.5 + (gain if arm == "M_O+M_R=1" else 0) + rng.normal(0, seed_noise)
                figures = [
                    {"absent": s, "contested": s, "present": present, "volume": s, "beyond_end": {"1": s}}
                    for s in level + rng.normal(0, 0.05, 40)
                ]
                runs.append({"arm": arm, "regime": regime, "seed": seed, "figures": figures})
    return runs


def test_a_clear_gain_meets_the_bar_and_none_does_not(ablation):
    arms = list(ablation.POLICIES)
    for gain, met in ((0.1, True), (0.0, False), (0.03, False)):
        summary = ablation.summarize(_runs(arms, gain), arms, 300)
        assert summary["verdict"] == {"primary_met": met, "guard_met": True}
    assert summary["5 volumes"]["arms"]["M_O"]["absent"]["mean"] == pytest.approx(0.5, abs=0.02)
    assert summary["1 volume"]["beyond_end"]["M_O"]["1"] == pytest.approx(0.5, abs=0.02)


def test_a_gain_that_only_some_seeds_show_is_no_proof(ablation):
    arms = list(ablation.POLICIES)
    summary = ablation.summarize(_runs(arms, 0.1, seed_noise=0.3), arms, 300)
    interval = summary["5 volumes"]["differences"]["M_O+M_R=1 - M_O"]["absent"]
    assert interval["low"] < 0 < interval["high"]
    assert not summary["verdict"]["primary_met"]


def test_what_the_bar_compares_runs_first_and_everything_runs_once(ablation):
    assert ablation.STAGES[0] == (5, ("M_O", "M_O+M_R=1"))
    planned = [(regime, arm) for regime, arms in ablation.STAGES for arm in arms]
    assert sorted(planned) == sorted((regime, arm) for regime in (5, 1) for arm in ablation.POLICIES)


def test_a_part_of_the_arms_gives_the_figures_that_it_has_in_the_whole(ablation, tmp_path):
    arms = list(ablation.POLICIES)
    runs = _runs(arms, 0.1)
    first = [run for run in runs if run["regime"] == 5 and run["arm"] in ablation.STAGES[0][1]]
    part, whole = ablation.summarize(first, arms, 300), ablation.summarize(runs, arms, 300)
    difference = "M_O+M_R=1 - M_O"
    assert list(part["5 volumes"]["arms"]) == ["M_O", "M_O+M_R=1"]
    assert part["5 volumes"]["differences"] == {difference: whole["5 volumes"]["differences"][difference]}
    assert part["verdict"] == whole["verdict"]
    assert "1 volume" not in part
    ablation.write_figure(tmp_path / "part.png", part)
    assert (tmp_path / "part.png").exists()


def test_every_arm_starts_from_the_base_and_two_banks_start_as_their_sum(ablation):
    base = {name: t.clone() for name, t in ablation.build_network(ablation.QUICK.network).state_dict().items()}
    network = ablation.adapt(base, "base", 5, 0, ablation.QUICK)
    state = network.state_dict()
    for name, tensor in base.items():
        if name.startswith("memory_attention."):
            assert torch.equal(state[name], tensor)
            assert torch.equal(state[f"recent_{name}"], tensor)
    summed = torch.randn(1, ablation.SHAPE.width, 4, 4)
    with torch.no_grad():
        assert torch.allclose(network.recent_memory_fuser(summed), summed, atol=1e-4)


def test_results_are_signed_with_the_code_that_they_depend_on(ablation, monkeypatch, tmp_path):
    signed = ablation.code_hash()
    assert len(signed) == 64
    for name in ("PLAN.md", "ablation.py"):
        (tmp_path / name).write_text("another")
    monkeypatch.setattr(ablation, "HERE", tmp_path)
    assert ablation.code_hash() != signed


def test_the_second_plan_goes_on_from_the_bundled_network(ablation):
    assert (EXPERIMENTS / ablation.SECOND.plan).exists()
    assert ablation.SECOND.network.image_size == 96
    assert ablation.SECOND.network.starter != ablation.SHAPE  # the bundled network's own sizes
    assert ablation.code_hash(ablation.SECOND.plan) != ablation.code_hash()
    assert ablation.SECOND.seeds >= 5


@pytest.mark.slow
def test_the_second_plan_runs_a_few_steps(ablation, tmp_path):
    scale = dataclasses.replace(ablation.SECOND, **{**ablation.NOTHING, "base_steps": 1, "adapt_five": 1, "volumes": 1})
    base = ablation.base_weights(tmp_path / "base.pt", scale)
    assert base.keys() == ablation.base_weights(tmp_path / "base.pt", scale).keys()  # read, not trained again
    run = ablation.run_arm(tmp_path, base, "M_O+M_R=1", 5, 0, scale)
    assert 0 <= run["figures"][0]["absent"] <= 1


@pytest.mark.slow
def test_a_reduced_experiment_runs_to_its_end_and_is_not_run_twice(ablation, tmp_path, monkeypatch):
    words = ["--quick", "--threads", "1", "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    results = ablation.main(words)
    stored = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert set(stored["5 volumes"]["arms"]) == set(ablation.POLICIES)
    assert stored["code_sha256"] == ablation.code_hash()
    assert (tmp_path / "out" / "results.png").stat().st_size > 1000
    monkeypatch.setattr(ablation, "adapt", None)
    monkeypatch.setattr(ablation, "Trainer", None)
    assert ablation.main(words)["verdict"] == results["verdict"]
