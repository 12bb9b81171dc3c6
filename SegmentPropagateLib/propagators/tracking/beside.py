"""Slices encoded beside what reads memories: in threads, each of which has a queue of its own on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle

import torch

from SegmentPropagateLib.propagators.tracking.appearance import Appearance
from SegmentPropagateLib.propagators.tracking.encoder import Features
from SegmentPropagateLib.propagators.tracking.views import View

Place = tuple[int, View, Appearance]
"""A slice, and how it is looked at."""
Encode = Callable[[Place, int], Features]
"""Makes features of a place, given the number of the thread."""


class Beside:
    """Threads that encode what will be asked for; a context.

    Args:
        encode: see there.
        device: where. The kernels of several slices run beside each other on a GPU, which none of them fills; nothing
            else may encode there meanwhile, so what was not begun is encoded in a thread as well.
        threads: how many on a GPU; elsewhere one.
    """

    def __init__(self, encode: Encode, device: torch.device, threads: int) -> None:
        self._begun: dict[Place, Future[tuple[Features, torch.cuda.Event | None]]] = {}
        self._is_gpu = device.type == "cuda"
        self._encode = encode
        self._threads = [_Thread(encode, number, device) for number in range(threads if self._is_gpu else 1)]
        self._next = cycle(self._threads)

    def __enter__(self) -> Beside:
        return self

    def __exit__(self, *_: object) -> None:
        self.begin(())
        for thread in self._threads:
            thread.end()

    def begin(self, places: Iterable[Place]) -> None:
        """Encode these places, the first one first; what was begun else and not taken is given up."""
        wanted = dict.fromkeys(places)
        for place in self._begun.keys() - wanted.keys():
            self._begun.pop(place).cancel()
        for place in wanted:
            if place not in self._begun:
                self._begun[place] = next(self._next).submit(place)

    def take(self, place: Place) -> Features:
        """The features of a place, once they are there."""
        begun = self._begun.pop(place, None)
        if begun is None:
            if not self._is_gpu:
                return self._encode(place, 0)
            begun = next(self._next).submit(place)
        features, is_done = begun.result()
        if is_done is not None:
            is_done.wait(torch.cuda.current_stream(features.top.device))
        return features


class _Thread:
    def __init__(self, encode: Encode, number: int, device: torch.device) -> None:
        self._encode, self._number = encode, number
        self._pool = ThreadPoolExecutor(1)
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)
            self._stream.wait_stream(torch.cuda.current_stream(device))

    def submit(self, place: Place) -> Future[tuple[Features, torch.cuda.Event | None]]:
        return self._pool.submit(self._work, place)

    def end(self) -> None:
        self._pool.shutdown()
        if self._stream is not None:
            torch.cuda.current_stream(self._stream.device).wait_stream(self._stream)

    def _work(self, place: Place) -> tuple[Features, torch.cuda.Event | None]:
        if self._stream is None:
            return self._encode(place, self._number), None
        reader = torch.cuda.current_stream(self._stream.device)  # each thread has the default one until told otherwise
        with torch.cuda.stream(self._stream):
            features = self._encode(place, self._number)
            if not features.top.is_cuda:  # the GPU's memory did not suffice, and the CPU goes on
                return features, None
            for tensor in features.tensors:
                tensor.record_stream(reader)  # its memory is not given to others before that is done with it
            return features, self._stream.record_event()
