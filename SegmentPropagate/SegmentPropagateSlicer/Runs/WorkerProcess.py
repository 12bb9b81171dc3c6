"""The worker as a QProcess: requests out, replies in, all on the main thread and driven by events."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import qt
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.worker.exchange import Exchange
from SegmentPropagateLib.worker.fields import identity_of
from SegmentPropagateLib.worker.messages import Decoder, Message, MessageError, encode, printable, shown
from SegmentPropagateLib.worker.protocol import ProtocolError
from SegmentPropagateLib.worker.replies import Cancelled, Failed, Reply, Welcome
from SegmentPropagateLib.worker.requests import Cancel, Hello, Request
from SegmentPropagateSlicer.Runs.Program import (
    clientEnvironment,
    failedToStart,
    libraryEnvironment,
    libraryFolder,
    python,
)
from SegmentPropagateSlicer.Values.Amounts import duration
from SegmentPropagateSlicer.Values.Server import TOLD_CODES, Server
from SegmentPropagateSlicer.Values.Signal import Signal

CHUNK_BYTES = 1 << 20  # a slot that hands over so much takes about a millisecond
READ_BYTES = 1 << 18
LOG_CHARACTERS = 200_000
STALL_TICKS = 10
"""A worker's silence is counted in so many steps, of which a computer that slept for hours misses at most one."""


OnReply = Callable[[Reply], None]


@dataclass(eq=False)
class _Outgoing:
    requestId: int
    parts: list[memoryview]  # what is left to be written
    begun: bool = False


class WorkerProcess:
    """Starts `python -m SegmentPropagateLib.worker` when it is first needed and keeps it warm.

    Every request gets exactly one final reply: where the worker dies, hangs, answers what makes no sense, or cannot be
    started, a `Failed` with a sentence.

    Args:
        command: program and arguments; None runs the library's worker in Slicer's own Python.
        cancelTimeoutMs: a worker that does not obey a cancellation for so long is killed, and so is one that is silent
            for so long in the middle of a message.
        startTimeoutMs: a worker that does not say hello for so long is killed.
        stallTimeoutMs: so is one that owes an answer and sends nothing for so long. The slowest thing it does without
            a word is a slice of the largest network for many segments on a small CPU: minutes.
    """

    def __init__(
        self,
        command: list[str] | None = None,
        cancelTimeoutMs: int = 15_000,
        startTimeoutMs: int = 120_000,
        stallTimeoutMs: int = 1_200_000,
    ) -> None:
        self.logReceived = Signal("text")
        self.generation = 0  # counts the processes, so that callers know when a new one has forgotten everything
        self.log = ""
        self._command, self._isOwn = command or [python(), "-m", "SegmentPropagateLib.worker"], command is None
        self._server: Server | None = None
        self._process: qt.QProcess | None = None
        self._ended: qt.QProcess | None = None
        self._pid = 0  # of the worker itself: PythonSlicer is a launcher, and killing it would leave its child alive
        self._greeted = False  # nothing but the first request is sent until the worker answers
        self._lastId = 0
        self._open: dict[int, tuple[Exchange, OnReply]] = {}  # requests that have no final reply yet
        self._outgoing: deque[_Outgoing] = deque()
        self._decoder = Decoder()
        self._incoming: deque[Message] = deque()  # read and not yet delivered
        self._cause = ""
        self._cancelTimer = self._timer(cancelTimeoutMs, self._onCancelTimeout)
        self._startTimer = self._timer(startTimeoutMs, self._onStartTimeout)
        self._readTimer = self._timer(0, self._onOutput)
        self._failTimer = self._timer(0, self._onFailedToStart)
        self._stallTimeoutMs, self._cancelTimeoutMs, self._silentTicks = stallTimeoutMs, cancelTimeoutMs, 0
        self._stallTimer = self._timer(stallTimeoutMs // STALL_TICKS, self._onSilence)

    @property
    def isRunning(self) -> bool:
        """Whether a worker is alive."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """Process id of the worker itself, which a launcher may hide; 0 until it has answered."""
        return self._pid

    def computeOn(self, server: Server | None) -> None:
        """Have a server's worker, or None for this computer's, from the next request on; an idle one is ended.

        Raises:
            InputError: a request is under way.
        """
        if server == self._server:
            return
        if any(exchange.is_awaited for exchange, _onReply in self._open.values()):
            raise InputError(
                _("The computing process is busy: cancel what it does, or wait, before you choose where to compute.")
            )
        self.stop()
        self._server = server

    def request(self, request: Request, onReply: OnReply) -> int:
        """Send a request; `onReply(Reply)` is called for each reply. Returns the id for `cancel`.

        Raises:
            MessageError: it cannot be sent.
        """
        self._ensureStarted()
        return self._send(request, onReply)

    def cancel(self, requestId: int) -> None:
        """Ask to end a request; its final reply is `Cancelled`, or `Failed` where the worker had to be killed."""
        if requestId not in self._open:
            return
        waiting = [item for item in self._outgoing if item.requestId == requestId and not item.begun]
        if waiting:  # for the worker's start, or behind a volume that is on its way
            self._outgoing.remove(waiting[0])
            self._hand(requestId, Cancelled())
            return
        self._open[requestId][0].cancel()
        self._enqueue(Cancel().to_message(requestId), urgent=True)
        self._cancelTimer.start()

    def kill(self, cause: str = "") -> None:
        """End the worker at once; requests under way end with a `Failed` that gives the cause."""
        if self._process is None:
            return
        self._cause = cause or self._cause
        self._process.kill()
        if self._pid:
            with contextlib.suppress(OSError):  # gone already
                os.kill(self._pid, getattr(signal, "SIGKILL", signal.SIGTERM))

    def stop(self, patienceMs: int = 1000) -> None:
        """End the worker for good, within the patience: module reload, application exit. No callback is called."""
        self._open.clear()
        process = self._process
        if process is None:
            return
        process.closeWriteChannel()
        if not process.waitForFinished(patienceMs):
            self.kill()
            process.waitForFinished(patienceMs)
        self._forget()

    # ---- starting and ending ------------------------------------------------------------------------------------

    @property
    def _words(self) -> list[str]:
        """Program and arguments."""
        return self._command if self._server is None else [python(), *self._server.arguments]

    @property
    def _environment(self) -> qt.QProcessEnvironment:
        return libraryEnvironment(self._isOwn) if self._server is None else clientEnvironment(self._server)

    def _ensureStarted(self) -> None:
        if self._process is not None:
            return
        self.generation += 1
        self._decoder, self._cause, self._pid, self._greeted = Decoder(), "", 0, False
        self._outgoing.clear()
        process = qt.QProcess()
        process.setProcessEnvironment(self._environment)
        process.setWorkingDirectory(libraryFolder())  # Python looks there first, which may be the patient's folder
        process.connect("readyReadStandardOutput()", self._onOutput)
        process.connect("readyReadStandardError()", self._onLog)
        process.connect("bytesWritten(qint64)", self._onWritten)
        process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)
        process.connect("errorOccurred(QProcess::ProcessError)", self._onProcessError)
        self._process = process
        process.start(self._words[0], self._words[1:])
        self._startTimer.start()
        self._lastId += 1
        hello = Hello()
        self._open[self._lastId] = Exchange(hello), self._onHello
        process.write(qt.QByteArray(encode(hello.to_message(self._lastId))[0]))

    def _onHello(self, reply: Reply) -> None:
        self._startTimer.stop()
        if isinstance(reply, Welcome):
            self._pid, self._greeted = reply.pid, True
            self._listen()
            self._pump()
        elif isinstance(reply, Failed):
            self._breakOff(reply.sentence)

    def _onProcessError(self, error: Any) -> None:
        if failedToStart(error):  # no finished() follows; on Windows it comes before start() returns
            self._failTimer.start()

    def _onFailedToStart(self) -> None:
        if self._process is not None:
            self._end(_("The computing process could not be started ({program}).").format(program=self._words[0]))

    def _onFinished(self, exitCode: int, _exitStatus: Any = None) -> None:
        self._onLog()
        process = self._process
        try:
            while process is not None and self._process is process and (process.bytesAvailable() or self._incoming):
                self._onOutput()
        finally:
            if self._process is process:  # else what it sent last has led to another one
                sentence = _("The computing process ended unexpectedly (code {code}): try again, or see Details.")
                self._end(self._cause or self._lastWords(exitCode) or sentence.format(code=exitCode))

    def _lastWords(self, exitCode: int) -> str:
        """Why the stand-in of a server ended: the last line of its log, with a code that says so; else nothing."""
        lines = self.log.strip().splitlines() if self._server and exitCode in TOLD_CODES else []
        return lines[-1] if lines else ""

    def _breakOff(self, sentence: str) -> None:
        """The worker cannot be talked to: end it, and do not wait until it has ended."""
        self._onLog()
        self.kill()
        self._end(sentence)

    def _end(self, sentence: str) -> None:
        """Answer every open request with the sentence; the next request starts a new worker."""
        self._forget()
        answered, self._open = self._open, {}
        with contextlib.ExitStack() as everyone:  # is told, also where it goes wrong for one of them
            for _exchange, onReply in reversed(answered.values()):
                everyone.callback(onReply, Failed("died", printable(sentence)))

    def _forget(self) -> None:
        self._cancelTimer.stop()
        self._startTimer.stop()
        self._stallTimer.stop()
        process, self._process, self._pid, self._greeted = self._process, None, 0, False
        self._outgoing.clear()
        self._incoming.clear()
        if process is not None:
            process.blockSignals(True)
            self._ended = process  # one of its signals may be on the stack: deleting it now would crash

    def _onCancelTimeout(self) -> None:
        self.kill(_("The computing process did not stop when asked to and was ended; the next run starts a new one."))

    def _onStartTimeout(self) -> None:
        self.kill(_("The computing process did not answer after its start and was ended; see Details."))

    def _listen(self) -> None:
        """Count the worker's silence from now on, while it owes an answer."""
        self._silentTicks = 0
        if self._greeted and self._open:
            self._stallTimer.setInterval(self._patienceMs // STALL_TICKS)
            self._stallTimer.start()
        else:
            self._stallTimer.stop()

    @property
    def _patienceMs(self) -> int:
        """How long the worker may be silent: it may compute for long, but sends a message in one go."""
        return self._stallTimeoutMs if self._decoder.between_messages else self._cancelTimeoutMs

    def _onSilence(self) -> None:
        self._silentTicks += 1
        if self._silentTicks < STALL_TICKS:
            self._stallTimer.start()
            return
        self.kill(
            _("The computing process sent nothing for {time} and was ended; the next run starts a new one.").format(
                time=duration(self._patienceMs / 1000)
            )
        )

    # ---- bytes --------------------------------------------------------------------------------------------------

    def _send(self, request: Request, onReply: OnReply) -> int:
        self._lastId += 1
        self._enqueue(request.to_message(self._lastId))
        self._open[self._lastId] = Exchange(request), onReply
        if not self._stallTimer.active:
            self._listen()
        return self._lastId

    def _enqueue(self, message: Message, urgent: bool = False) -> None:
        """Queue a message behind the others; an urgent one goes before every message that has not begun."""
        head, payload = encode(message)
        item = _Outgoing(int(message.header["id"]), [memoryview(head), payload])
        if urgent:
            self._outgoing.insert(int(bool(self._outgoing) and self._outgoing[0].begun), item)
        else:
            self._outgoing.append(item)
        self._pump()

    def _onWritten(self, _count: int = 0) -> None:
        self._listen()
        self._pump()

    def _pump(self) -> None:
        """Hand the process one chunk at a time, so that no slot takes long and little is held twice."""
        process = self._process
        while process is not None and self._greeted and self._outgoing and process.bytesToWrite() < CHUNK_BYTES:
            item = self._outgoing[0]
            item.begun, parts = True, item.parts
            process.write(qt.QByteArray(bytes(parts[0][:CHUNK_BYTES])))
            parts[0] = parts[0][CHUNK_BYTES:]
            while parts and not len(parts[0]):
                parts.pop(0)
            if not parts:
                self._outgoing.popleft()

    def _onOutput(self) -> None:
        """Take a few slices at a time: a quick model on a large volume must not hold the main thread."""
        if self._process is None:
            return
        data = self._process.read(READ_BYTES).data()
        if self._process.bytesAvailable():
            self._readTimer.start()
        try:
            self._incoming.extend(self._decoder.feed(data or b""))
        except MessageError as error:
            self._breakOff(_unreadable(error))
            return
        process = self._process
        try:
            while self._incoming and self._process is process:  # what was sent, or what it led to, may end the worker
                self._deliver(self._incoming.popleft())
        finally:
            if self._incoming:  # one of them could not be taken, the others are not lost
                self._readTimer.start()
        if self._process is process:
            self._listen()

    def _deliver(self, message: Message) -> None:
        try:
            requestId, reply = self._read(message)
        except MessageError as error:
            self._breakOff(str(error) if isinstance(error, ProtocolError) else _unreadable(error))
        else:
            self._hand(requestId, reply)

    def _read(self, message: Message) -> tuple[int, Reply]:
        """The id and the reply that a message is; MessageError where it is none to an open request."""
        requestId = identity_of(message)
        if requestId not in self._open:
            word = shown(message.header.get("type"))
            raise MessageError(f"There is no open request {requestId} that {word} could answer.")
        return requestId, self._open[requestId][0].read(message)

    def _hand(self, requestId: int, reply: Reply) -> None:
        _exchange, onReply = self._open[requestId]
        if reply.final:
            del self._open[requestId]
            self._cancelTimer.stop()
        onReply(reply)

    def _onLog(self) -> None:
        if self._process is None:
            return
        data = self._process.readAllStandardError().data()
        if data:
            text = data.decode("utf-8", "replace")
            self.log = (self.log + text)[-LOG_CHARACTERS:]
            self.logReceived.emit(text)

    @staticmethod
    def _timer(milliseconds: int, slot: Callable[[], None]) -> qt.QTimer:
        timer = qt.QTimer()
        timer.setSingleShot(True)
        timer.setInterval(milliseconds)
        timer.connect("timeout()", slot)
        return timer


def _unreadable(error: MessageError) -> str:
    return _("The computing process sent something unreadable ({error}); see Details.").format(error=error)
