"""How tasks are handed to actors, on a stand-in for Ray whose calls are answered at once."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from SegmentPropagateLib.batch.pool import Crew
from SegmentPropagateLib.batch.ray_engine import Share, carry_out, joined
from SegmentPropagateLib.errors import InputError, SegmentPropagateError


class RayError(Exception):
    pass


class Reference:
    def __init__(self, actor, name, words):
        self.actor, self.name, self.words = actor, name, words


class Actor:
    """Answers tasks, or does what they say: its computer goes away, for good too, or the batch is refused."""

    def __init__(self, ray, number):
        self.ray, self.number, self.gone = ray, number, number in ray.unplaced

    def __getattr__(self, name):
        def remote(*words):
            self.ray.calls.append((self.number, name))
            return Reference(self, name, words)

        return SimpleNamespace(remote=remote)


class Ray:
    exceptions = SimpleNamespace(RayError=RayError)

    def __init__(self, unplaced=()):
        self.unplaced, self.calls, self.hired, self.killed = unplaced, [], [], []

    def init(self, **given):
        self.joined = given

    def shutdown(self):
        self.joined = None

    def remote(self, runner):
        def hire(*words):
            self.hired.append(words)
            return Actor(self, len(self.hired))

        def options(**given):
            self.given = given
            return SimpleNamespace(remote=hire)

        return SimpleNamespace(options=options)

    def wait(self, references, num_returns=1, timeout=None):
        return references[:num_returns], references[num_returns:]

    def get(self, reference):
        (task,) = reference.words or ({"does": ""},)
        if reference.actor.gone or task["does"] in ("lost", "lost for good"):
            reference.actor.gone |= task["does"] == "lost for good"
            raise RayError("The actor died.\nMore of it.")
        if reference.name == "refusal":
            return ""
        return {task["does"]: "A sentence."} if task["does"] in ("refused", "broken") else {"status": "done"}

    def kill(self, runner):
        self.killed.append(runner.number)


def carried(monkeypatch, tasks, processes=2, **of_ray):
    ray = Ray(**of_ray)
    monkeypatch.setitem(sys.modules, "ray", ray)
    share = Share(processes, 2, 0.5)
    found = list(carry_out([{"does": task} for task in tasks], Crew("m:f", {}, ()), share, Path("sign")))
    return ray, Counter((task["does"], answer["status"]) for task, answer in found), found


def test_every_task_is_answered_and_all_actors_are_ended(monkeypatch):
    ray, counts, _found = carried(monkeypatch, ["x"] * 5)
    assert counts == {("x", "done"): 5}
    assert sorted(ray.killed) == [1, 2]
    assert [call for call in ray.calls if call[1] == "end"] == [(1, "end"), (2, "end")]
    assert {name: ray.given[name] for name in ("num_cpus", "num_gpus", "max_restarts", "max_task_retries")} == {
        "num_cpus": 2,
        "num_gpus": 0.5,
        "max_restarts": -1,
        "max_task_retries": 1,
    }


def test_a_task_whose_actor_dies_is_lost_and_no_other_one(monkeypatch):
    _ray, counts, found = carried(monkeypatch, ["lost", "x", "x", "lost", "x"], processes=1)
    assert counts == {("x", "done"): 3, ("lost", "lost"): 2}
    assert found[0][1]["sentence"] == "Its process or computer went away 2 times: The actor died."


def test_actors_that_are_gone_for_good_leave_their_tasks_to_the_others(monkeypatch):
    _ray, counts, _found = carried(monkeypatch, ["lost for good", "x", "x", "x"])
    assert counts == {("x", "done"): 3, ("lost for good", "lost"): 1}
    assert carried(monkeypatch, ["x", "x"], unplaced=(1,))[1] == {("x", "done"): 2}
    with pytest.raises(SegmentPropagateError, match=r"could not be started: The actor died\."):
        carried(monkeypatch, ["x"], unplaced=(1, 2))


@pytest.mark.parametrize(("does", "error"), [("refused", InputError), ("broken", SegmentPropagateError)])
def test_what_ends_the_batch_ends_all_actors(monkeypatch, does, error):
    with pytest.raises(error, match=r"A sentence\."):
        carried(monkeypatch, ["x", does, "x"])
    assert sorted(sys.modules["ray"].killed) == [1, 2]


@pytest.mark.parametrize(("address", "joins"), [(None, "local"), ("auto", "auto"), ("a:1", "a:1"), ("ray://a:1",) * 2])
def test_without_an_address_a_cluster_is_started_whatever_runs_here_else(monkeypatch, address, joins):
    ray, here = Ray(), Path.cwd()
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr("os.environ", {name: os.environ[name] for name in os.environ if not name.startswith("RAY_")})
    with joined(address):
        assert ray.joined["address"] == joins
        assert ("include_dashboard" in ray.joined) == (address is None)
        assert Path.cwd() == here
    assert ray.joined is None


def test_an_interrupt_while_a_cluster_is_started_ends_what_was_started(monkeypatch):
    server = []

    def interrupted(**_given):
        server.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))
        raise KeyboardInterrupt

    ray = Ray()
    ray.init = interrupted
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(KeyboardInterrupt), joined(None):
        pass
    assert server[0].wait(20) != 0
