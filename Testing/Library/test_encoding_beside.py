"""Slices that are encoded in a thread of their own, beside what else is computed."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from SegmentPropagateLib.models.loading import load_model
from SegmentPropagateLib.propagation.propagator import Lane, PropagationSettings
from SegmentPropagateLib.propagators.tracking.appearance import WindowsAppearance
from SegmentPropagateLib.propagators.tracking.encoder import FeatureCache
from SegmentPropagateLib.propagators.tracking.open_stack import OpenStack
from SegmentPropagateLib.propagators.tracking.tracker import Tracker
from SegmentPropagateLib.propagators.tracking.views import View
from SegmentPropagateLib.volumes.stack import ImageStack

VIEW, APPEARANCE = View(0, 0, 8, 8), WindowsAppearance(((0.0, 1.0),) * 3)
VALUES = np.arange(6, dtype=np.float32)[:, None, None].repeat(8, 1).repeat(8, 2)


class SlowTracker:
    """Encodes a slice as its number when it is let, and notes the threads; stumbles once over one of them."""

    image_size, tokens, device = 8, 1, torch.device("cpu")

    def __init__(self, stumbles_at: float = -1.0) -> None:
        self.encoded: list[tuple[float, bool]] = []
        self.may, self._stumbles_at = threading.Event(), stumbles_at

    def encode(self, image: torch.Tensor, thread: int = 0) -> SimpleNamespace:
        del thread
        is_main = threading.current_thread() is threading.main_thread()
        assert is_main or self.may.wait(10)
        number = float(image[0, 0, 0, 0])
        if number == self._stumbles_at:
            self._stumbles_at = -1.0
            raise torch.OutOfMemoryError
        self.encoded.append((number, is_main))
        return SimpleNamespace(number=number, bytes=4)


def opened(tracker: SlowTracker) -> OpenStack:
    return OpenStack(ImageStack(VALUES / 6, VALUES, (1.0, 1.0, 1.0)), tracker, FeatureCache(1.0))  # type: ignore[arg-type]


def places(*indices: int) -> list[tuple[int, View, WindowsAppearance]]:
    return [(index, VIEW, APPEARANCE) for index in indices]


def test_what_was_begun_is_encoded_once_and_in_another_thread() -> None:
    tracker = SlowTracker()
    tracker.may.set()
    stack = opened(tracker)
    with stack.encoding_beside():
        for index in range(4):
            stack.begin(places(index, index + 1))
            assert stack.features(*places(index)[0]).number == pytest.approx(index / 6)
        stack.features(*places(4)[0])  # which may not have been begun in earnest before the thread is left
    assert tracker.encoded == [(pytest.approx(index / 6), False) for index in range(5)]


def test_what_is_wanted_no_longer_is_given_up() -> None:
    tracker = SlowTracker()
    stack = opened(tracker)
    with stack.encoding_beside():
        stack.begin(places(0, 1, 2))  # the first of them waits for its turn
        stack.begin(places(0, 3))
        tracker.may.set()
    assert [number for number, _ in tracker.encoded] == [0.0]  # at the end what was not taken is given up too


def test_a_slice_that_failed_beside_fails_where_it_is_taken_and_is_tried_again() -> None:
    tracker = SlowTracker(stumbles_at=0.0)
    tracker.may.set()
    stack = opened(tracker)
    with stack.encoding_beside():
        stack.begin(places(0))
        with pytest.raises(torch.OutOfMemoryError):
            stack.features(*places(0)[0])
        assert stack.features(*places(0)[0]).number == 0.0
    assert tracker.encoded == [(0.0, True)]


def test_without_a_thread_nothing_is_begun() -> None:
    tracker = SlowTracker()
    opened(tracker).begin(places(0, 1))
    assert tracker.encoded == []


@pytest.mark.parametrize(("at_first", "in_the_run", "is_beside"), [(2, 1, True), (1, 1, False), (2, 2, False)])
def test_the_network_encodes_beside_only_where_it_has_given_the_second_core_away(
    monkeypatch: pytest.MonkeyPatch, at_first: int, in_the_run: int, is_beside: bool
) -> None:
    threads: set[bool] = set()
    encode = Tracker.encode

    def noted(self: Tracker, image: torch.Tensor, thread: int = 0) -> object:
        threads.add(threading.current_thread() is threading.main_thread())
        return encode(self, image, thread)

    monkeypatch.setattr(Tracker, "encode", noted)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(at_first)
        model = load_model("starter", device="cpu", partner=False)
        torch.set_num_threads(in_the_run)
        values = np.random.default_rng(3).normal(size=(5, 40, 40)).astype(np.float32)
        mask = np.zeros((40, 40), dtype=bool)
        mask[12:28, 10:30] = True
        model.open(ImageStack(values + 9 * mask, values, (3.0, 1.0, 1.0)), PropagationSettings())
        updates = list(model.run([Lane(1, (0,), (range(1, 5),))], {1: {0: mask}}))
    finally:
        torch.set_num_threads(before)
    assert [update.slice_index for update in updates] == [1, 2, 3, 4]
    assert (False in threads) == is_beside
