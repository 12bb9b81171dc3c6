"""A pytest plugin: every drawn worker of the tests computes behind a server, and the stand-in takes its place.

python -m pytest -p over_server Testing/Slicer/test_faults.py
"""

import json
import os
import sys
import tempfile
from pathlib import Path

TESTING = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTING / "Library"), str(TESTING.parent)]

from gateway_bench import Server  # noqa: E402

USERS = tuple(f"user{number}" for number in range(200))


class Everything(tuple):
    """A list of models that has all of them: what the tests ask for is theirs."""

    def __contains__(self, name):
        return True


SERVER = Server(
    tempfile.mkdtemp(), users=USERS, models=Everything(["any"]), most_users=len(USERS), resume_s=2.0, slots=9
)
os.environ["OVER_SERVER"] = json.dumps([SERVER.url, list(SERVER.tokens.values())])


def pytest_configure(config):
    """Before the tests are read, which take the command from there."""
    import bench

    bench.DRAWN_WORKER[1] = str(TESTING / "Library" / "standin_process.py")


def pytest_unconfigure(config):
    SERVER.stop()
