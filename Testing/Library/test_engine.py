"""Lanes, cancellation, corrections, running out of memory: on a small network whose weights are fixed, not trained."""

import copy

import numpy as np
import pytest
import torch
import upstream

from SegmentPropagateLib.errors import InputError, OutOfMemoryError
from SegmentPropagateLib.networks.build import build_network
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.families import NetworkConfig
from SegmentPropagateLib.networks.memory import POINTER_SLOTS, MemoryPolicy, long_bank, select, short_bank
from SegmentPropagateLib.propagation.prompts import BoxPrompt, MaskPrompt, PointsPrompt
from SegmentPropagateLib.propagation.propagator import Lane, PropagationSettings
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.propagators.tracking.attention import KeptKeysAttention
from SegmentPropagateLib.propagators.tracking.course import LaneState
from SegmentPropagateLib.propagators.tracking.encoder import FeatureCache, Features
from SegmentPropagateLib.propagators.tracking.engine import NetworkPropagator
from SegmentPropagateLib.propagators.tracking.tracker import Tracker
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.stack import ImageStack
from SegmentPropagateLib.volumes.volume import Volume

GRAY, MASK, BOX = upstream.synthetic_volume()
VALUES = GRAY.astype(np.int16) * 4 - 300
VOLUME = Volume(VALUES, Geometry(VALUES.shape, np.diag([1.0, 1.0, 3.0, 1.0])))
FLIPPED = Volume(VALUES[::-1].copy(), VOLUME.geometry)
KEY, LAST = 6, len(GRAY) - 1
STARTER = NetworkConfig("starter", "conv", 128)
SETTINGS = {"roi": PropagationSettings(), "whole": PropagationSettings(roi="off")}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The network is too small for more, and threads that wait for a busy processor take minutes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def network():
    """Masks of the size of the object, and an object score around 0 that varies from slice to slice."""
    network = upstream.network_with_fixed_weights(STARTER)
    decoder = network.sam_mask_decoder
    random = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        for head in decoder.output_hypernetworks_mlps:
            head.layers[-1].weight.copy_(torch.randn(head.layers[-1].weight.shape, generator=random) / 10)
        decoder.output_upscaling[3].bias.zero_()
        decoder.conv_s0.weight.mul_(4)
        for layer in decoder.pred_obj_score_head.layers:
            layer.weight.mul_(2)
        decoder.pred_obj_score_head.layers[-1].bias.fill_(-3.6)
    return network


@pytest.fixture
def propagator(network):
    return NetworkPropagator(network, Card("starter", "conv", 128, name="small"))


def finished(propagator, volume, keys, settings=None, first=0, last=LAST):
    """A session that has propagated: keys is `{object: {slice: mask}}`."""
    session = Session(propagator, volume, settings=settings)
    for object_id, masks in keys.items():
        for index, mask in masks.items():
            session.add_key(object_id, index, MaskPrompt(mask))
    updates = list(session.propagate(first, last))
    return session, updates


def same_results(one, other):
    """Equal but for rounding, which depends on how many lanes share a batch and may move a pixel in a thousand."""
    return one.keys() == other.keys() and all(
        (one[index].mask == other[index].mask).mean() >= 0.999
        and one[index].source == other[index].source
        and np.isclose(one[index].presence, other[index].presence, atol=0.01)
        for index in one
    )


def test_every_slice_of_the_range_is_filled_once_and_nothing_outside(propagator):
    session, updates = finished(propagator, VOLUME, {1: {KEY: MASK}}, first=2, last=9)
    assert sorted(update.slice_index for update in updates) == [2, 3, 4, 5, 7, 8, 9]
    assert not session.mask(1)[[0, 1, 10, 11]].any()
    assert np.array_equal(session.mask(1)[KEY], MASK)
    assert {update.mask.any() for update in updates} == {True, False}  # the weights give both


def test_directions_and_objects_advance_together(propagator):
    _, updates = finished(propagator, VOLUME, {1: {KEY: MASK}, 2: {KEY: np.roll(MASK, 9, 0)}})
    order = [abs(update.slice_index - KEY) for update in updates]
    assert order == sorted(order)
    assert len(updates) == 2 * LAST


def test_an_absent_object_has_an_empty_mask_and_a_score_that_says_so(propagator):
    _, updates = finished(propagator, VOLUME, {1: {KEY: MASK}})
    for update in updates:
        assert update.mask.any() or update.presence <= 0 or update.logits.max() <= 0
        assert update.presence > 0 or not update.mask.any()
        assert 0 <= update.predicted_iou <= 1
        assert np.array_equal(update.mask, update.logits > 0)
        assert update.logits.dtype == np.float32


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_flipping_the_volume_flips_the_result(propagator, settings):
    session, _ = finished(propagator, VOLUME, {1: {KEY: MASK}}, settings)
    flipped, _ = finished(propagator, FLIPPED, {1: {LAST - KEY: MASK}}, settings)
    assert np.array_equal(flipped.mask(1)[::-1], session.mask(1))


def test_an_object_is_segmented_alike_alone_and_among_others(propagator):
    keys = {1: {KEY: MASK}, 2: {4: np.roll(MASK, -12, 0)}, 3: {KEY: np.roll(MASK, 14, 1), 9: np.roll(MASK, 3, 1)}}
    together, _ = finished(propagator, VOLUME, keys)
    for object_id, masks in keys.items():
        alone, _ = finished(propagator, VOLUME, {object_id: masks})
        assert same_results(alone.results(object_id), together.results(object_id))


@pytest.mark.parametrize("pass_mode", ["independent", "coupled"])
def test_a_correction_gives_what_a_run_from_scratch_with_both_keys_gives(propagator, pass_mode):
    settings = PropagationSettings(pass_mode=pass_mode)
    fixed = np.roll(MASK, 4, axis=0)
    corrected, _ = finished(propagator, VOLUME, {1: {KEY: MASK}}, settings)
    corrected.add_key(1, 9, MaskPrompt(fixed))
    list(corrected.propagate(0, LAST))
    scratch, _ = finished(propagator, VOLUME, {1: {KEY: MASK, 9: fixed}}, settings)
    assert same_results(corrected.results(1), scratch.results(1))
    assert np.array_equal(corrected.mask(1)[9], fixed)


def test_a_correction_encodes_no_whole_slice_again(propagator, monkeypatch):
    settings = PropagationSettings(roi="off")
    gray = NetworkPropagator(upstream.network_with_fixed_weights(STARTER), Card("sam2.1", "t", 128))
    session, _ = finished(gray, VOLUME, {1: {KEY: MASK}}, settings)
    monkeypatch.setattr(Tracker, "encode", None)  # features come from the cache or not at all
    session.add_key(1, 9, MaskPrompt(MASK))
    session.add_key(2, 3, MaskPrompt(MASK))
    assert len(list(session.propagate(0, LAST))) == (LAST - 1) + LAST


def test_cancelling_at_any_slice_leaves_the_previous_result_intact(propagator):
    session, updates = finished(propagator, VOLUME, {1: {KEY: MASK}, 2: {KEY: np.roll(MASK, 9, 0)}}, first=3, last=9)
    before = {object_id: session.results(object_id) for object_id in (1, 2)}
    for object_id in (1, 2):
        session.add_key(object_id, KEY, MaskPrompt(np.roll(MASK, 2, 1)))
    for stop in range(len(updates)):
        updates = session.propagate(3, 9)
        for _ in range(stop):
            next(updates)
        updates.close()
        for object_id in (1, 2):
            after = session.results(object_id)
            assert all(after[index] is before[object_id][index] for index in after if index != KEY)
    list(session.propagate(3, 9))
    scratch, _ = finished(propagator, VOLUME, {key: {KEY: np.roll(MASK, 2, 1)} for key in (1, 2)}, first=3, last=9)
    assert same_results(session.results(1), scratch.results(1))


def test_a_lane_ends_after_so_many_empty_slices(propagator):
    lane = Lane(1, (KEY,), (range(KEY + 1, LAST + 1),))
    stack = ImageStack(VALUES, GRAY, (3.0, 1.0, 1.0))

    def empty_run(limit):
        propagator.open(stack, PropagationSettings(stop_after_empty=limit))
        return [update.mask.any() for update in propagator.run([lane], {1: {KEY: MASK}})]

    everything = empty_run(None)
    assert len(everything) == LAST - KEY
    first_empty = everything.index(False)
    assert empty_run(1) == everything[: first_empty + 1]


def test_a_box_and_points_give_a_mask(propagator):
    stack = ImageStack(VALUES, GRAY, (3.0, 1.0, 1.0))
    propagator.open(stack, PropagationSettings())
    box = BoxPrompt(BOX)
    points = PointsPrompt(np.array([[36.0, 46.0], [5.0, 5.0]]), np.array([True, False]))
    both = PointsPrompt(points.points_ij, points.positive, box)
    masks = [propagator.segment(KEY, prompt) for prompt in (box, points, both)]
    assert all(mask.shape == MASK.shape and mask.dtype == bool for mask in masks)


@pytest.mark.parametrize("short_slices", [0, 8])
def test_a_short_bank_of_impossible_length_is_refused_at_once(propagator, short_slices):
    with pytest.raises(InputError, match=f"1 to 7 recent slices, got {short_slices}"):
        Session(propagator, VOLUME, settings=PropagationSettings(short_slices=short_slices))


def test_features_that_were_not_kept_are_computed_again(network):
    bounded = NetworkPropagator(network, Card("starter", "conv", 128), cache_mb=3)
    session, _ = finished(bounded, VOLUME, {1: {KEY: MASK}})
    unbounded, _ = finished(NetworkPropagator(network, Card("starter", "conv", 128)), VOLUME, {1: {KEY: MASK}})
    assert same_results(session.results(1), unbounded.results(1))


def test_the_features_used_last_are_kept_within_a_bound():
    quarter = torch.zeros(1, 2**16, 1)  # of a megabyte
    features = Features(quarter, (quarter,), (quarter, quarter))
    cache, computed = FeatureCache(3), []
    for key in (1, 2, 3, 1, 4, 1, 2):
        cache.get(key, lambda key=key: computed.append(key) or features)
    assert computed == [1, 2, 3, 4, 2]
    assert len(cache) == 3


def test_keys_that_would_take_too_much_memory_are_computed_again(propagator, monkeypatch):
    expected, _ = finished(propagator, VOLUME, {1: {KEY: MASK}})
    monkeypatch.setattr("SegmentPropagateLib.propagators.tracking.course.KEPT_KEYS_MB", 0.1)
    session = Session(propagator, VOLUME)
    session.add_key(1, KEY, MaskPrompt(MASK))
    computed = []
    keys = KeptKeysAttention.keys
    monkeypatch.setattr(KeptKeysAttention, "keys", lambda self, tokens: computed.append(1) or keys(self, tokens))
    list(session.propagate(0, LAST))
    assert len(computed) > 2 * (LAST + 1)  # more than once per slice and attention
    assert same_results(session.results(1), expected.results(1))


def test_lanes_are_split_when_memory_is_short(propagator, monkeypatch):
    keys = {object_id: {KEY: np.roll(MASK, object_id, 0)} for object_id in (1, 2, 3)}
    expected, _ = finished(propagator, VOLUME, keys)
    batches = []
    look = Tracker.look

    def small(self, looks, slices):
        if len(looks) > 2:
            raise torch.OutOfMemoryError
        batches.append(len(looks))
        return look(self, looks, slices)

    monkeypatch.setattr(Tracker, "look", small)
    session, _ = finished(propagator, VOLUME, keys)
    assert max(batches) == 1  # 6 lanes: 3, then 1
    assert all(same_results(session.results(key), expected.results(key)) for key in keys)
    assert "at most 1 objects" in propagator.info["notes"][-1]


def test_the_cpu_takes_over_where_the_accelerator_has_too_little_memory(propagator, monkeypatch):
    expected, _ = finished(propagator, VOLUME, {1: {KEY: MASK}})
    look = Tracker.look
    used = []

    def failing(self, looks, slices):
        used.append(self)
        if self.device.type == "meta" and len(used) > 3:
            raise torch.OutOfMemoryError
        return look(self, looks, slices)

    monkeypatch.setattr(Tracker, "look", failing)
    session = Session(propagator, VOLUME)
    session.add_key(1, KEY, MaskPrompt(MASK))
    updates = session.propagate(0, LAST)
    next(updates)
    used[0].device = torch.device("meta")  # computes on the CPU all the same, but says otherwise
    monkeypatch.setattr(torch.Tensor, "to", to_cpu_instead_of_meta(torch.Tensor.to))
    list(updates)
    assert propagator.info["device"] == "cpu"
    assert "continuing on the CPU" in propagator.info["notes"][-1]
    assert same_results(session.results(1), expected.results(1))


def to_cpu_instead_of_meta(original):
    def to(self, *args, **kwargs):
        args = tuple(torch.device("cpu") if arg == torch.device("meta") else arg for arg in args)
        return original(self, *args, **kwargs)

    return to


def test_too_little_memory_even_on_the_cpu_is_said_in_one_sentence(propagator, monkeypatch):
    def failing(self, looks, slices):
        raise torch.OutOfMemoryError

    session = Session(propagator, VOLUME)
    session.add_key(1, KEY, MaskPrompt(MASK))
    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "look", failing)
        with pytest.raises(OutOfMemoryError, match="not enough memory"):
            list(session.propagate(0, LAST))
    assert len(list(session.propagate(0, LAST))) == LAST  # the session survives


@pytest.mark.parametrize("pass_mode", ["independent", "coupled"])
@pytest.mark.parametrize("short_slices", [1, 3])
def test_the_engine_equals_the_networks_own_steps(network, propagator, short_slices, pass_mode):
    """`track_step` of `sam2` on both memories, which training is held to as well."""
    stack = ImageStack(VALUES, GRAY, (3.0, 1.0, 1.0))
    propagator.open(stack, PropagationSettings("off", pass_mode, short_slices))
    legs = (range(KEY + 1, LAST + 1), range(KEY - 1, -1, -1))
    lanes = [Lane(1, (KEY,), legs)] if pass_mode == "coupled" else [Lane(1, (KEY,), (leg,)) for leg in legs]
    updates = {update.slice_index: update for update in propagator.run(lanes, {1: {KEY: MASK}})}
    expected = own_steps(network, stack, lanes, short_slices)
    assert updates.keys() == expected.keys()
    for index, logits in expected.items():
        assert np.abs(updates[index].logits - logits).max() <= 2e-2  # stored memories are rounded to bfloat16
        assert (updates[index].mask == (logits > 0)).mean() >= 0.999


@torch.inference_mode()
def own_steps(network, stack, lanes, short_slices):
    from SegmentPropagateLib.propagators.tracking.appearance import resize_mask, windows_appearance
    from SegmentPropagateLib.propagators.tracking.views import View

    network = upstream.reading_both(network, short_slices)
    view = View(0, 0, *stack.slice_shape)
    appearance = windows_appearance(stack, KEY, view, MASK, 128)

    def step(index, mask, outputs, reverse):
        out = network.forward_image(appearance.image(stack, index, view, 128))
        maps, places = out["backbone_fpn"], out["vision_pos_enc"]
        sizes = [tuple(level.shape[-2:]) for level in maps]
        flat = [[level.flatten(2).permute(2, 0, 1) for level in levels] for levels in (maps, places)]
        out = network.track_step(
            index, mask is not None, *flat, sizes, None, mask, outputs, len(stack), track_in_reverse=reverse
        )
        return {**out, "maskmem_features": out["maskmem_features"].to(torch.bfloat16).float()}

    logits = {}
    for lane in lanes:
        outputs = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
        outputs["cond_frame_outputs"][KEY] = step(KEY, resize_mask(MASK, 128)[None, None], outputs, reverse=False)
        for leg in lane.legs:
            for index in leg:
                out = outputs["non_cond_frame_outputs"][index] = step(index, None, outputs, leg.step < 0)
                logits[index] = torch.nn.functional.interpolate(
                    out["pred_masks"], size=stack.slice_shape, mode="bilinear", align_corners=False
                )[0, 0].numpy()
    return logits


def test_an_empty_short_bank_falls_back_to_the_long_result(network):
    """As on a lane whose first slice is not beside its key; the released code crashes there."""
    deaf = copy.deepcopy(network)
    with torch.no_grad():
        deaf.recent_memory_attention.norm.weight.zero_()
        deaf.recent_memory_attention.norm.bias.zero_()

    def logits(network, index):
        propagator = NetworkPropagator(network, Card("starter", "conv", 128))
        propagator.open(ImageStack(VALUES, GRAY, (3.0, 1.0, 1.0)), PropagationSettings("off"))
        (update,) = propagator.run([Lane(1, (KEY,), (range(index, index + 1),))], {1: {KEY: MASK}})
        return update.logits

    assert np.array_equal(logits(deaf, KEY + 2), logits(network, KEY + 2))
    assert not np.array_equal(logits(deaf, KEY + 1), logits(network, KEY + 1))


@pytest.mark.slow
@pytest.mark.parametrize(("family", "variant", "size"), [("starter", "conv", 128), ("sam2.1", "t", 64)])
def test_bf16_gives_nearly_the_same_masks(family, variant, size):
    """Slow where bf16 is emulated. Weights are not trained, so that rounding moves more pixels than it would."""
    stack = ImageStack(VALUES, GRAY, (3.0, 1.0, 1.0))
    masks = {}
    for precision in ("exact", "bf16"):
        torch.manual_seed(0)
        network = build_network(NetworkConfig(family, variant, size))
        propagator = NetworkPropagator(network, Card(family, variant, size), "cpu", precision)
        propagator.open(stack, PropagationSettings(roi="off"))
        updates = propagator.run([Lane(1, (KEY,), (range(KEY + 1, KEY + 3),))], {1: {KEY: MASK}})
        masks[precision] = [update.logits for update in updates]
    for exact, bf16 in zip(masks["exact"], masks["bf16"], strict=True):
        assert np.abs(exact - bf16).max() <= 0.05 * max(np.abs(exact).max(), 1)
        assert np.abs(exact - bf16).max() > 0


@pytest.mark.parametrize("legs", [(range(6, 60),), (range(6, 60), range(4, -1, -1)), (range(40, 0, -1),)])
def test_a_lane_forgets_what_it_can_never_read_again_and_nothing_else(legs):
    start = legs[0][0] - legs[0].step
    state = LaneState(Lane(1, (start,), legs), home=None, appearance=None)
    policy = MemoryPolicy((long_bank(), short_bank(7)))
    everything = set()
    while state.rest:
        for bank in policy.banks:
            kept = select(bank, state.index, state.direction, (start,), set(state.seen), 99)
            assert kept == select(bank, state.index, state.direction, (start,), everything, 99)
        everything.add(state.index)
        state.seen[state.index] = None
        state.forget(policy.reach)
        assert len(state.seen) <= 2 * POINTER_SLOTS
        state.advance()
