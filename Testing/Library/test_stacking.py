"""Learning from a case's own key slices: the parts against brute force, and that it never makes anything worse."""

import numpy as np
import pytest
import torch
from learning_doubles import KEYS, LAST, TRUTH, VOLUME, Half, learner, pair, propagated, same, session_of
from small_models import CARD, SMALL

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.networks.build import build_network
from SegmentPropagateLib.propagation.lanes import plan_lanes
from SegmentPropagateLib.propagation.learning import Gain, Lesson
from SegmentPropagateLib.propagation.prompts import MaskPrompt
from SegmentPropagateLib.propagation.propagator import PropagationSettings
from SegmentPropagateLib.propagators.classical.engine import ClassicalPropagator
from SegmentPropagateLib.propagators.stacking.gate import MOST, WEIGHTS, gain_of, left_out, spread, weight_of
from SegmentPropagateLib.propagators.stacking.head import NESTED_STEPS, fit
from SegmentPropagateLib.propagators.stacking.looks import Looks
from SegmentPropagateLib.propagators.tracking.engine import NetworkPropagator
from SegmentPropagateLib.propagators.tracking.views import View
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.stack import make_stack

WRONG, RIGHT = 1.0, -4.0
"""What the halves hold of a ring around the object: that it belongs to it, or not."""


@pytest.fixture(scope="module")
def plain():
    return propagated(session_of(learner(WRONG)))


@pytest.fixture(scope="module")
def learned():
    """A session that has learned, its updates, and those of the same one before."""
    session = session_of(learner(WRONG))
    return session, propagated(session, learn=True)


@pytest.mark.parametrize("pass_mode", ["independent", "coupled"])
@pytest.mark.parametrize("keys", [(2, 9), (4, 5, 6), (0, 3, 4, 11), (1, 7, 8, 13, 20)])
def test_every_key_slice_is_reached_from_its_neighbors_alone(keys, pass_mode):
    masks = {key: np.full((2, 2), key % 2 == 0) for key in keys}
    lanes, known = left_out(masks, pass_mode)
    assert [lane.object_id for lane in lanes] == list(range(len(keys)))
    for number, (key, lane) in enumerate(zip(keys, lanes, strict=True)):
        below, above = [it for it in keys if it < key][-1:], [it for it in keys if it > key][:1]
        assert tuple(known[number]) == lane.keys == (*below, *above)
        assert all(known[number][it] is masks[it] for it in lane.keys)
        assert lane.slices[-1] == key
        whole = plan_lanes(number, known[number], min(key, *lane.keys), max(key, *lane.keys), pass_mode)
        wanted = next(it.slices for it in whole if key in it.slices)
        assert lane.slices == wanted[: wanted.index(key) + 1]


def test_of_many_key_slices_some_are_left_out_and_the_outermost_among_them():
    masks = {key: np.ones((1, 1), bool) for key in range(40, 0, -1)}
    some = spread(masks)
    assert list(some) == sorted(some)
    assert (len(some), min(some), max(some)) == (MOST, 1, 40)
    assert spread({3: masks[3], 1: masks[1]}) == {1: masks[1], 3: masks[3]}


@pytest.mark.parametrize(
    ("gains", "weight"),
    [
        ({0.15: [0.01, 0.01], 0.3: [0.02, 0.02]}, 0.3),
        ({0.15: [0.02, 0.02], 0.3: [0.01, 0.02]}, 0.15),
        ({0.15: [0.01, 0.01], 0.3: [0.2, -0.02]}, 0.15),  # one slice would be worse
        ({0.15: [0.002, 0.002], 0.3: [0.001, 0.002]}, 0.0),  # too little
        ({0.15: [-0.1, 0.3], 0.3: [-0.1, 0.3]}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_gate_takes_the_weight_that_gains_most_of_the_safe_ones(gains, weight):
    assert weight_of({it: gain_of(each) for it, each in gains.items()}) == weight


def test_the_gains_are_those_of_learning_without_the_slice(learned):
    """Everything again, slowly: a run of its own for every key slice, and DSC by the metrics."""
    stack, _ = make_stack(VOLUME, "axial")
    halves = Half(WRONG), Half(WRONG)
    whole = pair(*halves)
    whole.open(stack, PropagationSettings())
    masks = {key: TRUTH[key] for key in KEYS}
    looks = Looks(stack, masks, halves[0].look)
    maps, said, truths = {}, {}, {}
    lanes, known = left_out(masks, "independent")
    for lane in lanes:
        key = lane.slices[-1]
        update = {it.slice_index: it for it in whole.run([lane], known)}[key]
        alone = [next(it for it in half.run([lane], known) if it.slice_index == key) for half in halves]
        maps[key], said[key] = looks.maps(key, update, alone), looks.logits(update)
        truths[key] = looks.grid(TRUTH[key].astype(np.float32)) > 0.5
    for weight in WEIGHTS:
        gains = []
        for key in KEYS:
            others = [other for other in KEYS if other != key]
            head = fit([maps[it] for it in others], [truths[it] for it in others], NESTED_STEPS)
            mixed = (1 - weight) * said[key] + weight * head.logits(maps[key]).clamp(-6, 6)
            before, after = (dice((it > 0).numpy(), truths[key].numpy()) for it in (said[key], mixed))
            gains.append(after - before)
        wanted = Gain(float(np.mean(gains)), min(gains))
        assert learned[0].lessons[1].gains[weight] == pytest.approx(wanted, abs=1e-6)


def test_a_mistake_that_is_made_on_every_slice_is_put_right(plain, learned):
    session, updates = learned
    assert session.lessons[1].weight > 0
    before, after = (np.mean([dice(it.mask, TRUTH[it.slice_index]) for it in run.values()]) for run in (plain, updates))
    assert after > before + 0.05
    assert f"used with a weight of {session.lessons[1].weight:g}, DSC +" in session.lessons[1].sentence


def test_key_slices_and_empty_slices_stay_as_they_are(learned):
    session, updates = learned
    results = session.results(1)
    assert all(np.array_equal(results[key].mask, TRUTH[key]) and results[key].source == "key" for key in KEYS)
    assert not set(KEYS) & set(updates)
    assert [index for index, update in updates.items() if index in (0, LAST + 1, 13) and update.mask.any()] == []


def test_where_nothing_is_gained_the_result_is_that_without_bit_for_bit():
    session = session_of(learner(RIGHT))
    steps = list(session.learn())
    assert [done for done, _ in steps] == list(range(1, steps[-1][1] + 1))
    assert session.lessons[1].weight == 0
    assert session.lessons[1].sentence == "Learned from 3 slices: not used, no gain on your own slices."
    assert same(propagated(session), propagated(session_of(pair(Half(RIGHT), Half(RIGHT)))))


@pytest.mark.parametrize("after", [1, 9, 12])
def test_a_cancelled_lesson_leaves_nothing(plain, after):
    session = session_of(learner(WRONG))
    steps = session.learn()
    for _ in range(after):
        next(steps)
    steps.close()
    assert session.lessons == {}
    assert same(propagated(session), plain)


def test_the_same_slices_teach_the_same_and_only_what_that_changes_is_computed_anew(plain, learned):
    session = session_of(learner(WRONG))
    first = propagated(session)
    torch.manual_seed(1234)
    drawn = torch.get_rng_state()
    assert same(propagated(session, learn=True), learned[1])  # every slice, now with what was learned
    assert torch.equal(torch.get_rng_state(), drawn)
    assert list(session.learn()) == []  # from the same keys: known
    assert propagated(session) == {}
    session.unlearn()
    assert (session.lessons, same(propagated(session), first), same(first, plain)) == ({}, True, True)


def test_an_object_with_one_key_slice_is_left_as_it_is_and_said():
    session = session_of(learner(RIGHT), KEYS[:2])
    session.add_key(2, 5, MaskPrompt(TRUTH[5]))
    for _ in session.learn():
        pass
    assert session.lessons[2] == Lesson(1)
    assert session.lessons[2].sentence == "Not learned: there is 1 key slice, and it takes 2 or more."


@pytest.mark.parametrize(
    ("model", "keys", "words"),
    [
        (learner(RIGHT), KEYS[:1], "takes 2 key slices of an object or more"),
        (learner(RIGHT), (), "takes 2 key slices of an object or more"),
        (ClassicalPropagator(), KEYS, "'classical' cannot learn from key slices: choose 'starter'"),
        (NetworkPropagator(build_network(SMALL), CARD), KEYS, "'mine' cannot learn from key slices"),
    ],
)
def test_what_cannot_be_learned_is_refused_at_once_in_one_sentence(model, keys, words):
    with pytest.raises(InputError, match=words) as caught:
        session_of(model, keys).learn()
    assert str(caught.value).count(". ") == 0


def test_a_network_says_what_it_sees_on_every_level():
    network = build_network(SMALL).eval().requires_grad_(False)
    propagator = NetworkPropagator(network, CARD)
    stack, _ = make_stack(VOLUME, "axial")
    propagator.open(stack, PropagationSettings())
    maps = propagator.look(4, View(2, 3, 20, 20), 6, TRUTH[6])
    assert all(level.ndim == 3 and level.dtype == torch.float32 for level in maps)
    assert maps[0].shape[1] < maps[2].shape[1] < maps[1].shape[1]
    again = propagator.look(5, View(0, 0, 20, 20), 6, TRUTH[6])
    assert not any(torch.equal(*both) for both in zip(maps, again, strict=True))
