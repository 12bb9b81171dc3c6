"""The command line that does many cases on a Ray cluster: one of its own, and one of two nodes on this computer."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from batch_bench import batch, begin, draw_cases, environment, records, rows, statuses, tries

from SegmentPropagateLib import __version__
from SegmentPropagateLib.batch.pool import Crew
from SegmentPropagateLib.batch.ray_engine import Runner, Share, check_usable, share_of
from SegmentPropagateLib.cli import main
from SegmentPropagateLib.errors import InputError

GIB = 1 << 30
NODE = {"CPU": 16.0, "memory": 100.0 * GIB}
SMALL = {"CPU": 4.0, "memory": 7.0 * GIB}
GPUS = {**NODE, "GPU": 4.0}
MARK = "SEGMENT_PROPAGATE_TEST_CLUSTER"
SLOW_ON_POSIX = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")]


@pytest.mark.parametrize(
    ("nodes", "wanted", "tasks", "on_gpus", "share"),
    [
        ([NODE, SMALL], None, 99, False, Share(18, 1, 0, 3 * GIB)),  # as cores and memory allow
        ([NODE, NODE], 4, 99, False, Share(4, 8)),
        ([NODE, SMALL], 40, 99, False, Share(40, 0.5)),  # more than cores
        ([NODE], None, 3, False, Share(3, 5, 0, 3 * GIB)),
        ([GPUS, GPUS, NODE], None, 99, True, Share(8, 4, 1)),  # one per GPU, where these are
        ([GPUS], 6, 99, True, Share(6, 2, 0.5)),
        ([GPUS], 2, 99, True, Share(2, 8, 1)),
        ([GPUS], None, 99, False, Share(16, 1, 0, 3 * GIB)),
        ([NODE], None, 99, True, Share(16, 1, 0, 3 * GIB)),
        ([{"memory": 1.0 * GIB}], None, 99, False, Share(1, 0)),  # nodes may join later
    ],
)
def test_processes_get_their_share_of_the_cluster(nodes, wanted, tasks, on_gpus, share):
    assert share_of(nodes, wanted, tasks, on_gpus=on_gpus) == share


def test_what_is_wrong_with_ray_is_told_in_one_sentence_before_anything_is_made(tmp_path, monkeypatch, capsys):
    draw_cases(tmp_path, "a")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    before = sorted(tmp_path.rglob("*"))
    for words, part in [
        (["--engine", "ray"], "pip install 'ray[client]'"),
        (["--address", "auto"], "belongs to --engine ray"),
        (["--engine", "ray", "--address", "http://x"], "not HOST:PORT"),
    ]:
        assert main(["batch", "cases", "-o", "out", *words]) == 2
        told = capsys.readouterr().err
        assert part in told
        assert told.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_an_address_where_nobody_answers_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}", "127.0.0.1:99999"):
        with pytest.raises(InputError, match=f"No Ray cluster answers at '{address}'"):
            check_usable(address)


def test_a_computer_that_lacks_the_results_or_has_another_version_refuses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    runner = Runner(Crew("drawn_batch:echo", {}, ()), 1, str(tmp_path / "out"), "../lock", __version__)
    assert Path.cwd() == tmp_path / "out"
    assert "does not see '../lock'" in runner.refusal()
    (tmp_path / "lock").touch()
    assert runner.refusal() == ""
    assert "install the same" in Runner(Crew("drawn_batch:echo", {}, ()), 1, "nowhere", "../lock", "0.0").refusal()


def await_try(folder, name, seconds=90):
    until = time.monotonic() + seconds
    while time.monotonic() < until and not tries(folder, name):
        time.sleep(0.1)
    assert tries(folder, name)


def run_ray(*words, check=True):
    command = [str(Path(sys.executable).with_name("ray")), *map(str, words)]
    return subprocess.run(command, env=ray_environment(), check=check, capture_output=True, text=True, timeout=120)


def ray_environment():
    """For what is started here, which is known by it among all else of Ray."""
    beside = os.pathsep.join([environment()["PYTHONPATH"], str(Path(__file__).parent)])
    return {**environment(), "PYTHONPATH": beside, "RAY_AUTH_MODE": "token", MARK: "yes"}


@pytest.fixture(scope="module")
def cluster():
    """The address of two nodes with a core each."""
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    host, _, port = address.partition(":")
    size = ("--num-cpus", 1, "--object-store-memory", 100 << 20, "--disable-usage-stats")
    run_ray("start", "--head", "--node-ip-address", host, "--port", port, "--include-dashboard", "false", *size)
    run_ray("start", "--address", address, *size[:-1])
    yield address
    for process in of_the_cluster():  # `ray stop` would end those of others, too
        with suppress(psutil.NoSuchProcess):
            process.kill()
    remembered = Path(tempfile.gettempdir(), "ray", "ray_current_cluster")  # what `auto` joins
    if remembered.is_file() and remembered.read_text().endswith(f":{port}"):
        remembered.unlink()


def of_the_cluster():
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if MARK in process.environ():
                yield process


class TestOneOfItsOwn:
    pytestmark = SLOW_ON_POSIX

    def test_it_writes_the_records_of_the_local_engine_and_leaves_no_process(self, tmp_path):
        pytest.importorskip("ray")
        names = ("dies-1", "bug-1", "fine-1", "fine-2", "dies-once", "gone")
        found = {}
        for engine in ("ray", "local"):
            folder = tmp_path / engine
            draw_cases(folder, *names)
            listed = [f"{name},cases/{name}/image.nii.gz,cases/{name}/labels.nii.gz\n" for name in names]
            (folder / "list.csv").write_text("".join(["name,image,label\n", *listed]))
            (folder / "cases" / "gone" / "labels.nii.gz").unlink()
            status, told = batch(folder, "--processes", 2, "--engine", engine, cases="list.csv")
            shown = [line for line in told.splitlines() if "Traceback" not in line and not line.startswith(" ")]
            timeless = {
                name: {key: value for key, value in record.items() if key not in ("seconds", "traceback", "inputs")}
                for name, record in records(folder).items()
            }
            for record in timeless.values():
                record["outputs"].pop("report", None)  # tells seconds
            counted = {name: tries(folder, name) for name in names}
            found[engine] = status, shown[-1], timeless, counted
        assert found["ray"] == found["local"]
        assert found["ray"][0] == 1
        assert found["ray"][2]["dies-1"]["status"] == "lost"

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
    def test_when_the_batch_ends_so_does_the_cluster_and_the_next_run_goes_on(self, tmp_path, number):
        pytest.importorskip("ray")
        draw_cases(tmp_path, "a", "waits-once")
        process = begin(tmp_path, "--engine", "ray", "--processes", 1)
        await_try(tmp_path, "waits-once")
        started = psutil.Process(process.pid).children(recursive=True)
        assert len(started) > 5
        process.send_signal(number)
        _out, told = process.communicate(timeout=60)
        assert process.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[number], told
        assert psutil.wait_procs(started, timeout=20)[1] == []
        assert ("1 of 2 cases is done, 1 left." in told) == (number != signal.SIGKILL)
        assert "Traceback" not in told
        assert statuses(tmp_path) == {"a": "done"}
        assert not list(tmp_path.rglob("*.partial"))
        assert batch(tmp_path, "--processes", 1)[0] == 0
        assert (tries(tmp_path, "a"), tries(tmp_path, "waits-once")) == (1, 2)


class TestTwoNodes:
    pytestmark = SLOW_ON_POSIX

    def test_both_nodes_work_and_a_second_run_has_nothing_to_do(self, tmp_path, cluster):
        draw_cases(tmp_path, "a", "b", "c", "d")
        status, told = batch(tmp_path, "--engine", "ray", "--address", cluster)
        assert status == 0, told
        assert told.splitlines() == ["4 of 4 cases to do, 2 at once.", "4 of 4 cases are done. See out/index.html."]
        assert [row["case"] for row in rows(tmp_path / "out" / "table.csv")] == list("aabbccdd")
        assert batch(tmp_path, "--engine", "ray", "--address", cluster)[0] == 0
        assert {tries(tmp_path, name) for name in "abcd"} == {1}

    def test_an_actor_that_is_killed_costs_its_case_a_second_try_and_nothing_else(self, tmp_path, cluster):
        draw_cases(tmp_path, "waits-once", "x", "y")
        process = begin(tmp_path, "--engine", "ray", "--address", cluster, "--processes", 1)
        await_try(tmp_path, "waits-once")
        for other in of_the_cluster():
            if other.cmdline()[:1] == ["ray::Runner.ask"]:
                other.kill()
        _out, told = process.communicate(timeout=120)
        assert process.returncode == 0, told
        assert tries(tmp_path, "waits-once") == 2
        assert (tries(tmp_path, "x"), tries(tmp_path, "y")) == (1, 1)

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
    def test_when_the_batch_ends_its_processes_do_and_the_cluster_stays(self, tmp_path, cluster, number):
        draw_cases(tmp_path, "waits")
        process = begin(tmp_path, "--engine", "ray", "--address", cluster, "--processes", 1)
        await_try(tmp_path, "waits")
        at_work = [other for other in of_the_cluster() if "drawn_batch:start" in other.cmdline()]
        assert at_work
        process.send_signal(number)
        _out, told = process.communicate(timeout=60)
        assert psutil.wait_procs(at_work, timeout=20)[1] == []
        assert ("0 of 1 case are done, 1 left." in told) == (number == signal.SIGINT)
        run_ray("status", "--address", cluster)

    def test_what_answers_but_is_no_cluster_is_told_in_one_sentence(self, tmp_path, cluster):
        draw_cases(tmp_path, "a")
        with socket.create_server(("127.0.0.1", 0)) as other:
            address = f"127.0.0.1:{other.getsockname()[1]}"
            status, told = batch(tmp_path, "--engine", "ray", "--address", address)
        assert status == 2
        assert f"The Ray cluster at '{address}' cannot be joined" in told
        assert told.count("\n") == 1
