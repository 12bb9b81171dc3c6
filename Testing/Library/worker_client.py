"""A worker process, asked as the panel asks it, without a panel."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from SegmentPropagateLib.worker.fields import identity_of
from SegmentPropagateLib.worker.messages import Message, read_message, write_message
from SegmentPropagateLib.worker.requests import Cancel, Hello, Propagate
from SegmentPropagateLib.worker.setup import ModelChoice, SessionChoice, Setup

ROOT = Path(__file__).resolve().parents[2]
DRAWN_WORKER = str(ROOT / "Testing" / "Library" / "drawn_worker.py")


def setup(shape_kji=(12, 20, 24), model="threshold", volume="v"):
    matrix = tuple(np.diag([1.5, 1.5, 3.0, 1.0]).ravel().tolist())
    return Setup(volume, shape_kji, matrix, None, ModelChoice(model), SessionChoice())


class Client:
    """Sends requests and reads the replies.

    Args:
        command: what Python is to run.
        environment: of the worker, beside ours.
    """

    def __init__(self, *command, environment=None):
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | (environment or {})
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, *command], stdin=pipe, stdout=pipe, stderr=pipe, env=environment
        )
        self.asked = []  # the request of id n stands at n - 1

    def send(self, request):
        """Send a request and return its id."""
        self.asked.append(request)
        write_message(self.process.stdin, request.to_message(len(self.asked)))
        return len(self.asked)

    def send_message(self, header, array=None):
        """Send whatever it is, and return its id."""
        self.asked.append(Hello())  # to whatever, only a failure is an answer
        write_message(self.process.stdin, Message({"id": len(self.asked), **header}, array))
        return len(self.asked)

    def cancel(self, identity):
        write_message(self.process.stdin, Cancel().to_message(identity))

    def receive(self):
        message = read_message(self.process.stdout)
        assert message is not None, self.process.stderr.read().decode()
        return self.asked[identity_of(message) - 1].read_reply(message)

    def until(self, *kinds):
        """All replies up to the first of these kinds, or to the end of a request."""
        replies = []
        while not replies or not (replies[-1].final or isinstance(replies[-1], kinds)):
            replies.append(self.receive())
        return replies

    def last(self):
        """The final reply."""
        return self.until()[-1]

    def propagate(self, mask, model="threshold", keys=(5,), first=0, last=11, objects=(1, 1), **more):
        places = tuple(zip(objects, keys, strict=False))
        options = {"setup": setup(mask.shape, model), "resolve_overlaps": True, **more}
        return self.send(Propagate(keys=places, masks=mask[list(keys)], first=first, last=last, **options))

    def close(self):
        self.process.stdin.close()
        code = self.process.wait(10)
        self.process.stdout.close()
        self.process.stderr.close()
        return code

    def kill(self):
        """End it however it is, and leave no pipe open."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if not stream.closed:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
