"""Outlined slices teach the starter which gray values boxes and points mean, and nothing else of it changes."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from test_prompted import EVEN, MIDDLE, SHAPE, ellipse, image_of, points
from tiny_training import CARD, tiny_network

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.errors import CheckpointError, InputError
from SegmentPropagateLib.models import registry
from SegmentPropagateLib.models.loading import load_model
from SegmentPropagateLib.networks.adapters.delta import base_of
from SegmentPropagateLib.networks.checkpoints import inspect_checkpoint, save_checkpoint
from SegmentPropagateLib.networks.prompt_grays import keep_prompt_grays, prompt_grays_of
from SegmentPropagateLib.propagation.prompts import BoxPrompt, MaskPrompt
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.propagators.prompted.grays import BINS, learned
from SegmentPropagateLib.propagators.prompted.outline import outline
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.training import gray_tuning
from SegmentPropagateLib.training.gray_tuning import tune_grays
from SegmentPropagateLib.training.prompt_tuning import TuningSettings
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.stack import ImageStack
from SegmentPropagateLib.volumes.volume import Volume

STARTER = registry.bundled_folder() / "starter.pt"
WHOLE = ellipse()
ONE_HALF = WHOLE & (np.arange(SHAPE[1]) < MIDDLE[0])
BOX = BoxPrompt((MIDDLE[0] - 26, MIDDLE[1] - 22, MIDDLE[0] + 26, MIDDLE[1] + 22))
CLICK = points((MIDDLE[0] + 10, MIDDLE[1], True))


def halves(count=5):
    """Slices of an object whose halves differ in gray, `(slices, rows, columns)`: a click on one is not about both."""
    rng = np.random.default_rng(0)
    shown = image_of(WHOLE, inside=100.0, noise=0.0) - 50 * ONE_HALF
    return np.stack([shown + rng.normal(0, 6, SHAPE) for _ in range(count)]).astype(np.float32)


def stack_of(values):
    return ImageStack(values, np.zeros(values.shape, np.uint8), (3.0, *EVEN))


def test_what_is_learned_tells_an_object_from_what_is_around_it():
    image = halves(1)[0]
    ratio = learned([(image, WHOLE)]).at(image)
    assert ratio.dtype == np.float32
    assert ratio[WHOLE].mean() > 0.8
    assert ratio[~WHOLE].mean() < -0.8
    assert np.abs(ratio).max() <= 1.5


def test_every_slice_counts_as_much_and_none_is_of_one_gray_only():
    image, flat = halves(1)[0], np.full(SHAPE, 100.0)
    assert np.isfinite(learned([(image, WHOLE), (flat, ellipse(radii=(3, 3)))]).ratio).all()
    assert not learned([(flat, WHOLE)]).ratio.any()
    assert learned([(image, np.ones(SHAPE, bool))]).ratio.shape == (BINS,)  # with nothing around it


@pytest.mark.parametrize("unit", [lambda x: x, lambda x: 7 * x + 300, lambda x: x / 1000])
def test_what_is_learned_holds_in_the_unit_of_another_volume(unit):
    values = halves()
    own = learned([(values[0], WHOLE)])
    moved = own.portable(values).in_unit_of(unit(values))
    assert np.abs(moved.at(unit(values[2])) - own.at(values[2])).mean() < 0.02


def test_hounsfield_units_stay_what_they_are():
    values = halves().astype(np.int16)
    values[:, 0] = -1000  # air
    own = learned([(values[0], WHOLE)])
    brighter = values.copy()
    brighter[4:] = 1500
    moved = own.portable(values).in_unit_of(brighter)
    assert (moved.low, moved.high) == pytest.approx((own.low, own.high))


@pytest.mark.parametrize("prompt", [BOX, CLICK], ids=["box", "click"])
def test_more_of_an_object_of_known_gray_values_is_found(prompt):
    values = halves()
    without, known = (outline(values[2], EVEN, prompt, grays=grays) for grays in (None, learned([(values[0], WHOLE)])))
    assert dice(known, WHOLE) > dice(without, WHOLE) + 0.02


@pytest.mark.parametrize(("without", "known", "kept"), [(0.5, 0.9, True), (0.9, 0.9, False), (0.9, 0.5, False)])
def test_what_was_learned_is_kept_where_slices_that_were_left_out_gain(monkeypatch, without, known, kept):
    def answer(image, spacing, prompt, grays=None):
        area = WHOLE.sum() * (without if grays is None else known)
        return WHOLE & (np.cumsum(WHOLE).reshape(SHAPE) <= area)

    monkeypatch.setattr(gray_tuning, "outline", answer)
    network, ticks = tiny_network(), []
    masks = dict.fromkeys((0, 1, 3, 4), WHOLE)
    result = tune_grays(network, stack_of(halves()), masks, TuningSettings(), lambda *done: ticks.append(done))
    assert (result.after > result.before) == kept
    assert (prompt_grays_of(network) is not None) == (result.recipe is not None) == kept
    assert ticks == [(done, len(ticks)) for done in range(1, len(ticks) + 1)]
    state = network.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in tiny_network().state_dict().items())


def test_one_outlined_slice_is_too_few():
    with pytest.raises(InputError, match="2 to 5 outlined slices, there is 1: outline more"):
        tune_grays(tiny_network(), stack_of(halves()), {1: WHOLE, 2: WHOLE & ~WHOLE}, TuningSettings())


@pytest.mark.parametrize(("bins", "high", "share"), [(BINS + 1, 1.0, 0.5), (BINS, 0.0, 0.5), (BINS, 1.0, 2.0)])
def test_what_cannot_be_read_is_told_with_its_file(tmp_path, bins, high, share):
    network = tiny_network()
    keep_prompt_grays(network, torch.zeros(bins), (0.0, high), share)
    save_checkpoint(tmp_path / "odd.pt", network.state_dict(), CARD)
    with pytest.raises(CheckpointError, match=r"odd\.pt has gray values .* tune its prompts again"):
        load_model(tmp_path / "odd.pt", device="cpu")


# ------------------------------------------------------------------------------------------------- the command line


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A starter that was tuned at the command line, and where."""
    folder = tmp_path_factory.mktemp("halves")
    outlines = np.zeros((5, *SHAPE), np.uint8)
    outlines[[1, 3]] = WHOLE
    for name, array in {"image": halves(), "outlines": outlines}.items():
        sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / f"{name}.nii.gz"))
    with pytest.MonkeyPatch.context() as quick:
        quick.setattr(gray_tuning, "PROBES", 1)
        words = ["tune-prompts", "image.nii.gz", "--mask", "outlines.nii.gz", "--model", "starter", "-o", "tuned.pt"]
        assert main([word if word[0] == "-" or "." not in word else str(folder / word) for word in words]) == 0
    return folder / "tuned.pt"


def test_a_tuned_starter_is_a_small_file_beside_it(written):
    summary = inspect_checkpoint(written, bases=[STARTER.parent])
    assert written.stat().st_size < 5_000
    assert summary.own_parameters == BINS + 3
    assert summary.card.base == base_of(STARTER)
    assert summary.card.recipe["learned"] == "gray values"
    assert summary.card.metrics["left_out_slices"]["after"] > summary.card.metrics["left_out_slices"]["before"]


def test_a_tuned_starter_opens_by_its_path_and_only_prompts_change(written):
    values = halves()
    volume = Volume(np.asarray(values), Geometry(values.shape, np.diag([-1.0, -1.0, 3.0, 1.0])))
    found = {}
    for name in ("starter", str(written)):
        session = Session(load_model(name, device="cpu"), volume, plane="axial")
        asked = session.preview(2, CLICK)
        session.add_key(1, 2, MaskPrompt(WHOLE))
        found[name] = asked, {update.slice_index: update.mask for update in session.propagate(None, None)}
    (before, carried), (after, carried_after) = found.values()
    assert dice(after, WHOLE) > dice(before, WHOLE)
    assert carried.keys() == carried_after.keys()
    assert all(np.array_equal(carried[index], carried_after[index]) for index in carried)
