"""A whole batch: only one run at a time, only what is not done, and tables that are right whenever it ends."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from SegmentPropagateLib.batch.case import Compute, do_case, is_current
from SegmentPropagateLib.batch.jobs import Job
from SegmentPropagateLib.batch.pool import Answer, CarryOut
from SegmentPropagateLib.batch.records import write_failure
from SegmentPropagateLib.batch.tables import PAGE, TABLE, write_tables
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import check_writable
from SegmentPropagateLib.locking import locked

LOCK = ".batch.lock"
"""In the folder of a batch, from its first moment on."""
_TABLES_EVERY_S, _TABLES_SHARE = 10.0, 20.0  # and at least so many times as long as writing them took


class Plan(NamedTuple):
    """What a batch is to do.

    Args:
        jobs: all cases.
        out: the folder with a folder for each of them.
        settled: what all cases share, as a text: a case that was done with another is done again.
    """

    jobs: Sequence[Job]
    out: Path
    settled: str

    def left(self) -> list[Job]:
        """The cases that are not known to be done."""
        return [job for job in self.jobs if not is_current(job, self.out, self.settled)]


@contextmanager
def opened(out: Path, jobs: Sequence[Job], shared: Sequence[str] = ()) -> Iterator[None]:
    """Make the folder of a batch where it is missing, and hold it for this run alone.

    Args:
        out: the folder.
        jobs: its cases.
        shared: files and folders that all of them are made from.

    Raises:
        InputError: another run holds it, it holds what is not a batch's, or it cannot be made.
    """
    lock = out / LOCK
    try:
        foreign = [name for name in (TABLE, PAGE) if (out / name).exists()]
        if foreign and not lock.exists():
            raise InputError(f"'{out / foreign[0]}' is there and not of a batch: choose another folder for --output.")
        _check_apart(out, jobs, shared)
        out.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"The folder '{out}' cannot be made ({reason}): choose another for --output.") from error

    def refuse() -> None:
        raise InputError(f"Another run is at work on '{out}': wait for it, or choose another folder for --output.")

    with locked(lock, refuse):
        for name in (TABLE, PAGE):
            check_writable(out / name)
        yield


def _check_apart(out: Path, jobs: Sequence[Job], shared: Sequence[str]) -> None:
    """Results must not land among the files that they are made from."""
    for job in jobs:
        folder = Path(os.path.realpath(out / job.name))
        for path in (*job.inputs.values(), *shared):
            real = Path(os.path.realpath(path))
            if real == folder or folder in real.parents or (real in folder.parents and real.is_dir()):
                raise InputError(f"'{path}' lies where results of its case would: choose another folder for --output.")


def run_batch(plan: Plan, left: Sequence[Job], carry_out: CarryOut) -> Generator[tuple[str, Answer], None, None]:
    """Do the cases that are left; yields the name of each with its answer.

    The answers have a `status`, which is written in the case's record by then, and a `sentence` for those that came to
    nothing. The tables are written now and then, and whenever this ends; closing it early ends all processes.

    Raises:
        InputError: the runner refuses its settings, or the tables cannot be written.
        SegmentPropagateError: no process can be started.
    """
    due = 0.0
    try:
        with closing(carry_out(map(asdict, left))) as answers:
            for task, answer in answers:
                if answer["status"] != "done":
                    answer = _recorded(plan.out / task["name"], answer)
                yield task["name"], answer
                if time.monotonic() > due:
                    due = _written_until(plan.out)
    finally:
        write_tables(plan.out)


def _recorded(folder: Path, answer: Answer) -> Answer:
    """Write the record of a case that came to nothing; where even that is impossible, the answer tells."""
    try:
        write_failure(folder, answer)
    except (InputError, OSError) as error:
        return {**answer, "sentence": f"{answer['sentence']} {error}"}
    return answer


def _written_until(out: Path) -> float:
    """Write the tables, and tell when they are due again; for the disk that is full now there is the end."""
    started = time.monotonic()
    with suppress(InputError):
        write_tables(out)
    took = time.monotonic() - started
    return time.monotonic() + max(_TABLES_EVERY_S, _TABLES_SHARE * took)


def do_task(task: Mapping[str, Any], out: Path, settled: str, compute: Compute) -> Answer:
    """What a process of the pool does with a task of `run_batch`."""
    return do_case(Job(**task), out, settled, compute)
