"""The way to an archive and back with a real one: Orthanc on this computer."""

import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
import pytest
import requests
from drawn_dicom import SERIES, VOXELS
from drawn_seg import KIDNEY, STUDY, TUMOR, write_series

from SegmentPropagateLib.archive import session
from SegmentPropagateLib.cli import main
from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.formats.writing import write_segmentation

ORTHANC = shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
MASKS = {1: KIDNEY, 2: TUMOR}
USER, PASSWORD = "alice", "wonder land"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        ORTHANC is None or not PLUGIN.is_file(), reason="needs Orthanc: apt-get install orthanc orthanc-dicomweb"
    ),
]


@contextmanager
def running_orthanc(folder, **settings):
    """A new and empty one that wants a password; its host and port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    places = {"StorageDirectory": str(folder / "kept"), "IndexDirectory": str(folder / "kept"), "HttpPort": port}
    doors = {"DicomServerEnabled": False, "RemoteAccessAllowed": False, "AuthenticationEnabled": True}
    users = {"RegisteredUsers": {USER: PASSWORD}, "Plugins": [str(PLUGIN)]}
    (folder / "orthanc.json").write_text(json.dumps({**places, **doors, **users, **settings}), encoding="utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([ORTHANC, folder / "orthanc.json"], stdout=log, stderr=log)
    try:
        end = time.monotonic() + 60
        while not answers(port):
            assert process.poll() is None, (folder / "log").read_text(encoding="utf-8")
            assert time.monotonic() < end, "Orthanc does not answer"
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(autouse=True)
def known(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(session.TOKEN, raising=False)
    monkeypatch.setenv(session.USER, USER)
    monkeypatch.setenv(session.PASSWORD, PASSWORD)


@pytest.fixture
def drawn(tmp_path):
    """A series, and a segmentation of it, `seg.dcm`."""
    series = write_series(tmp_path / "ct", lambda index: {0x00100020: ("LO", "42")})
    write_segmentation(tmp_path / "seg.dcm", MASKS, read_volume(series).geometry, source=series)
    return series


def test_a_series_and_its_segmentation_come_back_as_they_were(drawn, tmp_path):
    with running_orthanc(tmp_path) as host:
        url = f"http://{host}/dicom-web"
        assert main(["send", url, "ct", "seg.dcm"]) == 0
        found = requests.get(f"{url}/studies/{STUDY}/series", auth=(USER, PASSWORD), timeout=20).json()
        series = {item["00080060"]["Value"][0]: item["0020000E"]["Value"][0] for item in found}
        assert series == {"CT": SERIES, "SEG": str(pydicom.dcmread("seg.dcm").SeriesInstanceUID)}
        for modality, uid in series.items():
            assert main(["fetch", url, STUDY, uid, "-o", modality]) == 0
    volume = read_volume("CT")
    np.testing.assert_array_equal(volume.array_kji, VOXELS)
    (path,) = Path("SEG").iterdir()
    labels = read_labels(path, volume.geometry)
    assert labels.segments == read_labels("seg.dcm").segments
    for value, mask in MASKS.items():
        np.testing.assert_array_equal(labels.mask(value), mask)
    assert pydicom.dcmread(path).PixelData == pydicom.dcmread("seg.dcm").PixelData


def test_a_wrong_password_is_told(drawn, tmp_path, monkeypatch, capsys):
    with running_orthanc(tmp_path) as host:
        monkeypatch.setenv(session.PASSWORD, "guess")
        assert main(["send", f"http://{host}/dicom-web", "seg.dcm"]) == 2
        assert "does not accept the password or token (401)" in capsys.readouterr().err
        assert main(["fetch", f"http://{host}/dicom-web", STUDY, SERIES, "-o", "got"]) == 2
        assert "(401)" in capsys.readouterr().err
        assert not Path("got").exists()
