"""A local server that misbehaves in the ways servers do, and a cache of one's own to download to."""

import hashlib
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from SegmentPropagateLib.models import registry, transfer

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Serves `content`, and logs the Range header of every request."""

    def __init__(self):
        self.content = CONTENT
        self.drop_after = []  # for the next requests: bytes of the body to send before the connection is cut
        self.honours_range = True
        self.status = None
        self.etag = '"one"'
        self.location = None  # where to redirect to
        self.headers = {}  # sent in place of the right ones
        self.ranges = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_GET(self):
                server.answer(self)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.handle_error = lambda *_: None  # a client that hangs up is no fault
        self.url = f"http://127.0.0.1:{self.http.server_port}/model.pt"

    def answer(self, request):
        self.ranges.append(request.headers.get("Range"))
        if self.status:
            request.send_error(self.status)
            return
        if self.location:
            request.send_response(302)
            request.send_header("Location", self.location)
            request.end_headers()
            return
        wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        start = int(wanted[1]) if wanted and self.honours_range else 0
        if request.headers.get("If-Range", self.etag) != self.etag:
            start = 0
        if wanted and start >= len(self.content):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        if self.etag:
            request.send_header("ETag", self.etag)
        body = self.content[start:]
        for name, value in {"Content-Length": str(len(body)), **self.headers}.items():
            request.send_header(name, value)
        request.end_headers()
        if self.drop_after:
            request.wfile.write(body[: self.drop_after.pop(0)])
            request.wfile.flush()
            request.connection.shutdown(socket.SHUT_RDWR)
        else:
            request.wfile.write(body)


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Everything is kept below `tmp_path`, and nothing is waited for."""
    monkeypatch.setenv("SEGMENTPROPAGATE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(transfer, "WAIT_S", 0.0)
    return tmp_path / "cache"


@pytest.fixture
def model(server, cache):
    return registry.NamedModel("test", "", "sam2.1", "CC0-1.0", "model.pt", server.url, len(CONTENT), SHA256)


def left_over(cache):
    """Names of what lies in the cache, but for the lock, which stays."""
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")
