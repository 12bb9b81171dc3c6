"""Two people on one project: the second is told who has it, and those who are gone hold nothing."""

import json
import os
import platform
import subprocess
import sys

import pytest

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.project.holding import HOLDER, LOCK, held

GONE = 2**22 - 1  # beyond the numbers that processes get here, or free


def holder(**changes):
    told = {"person": "eva", "host": platform.node(), "pid": GONE, "since": "2020-01-01T00:00:00+00:00"}
    return json.dumps({**told, **changes})


def test_a_second_process_is_told_who_has_the_project_and_it_is_free_when_that_was_killed(tmp_path):
    code = (
        "import sys; from pathlib import Path; from SegmentPropagateLib.project.holding import held\n"
        "with held(Path(sys.argv[1])):\n    print('held', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        with (
            pytest.raises(InputError, match=rf"in use: .* on {platform.node()} \(process {process.pid}\) has it since"),
            held(tmp_path),
        ):
            pass
    finally:
        process.kill()
        process.communicate()
    with held(tmp_path):
        assert json.loads((tmp_path / HOLDER).read_text())["pid"] == os.getpid()
    assert not (tmp_path / HOLDER).exists()


@pytest.mark.parametrize(
    "told",
    [
        holder(),
        holder(pid=os.getpid()),
        holder(pid=os.getppid()),  # which began later than this: the number was given again
        holder(since="long ago"),
        "{}",
        "not whole",
        holder(pid="1"),
    ],
    ids=["gone", "this one", "given again", "no time", "nothing", "not whole", "no number"],
)
def test_what_a_process_that_is_gone_has_left_is_taken_over(tmp_path, told):
    (tmp_path / HOLDER).write_text(told)
    with held(tmp_path):
        pass
    assert not (tmp_path / HOLDER).exists()


@pytest.mark.parametrize(
    "told", [holder(host="elsewhere"), holder(pid=os.getppid(), since="2999-01-01T00:00:00+00:00")]
)
def test_who_may_still_be_there_is_not_disturbed_where_the_disk_knows_no_locks(tmp_path, told):
    (tmp_path / HOLDER).write_text(told)
    with pytest.raises(InputError, match=r"eva on .* since .*remove"), held(tmp_path):
        pass
    assert (tmp_path / HOLDER).read_text() == told


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="Cannot write into"), held(tmp_path / "none"):
        pass


def test_the_lock_stays_so_that_nobody_holds_another_of_its_name(tmp_path):
    with held(tmp_path):
        pass
    assert (tmp_path / LOCK).exists()
