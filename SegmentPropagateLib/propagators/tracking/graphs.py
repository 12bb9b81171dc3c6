"""Kernels of a GPU started all at once: what a network does with a slice is some hundreds, each of a few microseconds.

Python starts one in 6 to 30 us, so that a GPU waits most of the time. A CUDA graph holds the kernels of a call and
starts them together; it reads and writes the same memory each time, so arguments are copied in and results out.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

log = logging.getLogger(__name__)

MOST = 64
"""Recordings kept of one function: a run has one for each number of memories that it reads, 16 with one direction."""

Tensors = tuple[Tensor, ...]


class Recording(Protocol):
    """A call that can be made again with other numbers in the same places."""

    results: Tensors
    """What it writes."""

    def replay(self) -> None:
        """Read the places of the arguments, write the results."""


Function = Callable[[Any, Sequence[Tensor]], Tensors]
"""Takes a plan, which is hashable, and tensors; what kernels it starts depends on the plan and the shapes alone."""

Record = Callable[[Callable[[], Tensors]], Recording]
"""Makes the recording of a call without arguments."""


class Recorded:
    """A function that is recorded when it is asked for the second time with arguments of the same kind.

    Args:
        function: see there.
        record: see there.
    """

    def __init__(self, function: Function, record: Record) -> None:
        self._function = function
        self._record: Record | None = record
        self._known: OrderedDict[Hashable, tuple[list[Tensor], Recording] | None] = OrderedDict()
        self._places: dict[Hashable, list[Tensor]] = {}  # all recordings read the same ones, 15 MB per object at 512 px

    def __call__(self, plan: Any, tensors: Sequence[Tensor]) -> Tensors:
        """What the function gives, in tensors that nothing else writes to."""
        kind = plan, tuple((tensor.shape, tensor.dtype) for tensor in tensors)
        if kind not in self._known:
            self._known[kind] = None
            if len(self._known) > MOST:
                self._known.popitem(last=False)
            return self._function(plan, tensors)
        self._known.move_to_end(kind)
        known = self._known[kind]
        if known is None and self._record is not None:
            known = self._known[kind] = self._recorded(self._record, plan, tensors)
        if known is None:
            return self._function(plan, tensors)
        places, recording = known
        torch._foreach_copy_(places, list(tensors))
        recording.replay()
        return tuple(result.clone() for result in recording.results)

    def forget(self) -> None:
        """Give back the memory of all recordings."""
        self._known.clear()
        self._places.clear()

    def _recorded(self, record: Record, plan: Any, tensors: Sequence[Tensor]) -> tuple[list[Tensor], Recording] | None:
        """Places for the arguments and the recording that reads them; None from the first failure on."""
        places = self._places_for(tensors)
        try:
            return places, record(lambda: self._function(plan, places))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # on another torch or GPU: slower, no less right
            log.warning("The GPU's work cannot be recorded (%s): continuing without, which is slower.", error)
            self._record = None
            return None

    def _places_for(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """A place of the shape and dtype of each tensor."""
        free = {kind: iter(places) for kind, places in self._places.items()}
        found = []
        for tensor in tensors:
            kind = tensor.shape, tensor.dtype
            place = next(free.get(kind, iter(())), None)
            if place is None:
                place = torch.empty_like(tensor, memory_format=torch.contiguous_format)
                self._places.setdefault(kind, []).append(place)
            found.append(place.copy_(tensor))
        return found


class _CudaGraphs:
    """Records on a GPU. All recordings share memory for what lies between arguments and results."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._pool = device, torch.cuda.graph_pool_handle()

    def __call__(self, call: Callable[[], Tensors]) -> Recording:
        """Record a call that has been made before, so that libraries have chosen their kernels."""
        with torch.cuda.device(self._device):
            return _CudaGraph(call, self._pool)


class _CudaGraph:
    def __init__(self, call: Callable[[], Tensors], pool: Any) -> None:
        self._graph = torch.cuda.CUDAGraph()
        stream, present = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(present)
        with torch.cuda.stream(stream):
            # `torch.cuda.graph` would collect garbage first, for some 50 ms. Other threads may do what they like.
            self._graph.capture_begin(pool, capture_error_mode="thread_local")
            try:
                self.results = call()
            finally:
                self._graph.capture_end()
        present.wait_stream(stream)

    def replay(self) -> None:
        self._graph.replay()


def recorder_on(device: torch.device) -> Record | None:
    """What records calls on that device, where that saves time; calls that share one must not run beside each other."""
    return _CudaGraphs(device) if device.type == "cuda" else None


def recorded_on(device: torch.device, function: Function, recorder: Record | None = None) -> Function:
    """The function, recorded where that saves time; by a recorder of its own if none is given."""
    recorder = recorder or recorder_on(device)
    return function if recorder is None else Recorded(function, recorder)
