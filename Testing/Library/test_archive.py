"""Series fetched from an archive into a folder, whole or not at all."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from archive_server import (  # noqa: F401
    OF_LISTS,
    OF_OBJECTS,
    UIDS,
    archive,
    basic,
    drawn,
    fetched,
    listed,
    multipart,
    names,
    running_archive,
    server,
)
from drawn_dicom import SERIES, VOXELS
from drawn_seg import STUDY
from failing_disk import files_end_at

from SegmentPropagateLib.archive import client, session
from SegmentPropagateLib.cli.arguments import make_parser
from SegmentPropagateLib.formats.reading import read_volume

PAGE = Path(__file__).resolve().parents[2] / ".github" / "HOSPITAL.md"


def test_a_series_arrives_as_it_was(archive, fetched):
    status, said = fetched()
    assert (status, said[:13]) == (0, "Wrote 6 files")
    assert names("got") == [f"{uid}.dcm" for uid in UIDS]
    np.testing.assert_array_equal(read_volume("got").array_kji, VOXELS)
    assert names(".") == ["got"]


def test_an_archive_may_tell_of_its_files_in_pages(archive, fetched):
    archive.page = 4
    assert fetched()[0] == 0
    assert len(names("got")) == 6


def test_what_is_there_already_is_not_fetched_again(archive, fetched):
    fetched()
    archive.asked.clear()
    assert fetched() == (0, f"{Path('got').resolve()} holds the series already, 6 files.\n")
    assert archive.files_asked_for() == []


def test_what_breaks_off_leaves_no_folder_and_goes_on_from_there(archive, fetched):
    archive.cut_after[UIDS[3]] = 500
    status, said = fetched()
    assert (status, said.count("\n")) == (2, 1)
    assert f"{archive.host} cannot be reached, or the connection broke off" in said
    assert names("got.partial") == [f"{uid}.dcm" for uid in UIDS[:3]]
    assert names(".") == ["got.partial"]
    archive.cut_after = {}
    archive.asked.clear()
    status, said = fetched()
    assert (status, said.splitlines()[0]) == (0, "3 of 6 files are there from an earlier attempt.")
    assert archive.files_asked_for() == UIDS[3:]
    assert names(".") == ["got"]


def test_a_file_that_was_changed_meanwhile_is_fetched_again(archive, fetched):
    archive.cut_after[UIDS[3]] = 500
    fetched()
    Path("got.partial", f"{UIDS[0]}.dcm").write_bytes(archive.files[UIDS[1]])
    archive.cut_after = {}
    assert fetched()[0] == 0
    np.testing.assert_array_equal(read_volume("got").array_kji, VOXELS)


def test_ctrl_c_keeps_what_has_arrived_and_says_so(archive, fetched, monkeypatch):
    whole = client.Archive.file

    def interrupted(self, study, series, uid):
        if uid == UIDS[2]:
            raise KeyboardInterrupt
        return whole(self, study, series, uid)

    monkeypatch.setattr(client.Archive, "file", interrupted)
    status, said = fetched()
    assert status == 130
    assert f"What has arrived is kept in {Path('got.partial').resolve()}: the same command goes on" in said
    assert names("got.partial") == [f"{uid}.dcm" for uid in UIDS[:2]]


def test_a_full_disk_leaves_no_file_that_is_cut(archive, fetched):
    with files_end_at(300):
        status, said = fetched()
    assert status == 2
    assert "Cannot write" in said
    assert names("got.partial") == []


NO_FILE = multipart(b"nonsense")
FAULTS = {  # what -> end of the path, answer, words
    "forbidden": ("instances", (403, {}, b""), "does not allow that (403)"),
    "wrong address": ("instances", (404, {}, b""), f"does not know the series {SERIES} (404)"),
    "no such series": ("instances", (200, OF_LISTS, b"[]"), f"has no series {SERIES} in the study {STUDY}"),
    "an empty answer": ("instances", (204, {}, b""), "the study has none at all"),
    "broken": ("instances", (500, {}, b""), "answered 500 Internal Server Error"),
    "a web page": ("instances", (200, {"Content-Type": "text/html"}, b"<html>"), "does not answer as an archive does"),
    "a number": ("instances", (200, OF_LISTS, b"7"), "does not answer as an archive does"),
    "lists in lists": ("instances", (200, OF_LISTS, b"[" * 100000), "does not answer as an archive does"),
    "another list": ("instances", (200, OF_LISTS, b'[{"00080018": {"Value": []}}]'), "does not answer as an archive"),
    "no identities": ("instances", (200, OF_LISTS, b"[{}]"), "does not answer as an archive does"),
    "a path": ("instances", (200, OF_LISTS, listed("../../../etc/passwd")), "'../../../etc/passwd', which is no UID"),
    "an address": ("instances", (200, OF_LISTS, listed("1.2/3?a")), "'1.2/3?a', which is no UID"),
    "a long name": ("instances", (200, OF_LISTS, listed("1" * 65)), "which is no UID"),
    "no text": ("instances", (200, OF_LISTS, listed(7)), "is '7', which is no UID"),
    "a line break": ("instances", (200, OF_LISTS, listed("1.2\n")), r"is '1.2\n', which is no UID"),
    "a huge list": ("instances", (200, OF_LISTS, b"[" + b" " * 2000), "answers with more than 0 MiB"),
    "gone": (UIDS[1], (404, {}, b""), f"does not know the file {UIDS[1]} (404)"),
    "no DICOM": (UIDS[1], (200, OF_OBJECTS, NO_FILE), "does not answer as an archive does"),
    "no parts": (UIDS[1], (200, OF_OBJECTS, multipart()), "does not answer as an archive does"),
    "no kind": (UIDS[1], (200, {}, b"x"), "does not answer as an archive does"),
    "a picture": (UIDS[1], (200, {"Content-Type": "image/png"}, b"x"), "does not answer as an archive does"),
    "a huge file": (UIDS[1], (200, OF_OBJECTS, b" " * 9000), "answers with more than 0 MiB"),
    "a login": ("instances", (302, {"Location": "https://login.example/"}, b""), "leads on to https://login.example,"),
    "a circle": ("instances", (302, {"Location": "instances"}, b""), "does not answer as an archive does"),
}


def test_of_a_study_without_that_series_its_others_are_told(archive, fetched):
    archive.files = {}
    element = {"vr": "UI", "Value": ["1.2.3"]}
    archive.series = [{"0020000E": element, "00080060": {"vr": "CS", "Value": ["CT"]}, "0008103E": {"vr": "LO"}}]
    assert "check both; the study has 1.2.3 (CT)." in fetched()[1]
    archive.series *= 20
    assert "1.2.3 (CT) and 12 more." in fetched()[1]


@pytest.mark.parametrize("fault", FAULTS)
def test_what_an_archive_does_wrong_is_told_in_one_sentence(fault, archive, fetched, monkeypatch):
    end, answer, words = FAULTS[fault]
    archive.planned[end] = answer
    monkeypatch.setattr(session, "LONGEST_LIST", 150_000 if fault == "lists in lists" else 1500)
    monkeypatch.setattr(session, "LARGEST_OBJECT", 5000)
    status, said = fetched()
    assert (status, said.count("\n")) == (2, 1)
    assert words in said
    assert not Path("got").exists()


def test_a_file_is_taken_only_if_it_is_whole_and_the_one_that_was_asked_for(archive, fetched):
    whole = archive.files[UIDS[1]]
    unframed = {"Content-Length": None, **OF_OBJECTS}  # the end of the connection is that of the answer
    for answer, words in (
        (multipart(archive.files[UIDS[2]]), f"sent another file than {UIDS[1]}"),
        (multipart(whole[:-100]), "100 bytes of voxels are missing"),
        (multipart(whole)[:-200], "bytes of voxels are missing"),
        (multipart(whole[:250]), "does not answer as an archive does"),
        (multipart(whole, whole), "does not answer as an archive does"),
    ):
        archive.planned[UIDS[1]] = (200, unframed, answer)
        status, said = fetched()
        assert (status, names("got.partial")) == (2, [f"{UIDS[0]}.dcm"])
        assert words in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://alice:secret@{host}/dicom-web", "The address names a user, a password"),
        ("http://alice@{host}/dicom-web", "The address names a user, a password"),
        ("http://{host}/dicom-web?token=secret", "The address names a user, a password or a query"),
        ("http://alice:secret@127.0.0.1:99999/", "The address names a user, a password"),
        ("http://alice:secret@[::1/", "The address names a user, a password"),
        ("alice:secret@{host}/dicom-web", "The address names a user, a password"),
        ("{host}/dicom-web", "is no address of an archive"),
        ("ftp://{host}/dicom-web", "is no address of an archive"),
        ("http:///dicom-web", "is no address of an archive"),
        ("http://127.0.0.1:99999/", "is no address of an archive"),
        ("http://[::1/", "is no address of an archive"),
        ("http://a b/", "is no address of an archive"),
        ("", "A word of the command is empty"),
        ("https://{host}/dicom-web", "The secure connection to 127.0.0.1:"),
        ("http://127.0.0.1:9/dicom-web", "127.0.0.1:9 cannot be reached"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_and_its_password_not_repeated(url, words, archive, fetched):
    status, said = fetched(url=url.format(host=archive.host))
    assert (status, said.count("\n")) == (2, 1)
    assert words in said
    assert "secret" not in said
    assert archive.asked == []


@pytest.mark.parametrize(("study", "series"), [("../x", SERIES), (STUDY, "1.2/3"), (" ", SERIES), (STUDY, "1" * 65)])
def test_what_is_no_uid_is_not_asked_for(study, series, archive, fetched):
    status, said = fetched(study=study, series=series)
    assert (status, "which is no UID" in said, archive.asked) == (2, True, [])


USER, PASSWORD = "alice", "wönder: land"
BASIC = {session.USER: USER, session.PASSWORD: PASSWORD}


@pytest.mark.parametrize(
    ("accepts", "environment", "netrc"),
    [
        (basic(USER, PASSWORD), BASIC, ""),
        ("Bearer abc.def", {session.TOKEN: "abc.def"}, ""),
        ("Bearer abc.def", {session.TOKEN: "abc.def"}, "machine 127.0.0.1 login bob password builder"),
        (basic("bob", "builder"), {}, "machine 127.0.0.1 login bob password builder"),
    ],
)
def test_who_asks_is_told_by_the_environment_or_netrc(accepts, environment, netrc, archive, fetched, monkeypatch):
    archive.accepts = accepts
    Path("netrc").write_text(netrc, encoding="utf-8")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    status, said = fetched()
    assert status == 0
    assert PASSWORD not in said


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "wants a password (401): set DICOMWEB_USER and DICOMWEB_PASSWORD, or DICOMWEB_TOKEN, or write ~/.netrc"),
        ({**BASIC, session.PASSWORD: "guess"}, "does not accept the password or token (401)"),
        ({session.TOKEN: "old"}, "does not accept the password or token (401)"),
        ({session.USER: USER}, "Set both DICOMWEB_USER and DICOMWEB_PASSWORD, or DICOMWEB_TOKEN alone"),
        ({**BASIC, session.TOKEN: "abc"}, "Set both DICOMWEB_USER and DICOMWEB_PASSWORD, or DICOMWEB_TOKEN alone"),
        ({session.TOKEN: "a\nb"}, "DICOMWEB_TOKEN is no token"),
    ],
)
def test_a_wrong_password_is_told(environment, words, archive, fetched, monkeypatch):
    archive.accepts = basic(USER, PASSWORD)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    status, said = fetched()
    assert (status, said.count("\n")) == (2, 1)
    assert words in said
    assert "guess" not in said


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_a_certificate_that_nobody_signed_is_believed_only_if_the_environment_says_so(archive, fetched, monkeypatch):
    words = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "own.pem"]
    subprocess.run(["openssl", "req", "-x509", *words], check=True, capture_output=True)
    Path("both.pem").write_bytes(Path("key.pem").read_bytes() + Path("own.pem").read_bytes())
    with running_archive("both.pem") as other:
        other.files = archive.files
        for bundle, expected, words in (
            ("", 2, f"The secure connection to {other.host} failed ("),
            ("nowhere.pem", 2, "nowhere.pem"),
            ("own.pem", 0, "Wrote 6 files"),
        ):
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
            status, said = fetched(url=other.url)
            assert (status, said.count("\n")) == (expected, 1)
            assert words in said


def test_a_folder_with_something_else_stays_as_it_is(archive, fetched):
    Path("mine").mkdir()
    Path("mine", "notes.txt").write_text("mine", encoding="utf-8")
    Path("other.partial").mkdir()
    Path("other.partial", "notes.txt").write_text("mine", encoding="utf-8")
    Path("file").write_text("mine", encoding="utf-8")
    for output, words in (
        ("mine", "holds other files, and lacks 6 of the series"),
        ("other", "holds something else (notes.txt)"),
        ("file", "it is a file or a link"),
        (".", "name a new one"),
        ("no/where", "name a new one, in a folder that is there"),
    ):
        status, said = fetched(output)
        assert (status, said.count("\n")) == (2, 1)
        assert words in said
    assert [path.read_text(encoding="utf-8") for path in map(Path, ("mine/notes.txt", "file"))] == ["mine", "mine"]
    assert archive.files_asked_for() == []


def test_an_empty_folder_is_filled(archive, fetched):
    Path("got").mkdir()
    assert fetched()[0] == 0
    assert len(names("got")) == 6


def test_without_dicomweb_client_one_sentence_says_how_to_install_it(archive, fetched, monkeypatch):
    monkeypatch.setitem(sys.modules, "dicomweb_client.api", None)
    status, said = fetched()
    assert (status, "run `pip install dicomweb-client`" in said) == (2, True)


@pytest.mark.parametrize(
    ("url", "expected"),
    [("http://pacs.example/x", True), ("https://pacs.example", False), ("http://localhost:8042", False)],
)
def test_a_connection_that_others_can_read_is_told(url, expected):
    told = []
    client.Archive(url, told.append)
    assert bool(told) == expected


def test_every_command_of_the_page_is_one_that_the_program_takes():
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("segment-propagate")]
    assert {shlex.split(line)[1] for line in lines} >= {"fetch", "propagate", "send"}
    for line in lines:
        make_parser().parse_args(shlex.split(line, comments=True)[1:])  # raises InputError


def test_the_page_quotes_what_the_program_says():
    package = Path(session.__file__).parent
    said = " ".join(path.read_text(encoding="utf-8") for path in sorted(package.glob("*.py")))
    table = PAGE.read_text(encoding="utf-8").split("## What can go wrong")[1]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    quoted = [part for row in rows for words in re.findall(r"`([^`]+)`", row) for part in words.split(" ... ")]
    parts = [re.sub(r" ?(\(\d+\)|\.\.\.)$", "", part) for part in quoted]
    assert len(parts) > 9
    assert [part for part in parts if part and part not in said] == []
