"""The command line that does many cases, in processes that are killed, interrupted and short of disk."""

import os
import signal
import time
from dataclasses import asdict

import psutil
import pytest
from batch_bench import batch, begin, draw_case, draw_cases, records, rows, statuses, tries
from cli_bench import BALL, OTHER, read, save
from doubles import ThresholdPropagator
from failing_disk import files_end_at

from SegmentPropagateLib.batch.jobs import find_jobs
from SegmentPropagateLib.cli import batch as command
from SegmentPropagateLib.cli import main
from SegmentPropagateLib.cli.arguments import make_parser
from SegmentPropagateLib.formats.reading import read_labels

POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")


def children_of(process, count=1):
    """The processes of a batch, once there are as many."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = psutil.Process(process.pid).children(recursive=True)
        if len(found) >= count:
            return found
        time.sleep(0.05)
    raise AssertionError("no process was started")


def await_try(folder, name):
    until = time.monotonic() + 60
    while time.monotonic() < until and not tries(folder, name):
        time.sleep(0.05)
    assert tries(folder, name)


def test_every_case_has_its_files_and_a_second_run_does_only_what_has_changed(tmp_path):
    draw_cases(tmp_path, "a", "b", "c")
    status, told = batch(tmp_path, "--processes", 2)
    assert status == 0, told
    assert told.splitlines() == [
        "3 of 3 cases to do, 2 at once.",
        "3 of 3 cases are done. See out/index.html.",
    ]
    assert statuses(tmp_path) == dict.fromkeys("abc", "done")
    assert (read(tmp_path / "out" / "a" / "segmentation.seg.nrrd")[7] > 0).tolist() == (BALL | OTHER)[7].tolist()
    for output in records(tmp_path)["a"]["outputs"].values():
        assert (tmp_path / "out" / "a" / output["file"]).stat().st_size
    table = rows(tmp_path / "out" / "table.csv")
    assert [(row["case"], row["label"], row["status"]) for row in table] == [
        (case, label, "done") for case in "abc" for label in "13"
    ]
    save(tmp_path / "cases" / "b" / "image.nii.gz", (BALL * 90).astype("int16"))
    assert batch(tmp_path)[0] == 0
    assert [tries(tmp_path, name) for name in "abc"] == [1, 2, 1]
    assert batch(tmp_path) == (0, "3 of 3 cases are done. See out/index.html.\n")


@POSIX
def test_cases_that_fail_or_end_their_process_leave_the_others_alone(tmp_path):
    draw_cases(tmp_path, "dies-1", "bug-1", "fine-1", "fine-2", "dies-once", "gone")
    names = sorted(path.name for path in (tmp_path / "cases").iterdir())
    lines = [f"{name},cases/{name}/image.nii.gz,cases/{name}/labels.nii.gz\n" for name in names]
    (tmp_path / "list.csv").write_text("".join(["name,image,label\n", *lines]))
    (tmp_path / "cases" / "gone" / "labels.nii.gz").unlink()
    status, told = batch(tmp_path, "--processes", 2, "--quiet", cases="list.csv")
    assert status == 1
    expected = {"dies-1": "lost", "bug-1": "failed", "gone": "failed"}
    assert statuses(tmp_path) == {**dict.fromkeys(names, "done"), **expected}
    assert (tries(tmp_path, "dies-1"), tries(tmp_path, "dies-once"), tries(tmp_path, "fine-1")) == (2, 2, 1)
    found = records(tmp_path)
    assert "SIGKILL" in found["dies-1"]["sentence"]
    assert "labels.nii.gz" in found["gone"]["sentence"]
    assert "ValueError: a bug" in found["bug-1"]["traceback"]
    for name in expected:
        assert f"{name} {'was lost' if name == 'dies-1' else 'failed'}: {found[name]['sentence']}" in told.splitlines()
    assert told.splitlines()[-1].startswith("segment-propagate: 3 of 6 cases are done, 2 failed, 1 lost.")
    assert {row["case"]: row["sentence"] for row in rows(tmp_path / "out" / "table.csv")}["gone"]


def test_a_list_of_boxes_makes_objects_with_their_names_within_their_range(tmp_path):
    image = draw_case(tmp_path / "x") / "image.nii.gz"
    text = f"image;box;key_slice;object;first;last\n{image};1,2,13,17;5;ball;4;9\n{image};13,4,23,14;8;;4;9\n"
    (tmp_path / "list.csv").write_text(text)
    (job,) = find_jobs(tmp_path / "list.csv")
    words = ["batch", "list.csv", "-o", str(tmp_path / "out"), "--label", "1"]
    settings = {**vars(make_parser().parse_args(words)), "out": str(tmp_path / "out"), "settled": ""}
    work = command.start(settings, load_model=lambda *args, **options: ThresholdPropagator())
    assert work(asdict(job)) == {"status": "done"}
    found = read_labels(tmp_path / "out" / "x" / "segmentation.seg.nrrd")
    assert [(segment.value, segment.name) for segment in found.segments] == [(1, "ball"), (2, "Label 2")]
    assert sorted({int(k) for layer in found.layers for k in layer.nonzero()[0]}) == list(range(4, 10))
    assert (found.mask(1)[5] == BALL[5]).all()


@POSIX
def test_a_process_that_is_killed_costs_its_case_a_second_try_and_nothing_else(tmp_path):
    draw_cases(tmp_path, "waits-once", "x")
    process = begin(tmp_path, "--processes", 1)
    await_try(tmp_path, "waits-once")
    for child in children_of(process):
        child.kill()
    assert process.wait(60) == 0, process.communicate()
    process.communicate()
    assert statuses(tmp_path) == {"waits-once": "done", "x": "done"}
    assert tries(tmp_path, "waits-once") == 2


@POSIX
def test_a_batch_that_is_killed_leaves_no_process_and_the_next_run_goes_on(tmp_path):
    draw_cases(tmp_path, "a", "waits-once")
    process = begin(tmp_path, "--processes", 1)
    await_try(tmp_path, "waits-once")
    children = children_of(process)
    process.kill()
    process.communicate()
    assert psutil.wait_procs(children, timeout=20)[1] == []
    assert statuses(tmp_path) == {"a": "done"}
    assert batch(tmp_path)[0] == 0
    assert (tries(tmp_path, "a"), tries(tmp_path, "waits-once")) == (1, 2)
    assert {row["case"] for row in rows(tmp_path / "out" / "table.csv")} == {"a", "waits-once"}


@POSIX
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_batch_that_is_interrupted_sums_up_and_leaves_a_right_table(tmp_path, number, status):
    draw_cases(tmp_path, "a", "waits")
    process = begin(tmp_path, "--processes", 1)
    await_try(tmp_path, "waits")
    children = children_of(process)
    process.send_signal(number)
    _out, told = process.communicate(timeout=60)
    assert process.returncode == status, told
    assert "1 of 2 cases is done, 1 left. The same command goes on from here." in told.splitlines()
    assert "Traceback" not in told
    assert psutil.wait_procs(children, timeout=20)[1] == []
    assert [row["case"] for row in rows(tmp_path / "out" / "table.csv")] == ["a", "a"]
    assert not list(tmp_path.rglob("*.partial"))


@POSIX
def test_a_second_run_on_the_same_folder_is_refused_and_does_nothing(tmp_path):
    draw_cases(tmp_path, "waits")
    process = begin(tmp_path, "--processes", 1)
    await_try(tmp_path, "waits")
    status, told = batch(tmp_path)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert (status, told.count("\n")) == (2, 1)
    assert "Another run is at work on 'out'" in told
    assert tries(tmp_path, "waits") == 1


def test_a_full_disk_fails_cases_in_one_sentence_and_the_next_run_does_them(tmp_path):
    draw_cases(tmp_path, "a", "b")
    with files_end_at(20_000):  # a picture is larger
        process = begin(tmp_path, "--processes", 1)
    _out, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert statuses(tmp_path) == {"a": "failed", "b": "failed"}
    assert "Traceback" not in told
    assert all("Cannot write" in record["sentence"] for record in records(tmp_path).values())
    assert {path.name for path in (tmp_path / "out" / "a").iterdir()} == {"record.json"}
    assert batch(tmp_path)[0] == 0


def test_where_not_even_a_record_can_be_written_the_batch_ends_in_one_sentence(tmp_path):
    draw_cases(tmp_path, "a", "b")
    with files_end_at(100):
        process = begin(tmp_path, "--processes", 1)
    _out, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in told
    assert "0 of 2 cases are done, 2 failed." in told
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == [".batch.lock"]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["nowhere"], "does not exist"),
        (["cases", "--model", "sam9"], "no model"),
        (["cases", "-o", "cases"], "lies where results"),
        (["series.csv", "-o", "series/out"], "lies where results"),
        (["cases", "-o", "other"], "not of a batch"),
        (["cases", "-o", "file/out"], "cannot be made"),
        (["cases", "-o", "file"], "cannot be made"),
        (["cases", "--processes", "0"], "--processes"),
        (["cases", "--engine", "dask"], "--engine"),
        (["empty.csv"], "lists no case"),
    ],
)
def test_a_mistake_is_told_in_one_sentence_before_anything_is_made(tmp_path, monkeypatch, capsys, words, part):
    draw_cases(tmp_path, "a")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.html").write_text("mine")
    (tmp_path / "file").write_text("")
    (tmp_path / "series").mkdir()
    (tmp_path / "series.csv").write_text("image,label\nseries,cases/a/labels.nii.gz\n")
    (tmp_path / "empty.csv").write_text("image,label\n")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main(["batch", *words, *([] if "-o" in words else ["-o", "out"])]) == 2
    told = capsys.readouterr().err
    assert part in told
    assert told.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_model_that_cannot_be_opened_is_told_in_one_sentence(tmp_path, monkeypatch, capfd):
    draw_cases(tmp_path, "a")
    monkeypatch.chdir(tmp_path / "cases")
    (tmp_path / "cases" / "broken.pt").write_text("junk")
    assert main(["batch", ".", "-o", "out", "--model", "./broken.pt", "--processes", "1"]) == 2
    told = capfd.readouterr().err
    assert "broken.pt is no model file" in told
    assert told.count("\n") == 1
    assert not list((tmp_path / "cases" / "out").glob("[!.]*"))
