"""Processes that do tasks."""

import os

import pytest

from SegmentPropagateLib.batch.pool import Crew, carry_out, environments
from SegmentPropagateLib.errors import InputError, SegmentPropagateError
from SegmentPropagateLib.models.devices import count_gpus


def test_every_task_is_answered_once_by_as_many_processes_as_there_are_environments():
    crew = Crew("drawn_batch:echo", {}, [{"OMP_NUM_THREADS": "7"}, {"OMP_NUM_THREADS": "7"}])
    answers = list(carry_out(({"number": number, "text": "é\n"} for number in range(20)), crew))
    assert sorted(task["number"] for task, _answer in answers) == list(range(20))
    assert all(answer["task"] == task for task, answer in answers)
    assert {answer["threads"] for _task, answer in answers} == {"7"}
    assert 1 <= len({answer["pid"] for _task, answer in answers}) <= 2


def test_a_runner_that_refuses_its_settings_refuses_the_batch():
    with pytest.raises(InputError, match=r"The settings are wrong\."):
        list(carry_out([{}], Crew("drawn_batch:refuse", {}, [{}])))


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
def test_processes_that_die_before_their_first_task_end_the_batch():
    with pytest.raises(SegmentPropagateError, match="could not be started: SIGKILL"):
        list(carry_out([{}], Crew("drawn_batch:perish", {}, [{}])))


@pytest.mark.parametrize(
    ("wanted", "tasks", "gpus", "count", "visible"),
    [
        (3, 10, 0, 3, {None}),
        (8, 2, 0, 2, {None}),
        (None, 0, 0, 1, {None}),
        (None, 9, 1, 1, {None}),
        (None, 9, 2, 2, {"0", "1"}),
        (4, 9, 2, 4, {"0", "1"}),
    ],
)
def test_processes_share_cores_and_gpus(monkeypatch, wanted, tasks, gpus, count, visible):
    for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    found = environments(wanted, tasks, gpus)
    assert len(found) == count
    assert {environment.get("CUDA_VISIBLE_DEVICES") for environment in found} == visible
    assert all(int(environment["OMP_NUM_THREADS"]) >= 1 for environment in found)


def test_a_program_that_cannot_be_started_ends_the_batch_in_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.executable", str(tmp_path / "nowhere"))
    with pytest.raises(SegmentPropagateError, match="could not be started: No such file"):
        list(carry_out([{}], Crew("drawn_batch:echo", {}, [{}])))


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_other_devices_have_no_gpu_to_share(device):
    assert count_gpus(device) == 0


def test_gpus_that_the_user_has_chosen_are_the_ones_shared(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in environments(None, 9, 2)] == ["3", "5"]
