"""Files appear together and whole, in the place of what was there, and of nothing that somebody else keeps there."""

import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from drawn_files import sentence_of
from failing_disk import contents, files_end_at

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import Outputs, check_writable, replacing, writing

NAMES = ("a.txt", "b.txt", "c.txt")
POSIX = pytest.mark.skipif(os.name != "posix", reason="links, modes and pipes of POSIX")


def write(path, text="new", outputs=None):
    with writing(path, outputs) as file:
        file.write(text.encode())


def write_all(folder, error=None):
    with Outputs() as outputs:
        for name in NAMES:
            write(folder / name, outputs=outputs)
        if error is not None:
            raise error


def test_several_files_appear_together_or_not_at_all(tmp_path):
    write(tmp_path / "b.txt", "old")
    before = contents(tmp_path)
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            write_all(tmp_path, error)
        assert contents(tmp_path) == before
    write_all(tmp_path)
    assert contents(tmp_path) == dict.fromkeys(NAMES, b"new")


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_cannot_be_put_in_its_place_takes_the_others_back(tmp_path, monkeypatch, number, links):
    write(tmp_path / "a.txt", "old a")
    write(tmp_path / "c.txt", "old c")
    before = contents(tmp_path)
    replace, link, renamed = os.replace, os.link, []

    def fail_once(source, target, **options):
        if Path(target).parent == tmp_path and Path(source).suffix != ".old":
            renamed.append(target)
            if len(renamed) == number + 1:
                raise OSError(errno.EACCES, "Permission denied")
        return replace(source, target, **options)

    def link_if_there_are_links(source, target, **options):
        if not links and os.path.exists(source):  # noqa: PTH110
            raise OSError(errno.EPERM, "Operation not permitted")
        return link(source, target, **options)

    monkeypatch.setattr(os, "replace", fail_once)
    monkeypatch.setattr(os, "link", link_if_there_are_links)
    sentence = sentence_of(write_all, tmp_path)
    assert NAMES[number] in sentence
    assert "Permission denied" in sentence
    assert contents(tmp_path) == before


@POSIX
def test_a_link_is_written_through(tmp_path):
    (tmp_path / "far").mkdir()
    write(tmp_path / "far" / "target.txt", "old")
    for name, target in (("a.txt", "target.txt"), ("b.txt", "not yet.txt")):
        (tmp_path / name).symlink_to(Path("far") / target)
        check_writable(tmp_path / name)
    write_all(tmp_path)
    assert (tmp_path / "a.txt").is_symlink()
    assert (tmp_path / "b.txt").is_symlink()
    assert contents(tmp_path / "far") == {"target.txt": b"new", "not yet.txt": b"new"}


@POSIX
def test_what_is_no_ordinary_file_that_may_be_written_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "device").symlink_to("/dev/null")
    (tmp_path / "astray").symlink_to("nowhere/file")
    (tmp_path / "folder").mkdir()
    (tmp_path / "kept").write_bytes(b"old")
    (tmp_path / "kept").chmod(0o444)
    (tmp_path / "kept too").symlink_to("kept")
    before = contents(tmp_path / "folder"), sorted(os.listdir(tmp_path))  # noqa: PTH208
    reasons = {
        "pipe": "a pipe or a device",
        "device": "a pipe or a device",
        "loop": "symbolic links",
        "folder": "a folder",
        "astray": "does not exist",
        "kept": "read-only",
        "kept too": "read-only",
        "missing/a": "does not exist",
        "kept/a": "is a file, choose a folder",
        "/dev/null": "a device",
        "/proc/a": "Cannot write",
    }
    for name, reason in reasons.items():
        if name == "/proc/a" and not Path("/proc").is_dir():
            continue
        for call in (check_writable, write):
            assert reason in sentence_of(call, tmp_path / name), name
    assert (contents(tmp_path / "folder"), sorted(os.listdir(tmp_path))) == before  # noqa: PTH208
    assert (tmp_path / "kept").read_bytes() == b"old"


@POSIX
def test_a_file_keeps_its_mode_and_a_new_one_gets_the_usual_one(tmp_path):
    write(tmp_path / "a.txt", "old")
    (tmp_path / "a.txt").chmod(0o640)
    (tmp_path / "usual").touch()
    write_all(tmp_path)
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.txt", "b.txt", "usual")}
    assert modes == {"a.txt": 0o640, "b.txt": modes["usual"], "usual": modes["usual"]}


@POSIX
def test_nobody_can_foresee_or_enter_the_place_where_a_file_is_made(tmp_path):
    seen = set()
    for _ in range(3):
        with replacing(tmp_path / "a.txt", ending=".nii.gz") as part:
            assert part.name.endswith(".nii.gz")
            assert stat.S_IMODE(part.parent.stat().st_mode) == 0o700
            assert part.parent.parent == tmp_path
            seen.add(part.parent.name)
            part.write_text("new", encoding="utf-8")
    assert len(seen) == 3
    assert contents(tmp_path) == {"a.txt": b"new"}


KILLED = """
import os, signal, sys
from SegmentPropagateLib.files import replacing
with replacing(sys.argv[1]) as part:
    part.write_text("half")
    print(part.parent, flush=True)
    sys.stdin.read(1)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@POSIX
def test_what_a_killed_process_left_is_removed_when_it_is_dead_and_not_before(tmp_path):
    (tmp_path / ".12345.notes").write_bytes(b"mine")
    words = [sys.executable, "-c", KILLED, str(tmp_path / "a.txt")]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    left = Path(process.stdout.readline().strip())
    write(tmp_path / "b.txt")
    assert left.is_dir()  # the process is at work
    process.communicate("\n")
    assert process.returncode == -signal.SIGKILL
    assert left.is_dir()
    elsewhere = left.name.split(".")
    elsewhere[2] = "0" * 8  # process numbers of another computer say nothing here
    (tmp_path / ".".join(elsewhere)).mkdir()
    write(tmp_path / "a.txt")
    assert set(contents(tmp_path)) == {"a.txt", "b.txt", ".12345.notes", ".".join(elsewhere)}


@POSIX
def test_an_interrupt_while_files_are_put_in_place_waits_until_all_of_them_are(tmp_path, monkeypatch):
    replace = os.replace

    def interrupted(source, target, **options):
        signal.raise_signal(signal.SIGINT)
        return replace(source, target, **options)

    monkeypatch.setattr(os, "replace", interrupted)
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            write_all(tmp_path)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, former)
    assert contents(tmp_path) == dict.fromkeys(NAMES, b"new")


def test_a_disk_that_fails_when_the_bytes_reach_it_is_noticed(tmp_path, monkeypatch):
    write(tmp_path / "b.txt", "old")

    def fail(_number):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match="Input/output error"):
        write_all(tmp_path)
    assert contents(tmp_path) == {"b.txt": b"old"}


@pytest.mark.parametrize("make", [writing, replacing])
def test_what_cannot_be_read_meanwhile_is_not_told_as_what_cannot_be_written(tmp_path, make):
    write(tmp_path / "a.txt", "old")
    with pytest.raises(FileNotFoundError, match="gone"), make(tmp_path / "a.txt"):
        (tmp_path / "gone").read_bytes()
    with pytest.raises(InputError, match=r"Cannot write .*a\.txt"), make(tmp_path / "a.txt") as new:
        raise OSError(errno.EIO, "Input/output error", str(new)) if make is replacing else told_by(new)
    assert contents(tmp_path) == {"a.txt": b"old"}


def told_by(stream):
    """What a stream raises when the disk is full, after a library has passed over it."""
    with files_end_at(0), contextlib.suppress(OSError):
        stream.write(bytes(1 << 20))
    return RuntimeError("something went wrong")


def test_a_connection_that_breaks_off_says_nothing_of_the_file_that_is_written(tmp_path):
    with pytest.raises(ConnectionResetError), writing(tmp_path / "a.txt"):
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
    assert contents(tmp_path) == {}
