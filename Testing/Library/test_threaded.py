"""A generator that works ahead in another thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import closing

import pytest

from SegmentPropagateLib.propagators.threaded import Threaded


class Numbers:
    """Counts in whatever thread asks for it, and may stumble."""

    def __init__(self, stumbles_at: int = 99) -> None:
        self.stumbles_at, self.made, self.closed = stumbles_at, 0, False
        self.threads: set[int] = set()
        self.reached = threading.Semaphore(0)

    def run(self) -> Generator[int, None, None]:
        try:
            for number in range(8):
                if number == self.stumbles_at:
                    raise OSError("stumbled")
                self.threads.add(threading.get_ident())
                self.made += 1
                self.reached.release()
                yield number
        finally:
            self.closed = True


@pytest.mark.parametrize("most", [1, 3, 20])
def test_all_items_come_in_order_from_one_other_thread(most: int) -> None:
    numbers = Numbers()
    with closing(Threaded(numbers.run(), most)) as items:
        assert list(items) == list(range(8))
    assert len(numbers.threads) == 1
    assert threading.get_ident() not in numbers.threads
    assert numbers.closed


def test_it_works_ahead_and_no_further_than_agreed() -> None:
    numbers = Numbers()
    with closing(Threaded(numbers.run(), 3)) as items:
        for _ in range(3):
            assert numbers.reached.acquire(timeout=10)
        assert next(items) == 0
    assert numbers.made <= 4


def test_it_says_whether_an_item_would_have_to_be_waited_for() -> None:
    go_on = threading.Event()

    def items() -> Generator[int, None, None]:
        assert go_on.wait(10)
        yield 1

    with closing(Threaded(items(), 2)) as coming:
        assert not coming.is_ready
        go_on.set()
        end = time.monotonic() + 10
        while not coming.is_ready and time.monotonic() < end:
            time.sleep(0.001)
        assert coming.is_ready
        assert next(coming) == 1


def test_an_error_comes_where_the_item_would_have_come() -> None:
    numbers = Numbers(stumbles_at=2)
    with closing(Threaded(numbers.run(), 5)) as items:
        assert [next(items), next(items)] == [0, 1]
        with pytest.raises(OSError, match="stumbled"):
            next(items)
    assert numbers.closed


def test_closing_ends_the_work_and_closes_the_generator() -> None:
    numbers = Numbers()
    items = Threaded(numbers.run(), 2)
    next(items)
    items.close()
    assert numbers.closed
    assert numbers.made <= 3
    assert not any(thread.ident in numbers.threads for thread in threading.enumerate())
