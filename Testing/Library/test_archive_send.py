"""Files sent to an archive: each is confirmed, or what is wrong is told."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from archive_server import OF_LISTS, UIDS, archive, drawn, fetched, server  # noqa: F401
from drawn_seg import write_series

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.formats.reading import read_labels


def sent(archive, capsys, *paths):
    status = main(["send", archive.url, *map(str, paths)])
    return status, capsys.readouterr().err.replace("segment-propagate: ", "")


def test_a_segmentation_comes_back_as_it_was_sent(archive, drawn, fetched, capsys):
    assert sent(archive, capsys, drawn / "seg.dcm") == (0, f"{archive.host} keeps 1 file.\n")
    ((uid, _bytes),) = archive.sent.items()
    archive.files = archive.sent
    identity = read_labels(drawn / "seg.dcm")
    assert fetched(series="1.2.3")[0] == 2  # the drawn archive does not look at the series, but this program does
    assert fetched(series=str(pydicom.dcmread(drawn / "seg.dcm").SeriesInstanceUID))[0] == 0
    labels = read_labels(Path("got", f"{uid}.dcm"))
    assert labels.segments == identity.segments
    for value in (1, 2):
        np.testing.assert_array_equal(labels.mask(value), identity.mask(value))


def test_a_folder_is_sent_file_by_file(archive, drawn, capsys):
    assert sent(archive, capsys, drawn / "ct", drawn / "seg.dcm") == (0, f"{archive.host} keeps 7 files.\n")
    assert set(UIDS) < set(archive.sent)


FAILED = b'{"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [42752]}}]}}'


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, OF_LISTS, FAILED), "(reason A700)"),
        ((202, OF_LISTS, FAILED), "(reason A700)"),
        ((200, {}, b""), "(it does not say that it keeps it)"),
        ((200, OF_LISTS, b"{}"), "(it does not say that it keeps it)"),
        ((200, {"Content-Type": "application/dicom+xml"}, b"<broken"), "does not answer as an archive does"),
        ((409, {}, b""), "does not take the file"),
        ((413, {}, b""), "does not take the file"),
        ((404, {}, b""), "(404): check it"),
        ((405, {}, b""), "is no archive at this address (405): check the address"),
        ((302, {"Location": "/login"}, b""), "(404): check it"),
        ((307, {"Location": "http://elsewhere.example/"}, b""), "leads on to http://elsewhere.example,"),
    ],
)
def test_what_an_archive_does_not_keep_is_told(answer, words, archive, drawn, capsys):
    archive.planned["studies"] = answer
    status, said = sent(archive, capsys, drawn / "seg.dcm")
    assert (status, said.count("\n")) == (2, 1)
    assert words in said


def test_nothing_is_sent_unless_all_of_it_can_be(archive, drawn, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.dcm").write_text("no DICOM", encoding="utf-8")
    cut = archive.files[UIDS[0]]
    (tmp_path / "cut.dcm").write_bytes(cut[: cut.index(b"\x10\x00\x10\x00PN") + 4])
    write_series(tmp_path / "nameless", lambda index: {0x00080018: ("UI", "")})
    for name, words in (
        ("empty", "holds no DICOM file"),
        ("text.dcm", "is no DICOM file"),
        ("cut.dcm", "is damaged or cut off"),
        ("nameless", "The SOPInstanceUID of '"),
        ("missing.dcm", "does not exist"),
    ):
        status, said = sent(archive, capsys, drawn / "seg.dcm", tmp_path / name)
        assert (status, said.count("\n"), archive.asked) == (2, 1, [])
        assert words in said
