"""The training of the prompt network and the measure of prompts, both in the small."""

import importlib
import sys
from itertools import islice
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
    twin = tuning("tuning_twin").Twin((4, 6, 8, 10))
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
    script = tuning("tuning_twin")
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


def test_a_wider_twin_says_what_the_weights_said_that_it_begins_with(tuning, slices, tmp_path, monkeypatch):
    torch.manual_seed(3)
    monkeypatch.setattr(tuning("tuning_training"), "SEEN_FIRST", 32)  # what it says depends on none of them
    one = tuning("tuning_twin").Twin((4, 6, 8, 10))
    seen = torch.rand(6, COUNT, SIZE, SIZE)
    one(seen)
    np.savez(tmp_path / "start.npz", **one.weights())
    cpu = torch.device("cpu")
    wider = tuning("tuning_training").beginning((6, 9, 12, 15), tmp_path / "start.npz", slices, cpu)
    with torch.no_grad():
        expected, _ = one.eval()(seen)
        found, _ = wider.eval()(seen)
    assert found.numpy() == pytest.approx(expected.numpy(), abs=0.02)


def test_boxes_of_samples_are_tight_or_wide_shifted_or_too_small(tuning, slices):
    prompts, rng = tuning("tuning_prompts"), np.random.default_rng(4)
    off = []
    while len(off) < 60:
        sample = prompts.fresh(slices, rng)
        if sample.given.box is not None:
            rows, columns = (np.flatnonzero(sample.truth.any(axis)) for axis in (1, 0))
            tight = np.array([rows[0] - 0.5, columns[0] - 0.5, rows[-1] + 0.5, columns[-1] + 0.5])
            sides = np.tile(tight[2:] - tight[:2], 2)
            outwards = (np.array(sample.given.box) - tight) * (-1, -1, 1, 1)
            off.append(outwards / np.maximum(sides, 8))  # a pixel too much is no share of a small object
    off = np.array(off)
    assert (off > 0.18).any(axis=1).mean() > 0.08
    assert (off < -0.05).any(axis=1).mean() > 0.1
    assert off.min() > -0.25
    assert off.max() < 0.4


def test_a_shelf_gives_what_was_put_there_mirrored_and_lets_go_of_the_oldest(tuning):
    shelf, rng = tuning("tuning_training").Shelf(4, torch.device("cpu")), np.random.default_rng(0)
    for number in range(6):
        image = torch.zeros(1, SIZE, SIZE)
        image[:, 3, 20] = number
        shelf.add(image[:, None].expand(-1, COUNT, -1, -1), image, torch.full((1, 3), float(number)))
    places = set()
    for _ in range(40):
        channels, truths, facts = shelf.draw(2, rng)
        assert torch.equal(channels[:, 5], truths)
        assert truths.amax((1, 2)).tolist() == facts[:, 0].tolist()
        assert facts.min() >= 2
        places.add(tuple(torch.nonzero(truths[0])[0].tolist()))
    assert len(places) == 8
    assert (shelf.count, shelf.drawn) == (6, 80)


def test_samples_of_a_stream_come_again_with_a_click_more(tuning, slices, tmp_path):
    script = tuning("tuning_training")
    np.savez(tmp_path / "prompts.npz", **tuning("tuning_twin").Twin((4, 6, 8, 10)).weights())
    samples = list(islice(script.Stream(slices, tmp_path / "prompts.npz", (1,)), 12))
    twice = list(islice(script.Stream(slices, tmp_path / "prompts.npz", (1,)), 12))
    for sample, other in zip(samples, twice, strict=True):
        assert all(np.array_equal(*arrays) for arrays in zip(sample, other, strict=True))
    clicks = [facts[1] for _, _, facts in samples]
    assert clicks[0] == 0
    assert 1 in clicks
    assert all(channels.shape == (COUNT, SIZE, SIZE) for channels, _, _ in samples)


def test_a_training_goes_on_where_it_was_stopped(tuning, tmp_path):
    script, rng = tuning("tuning_training"), torch.Generator().manual_seed(0)
    batch = torch.rand(4, COUNT, SIZE, SIZE, generator=rng), torch.rand(4, SIZE, SIZE, generator=rng), torch.ones(4, 3)
    torch.manual_seed(5)
    training = script.Training(tuning("tuning_twin").Twin((4, 6, 8, 10)))
    training.step(*batch, 0.1)
    training.seconds = 7.0
    training.save(tmp_path / "kept.pt", tmp_path / "prompts.npz")
    for _ in range(2):
        reached = training.step(*batch, 0.2)
    other = script.Training(tuning("tuning_twin").Twin((4, 6, 8, 10)))
    other.resume(tmp_path / "kept.pt")
    other.step(*batch, 0.2)
    assert other.step(*batch, 0.2).tolist() == reached.tolist()
    assert (other.done, other.seconds) == (3, 7.0)
    assert PromptNetwork(dict(np.load(tmp_path / "prompts.npz")))(batch[0][0].numpy())[0].shape == (SIZE, SIZE)


def test_a_training_that_is_called_again_makes_the_steps_that_are_left(tuning, tmp_path, monkeypatch, capsys):
    script = tuning("fit_prompts")
    small = "--phantoms 2 --batch 2 --widths 4 6 8 10 --shelf 50 --save-every 0 --device cpu"
    done = []
    for steps in (2, 3):
        command = f"fit_prompts.py {small} --steps {steps} --out {tmp_path}"
        monkeypatch.setattr(sys, "argv", command.split())
        script.main()
        done += [int(line.split(" steps")[0].split()[-1]) for line in capsys.readouterr().out.splitlines()]
    assert done == [1, 2, 3]
    assert PromptNetwork(dict(np.load(tmp_path / "prompts.npz")))(np.zeros((COUNT, SIZE, SIZE), np.float32))[1] <= 1


def test_the_rate_falls_with_the_share_of_the_training_that_is_done(tuning):
    script = tuning("tuning_training")
    batch = torch.rand(2, COUNT, SIZE, SIZE), torch.rand(2, SIZE, SIZE).round(), torch.ones(2, 3)
    torch.manual_seed(6)
    training = script.Training(tuning("tuning_twin").Twin((4, 6, 8, 10)), rate=0.1)
    training.done = script.RISING
    rates = []
    for share in (0.0, 0.5, 1.0):
        training.step(*batch, share)
        rates.append(training.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1005, 0.0505, 0.0005])


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


def test_drawn_boxes_are_off_as_their_kind_says_and_a_ring_is_hollow(tuning):
    script, truth = tuning("measure_drawn_prompts"), drawn()
    off = {}
    for kind, edges in script.BOXES.items():
        box = np.array(script.box(truth, edges, np.random.default_rng(1)).box_ij)
        off[kind] = (box - (10, 10, 34, 26)) * (-1, -1, 1, 1)
    assert off["tight"].tolist() == [1, 1, 1, 1]
    assert off["wide"].tolist() == [6, 4, 6, 4]
    assert off["loose"].min() >= 0
    assert off["small"].max() <= 0
    assert (off["shifted"][:2] == -off["shifted"][2:]).all()
    assert np.abs(off["hasty"]).max() <= 3
    assert not script.hollow(truth)
    assert script.hollow(truth & ~ndimage.binary_erosion(truth, iterations=3))


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
