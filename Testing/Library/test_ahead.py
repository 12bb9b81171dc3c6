"""Getting ahead of a run while nobody asks: the same masks from fewer computations, and no more than are kept."""

import numpy as np
import pytest
import torch
import upstream
from doubles import ThresholdPropagator, drawn_volume

from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.families import NetworkConfig
from SegmentPropagateLib.propagation.prompts import MaskPrompt
from SegmentPropagateLib.propagation.propagator import PropagationSettings
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.propagators.classical import way
from SegmentPropagateLib.propagators.classical.engine import AHEAD, ClassicalPropagator
from SegmentPropagateLib.propagators.finishing import FinishingPropagator
from SegmentPropagateLib.propagators.partner import PartnerPropagator
from SegmentPropagateLib.propagators.tracking.engine import NetworkPropagator
from SegmentPropagateLib.propagators.tracking.tracker import Tracker
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.volume import Volume

GRAY, MASK, _ = upstream.synthetic_volume()
VOLUME = Volume(GRAY.astype(np.int16) * 4 - 300, Geometry(GRAY.shape, np.diag([1.0, 1.0, 3.0, 1.0])))
KEY, LAST = 6, len(GRAY) - 1
NOTHING = np.zeros_like(MASK)


# ---- the network ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def network():
    return upstream.network_with_fixed_weights(NetworkConfig("starter", "conv", 64))


@pytest.fixture
def encoded(monkeypatch):
    """One entry per image that is encoded."""
    found, encode_image = [], Tracker.encode

    def encode(self, image, place=0):
        found.append(image)
        return encode_image(self, image, place)

    monkeypatch.setattr(Tracker, "encode", encode)
    return found


def session_of(network, roi, cache_mb=200.0, wrap=lambda propagator: propagator):
    propagator = NetworkPropagator(network, Card("starter", "conv", 64, name="small"), cache_mb=cache_mb)
    return Session(wrap(propagator), VOLUME, settings=PropagationSettings(roi=roi))


def run(session, keys=None):
    for index, mask in (keys or {KEY: MASK}).items():
        session.add_key(1, index, MaskPrompt(mask))
    return [(update.slice_index, update.mask, update.presence) for update in session.propagate()]


@pytest.mark.parametrize(("roi", "saved"), [("auto", 3), ("off", len(GRAY))])  # these weights soon leave their view
def test_a_run_gives_the_same_masks_to_the_bit_and_encodes_fewer_slices(network, encoded, roi, saved):
    expected = run(session_of(network, roi))
    needed = len(encoded)
    session = session_of(network, roi)
    encoded.clear()
    assert sum(1 for _ in session.get_ahead({1: {KEY: MASK}})) == len(encoded) == len(GRAY)
    encoded.clear()
    found = run(session)
    assert len(encoded) == needed - saved
    for (index, mask, presence), (wanted, wanted_mask, wanted_presence) in zip(found, expected, strict=True):
        assert (index, presence) == (wanted, wanted_presence)
        assert np.array_equal(mask, wanted_mask)


def test_what_is_told_through_the_propagators_around_a_network_reaches_it(network, encoded):
    def wrap(propagator):
        return FinishingPropagator(PartnerPropagator(propagator, ThresholdPropagator()))

    steps = session_of(network, "auto", wrap=wrap).get_ahead({1: {KEY: MASK}})
    next(steps)
    assert len(encoded) == 1


def test_no_more_is_encoded_than_is_kept_and_the_nearest_slices_are(network, encoded):
    list(session_of(network, "off").get_ahead({1: {KEY: MASK}}))
    nearest = encoded[:5]
    a_slice = Tracker(network, torch.device("cpu"), torch.float32).encode(nearest[0]).bytes / 2**20
    encoded.clear()
    session = session_of(network, "off", cache_mb=5.5 * a_slice)
    for _ in range(2):  # the second time all of them are still there
        list(session.get_ahead({1: {KEY: MASK}}))
        assert len(encoded) == 5
    assert all(torch.equal(one, other) for one, other in zip(encoded, nearest, strict=True))


@pytest.mark.parametrize(("roi", "count"), [("off", len(GRAY)), ("auto", 0)])
def test_before_anything_is_drawn_only_whole_slices_are_encoded(network, encoded, roi, count):
    list(session_of(network, roi).get_ahead({1: {KEY: NOTHING}}))
    assert len(encoded) == count


def test_memory_that_runs_out_ends_it_without_a_word(network, monkeypatch):
    def encode(self, image, place):
        raise torch.OutOfMemoryError

    session = session_of(network, "off")
    monkeypatch.setattr(Tracker, "encode", encode)
    assert list(session.get_ahead({1: {KEY: MASK}})) == []
    monkeypatch.undo()
    assert len(run(session)) == LAST


# ---- the classical propagator --------------------------------------------------------------------------------------


@pytest.fixture
def advanced(monkeypatch):
    """One entry per slice that is registered."""
    found, registered = [], way.register
    monkeypatch.setattr(way, "register", lambda *images: found.append(1) or registered(*images))
    return found


def by_slice(updates):
    """What is said of every slice; lanes that need less computing come earlier."""
    return sorted(((update.slice_index, update.logits, update.presence) for update in updates), key=lambda it: it[0])


@pytest.mark.parametrize(
    ("keys", "moved", "saved"),
    [((4,), 0, True), ((4, 7), 0, True), ((4,), 1, False)],
    ids=["one key", "between two", "another outline"],
)
def test_passes_that_were_begun_ahead_go_on_to_the_same_masks(advanced, keys, moved, saved):
    volume, mask = drawn_volume((12, 40, 40))
    ends = keys[0] - 1, keys[-1] + 2

    def run(session):
        before = len(advanced)
        for key in keys:
            session.add_key(1, key, MaskPrompt(mask[key]))
        found = by_slice(session.propagate(*ends))
        return found, len(advanced) - before

    expected, needed = run(Session(ClassicalPropagator(), volume))
    session, before = Session(ClassicalPropagator(), volume), len(advanced)
    list(session.get_ahead({1: {key: np.roll(mask[key], moved, 1) for key in keys}}, *ends))
    ahead = len(advanced) - before
    found, left = run(session)
    assert 0 < ahead <= AHEAD * 4
    assert left == (needed - ahead if saved else needed)
    for (index, logits, presence), (wanted, wanted_logits, wanted_presence) in zip(found, expected, strict=True):
        assert (index, presence) == (wanted, wanted_presence)
        assert np.array_equal(logits, wanted_logits)


def test_a_correction_of_a_classical_run_registers_only_what_lies_beyond_the_new_key(advanced):
    volume, mask = drawn_volume((14, 40, 40))
    keys = {3: mask[3], 9: np.roll(mask[9], 1, 1)}

    def correct(session):
        session.add_key(1, 9, MaskPrompt(keys[9]))
        before = len(advanced)
        found = by_slice(session.propagate(1, 12))
        return found, len(advanced) - before

    fresh = Session(ClassicalPropagator(), volume)
    fresh.add_key(1, 3, MaskPrompt(keys[3]))
    expected, needed = correct(fresh)
    session = Session(ClassicalPropagator(), volume)
    session.add_key(1, 3, MaskPrompt(keys[3]))
    list(session.propagate(1, 12))
    found, new = correct(session)
    assert new == needed - 5 - 2  # from slice 3 on to the new key, and back to the first slice, which is not asked for
    wanted = {index: (logits, presence) for index, logits, presence in expected}
    for index, logits, presence in found:
        assert presence == wanted[index][1]
        assert np.array_equal(logits, wanted[index][0])


# ---- the session ---------------------------------------------------------------------------------------------------


def test_keys_and_results_stay_and_only_the_stretch_of_a_correction_is_looked_at():
    volume, mask = drawn_volume()
    session = Session(propagator := ThresholdPropagator(), volume)
    session.add_key(1, 5, MaskPrompt(mask[5]))
    list(session.propagate())
    before = session.results(1)
    list(session.get_ahead({1: {5: mask[5], 9: mask[8]}}))
    assert session.keys(1) == (5,)
    assert session.results(1).keys() == before.keys()
    assert sorted(propagator.ahead) == [6, 7, 8, 10, 11]
