"""A network learns what boxes and points mean from a few outlined slices, and nothing else of it changes."""

import copy

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from tiny_training import CARD, ball_volume, save_tiny, tiny_network

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.networks.adapters.delta import base_of
from SegmentPropagateLib.networks.build import build_network
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.checkpoints import inspect_checkpoint, load_network, save_checkpoint
from SegmentPropagateLib.networks.families import NetworkConfig
from SegmentPropagateLib.propagation.lanes import plan_lanes
from SegmentPropagateLib.propagation.propagator import PropagationSettings
from SegmentPropagateLib.propagators.tracking.engine import NetworkPropagator
from SegmentPropagateLib.training.drawn_prompts import drawn_points, jittered_box
from SegmentPropagateLib.training.prompt_tuning import TuningSettings, tune_prompts

QUICK = TuningSettings(steps=10, batch=2, boxes=1, rates=(0.05, 0.2))
LEARNED = {f"sam_prompt_encoder.point_embeddings.{n}.weight" for n in range(4)}


@pytest.fixture(scope="module")
def ball():
    volume, target = ball_volume()
    masks = volume.masks((1,))
    return volume.stack, {index: masks[index] for index in target.slices[2:-2:3]}


@pytest.fixture(scope="module")
def tuned(ball):
    network = tiny_network()
    ticks = []
    result = tune_prompts(network, CARD, *ball, QUICK, lambda done, total: ticks.append((done, total)))
    return network, result, ticks


def carried(network, stack, masks):
    propagator = NetworkPropagator(network, CARD)
    propagator.open(stack, PropagationSettings())
    key, mask = next(iter(masks.items()))
    lanes = plan_lanes(1, {key: mask}, 0, len(stack) - 1, "independent")
    return {update.slice_index: update.logits for update in propagator.run(lanes, {1: {key: mask}})}


def test_only_the_embeddings_of_points_and_corners_learn(tuned):
    before, after = tiny_network().state_dict(), tuned[0].state_dict()
    assert tuned[1].recipe["rate"] in QUICK.rates
    assert {name for name in before if not torch.equal(before[name], after[name])} == LEARNED


def test_propagation_from_a_mask_stays_the_same_bit_for_bit(tuned, ball):
    before, after = (carried(copy.deepcopy(network), *ball) for network in (tiny_network(), tuned[0]))
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[index], after[index]) for index in before if before[index] is not None)


def test_slices_that_were_left_out_gain(tuned):
    assert tuned[1].after > tuned[1].before


def test_every_step_of_every_part_is_told(tuned, ball):
    steps = (len(ball[1]) * len(QUICK.rates) + 1) * QUICK.steps
    assert tuned[2] == [(done, steps) for done in range(1, steps + 1)]


def test_the_same_is_learned_twice(tuned, ball):
    again = tiny_network()
    assert tune_prompts(again, CARD, *ball, QUICK) == tuned[1]
    assert all(torch.equal(tuned[0].state_dict()[name], again.state_dict()[name]) for name in LEARNED)


def test_what_does_not_help_slices_that_were_left_out_is_not_kept(ball):
    network = tiny_network()
    result = tune_prompts(network, CARD, *ball, TuningSettings(steps=1, batch=1, boxes=1, rates=(1e-12,)))
    assert result.recipe is None
    assert all(torch.equal(network.state_dict()[name], tiny_network().state_dict()[name]) for name in LEARNED)


def test_of_many_outlined_slices_five_evenly_spread_are_learned_from():
    volume, _ = ball_volume(count=13, center=6, radius=6.0)
    truth = volume.masks((1,))
    few = {index: truth[index] for index in (2, 4, 6, 8, 10)}
    many = {index: few.get(index, np.ones_like(truth[index])) for index in range(13)}
    settings = TuningSettings(steps=2, batch=1, boxes=1, rates=(0.05,))
    ticks = []
    result = tune_prompts(tiny_network(), CARD, volume.stack, many, settings, lambda *done: ticks.append(done))
    assert result.slices == tuple(few)
    assert len(ticks) == (5 + 1) * settings.steps
    assert tune_prompts(tiny_network(), CARD, volume.stack, few, settings) == result


def test_one_outlined_slice_is_too_few(ball):
    masks = dict([next(iter(ball[1].items()))])
    with pytest.raises(InputError, match="2 to 5 outlined slices, there is 1: outline more"):
        tune_prompts(tiny_network(), CARD, ball[0], masks, QUICK)


def disc(radius=8):
    rows, columns = np.ogrid[:40, :50]
    return (rows - 15) ** 2 + (columns - 20) ** 2 <= radius**2


def test_points_lie_on_the_object_and_beside_it_as_they_say():
    mask, rng = disc(), np.random.default_rng(0)
    for _ in range(200):
        prompt = drawn_points(mask, 5, rng)
        columns, rows = prompt.points_ij.astype(int).T
        assert np.array_equal(mask[rows, columns], prompt.positive)
        assert 1 <= prompt.positive.sum() <= 5
        assert (~prompt.positive).sum() <= 5
        assert len(np.unique(prompt.points_ij, axis=0)) == len(prompt.points_ij)


def test_a_box_is_off_by_no_more_than_its_jitter_and_never_leaves_the_slice():
    mask, rng = disc(), np.random.default_rng(0)
    boxes = np.array([jittered_box(mask, 0.1, rng).box_ij for _ in range(300)])
    assert np.abs(boxes - (12, 7, 28, 23)).max() <= 1.7
    assert np.abs(boxes - (12, 7, 28, 23)).max(axis=0).min() > 1.4
    whole = np.ones((6, 9), bool)
    for _ in range(50):
        jittered_box(whole, 0.5, rng).check_inside(whole.shape)


# ------------------------------------------------------------------------------------------------- the command line


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """An image, and outlines of a ball on three of its slices."""
    folder = tmp_path_factory.mktemp("ball")
    volume, target = ball_volume()
    outlines = np.zeros_like(volume.layers[0])
    for index in target.slices[1:-1:2]:
        outlines[index] = volume.layers[0][index]
    for name, array in {
        "image": np.asarray(volume.stack.values),
        "outlines": outlines,
        "nothing": 0 * outlines,
    }.items():
        sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / f"{name}.nii.gz"))
    return folder


def typed(files, tmp_path, model, outlines="outlines", *more):
    words = ["tune-prompts", files / "image.nii.gz", "--mask", files / f"{outlines}.nii.gz", "--model", model, *more]
    return main([str(word) for word in (*words, "-o", tmp_path / "tuned.pt")])


@pytest.mark.parametrize(
    ("model", "outlines", "more", "told"),
    [
        ("classical", "outlines", (), "has nothing to learn"),
        ("starter", "nothing", (), "choose one by --label"),
        ("starter", "outlines", ("--label", "7"), "has no label 7"),
        ("no-such.pt", "outlines", (), "no-such.pt"),
    ],
)
def test_what_cannot_be_tuned_is_told_in_one_sentence(files, tmp_path, capsys, model, outlines, more, told):
    assert typed(files, tmp_path, model, outlines, *more) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_model_is_not_replaced_by_what_differs_from_it(files, tmp_path, capsys):
    before = save_tiny(tmp_path / "tuned.pt").read_bytes()
    assert typed(files, tmp_path, tmp_path / "tuned.pt") == 2
    assert "is given for --model and for --output" in capsys.readouterr().err
    assert (tmp_path / "tuned.pt").read_bytes() == before


@pytest.mark.slow  # 39 M numbers are written, read three times and tuned
def test_a_tuned_sam_2_opens_by_its_path_and_holds_only_what_was_learned(files, tmp_path, capsys):
    torch.manual_seed(0)
    base = tmp_path / "base.pt"
    save_checkpoint(base, build_network(NetworkConfig("sam2.1", "t", 128)).state_dict(), Card("sam2.1", "t", 128))
    assert typed(files, tmp_path, base, "outlines", "--steps", "3") == 0
    said = capsys.readouterr().err
    tuned = tmp_path / "tuned.pt"
    assert tuned.stat().st_size < 25_000
    before, after = (load_network(path)[0].state_dict() for path in (base, tuned))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == (LEARNED if "tuned on" in said else set())
    assert inspect_checkpoint(tuned).card.base == base_of(base)
