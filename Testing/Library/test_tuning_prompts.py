"""The training of the prompt network and the measure of prompts, both in the small."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from SegmentPropagateLib.propagation.prompts import BoxPrompt
from SegmentPropagateLib.propagators.prompted.channels import COUNT, SIZE
from SegmentPropagateLib.propagators.prompted.network import PromptNetwork

TESTING = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def tuning():
    """A script's or a helper's module by its name."""
    folders = [str(TESTING / "Experiments"), str(TESTING / "Benchmarks")]
    sys.path[:0] = folders
    yield importlib.import_module
    for folder in folders:
        sys.path.remove(folder)


@pytest.fixture(scope="module")
def slices(tuning):
    return list(tuning("tuning_prompts").draw_slices(3))


def test_the_network_gives_what_its_twin_in_torch_gives(tuning):
    torch.manual_seed(1)
    twin = tuning("fit_prompts").Twin((4, 6, 8, 10))
    seen = torch.rand(2, COUNT, SIZE, SIZE)
    twin(seen)  # moves the means of the normalizations
    twin.eval()
    with torch.no_grad():
        logits, quality = twin(seen)
    network = PromptNetwork(twin.weights())
    for number in range(2):
        own, own_quality = network(seen[number].numpy())
        assert own == pytest.approx(logits[number].numpy(), abs=0.02)
        assert own_quality == pytest.approx(float(torch.sigmoid(quality[number])), abs=0.02)


def test_a_twin_that_takes_weights_says_what_they_said(tuning):
    torch.manual_seed(2)
    script = tuning("fit_prompts")
    one, other = script.Twin((4, 6, 8, 10)), script.Twin((4, 6, 8, 10))
    seen = torch.rand(6, COUNT, SIZE, SIZE)
    one(seen)
    other.take(one.weights(), seen)
    with torch.no_grad():
        expected, _ = one.eval()(seen)
        while_learning, _ = other.train()(seen)
    assert while_learning.numpy() == pytest.approx(expected.numpy(), abs=0.02)


def test_samples_hold_their_object_and_get_clicks_where_the_mask_is_wrong(tuning, slices):
    prompts = tuning("tuning_prompts")
    rng = np.random.default_rng(0)
    kinds = set()
    for _ in range(12):
        sample = prompts.fresh(slices, rng)
        channels, truth, area = sample.arrays()
        kinds.add(sample.given.box is None)
        assert channels.shape == (COUNT, SIZE, SIZE)
        assert truth.max() > 0.5
        assert area > 0
        nothing = np.zeros((SIZE, SIZE), dtype=np.float32)
        later = prompts.again(prompts.again(sample, nothing, rng), nothing, rng)
        assert later.clicks == 2
        assert len(later.given.positive) > len(sample.given.positive)
        rows, columns = later.given.positive.astype(int).T
        assert later.truth[rows, columns].all()
    assert kinds == {True, False}


def test_a_training_goes_on_where_it_was_stopped(tuning, slices, tmp_path, monkeypatch):
    script = tuning("fit_prompts")
    monkeypatch.setattr(script, "BATCH", 4)
    monkeypatch.setattr(script, "CARRIED", 0)
    training = script.Training(slices, 4)
    training.step()
    training.save(tmp_path / "kept.pt")
    figures = training.step()
    other = script.Training(slices, 4)
    other.resume(tmp_path / "kept.pt")
    assert other.step() == pytest.approx(figures, nan_ok=True)
    assert other.done == training.done == 2


@pytest.mark.parametrize("kind", ["band", "arc", "vertebra", "processes", "parts"])
def test_an_object_drawn_onto_a_slice_changes_it_there_and_nowhere_else(tuning, slices, kind, monkeypatch):
    shapes = tuning("tuning_shapes")
    monkeypatch.setattr(shapes, "SHAPES", {kind: shapes.SHAPES[kind]})
    monkeypatch.setattr(shapes, "BITTEN_TOO", 0)
    image, place = slices[0].values, slices[0].labels == slices[0].objects[0]
    seen, mask = shapes.drawn_object(image, place, place, np.random.default_rng(3))
    changed = np.abs(seen - image) > 1
    assert changed[mask].mean() > 0.8
    assert not changed[~ndimage.binary_dilation(mask, iterations=6)].any()


def test_a_neighbor_takes_a_part_of_an_object_and_leaves_the_rest_as_it_was(tuning):
    bitten = tuning("tuning_shapes").bitten
    image = np.random.default_rng(0).normal(100, 3, (40, 50))
    taken = 0
    for seed in range(8):
        seen, left = bitten(image, drawn(), drawn()[5:], np.random.default_rng(seed))
        assert (drawn() | ~left).all()
        assert left.sum() > 0.1 * drawn().sum()
        taken += left.sum() < drawn().sum()
        assert np.abs(seen - image)[ndimage.binary_erosion(left, iterations=4)].max(initial=0) < 2
    assert taken >= 6


def drawn(shape=(40, 50)):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return ((columns - 22) / 12) ** 2 + ((rows - 18) / 8) ** 2 <= 1


def test_boxes_lie_around_the_object_and_are_the_same_each_time(tuning):
    boxes = tuning("evaluation_prompts").boxes(drawn())
    assert boxes == tuning("evaluation_prompts").boxes(drawn())
    assert boxes["box, 1 px wider"] == [BoxPrompt((9.0, 9.0, 35.0, 27.0))]
    for box in boxes["box off by 10 %"]:
        assert np.abs(np.array(box.box_ij) - (10, 10, 34, 26)).max() <= 3


def test_whoever_answers_with_the_reference_is_perfect_and_needs_no_click(tuning):
    figures = tuning("evaluation_prompts").measure(lambda prompt: drawn(), drawn(), (1.0, 1.0))
    assert all(value == 1 for name, value in figures.items() if name != "s")


def test_clicks_fall_on_the_largest_mistake(tuning):
    correction = tuning("evaluation_prompts").correction
    truth = drawn()
    (column, row), positive = correction(ndimage.binary_erosion(truth, iterations=3), truth)
    assert positive
    assert truth[int(row), int(column)]
    too_much = truth.copy()
    too_much[30:39, 30:49] = True
    (column, row), positive = correction(too_much, truth)
    assert not positive
    assert 30 <= row < 39
    assert correction(truth, truth) is None


def test_the_report_has_a_column_for_each_side_and_the_bars(tuning, tmp_path, capsys):
    rows = [{"case": "a", "target": "b", "1 point": value, "s": 0.1, "masks": ""} for value in (0.4, 0.6, 0.8)]
    tuning("evaluation_prompts").write_prompt_report(tmp_path, {"targets": 1, "others": 2}, {"double": rows})
    assert "| 1 point | 0.55 | 0.400 | 0.700 | 0.600 |" in (tmp_path / "prompts.md").read_text()
    assert "0.700" in capsys.readouterr().out
