"""A worker process, as the gateway sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import SegmentPropagateLib
from SegmentPropagateLib.worker.messages import Decoder, Message, encode

_READ_BYTES = 1 << 18
_PATIENCE_S = 5.0


class Child:
    """A worker that is running; made by `start`."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, command: Sequence[str]) -> Child:
        """Start one."""
        library = str(Path(SegmentPropagateLib.__file__).resolve().parent.parent)  # a folder that others cannot fill
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=_environment(library), cwd=library, limit=_READ_BYTES
        )
        return cls(process)

    def write(self, message: Message) -> None:
        """Send a message, as soon as it goes; one that has ended takes nothing."""
        with contextlib.suppress(OSError, RuntimeError):
            self._stdin.writelines(encode(message))

    async def drain(self) -> None:
        """Wait until what was sent has gone."""
        with contextlib.suppress(OSError):
            await self._stdin.drain()

    async def replies(self) -> AsyncIterator[Message]:
        """What it answers, until it ends.

        Raises:
            MessageError: it is no message.
        """
        decoder, stdout = Decoder(), self._process.stdout
        while stdout is not None and (data := await stdout.read(_READ_BYTES)):
            for message in decoder.feed(data):
                yield message

    async def log(self) -> AsyncIterator[bytes]:
        """What it says on stderr, until it ends."""
        stderr = self._process.stderr
        while stderr is not None and (data := await stderr.read(_READ_BYTES)):
            yield data

    async def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        with contextlib.suppress(OSError, asyncio.TimeoutError):  # wait() alone hangs while its stdout is not drained
            await asyncio.wait_for(self._process.communicate(), _PATIENCE_S)

    @property
    def _stdin(self) -> asyncio.StreamWriter:
        stdin = self._process.stdin
        if stdin is None:
            raise RuntimeError("The worker was started without a pipe.")
        return stdin


def _environment(library: str) -> dict[str, str]:
    """Ours, with the library on Python's path and nothing that depends on where the server was started."""
    known = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(folder)]  # noqa: PTH117
    return {**os.environ, "PYTHONPATH": os.pathsep.join([library, *known])}
