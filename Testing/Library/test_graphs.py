"""Calls that are recorded and made again; a stand-in records here, a GPU in `test_gpu`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import pytest
import torch
from torch import Tensor

from SegmentPropagateLib.propagators.tracking.graphs import MOST, Recorded, Tensors, recorded_on


class Tape:
    """A recording as a GPU's: it reads the places that it was made with, and always writes to the same ones."""

    def __init__(self, call: Callable[[], Tensors]) -> None:
        self._call, self.results = call, tuple(result.clone() for result in call())

    def replay(self) -> None:
        for place, result in zip(self.results, self._call(), strict=True):
            place.copy_(result)


class Recorder:
    """Makes tapes, and counts them."""

    def __init__(self, error: Exception | None = None) -> None:
        self.made, self._error = 0, error

    def __call__(self, call: Callable[[], Tensors]) -> Tape:
        self.made += 1
        if self._error is not None:
            raise self._error
        return Tape(call)


def scaled(plan: Hashable, tensors: Sequence[Tensor]) -> Tensors:
    """The sum of the tensors times the plan, and its double."""
    total = torch.stack(list(tensors)).sum(0) * plan
    return total, 2 * total


def test_a_recorded_call_gives_what_the_function_gives_for_new_numbers() -> None:
    recorder = Recorder()
    recorded = Recorded(scaled, recorder)
    for number in range(5):
        tensors = [torch.tensor([1.0, number]), torch.tensor([number, 2.0])]
        assert all(torch.equal(*pair) for pair in zip(recorded(3, tensors), scaled(3, tensors), strict=True))
    assert recorder.made == 1


def test_later_calls_change_neither_earlier_results_nor_arguments() -> None:
    recorded = Recorded(scaled, Recorder())
    given = torch.ones(2)
    results = [recorded(1, [given * number])[0] for number in range(4)]
    assert [float(result[0]) for result in results] == [0, 1, 2, 3]
    assert torch.equal(given, torch.ones(2))


def test_other_plans_shapes_and_dtypes_are_recorded_apart() -> None:
    recorder = Recorder()
    recorded = Recorded(scaled, recorder)
    for plan, tensor in [(1, torch.ones(2)), (2, torch.ones(2)), (1, torch.ones(3)), (1, torch.ones(2).double())] * 2:
        assert torch.equal(recorded(plan, [tensor])[0], plan * tensor)
    assert recorder.made == 4


def test_the_first_call_of_a_kind_is_not_recorded_and_old_kinds_are_forgotten() -> None:
    recorder = Recorder()
    recorded = Recorded(scaled, recorder)
    for plan in range(2 * MOST):
        recorded(plan, [torch.ones(1)])
    assert recorder.made == 0
    recorded(0, [torch.ones(1)])  # long ago, so it is new again
    assert recorder.made == 0
    recorded(0, [torch.ones(1)])
    assert recorder.made == 1


def test_where_nothing_can_be_recorded_the_function_is_called(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(RuntimeError("operation not permitted when stream is capturing"))
    recorded = Recorded(scaled, recorder)
    results = [float(recorded(2, [torch.tensor([number])])[0]) for number in (1.0, 2.0, 3.0, 4.0)]
    assert results == [2, 4, 6, 8]
    assert recorder.made == 1
    assert "not permitted" in caplog.text


def test_a_lack_of_memory_is_told() -> None:
    recorded = Recorded(scaled, Recorder(torch.OutOfMemoryError()))
    recorded(1, [torch.ones(1)])
    with pytest.raises(torch.OutOfMemoryError):
        recorded(1, [torch.ones(1)])


def test_what_is_forgotten_is_recorded_anew() -> None:
    recorder = Recorder()
    recorded = Recorded(scaled, recorder)
    for _ in range(2):
        recorded(1, [torch.ones(1)])
        recorded(1, [torch.ones(1)])
        recorded.forget()
    assert recorder.made == 2


def test_a_cpu_records_nothing() -> None:
    assert recorded_on(torch.device("cpu"), scaled) is scaled
