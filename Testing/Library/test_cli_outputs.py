"""What a command leaves behind: all of its files or none, whatever fails, ends or stops it."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from cli_bench import BALL, OTHER, double, here, inputs, propagate, read, save  # noqa: F401
from failing_disk import contents, files_end_at
from PIL import Image

from SegmentPropagateLib.cli import console, demo, main
from SegmentPropagateLib.formats.writing import write_segmentation
from SegmentPropagateLib.reports import overlay
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo

POSIX = pytest.mark.skipif(os.name != "posix", reason="signals and streams of POSIX")
STOPPING = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}
FILES = ("out.seg.nrrd", "picture.png", "report.json")


def propagate_into(folder, *words):
    out, picture, report = (folder / name for name in FILES)
    options = ["--overlay", picture, "--report", report, "-o", out, *words]
    return propagate("image.nii.gz", "--mask", "labels.nii.gz", *options)


@pytest.fixture
def old(tmp_path, double):
    """A folder with the results of an earlier run on one label."""
    assert propagate_into(tmp_path, "--label", 1) == 0
    return tmp_path


@pytest.mark.parametrize("limit", [0, 1, 600, 4096])
def test_a_run_that_cannot_write_all_files_replaces_none(old, limit, capsys):
    before = contents(old)
    capsys.readouterr()
    with files_end_at(limit):
        assert propagate_into(old) == 2
    assert contents(old) == before
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "File too large" in told[0]


def test_a_run_that_cannot_write_its_last_file_replaces_none(old, monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    before = contents(old)
    monkeypatch.setattr("SegmentPropagateLib.reports.report.json.dumps", full)
    assert propagate_into(old) != 0
    assert contents(old) == before


class Watch:
    """Sends a signal when a file below a folder is opened, made or renamed for the n-th time."""

    EVENTS = ("open", "os.mkdir", "os.link", "os.rename", "os.rmdir")

    def __init__(self):
        self.folder, self.signal, self.left = "", None, 0
        sys.addaudithook(self)

    def __call__(self, event, arguments):
        if self.signal and event in self.EVENTS and str(arguments[0]).startswith(self.folder):
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(self.signal)

    @contextmanager
    def sending(self, name, folder, number):
        self.folder, self.left, self.signal = str(folder), number, getattr(signal, name)
        try:
            yield
        finally:
            self.signal = None


@pytest.fixture(scope="module")
def watch():
    return Watch()


@pytest.fixture
def interruptible():
    """As in a process in the foreground; one in the background ignores SIGINT, and one that `nohup` began SIGHUP."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    former = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


@pytest.fixture
def quick_picture(monkeypatch):
    def draw(_gray, _spacing_mm, objects, _orientation):
        return Image.new("RGB", (9, 9), (len(objects), 0, 0))

    monkeypatch.setattr(overlay, "draw_contact_sheet", draw)


@POSIX
@pytest.mark.parametrize("name", STOPPING)
def test_a_signal_at_any_step_leaves_all_old_files_or_all_new_ones(
    name, quick_picture, old, watch, interruptible, capsys
):
    def comparable():
        files = contents(old)
        report = files.pop("report.json")
        return files, len(json.loads(report)["objects"])  # a report tells the time

    before = comparable()
    propagate_into(old)
    new, stops = comparable(), 0
    propagate_into(old, "--label", 1)
    for number in range(1, 1000):
        capsys.readouterr()
        with watch.sending(name, old, number):
            status = propagate_into(old)
        if watch.left > 0:
            break
        stops += 1
        assert status == STOPPING[name]
        assert len(capsys.readouterr().err.splitlines()) <= 2  # "Wrote ..." where it came after the last file
        assert comparable() in (before, new), number
        if comparable() == new:
            propagate_into(old, "--label", 1)
    assert stops > 20
    assert status == 0
    assert comparable() == new


STOPPED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from SegmentPropagateLib.propagators.classical.engine import ClassicalPropagator
from SegmentPropagateLib.cli import main
run = ClassicalPropagator.run
def stopped(self, lanes, key_masks):
    for update in run(self, lanes, key_masks):
        for name in os.environ["STOP"].split():
            os.kill(os.getpid(), getattr(signal, name))
        yield update
ClassicalPropagator.run = stopped
sys.exit(main())
"""


@POSIX
@pytest.mark.parametrize("names", ["SIGTERM", "SIGHUP SIGTERM"])
def test_a_process_that_is_ended_says_so_and_leaves_no_file(names, inputs, tmp_path):
    words = ["propagate", "image.nii.gz", "--mask", "labels.nii.gz", "--model", "classical", "-o", tmp_path / "o.nrrd"]
    code = [sys.executable, "-c", STOPPED, *map(str, words)]
    environment = {**os.environ, "STOP": names}
    answer = subprocess.run(code, cwd=inputs, capture_output=True, text=True, env=environment)
    assert answer.returncode in {STOPPING[name] for name in names.split()}
    (sentence,) = answer.stderr.splitlines()
    assert sentence.endswith("; no file was left half written.")
    assert contents(tmp_path) == {}


@POSIX
def test_a_signal_that_the_caller_ignores_stays_ignored(inputs, tmp_path):
    words = ["propagate", "image.nii.gz", "--mask", "labels.nii.gz", "--model", "classical", "--quiet", "-o"]
    code = [sys.executable, "-c", STOPPED, *words, str(tmp_path / "o.nrrd")]
    ignoring = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", *code]
    answer = subprocess.run(ignoring, cwd=inputs, capture_output=True, env={**os.environ, "STOP": "SIGHUP"})
    assert (answer.returncode, answer.stderr) == (0, b"")
    assert list(contents(tmp_path)) == ["o.nrrd"]


STREAMS = {"<&- >&- 2>&-": 0, "2>&-": 2, "> /dev/full 2>&1": 0}
ONE_SLICE = ["--mask", "labels.nii.gz", "--label", "1", "--key-slice", "5", "--range", "5:5", "--model", "classical"]


@POSIX
@pytest.mark.parametrize("redirected", STREAMS)
def test_streams_that_are_closed_or_full_change_no_result(redirected, inputs, tmp_path):
    if "full" in redirected and not Path("/dev/full").exists():
        pytest.skip("this system has no device that is full")
    image = "image.nii.gz" if STREAMS[redirected] == 0 else "nowhere.nii.gz"
    words = [image, *ONE_SLICE, "-o", str(tmp_path / "o.nii.gz")]
    program = [sys.executable, "-m", "SegmentPropagateLib", "propagate", *words]
    line = ["sh", "-c", f'exec "$@" {redirected}', "sh", *program]
    answer = subprocess.run(line, cwd=inputs, capture_output=True, text=True)
    assert answer.returncode == STREAMS[redirected]
    assert "Traceback" not in answer.stderr
    assert answer.stdout == ""
    if answer.returncode == 0:
        assert read(tmp_path / "o.nii.gz").any()
    assert len(contents(tmp_path)) == (answer.returncode == 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is full")
def test_figures_that_cannot_be_printed_are_a_failure(inputs):
    words = [sys.executable, "-m", "SegmentPropagateLib", "evaluate", "labels.nii.gz", "labels.nii.gz"]
    with open("/dev/full", "w") as full:  # noqa: PTH123
        answer = subprocess.run(words, cwd=inputs, stdout=full, stderr=subprocess.PIPE, text=True)
    assert answer.returncode == 1
    assert len(answer.stderr.splitlines()) == 1


def test_names_that_a_stream_has_no_letters_for_are_printed_nevertheless(tmp_path, monkeypatch):
    lung = SegmentInfo(3, "肺", (1.0, 0.0, 0.0))
    write_segmentation(tmp_path / "o.seg.nrrd", {3: OTHER}, Geometry(OTHER.shape, np.eye(4)), [lung])
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding="cp1252"))
    assert main(["evaluate", str(tmp_path / "o.seg.nrrd"), str(tmp_path / "o.seg.nrrd")]) == 0
    assert b"label 3 (\\u80ba)" in printed.getvalue()


def test_a_sentence_holds_nothing_that_a_terminal_obeys(capsys):
    console.complain("liver\x1b[2J\x9b1m of\nZürich 肺\u202e \udcff")
    assert capsys.readouterr().err == "segment-propagate: liver\\x1b[2J\\x9b1m of Zürich 肺\\u202e \\udcff\n"


@pytest.mark.skipif(os.name != "posix", reason="names that POSIX allows")
def test_an_output_that_is_another_name_of_an_input_is_refused(inputs, tmp_path, capsys):
    save(tmp_path / "image.nii.gz", (BALL * 100).astype(np.int16))
    (tmp_path / "link.nii.gz").symlink_to("image.nii.gz")
    before = contents(tmp_path)
    words = ["--box", "2,4,12,15", "--key-slice", 5, "--model", "classical", "-o", tmp_path / "link.nii.gz"]
    assert propagate(tmp_path / "image.nii.gz", *words) == 2
    assert "IMAGE" in capsys.readouterr().err
    assert contents(tmp_path) == before


@pytest.mark.parametrize("words", [["suggest"], ["propagate", "--model", "classical"]])
@pytest.mark.parametrize("kind", ["labels", "image", "a list's labels", "a slice"])
def test_an_output_that_is_of_a_finished_case_is_refused(inputs, tmp_path, capsys, words, kind):
    """It may be what somebody drew for a day."""
    support, option, output = tmp_path, "-o", tmp_path / ("a.nii.gz" if kind == "image" else "a_label.nii.gz")
    shutil.copy(inputs / "image.nii.gz", tmp_path / "a.nii.gz")
    shutil.copy(inputs / "labels.nii.gz", tmp_path / "a_label.nii.gz")
    if kind == "a list's labels":
        support = tmp_path / "list.csv"
        support.write_text("image,label\na.nii.gz,a_label.nii.gz\n")
    elif kind == "a slice":
        support, option, output = tmp_path / "slices", "--overlay", tmp_path / "slices" / "masks" / "b" / "00000.png"
        for folder, ending in (("images", "jpg"), ("masks", "png")):
            (support / folder / "b").mkdir(parents=True)
            (support / folder / "b" / f"00000.{ending}").write_bytes(b"a picture")
        words = [*words, "-o", tmp_path / "new.seg.nrrd"]
    before = contents(tmp_path)
    words = [words[0], inputs / "image.nii.gz", "--support", support, *words[1:], option, output]
    assert main([str(word) for word in words]) == 2
    assert "is given for a case of --support and for --" in capsys.readouterr().err
    assert contents(tmp_path) == before


@pytest.mark.parametrize("command", ["suggest", "batch"])
def test_a_file_that_is_no_network_is_not_passed_over_where_the_atlas_alone_has_an_answer(
    inputs, tmp_path, capsys, command
):
    for name, place in (("image", "a"), ("labels", "a_label"), ("image", "new/b")):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        shutil.copy(inputs / f"{name}.nii.gz", tmp_path / f"{place}.nii.gz")
    images = tmp_path / "new" if command == "batch" else inputs / "image.nii.gz"
    option, out = ("--support-model", "out") if command == "batch" else ("--model", "out.seg.nrrd")
    words = [command, images, "--support", tmp_path, option, inputs / "broken.pt", "-o", tmp_path / out]
    assert main([str(word) for word in words]) == 2
    assert "broken.pt is no model file" in capsys.readouterr().err
    assert not (tmp_path / out).exists()


@pytest.fixture
def small_demo(monkeypatch, double):
    monkeypatch.setattr(demo, "SHAPE_KJI", (16, 64, 64))


def show(folder):
    return main(["demo", "--out", str(folder), "--model", "classical", "--quiet"])


@pytest.mark.parametrize("name", demo.FILES)
def test_the_demo_replaces_no_file_of_somebody_else(name, tmp_path, capsys):
    (tmp_path / name).write_bytes(b'{"objects": []}')
    (tmp_path / "notes.txt").write_bytes(b"mine")
    before = contents(tmp_path)
    assert show(tmp_path) == 2
    assert contents(tmp_path) == before
    (sentence,) = capsys.readouterr().err.splitlines()
    assert name in sentence


def test_the_demo_may_be_shown_again_in_its_own_folder(small_demo, tmp_path, capsys):
    (tmp_path / "notes.txt").write_bytes(b"mine")
    assert show(tmp_path) == 0
    before = contents(tmp_path)
    with files_end_at(4096):
        assert show(tmp_path) == 2
    assert contents(tmp_path) == before
    assert show(tmp_path) == 0
    assert set(contents(tmp_path)) == {*demo.FILES, "notes.txt"}


def test_the_name_of_a_demo_folder_is_shown_without_what_a_terminal_would_obey(small_demo, tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "a\x1b[2Jb"), "--model", "classical"]) == 0
    said = "".join(capsys.readouterr())
    assert "a\\x1b[2Jb" in said
    assert "\x1b" not in said


def test_a_demo_that_fails_leaves_nothing_new(small_demo, tmp_path, monkeypatch):
    with files_end_at(4096):
        assert show(tmp_path / "new" / "demo") == 2
    assert contents(tmp_path) == {}

    def interrupted(*_words):
        raise KeyboardInterrupt

    monkeypatch.setattr("SegmentPropagateLib.cli.propagate.write_report", interrupted)
    assert show(tmp_path) == 130
    assert contents(tmp_path) == {}


EARLY = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
early = sys.argv.pop(1)
class Interrupting:
    def find_spec(name, *_):
        if name == early:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Interrupting)
runpy.run_module("SegmentPropagateLib", run_name="__main__")
"""


@pytest.mark.parametrize("imported", ["cli", "cli.console", "process", "cli.arguments", "cli.models"])
def test_ctrl_c_before_a_command_begins_is_told_in_one_sentence(imported):
    words = [sys.executable, "-c", EARLY, f"SegmentPropagateLib.{imported}", "models"]
    answer = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (answer.returncode, answer.stdout) == (130, "")
    assert answer.stderr == "segment-propagate: Interrupted; no file was left half written.\n"


def test_the_program_begins_where_ctrl_c_is_waited_for():
    project = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert 'segment-propagate = "SegmentPropagateLib.__main__:main"' in project
