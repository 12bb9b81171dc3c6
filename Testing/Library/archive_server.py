"""A small archive that speaks just enough DICOMweb (QIDO-RS, WADO-RS, STOW-RS), and misbehaves as it is told."""

import base64
import io
import json
import re
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pydicom
import pytest
from drawn_dicom import SERIES, VOXELS
from drawn_seg import KIDNEY, STUDY, TUMOR, write_series

from SegmentPropagateLib.archive import session
from SegmentPropagateLib.cli import main
from SegmentPropagateLib.formats.reading import read_volume
from SegmentPropagateLib.formats.writing import write_segmentation

UIDS = [f"{SERIES}.{index + 1}" for index in range(len(VOXELS))]
BOUNDARY = "b0undary"
OF_OBJECTS = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'}
OF_LISTS = {"Content-Type": "application/dicom+json"}


def multipart(*parts):
    head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return b"".join(head + part + b"\r\n" for part in parts) + f"--{BOUNDARY}--".encode()


def listed(*uids):
    return json.dumps([{"00080018": {"vr": "UI", "Value": [uid]}} for uid in uids]).encode()


def confirmed(uid):
    return json.dumps({"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": [uid]}}]}}).encode()


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class ArchiveServer:
    """Has the `files` of one series, UID -> bytes; an answer is (status, headers, body)."""

    def __init__(self):
        self.forget()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_GET(self):
                server.answer(self, server.found_at)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.answer(self, lambda path: server.kept(body, self.headers["Content-Type"]))

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.handle_error = lambda *_: None  # a client that hangs up is no fault
        self.host = f"127.0.0.1:{self.http.server_port}"
        self.url = f"http://{self.host}/dicom-web"

    def forget(self):
        """As a new one is."""
        self.files = {}
        self.series = []  # what the study is said to have
        self.page = 1000  # files that are told of at once
        self.accepts = None  # what a request has to have as Authorization
        self.planned = {}  # end of a path -> what is answered instead
        self.cut_after = {}  # end of a path -> bytes of the body after which the connection ends
        self.asked = []  # paths
        self.sent = {}  # UID -> bytes

    def answer(self, request, found):
        path = request.path.partition("?")[0]
        self.asked.append(path)
        answers = [answer for end, answer in self.planned.items() if path.endswith(end)]
        if self.accepts and request.headers.get("Authorization") != self.accepts:
            answers = [(401, {}, b"")]
        status, headers, body = answers[0] if answers else found(request.path)
        request.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            if value is not None:
                request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body[: next((count for end, count in self.cut_after.items() if path.endswith(end)), None)])

    def found_at(self, path):
        wanted = re.fullmatch(r"/dicom-web/studies/[\d.]+/series/[\d.]+/instances(/[\d.]+)?(\?offset=\d+)?", path)
        if wanted and wanted[1]:
            file = self.files.get(wanted[1][1:])
            return (200, OF_OBJECTS, multipart(file)) if file else (404, {}, b"")
        if wanted:
            start = int(wanted[2].partition("=")[2]) if wanted[2] else 0
            return 200, OF_LISTS, listed(*list(self.files)[start : start + self.page])
        if re.fullmatch(r"/dicom-web/studies/[\d.]+/series", path):
            return 200, OF_LISTS, json.dumps(self.series).encode()
        return 404, {}, b""

    def kept(self, body, kind):
        """Keep what came, and confirm the last file of it."""
        mark = b"--" + re.search('boundary="?([^";]+)', kind)[1].encode()
        for part in body.split(mark)[1:-1]:
            file = part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
            uid = str(pydicom.dcmread(io.BytesIO(file)).SOPInstanceUID)
            self.sent[uid] = file
        return 200, OF_LISTS, confirmed(uid)

    def files_asked_for(self):
        return [path.rpartition("/")[2] for path in self.asked if not path.endswith("/instances")]


@contextmanager
def running_archive(certificate=None):
    """One that answers; by https where a file with its key and certificate is given."""
    server = ArchiveServer()
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
        server.url = f"https://{server.host}/dicom-web"
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        thread.join()
        server.http.server_close()


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A series, and a segmentation of it."""
    folder = tmp_path_factory.mktemp("drawn")
    series = write_series(folder / "ct")
    geometry = read_volume(series).geometry
    write_segmentation(folder / "seg.dcm", {1: KIDNEY, 2: TUMOR}, geometry, source=series)
    return folder


@pytest.fixture(scope="module")
def server():
    with running_archive() as server:
        yield server


@pytest.fixture
def archive(server, drawn, tmp_path, monkeypatch):
    server.forget()
    server.files = {uid: (drawn / "ct" / f"{n}.dcm").read_bytes() for n, uid in enumerate(UIDS)}
    for name in (session.USER, session.PASSWORD, session.TOKEN, "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # which is not asked for what runs here
    monkeypatch.chdir(tmp_path)
    return server


@pytest.fixture
def fetched(archive, capsys):
    """Fetch the series into the folder `got`; the exit status and what was said."""

    def fetch(output="got", url=None, study=STUDY, series=SERIES):
        status = main(["fetch", archive.url if url is None else url, study, series, "-o", str(output)])
        return status, capsys.readouterr().err.replace("segment-propagate: ", "")

    return fetch
