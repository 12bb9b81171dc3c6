"""The worker on a computer that one may log in to: `ssh HOST segment-propagate-worker`, without any server."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from typing import BinaryIO

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.worker.messages import Message, MessageError, read_message, write_message
from SegmentPropagateLib.worker.remote.address import Address
from SegmentPropagateLib.worker.remote.ending import Ending
from SegmentPropagateLib.worker.requests import Hello

PROGRAM = "segment-propagate-worker"
_READ_BYTES = 1 << 18
_ALIVE = ("-o", "ServerAliveInterval=20", "-o", "ServerAliveCountMax=3")  # 60 s of silence are too long


def stand_in(address: Address) -> Ending:
    """Let the remote worker read our stdin, and pass on what it answers, its number replaced by ours."""
    output = os.fdopen(os.dup(1), "wb")  # sys.stdout.buffer is raw under PYTHONUNBUFFERED, and may write a part only
    child = _start(address, None)
    replies = _pipe(child.stdout)
    try:
        first = read_message(replies)
        if first is not None:
            write_message(output, _as_ours(first))
        while data := os.read(replies.fileno(), _READ_BYTES):
            output.write(data)
            output.flush()
    except MessageError:
        child.kill()
        return Ending(2, f"On {address.host} something else than {PROGRAM} answers: look at the lines before this.")
    except OSError:  # nobody reads any more
        child.kill()
        return Ending(0)
    return _ending(child.wait(), address)


def ask_who(address: Address) -> Ending:
    """Print what the remote worker says about itself, as one line of JSON."""
    child = _start(address, subprocess.PIPE)
    requests, replies = _pipe(child.stdin), _pipe(child.stdout)
    try:
        write_message(requests, Hello().to_message(1))
        message = read_message(replies)
        requests.close()
    except (OSError, MessageError):
        message = None
    ending = _ending(child.wait(), address)
    if message is None:
        return ending if ending.status else Ending(2, f"On {address.host} something else than {PROGRAM} answers.")
    told = {name: message.header.get(name) for name in ("version", "protocol", "missing")}
    sys.stdout.write(f"{json.dumps(told)}\n")
    return ending


def _start(address: Address, stdin: int | None) -> subprocess.Popen[bytes]:
    ssh = shlex.split(os.environ.get("SEGMENTPROPAGATE_SSH", "")) or ["ssh"]
    port = [] if address.port is None else ["-p", str(address.port)]
    where = f"{address.user}@{address.host}" if address.user else address.host
    command = [*ssh, "-T", "-o", "BatchMode=yes", *_ALIVE, *port, "--", where, PROGRAM]  # no terminal, no questions
    try:
        return subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, bufsize=0)
    except OSError:
        raise InputError(f"The program '{ssh[0]}' cannot be started: install an SSH client.") from None


def _pipe(stream: object) -> BinaryIO:
    """A pipe that was asked for; unbuffered, so that nothing stays in between."""
    return stream  # type: ignore[return-value]


def _as_ours(message: Message) -> Message:
    header = dict(message.header)
    if header.get("type") == "welcome":
        header["pid"] = os.getpid()
    return Message(header, message.array)


def _ending(status: int, address: Address) -> Ending:
    if status == 0:
        return Ending(0)
    if status == 255:  # ssh's own
        return Ending(3, f"There is no connection to {address.host} by SSH: see the lines before this.")
    if status == 127:  # the shell's there
        return Ending(
            2, f"There is no {PROGRAM} on the path of {address.host}: install it there, or name it in a forced command."
        )
    return Ending(5, f"The worker on {address.host} ended unexpectedly ({status}): try again.")
