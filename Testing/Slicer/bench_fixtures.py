"""Fixtures of the tests of the logic; `conftest.py` takes them in."""

import pytest
from bench import DRAWN_WORKER, Bench
from SegmentPropagateSlicer.Runs.WorkerProcess import WorkerProcess


class SharedWorker(WorkerProcess):
    """Survives the logics that use it."""

    def stop(self, patienceMs=1000):
        pass


@pytest.fixture(scope="session")
def warmWorker(slicer_app):
    """One worker for all tests that do it no harm."""
    process = SharedWorker(DRAWN_WORKER)
    yield process
    WorkerProcess.stop(process)


@pytest.fixture
def makeBench(slicer, warmWorker):
    """Makes a `Bench` that shares the warm worker, or has one of its own (`process=None`)."""
    benches = []

    def make(**options):
        benches.append(Bench(slicer, **{"process": warmWorker, **options}))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


@pytest.fixture
def bench(makeBench):
    """A drawn object with one key slice, and a warm worker."""
    return makeBench()


@pytest.fixture
def lonelyBench(makeBench):
    """A drawn object with one key slice, and a worker that a test may harm."""
    return makeBench(process=None)
