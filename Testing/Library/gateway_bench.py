"""A real server in a thread, and clients of it: stand-ins in this process or in their own, and bare connections."""

import asyncio
import io
import json
import os
import socket
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from worker_client import DRAWN_WORKER, Client

from SegmentPropagateLib.server.gateway import Gateway
from SegmentPropagateLib.server.run import config_of
from SegmentPropagateLib.server.settings import Settings
from SegmentPropagateLib.server.tokens import Tokens
from SegmentPropagateLib.worker.messages import Decoder, encode
from SegmentPropagateLib.worker.remote.address import read_address
from SegmentPropagateLib.worker.remote.proxy import Proxy
from SegmentPropagateLib.worker.remote.stream import VERSION

MODELS = ("threshold", "slow", "hang", "die", "ends_early", "flood")
WORKER = (sys.executable, DRAWN_WORKER)
USERS = ("anna", "ben", "cleo")


class Server:
    """A gateway on a port of this computer.

    Args:
        folder: for its tokens.
        certificate: files of certificate and key; it speaks TLS then.
        users: who have tokens.
        former: a server that has ended, whose port and tokens this one has.
        settings: what differs from the usual.
    """

    def __init__(self, folder, certificate=(None, None), users=USERS, former=None, **settings):
        tokens = Tokens(Path(folder) / "tokens.json")
        self.tokens = former.tokens if former else {user: tokens.add(user) for user in users}
        self.settings = Settings(**{"models": MODELS, "command": WORKER, **settings})
        self._listener = socket.create_server(("127.0.0.1", former.port if former else 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'wss' if certificate[0] else 'ws'}://127.0.0.1:{self.port}/v1/worker"
        self._uvicorn = uvicorn.Server(config_of(Gateway(self.settings, tokens), certificate))
        self._thread = threading.Thread(target=self._uvicorn.run, kwargs={"sockets": [self._listener]}, daemon=True)
        self._thread.start()

    def stop(self):
        """End it as Ctrl-C does."""
        self._uvicorn.should_exit = True
        self._thread.join(10)
        self._listener.close()

    def line(self, user="anna", greet=True, token=None, **greeting):
        """A bare connection, and what it was greeted with."""
        token = token or self.tokens[user]
        headers = {"Authorization": f"Bearer {token}"}
        line = connect(self.url, additional_headers=headers, compression=None, proxy=None).__enter__()  # it is closed
        if not greet:
            return line, None
        line.send(json.dumps({"version": VERSION, "received": 0, "lease": None, "packings": ["zlib"], **greeting}))
        return line, json.loads(line.recv(timeout=10))


class Standin(Client):
    """`worker.client` in a thread of this process, spoken with as with a worker."""

    def __init__(self, server, user="anna", url=None):
        self.asked, self.ending, self.notes = [], None, []
        requests, self._requests = os.pipe()
        replies, self._replies = os.pipe()
        self.process = self  # what `Client` reads and writes
        self.stdin, self.stdout = os.fdopen(self._requests, "wb"), os.fdopen(replies, "rb")
        self.stderr = io.BytesIO()
        self._output = os.fdopen(self._replies, "wb")
        address = read_address(url or server.url)
        self._proxy = Proxy(address, server.tokens[user], requests, self._output, self.notes.append)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        self.ending = asyncio.run(self._proxy.run())
        self._output.close()

    def wait(self):
        """How it ended."""
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.ending

    def close(self):
        self.stdin.close()
        return self.wait()

    def poll(self):
        return None if self._thread.is_alive() else self.ending


@contextmanager
def serving(folder, **settings):
    """A server for the length of a block."""
    server = Server(folder, **settings)
    try:
        yield server
    finally:
        server.stop()


def frames(message):
    """A message as the bytes of one piece."""
    return b"".join(map(bytes, encode(message)))


def messages(line, decoder=None):
    """The next messages of a bare connection; counts of pieces are left out."""
    decoder = decoder or Decoder()
    while True:
        data = line.recv(timeout=10)
        if isinstance(data, bytes):
            yield from decoder.feed(data)


def ended(line):
    """The close frame with which the server ends a bare connection."""
    try:
        while True:
            line.recv(timeout=10)
    except ConnectionClosed as closed:
        return closed.rcvd


class Relay:
    """A line to a server that can be cut, as networks are, or lose everything without an end being told."""

    def __init__(self, port):
        self._server_port, self._pairs, self.is_down, self._silent = port, [], False, set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}/v1/worker"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, down=False):
        """Drop all connections without a word; where down, new ones as well until `is_down` is False."""
        self.is_down = down
        pairs, self._pairs = self._pairs, []
        for end in (end for pair in pairs for end in pair):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def silence(self):
        """Let nothing through any more on the connections that there are; new ones are refused."""
        self.is_down = True
        self._silent.update(end for pair in self._pairs for end in pair)

    def close(self):
        self.cut(down=True)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.is_down:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._server_port))
            self._pairs.append((client, server))
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source, sink):
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if source not in self._silent:
                    sink.sendall(data)
        if source in self._silent:  # the other side is not told of an end either
            return
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def until(truth, seconds=10):
    """Wait for something that is going to be so."""
    end = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < end, "It did not come to be so."
        time.sleep(0.01)
