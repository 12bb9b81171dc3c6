"""The worker as a QProcess: requests out, replies in, all on the main thread and driven by events."""

import contextlib
import os
import shutil
import signal
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import qt
from slicer.i18n import tr as _

import SegmentPropagateLib
from SegmentPropagateLib.worker.messages import Decoder, Message, MessageError, encode
from SegmentPropagateSlicer.Values.Amounts import duration
from SegmentPropagateSlicer.Values.Signal import Signal

CHUNK_BYTES = 1 << 20  # a slot that hands over so much takes about a millisecond
READ_BYTES = 1 << 18
FINAL = ("hello", "volume", "inspect", "segment", "done", "cancelled", "error")
"""Replies after which nothing more comes for a request."""
LOG_CHARACTERS = 200_000
STALL_TICKS = 10
"""A worker's silence is counted in so many steps, of which a computer that slept for hours misses at most one."""


@dataclass(eq=False)
class _Outgoing:
    requestId: int
    parts: list  # what is left to be written: memoryviews
    begun: bool = False


class WorkerProcess:
    """Starts `python -m SegmentPropagateLib.worker` when it is first needed and keeps it warm.

    Every request gets exactly one final reply: where the worker dies, hangs or cannot be started, an `error` message
    with a sentence.

    Args:
        command: program and arguments; None runs the library's worker in Slicer's own Python.
        cancelTimeoutMs: a worker that does not obey a cancellation for so long is killed.
        startTimeoutMs: a worker that does not say hello for so long is killed.
        stallTimeoutMs: so is one that owes an answer and sends nothing for so long. The slowest thing it does without
            a word is a slice of the largest network for many segments on a small CPU: minutes.
    """

    def __init__(self, command=None, cancelTimeoutMs=15_000, startTimeoutMs=120_000, stallTimeoutMs=1_200_000):
        self.logReceived = Signal("text")
        self.generation = 0  # counts the processes, so that callers know when a new one has forgotten everything
        self.log = ""
        self._command = command or [shutil.which("PythonSlicer") or sys.executable, "-m", "SegmentPropagateLib.worker"]
        self._process = self._ended = None
        self._pid = 0  # of the worker itself: PythonSlicer is a launcher, and killing it would leave its child alive
        self._greeted = False  # nothing but the first request is sent until the worker answers
        self._lastId = 0
        self._callbacks = {}
        self._outgoing = deque()
        self._decoder = None
        self._cause = None
        self._cancelTimer = self._timer(cancelTimeoutMs, self._onCancelTimeout)
        self._startTimer = self._timer(startTimeoutMs, self._onStartTimeout)
        self._readTimer = self._timer(0, self._onOutput)
        self._failTimer = self._timer(0, self._onFailedToStart)
        self._stallTimeoutMs, self._silentTicks = stallTimeoutMs, 0
        self._stallTimer = self._timer(stallTimeoutMs // STALL_TICKS, self._onSilence)

    @property
    def isRunning(self):
        """Whether a worker is alive."""
        return self._process is not None

    def request(self, header, onMessage, array=None):
        """Send a request; `onMessage(Message)` is called for each reply. Returns the id for `cancel`."""
        self._ensureStarted()
        return self._send(header, onMessage, array)

    def cancel(self, requestId):
        """Ask to end a request; its final reply is `cancelled`, or `error` where the worker had to be killed."""
        if requestId not in self._callbacks:
            return
        waiting = [item for item in self._outgoing if item.requestId == requestId and not item.begun]
        if waiting:  # for the worker's start, or behind a volume that is on its way
            self._outgoing.remove(waiting[0])
            self._deliver(Message({"type": "cancelled", "id": requestId}))
            return
        self._enqueue(Message({"type": "cancel", "id": requestId}), urgent=True)
        self._cancelTimer.start()

    def kill(self, cause=None):
        """End the worker at once; requests under way end with an `error` that gives the cause."""
        if self._process is None:
            return
        self._cause = cause or self._cause
        self._process.kill()
        if self._pid:
            with contextlib.suppress(OSError):  # gone already
                os.kill(self._pid, getattr(signal, "SIGKILL", signal.SIGTERM))

    def stop(self, patienceMs=1000):
        """End the worker for good, within the patience: module reload, application exit. No callback is called."""
        self._callbacks.clear()
        process = self._process
        if process is None:
            return
        process.closeWriteChannel()
        if not process.waitForFinished(patienceMs):
            self.kill()
            process.waitForFinished(patienceMs)
        self._forget()

    # ---- starting and ending ------------------------------------------------------------------------------------

    def _ensureStarted(self):
        if self._process is not None:
            return
        self.generation += 1
        self._decoder, self._cause, self._pid, self._greeted = Decoder(), None, 0, False
        self._outgoing.clear()
        process = qt.QProcess()
        process.setProcessEnvironment(_environment())
        process.connect("readyReadStandardOutput()", self._onOutput)
        process.connect("readyReadStandardError()", self._onLog)
        process.connect("bytesWritten(qint64)", self._onWritten)
        process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)
        process.connect("errorOccurred(QProcess::ProcessError)", self._onProcessError)
        self._process = process
        process.start(self._command[0], self._command[1:])
        self._startTimer.start()
        self._lastId += 1
        self._callbacks[self._lastId] = self._onHello
        process.write(qt.QByteArray(encode(Message({"type": "hello", "id": self._lastId}))[0]))

    def _onHello(self, message):
        self._startTimer.stop()
        if message.type == "hello":
            self._pid, self._greeted = int(message.header["pid"]), True
            self._listen()
            self._pump()

    def _onProcessError(self, error):
        if int(_value(error)) == 0:  # FailedToStart: no finished() follows; on Windows it comes before start() returns
            self._failTimer.start()

    def _onFailedToStart(self):
        if self._process is not None:
            self._end(_("The worker could not be started ({program}).").format(program=self._command[0]))

    def _onFinished(self, exitCode, _exitStatus=None):
        self._onLog()
        while self._process is not None and self._process.bytesAvailable():
            self._onOutput()
        sentence = _("The worker ended unexpectedly (code {code}): try again, or see Details.").format(code=exitCode)
        self._end(self._cause or sentence)

    def _end(self, sentence):
        """Answer every open request with the sentence; the next request starts a new worker."""
        self._forget()
        callbacks, self._callbacks = self._callbacks, {}
        for requestId, onMessage in callbacks.items():
            onMessage(Message({"type": "error", "kind": "died", "sentence": sentence, "id": requestId}))

    def _forget(self):
        self._cancelTimer.stop()
        self._startTimer.stop()
        self._stallTimer.stop()
        process, self._process, self._pid, self._greeted = self._process, None, 0, False
        self._outgoing.clear()
        if process is not None:
            process.blockSignals(True)
            self._ended = process  # one of its signals may be on the stack: deleting it now would crash

    def _onCancelTimeout(self):
        self.kill(_("The worker did not stop when asked to and was ended; the next run starts a new one."))

    def _onStartTimeout(self):
        self.kill(_("The worker did not answer after its start and was ended; see Details."))

    def _listen(self):
        """Count the worker's silence from now on, while it owes an answer."""
        self._silentTicks = 0
        if self._greeted and self._callbacks:
            self._stallTimer.start()
        else:
            self._stallTimer.stop()

    def _onSilence(self):
        self._silentTicks += 1
        if self._silentTicks < STALL_TICKS:
            self._stallTimer.start()
            return
        self.kill(
            _("The worker sent nothing for {time} and was ended; the next run starts a new one.").format(
                time=duration(self._stallTimeoutMs / 1000)
            )
        )

    # ---- bytes --------------------------------------------------------------------------------------------------

    def _send(self, header, onMessage, array=None):
        self._lastId += 1
        self._callbacks[self._lastId] = onMessage
        if not self._stallTimer.active:
            self._listen()
        self._enqueue(Message({**header, "id": self._lastId}, array))
        return self._lastId

    def _enqueue(self, message, urgent=False):
        """Queue a message behind the others; an urgent one goes before every message that has not begun."""
        head, payload = encode(message)
        item = _Outgoing(int(message.header["id"]), [memoryview(head), payload])
        if urgent:
            self._outgoing.insert(int(bool(self._outgoing) and self._outgoing[0].begun), item)
        else:
            self._outgoing.append(item)
        self._pump()

    def _onWritten(self, _count=0):
        self._listen()
        self._pump()

    def _pump(self):
        """Hand the process one chunk at a time, so that no slot takes long and little is held twice."""
        while self._greeted and self._outgoing and self._process.bytesToWrite() < CHUNK_BYTES:
            item = self._outgoing[0]
            item.begun, parts = True, item.parts
            self._process.write(qt.QByteArray(bytes(parts[0][:CHUNK_BYTES])))
            parts[0] = parts[0][CHUNK_BYTES:]
            while parts and not len(parts[0]):
                parts.pop(0)
            if not parts:
                self._outgoing.popleft()

    def _onOutput(self):
        """Take a few slices at a time: a quick model on a large volume must not hold the main thread."""
        if self._process is None:
            return
        data = self._process.read(READ_BYTES).data()
        if self._process.bytesAvailable():
            self._readTimer.start()
        try:
            messages = self._decoder.feed(data or b"")
        except MessageError as error:
            self.kill(_("The worker sent something unreadable ({error}); see Details.").format(error=error))
            return
        for message in messages:
            self._deliver(message)
        self._listen()

    def _deliver(self, message):
        requestId = int(message.header.get("id", 0))
        final = message.type in FINAL
        onMessage = self._callbacks.pop(requestId, None) if final else self._callbacks.get(requestId)
        if final:
            self._cancelTimer.stop()
        if onMessage is not None:
            onMessage(message)

    def _onLog(self):
        if self._process is None:
            return
        data = self._process.readAllStandardError().data()
        if data:
            text = data.decode("utf-8", "replace")
            self.log = (self.log + text)[-LOG_CHARACTERS:]
            self.logReceived.emit(text)

    @staticmethod
    def _timer(milliseconds, slot):
        timer = qt.QTimer()
        timer.setSingleShot(True)
        timer.setInterval(milliseconds)
        timer.connect("timeout()", slot)
        return timer


def _value(enum):
    """PythonQt gives enums as numbers, PySide6 as members."""
    return getattr(enum, "value", enum)


def _environment():
    """Slicer's own environment, with the library on Python's path."""
    environment = qt.QProcessEnvironment.systemEnvironment()
    folder = str(Path(SegmentPropagateLib.__file__).resolve().parent.parent)
    known = environment.value("PYTHONPATH", "")
    environment.insert("PYTHONPATH", os.pathsep.join(part for part in (folder, known) if part))
    environment.insert("PYTHONUNBUFFERED", "1")
    environment.insert("PYTHONIOENCODING", "utf-8")
    return environment
