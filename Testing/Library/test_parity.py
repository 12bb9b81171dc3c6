"""The engine against the predictor of the installed `sam2`, and against outputs of the released predictors.

Networks of the second kind have weights that let logits reach +-30, so that a memory feature which is rounded to the
other neighboring bfloat16 (as `sam2` stores memories) shows in the third decimal; hence the tolerance of 1e-2 there.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import upstream

from SegmentPropagateLib.networks.build import build_network
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.families import NetworkConfig
from SegmentPropagateLib.propagation.prompts import BoxPrompt
from SegmentPropagateLib.propagation.propagator import Lane, PropagationSettings
from SegmentPropagateLib.propagators.tracking.engine import NetworkPropagator
from SegmentPropagateLib.propagators.tracking.tracker import Tracker
from SegmentPropagateLib.volumes.stack import ImageStack

FIGURES = json.loads((Path(__file__).resolve().parents[1] / "Data" / "golden_figures.json").read_text(encoding="utf-8"))
REFERENCE = Path(__file__).resolve().parents[2].parent / "shared" / "reference"
KEY = FIGURES["key"]
GRAY, MASK, BOX = upstream.synthetic_volume()
STACK = ImageStack(GRAY, GRAY, (1.0, 1.0, 1.0))
OBJECTS = {1: MASK, 2: np.roll(MASK, 8, axis=1), 3: np.roll(MASK, -10, axis=0), 4: np.roll(MASK, 15, axis=0)}
ABOVE, BELOW = range(KEY + 1, len(GRAY)), range(KEY - 1, -1, -1)


def lanes_of(objects, pass_mode, above=ABOVE, below=BELOW):
    if pass_mode == "coupled":
        return [Lane(object_id, (KEY,), (above, below)) for object_id in objects]
    return [Lane(object_id, (KEY,), (leg,)) for object_id in objects for leg in (above, below)]


def run(propagator, objects, pass_mode, short_slices=1, lanes=None, stack=STACK):
    propagator.open(stack, PropagationSettings(roi="off", pass_mode=pass_mode, short_slices=short_slices))
    lanes = lanes_of(objects, pass_mode) if lanes is None else lanes
    updates = propagator.run(lanes, {object_id: {KEY: mask} for object_id, mask in objects.items()})
    return {(update.object_id, update.slice_index): update for update in updates}


def run_upstream(predictor, folder, objects, pass_mode, box=None, reach=3):
    """Logits of `SAM2VideoPredictor` by (object, slice), `reach` slices to both sides of the key."""
    logits = {}
    with upstream.without_progress_bars():
        state = predictor.init_state(folder)
        for reverse in (False, True):
            if pass_mode == "independent" or not reverse:
                predictor.reset_state(state)
                for object_id, mask in objects.items():
                    if box is None:
                        predictor.add_new_mask(state, KEY, object_id, mask)
                    else:
                        predictor.add_new_points_or_box(state, KEY, object_id, box=box)
            for index, object_ids, maps in predictor.propagate_in_video(state, KEY, reach, reverse=reverse):
                logits.update({(key, index): maps[at, 0].numpy() for at, key in enumerate(object_ids)})
    return logits


def assert_same(updates, expected, tolerance):
    assert max(np.abs(update.logits - expected[key]).max() for key, update in updates.items()) <= tolerance
    assert all(np.array_equal(update.mask, expected[key] > 0) for key, update in updates.items())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return upstream.frames_of(GRAY, tmp_path_factory.mktemp("frames"))


@pytest.fixture(scope="module")
def random_network():
    torch.manual_seed(0)
    return build_network(NetworkConfig("sam2.1", "t", 256))


@pytest.fixture(scope="module")
def predictor(random_network):
    """That of `sam2`; what its encoder makes of a slice is kept, which takes most of the time and never differs."""
    predictor = upstream.predictor_of(random_network)
    encode, encoded = predictor.forward_image, {}

    def encode_once(image):
        pixels = image.numpy().tobytes()
        if pixels not in encoded:
            encoded[pixels] = encode(image)
        return encoded[pixels]

    predictor.forward_image = encode_once
    return predictor


@pytest.fixture(scope="module")
def propagators(random_network):
    """Whether memories of prompts are kept -> ours, which keeps what it has encoded of `STACK`."""
    card = Card("sam2.1", "t", 256)
    return {keep: NetworkPropagator(random_network, card, keep_prompt_memory=keep) for keep in (False, True)}


@pytest.fixture(scope="module")
def fixed_propagator():
    """`fixed_propagator(run name)`: a propagator with fixed weights; those of 256 pixels are kept."""
    made = {}

    def get(name):
        facts = FIGURES["runs"][name]
        key = facts["family"], facts["image_size"], facts.get("object_score_bias", 1.0)
        if key not in made:
            overrides = {upstream.OBJECT_SCORE_BIAS: key[2]}
            network = upstream.network_with_fixed_weights(NetworkConfig(key[0], "t", key[1]), overrides)
            propagator = NetworkPropagator(network, Card(key[0], "t", key[1]), keep_prompt_memory=True)
            if key[1] > 256:
                return propagator
            made[key] = propagator
        return made[key]

    return get


REACH = {"above": range(KEY + 1, KEY + 4), "below": range(KEY - 1, KEY - 4, -1)}


@pytest.mark.parametrize("pass_mode", ["independent", "coupled"])
@pytest.mark.parametrize("count", [1, 4])
def test_masks_give_the_logits_of_sam2(predictor, propagators, folder, count, pass_mode):
    objects = {key: OBJECTS[key] for key in list(OBJECTS)[:count]}
    expected = run_upstream(predictor, folder, objects, pass_mode)
    updates = run(propagators[False], objects, pass_mode, lanes=lanes_of(objects, pass_mode, **REACH))
    assert len(updates) == 6 * count
    assert_same(updates, expected, tolerance=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("size", [512, 1024])
def test_larger_images_give_the_logits_of_sam2(folder, size):
    torch.manual_seed(0)
    network = build_network(NetworkConfig("sam2.1", "t", size))
    expected = run_upstream(upstream.predictor_of(network), folder, {1: MASK}, "independent")
    lanes = lanes_of([1], "independent", **REACH)
    updates = run(NetworkPropagator(network, Card("sam2.1", "t", size)), {1: MASK}, "independent", lanes=lanes)
    assert_same(updates, expected, tolerance=1e-4)


@pytest.mark.parametrize("pass_mode", ["independent", "coupled"])
def test_a_box_gives_the_logits_of_sam2(predictor, propagators, folder, pass_mode):
    expected = run_upstream(predictor, folder, {1: None}, pass_mode, box=np.array(BOX, np.float32))
    propagator = propagators[True]
    propagator.open(STACK, PropagationSettings(roi="off", pass_mode=pass_mode))
    prompted = propagator.segment_logits(KEY, BoxPrompt(BOX))
    assert np.abs(prompted - expected[1, KEY]).max() <= 1e-4
    lanes = lanes_of([1], pass_mode, **REACH)
    updates = propagator.run(lanes, {1: {KEY: prompted > 0}})
    assert_same({(1, update.slice_index): update for update in updates}, expected, tolerance=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if facts["image_size"] == 256 else pytest.mark.slow)
        for name, facts in FIGURES["runs"].items()
    ],
)
def test_the_released_predictors_figures_are_met(fixed_propagator, name):
    facts = FIGURES["runs"][name]
    propagator = fixed_propagator(name)
    settings = PropagationSettings(roi="off", pass_mode=facts["pass_mode"], short_slices=facts["short_slices"])
    propagator.open(STACK, settings)
    logits = propagator.segment_logits(KEY, BoxPrompt(BOX)) if facts["prompt"] == "box" else None
    mask = MASK if logits is None else logits > 0
    updates = run(propagator, {1: mask}, facts["pass_mode"], facts["short_slices"])
    assert len(updates) == len(GRAY) - 1
    rows, columns = np.transpose(FIGURES["positions"])
    for (_, index), update in updates.items():
        assert np.abs(update.logits[rows, columns] - facts["logits"][index]).max() <= 1e-2
        assert abs(update.presence - facts["presence"][index]) <= 1e-3
        assert abs(int(update.mask.sum()) - facts["area"][index]) <= 0.001 * update.mask.size
    compare_with_arrays(name, updates, logits)


def compare_with_arrays(name, updates, prompted):
    """The same with all pixels, where the reference folder is at hand."""
    if not REFERENCE.is_dir():
        return
    golden = np.load(REFERENCE / f"{name}.npz")
    for (_, index), update in updates.items():
        assert np.abs(update.logits - golden["video_logits"][index]).max() <= 1e-2
        assert (update.mask == golden["masks"][index]).mean() >= 0.999
    if prompted is not None:
        assert np.abs(prompted - golden["prompt_logits"]).max() <= 1e-2


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the folder with reference outputs is not there")
def test_intermediate_results_are_those_of_the_released_predictor(fixed_propagator, monkeypatch):
    golden = np.load(REFERENCE / "slm_sam2_golden_256_mask_recent1.npz")
    propagator = fixed_propagator("slm_sam2_golden_256_mask_recent1")
    seen = {}

    def spy(name, method):
        def wrapped(self, *args, **kwargs):
            result = method(self, *args, **kwargs)
            seen.setdefault(name, []).append((args, result))
            return result

        monkeypatch.setattr(Tracker, method.__name__, wrapped)

    spy("features", Tracker.encode)
    spy("memory", Tracker.remember)
    spy("fused", Tracker.fuse)
    run(propagator, {1: MASK}, "coupled", stack=ImageStack(GRAY, GRAY, STACK.spacing_mm))  # not encoded before
    key_features, key_memory = seen["features"][0][1], seen["memory"][0][1][0]
    assert_near(key_features.top[0].T.reshape(256, 16, 16), golden["inter_fpn2"])
    assert_near(key_features.fine[0][0, :, ::4, ::4], golden["inter_fpn0"])
    assert_near(key_memory.tokens.T.reshape(64, 16, 16), golden["ann_maskmem_sub"])
    assert_near(key_memory.outcome.pointer, golden["ann_obj_ptr"])
    (attended,), fused = seen["fused"][0]
    assert_near(attended[0], golden["inter_long_attn"].astype(np.float32) + golden["inter_short_attn"])
    assert_near(fused[0].T.reshape(256, 16, 16), golden["inter_fused"])
    assert_near(seen["memory"][len(ABOVE) + 1][1][0].outcome.pointer, golden["obj_ptr_f5"])


def assert_near(tensor, expected):
    """Equal but for the half precision in which the reference is stored, and one bfloat16 step of stored memories."""
    expected = torch.from_numpy(np.asarray(expected, dtype=np.float32))
    assert tensor.shape == expected.shape
    assert (tensor.float() - expected).abs().max() <= 1e-2 * max(1.0, float(expected.abs().max()))
