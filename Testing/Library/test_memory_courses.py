"""Memory rules in a run: forked pathways against an oracle, and what every rule must leave true."""

import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import upstream

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.families import NetworkConfig
from SegmentPropagateLib.networks.memory import Remembered, Score, select_from
from SegmentPropagateLib.networks.memory_rules import RULES
from SegmentPropagateLib.propagation.prompts import MaskPrompt
from SegmentPropagateLib.propagation.propagator import Lane, PropagationSettings
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.propagators.tracking.course import Objects, Propagation
from SegmentPropagateLib.propagators.tracking.encoder import FeatureCache
from SegmentPropagateLib.propagators.tracking.engine import NetworkPropagator
from SegmentPropagateLib.propagators.tracking.open_stack import OpenStack
from SegmentPropagateLib.propagators.tracking.tracker import Outcome, SliceMemory
from SegmentPropagateLib.propagators.tracking.views import ViewFinder
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.stack import ImageStack
from SegmentPropagateLib.volumes.volume import Volume

GRAY, MASK, _ = upstream.synthetic_volume()
VALUES = GRAY[3:].astype(np.int16) * 4 - 300
VOLUME = Volume(VALUES, Geometry(VALUES.shape, np.diag([1.0, 1.0, 3.0, 1.0])))
FLIPPED = Volume(VALUES[::-1].copy(), VOLUME.geometry)
KEY, LAST = 3, len(VALUES) - 1


def candidates(index, read):
    """Three answers that depend on the slice and on what was read alone: `(name, presence, predicted IoU)` each."""
    random = np.random.default_rng([index, *sorted(read)])
    presence = float(random.normal(1, 2.5))
    return [
        (int(name), presence, float(iou))
        for name, iou in zip(random.integers(1, 1 << 20, 3), random.random(3), strict=True)
    ]


class ForkingTracker:
    """Answers with `candidates`; a memory is known by the name in its pointer, and a mask by its filled corner."""

    image_size, tokens, key_bytes, device = 8, 1, 0, torch.device("cpu")

    def encode(self, image, place=0):
        del place
        return SimpleNamespace(index=int(image[0, 0, 0, 0]), bytes=image.nbytes)

    def take_mask(self, features, mask):
        return self._outcome(0, 10.0, 1.0)

    def look(self, looks, slices):
        answers = []
        for look in looks:
            (reads,) = look.reads
            names = [int(look.memories[at].outcome.pointer) for at, _ in (*reads.spatial, *reads.pointers)]
            ways = [self._outcome(*way) for way in candidates(look.features.index, names)]
            best = max(ways, key=lambda way: float(way.predicted_iou))
            unchosen = tuple(way for way in ways if way is not best) if look.wants_unchosen else ()
            answers.append(Outcome(best.logits, best.pointer, best.presence, best.predicted_iou, unchosen))
        return answers

    def remember(self, features, outcomes, given):
        return [SliceMemory(outcome, torch.zeros(1, 1)) for outcome in outcomes]

    def _outcome(self, name, presence, iou):
        logits = torch.full((2, 2), 5.0 if presence > 0 else -1024.0)
        return Outcome(logits, torch.tensor(name), torch.tensor(presence), torch.tensor(iou, dtype=torch.float64))


class NumberedSlices:
    """Shows each slice as its number."""

    def image(self, stack, index, view, size, device):
        del device
        return torch.full((1, 3, size, size), float(index))


def course_of_the_best(key, visits, direction, slices):
    """SAM2Long over the candidates: `{slice: predicted IoU}` of the pathway of most merit when all is done."""
    pathways = [(0.0, {})]
    for index in visits:
        ways = []
        for number, (merit, past) in enumerate(pathways):
            scores = {at: Score(presence, iou) for at, (_, presence, iou) in past.items()}
            remembered = Remembered((key,), past.keys(), scores)
            reads = select_from(RULES["sam2long"].bank, index, direction, remembered, slices)
            names = [past[at][0] if at in past else 0 for at, _ in (*reads.spatial, *reads.pointers)]
            for way in candidates(index, names):
                ways.append((merit + math.log(way[2] + 1e-5), number, {**past, index: way}))
        ways.sort(key=lambda way: -way[0])
        chosen = ways[:3]
        if max(abs(way[2][index][1]) for way in ways) <= 2:
            kinds, chosen = [], []
            for way in ways:
                kind = round(math.copysign(way[2][index][2], way[2][index][1]), 2)
                if kind not in kinds and len(chosen) < 3:
                    kinds.append(kind)
                    chosen.append(way)
        pathways = [(merit, past) for merit, _, past in chosen]
    return {at: way[2] for at, way in pathways[0][1].items()}


@pytest.mark.parametrize("key", [0, 7, 19])
def test_forked_pathways_end_where_the_oracle_s_do(key):
    gray = np.zeros((20, 8, 8), np.uint8)
    masks = np.ones((8, 8), bool)
    objects = Objects({1: {key: masks}}, lambda *_: NumberedSlices(), {})
    stack = ImageStack(gray, gray, (1.0, 1.0, 1.0))
    policy = RULES["sam2long"].policy(None)
    opened = OpenStack(stack, ForkingTracker(), FeatureCache(1))
    propagation = Propagation(opened, ViewFinder((8, 8), (1.0, 1.0)), policy, PropagationSettings(), objects)
    lanes = [Lane(1, (key,), (leg,)) for leg in (range(key + 1, 20), range(key - 1, -1, -1)) if leg]
    updates = list(propagation.run(lanes))
    assert sorted(update.slice_index for update in updates) == [index for index in range(20) if index != key]
    found = {update.slice_index: update.predicted_iou for update in updates}
    for lane in lanes:
        (leg,) = lane.legs
        expected = course_of_the_best(key, leg, leg.step, 20)
        assert {index: found[index] for index in leg} == expected
        assert [update.slice_index for update in updates if update.slice_index in leg] == list(leg)


@pytest.fixture(scope="module")
def propagator():
    """A small network that decodes three masks on every slice, as SAM 2 does."""
    torch.set_num_threads(1)
    network = copy.deepcopy(upstream.network_with_fixed_weights(NetworkConfig("starter", "conv", 64)))
    network.multimask_output_in_sam = network.multimask_output_for_tracking = True
    network.multimask_min_pt_num = 0
    with torch.no_grad():
        random = torch.Generator().manual_seed(0)
        for head in network.sam_mask_decoder.output_hypernetworks_mlps:
            head.layers[-1].weight.copy_(torch.randn(head.layers[-1].weight.shape, generator=random) / 10)
        network.sam_mask_decoder.conv_s0.weight.mul_(4)
        network.sam_mask_decoder.iou_prediction_head.layers[-1].bias.copy_(torch.tensor([0.0, 2.0, 1.0, 0.0]))
    return NetworkPropagator(network, Card("starter", "conv", 64, name="small"))


def finished(propagator, volume, keys, memory, pass_mode="independent"):
    session = Session(propagator, volume, settings=PropagationSettings("off", pass_mode, memory=memory))
    for index, mask in keys.items():
        session.add_key(1, index, MaskPrompt(mask))
    updates = list(session.propagate(0, LAST))
    return session, updates


@pytest.mark.parametrize("memory", ["sam2-stride", "samurai", "dam4sam", "sam2long"])
def test_a_rule_fills_flips_and_corrects_as_the_published_one_does(propagator, memory):
    session, updates = finished(propagator, VOLUME, {KEY: MASK}, memory)
    assert sorted(update.slice_index for update in updates) == [index for index in range(LAST + 1) if index != KEY]
    assert propagator.info["memory"] == memory
    first = session.mask(1)
    fixed = np.roll(MASK, 4, axis=0)
    session.add_key(1, 7, MaskPrompt(fixed))
    again = list(session.propagate(0, LAST))
    assert {update.slice_index for update in again} == {4, 5, 6, 8}  # below the first key nothing has changed
    fresh, _ = finished(propagator, VOLUME, {KEY: MASK, 7: fixed}, memory)
    assert (session.mask(1) == fresh.mask(1)).mean() >= 0.999  # rounding depends on how many lanes share a batch
    flipped, _ = finished(propagator, FLIPPED, {LAST - KEY: MASK}, memory)
    assert np.array_equal(flipped.mask(1)[::-1], first)


def test_rules_lead_to_results_of_their_own(propagator):
    logits = {}
    for memory in RULES:
        _, updates = finished(propagator, VOLUME, {0: MASK}, memory, "coupled")
        logits[memory] = np.stack([update.logits for update in sorted(updates, key=lambda it: it.slice_index)])
    changed = {memory for memory in RULES if not np.array_equal(logits[memory], logits["sam2"])}
    assert {"sam2-stride", "sam2long", "dam4sam"} <= changed <= set(RULES) - {"sam2", "sam2-near-keys"}


def test_a_model_without_memory_refuses_a_rule_for_it():
    from SegmentPropagateLib.models.loading import load_model

    with pytest.raises(InputError, match=r"'classical' remembers no slices.*'samurai'"):
        Session(load_model("classical"), VOLUME, settings=PropagationSettings(memory="samurai"))
