"""Pictures of the cases of a worklist: made by a process of their own, kept as files, one at a time."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

import qt

from SegmentPropagateLib.formats.worklist import WorkCase, stamp_of
from SegmentPropagateSlicer.Runs.Program import libraryEnvironment, libraryFolder, python

SIZE = 48
COMMAND = ("-m", "SegmentPropagateLib.reports.thumbnails")


class Thumbnails:
    """Asks for one picture after another; what a picture shows decides its file, so that none is made twice.

    Looking for a file is all that is done here, for one case at each turn of the event loop.

    Args:
        folder: where the files are kept.
        parent: timer and process end with it.
        onPicture: called with the name of a case and the file of its picture.
    """

    def __init__(self, folder: Path, parent: qt.QObject, onPicture: Callable[[str, Path], object]) -> None:
        self._folder, self._parent, self._onPicture = folder, parent, onPicture
        self._queue: deque[WorkCase] = deque()
        self._process: qt.QProcess | None = None
        self._asked: tuple[str, Path] | None = None  # what the process draws
        self._failed: set[Path] = set()
        self._output = b""
        self._timer = qt.QTimer(parent)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._advance)

    def want(self, cases: Iterable[WorkCase]) -> None:
        """Show these cases, in this order, instead of those that were wanted before."""
        self._queue = deque(cases)
        self._timer.start()

    def stop(self) -> None:
        """End the process."""
        self._queue.clear()
        self._timer.stop()
        process, self._process, self._asked = self._process, None, None
        if process is not None:
            process.closeWriteChannel()
            process.kill()
            process.waitForFinished(1000)

    def _advance(self) -> None:
        if not self._queue or self._asked is not None:
            return
        case = self._queue.popleft()
        labels = case.labels if case.labels.is_file() else case.draft
        stamps = [(str(path), stamp_of(path)) for path in (case.image, labels) if path is not None]
        target = self._folder / f"{hashlib.sha1(repr((SIZE, stamps)).encode()).hexdigest()}.ppm"
        if target.is_file():
            self._onPicture(case.name, target)
        elif target not in self._failed:
            self._asked = case.name, target
            self._ask([str(case.image), str(labels) if labels is not None else None, str(target), SIZE])
            return
        self._timer.start()

    def _ask(self, request: list[object]) -> None:
        if self._process is None:
            self._output = b""
            self._process = process = qt.QProcess(self._parent)
            process.setProcessEnvironment(libraryEnvironment(True))
            process.setWorkingDirectory(libraryFolder())
            process.connect("readyReadStandardOutput()", self._onOutput)
            process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)
            process.start(python(), list(COMMAND))
        self._process.write(qt.QByteArray(json.dumps(request).encode() + b"\n"))

    def _onOutput(self) -> None:
        if self._process is None:
            return
        self._output += self._process.readAllStandardOutput().data()
        while b"\n" in self._output:
            _line, _mark, self._output = self._output.partition(b"\n")
            self._onAnswer()

    def _onFinished(self, *_status: object) -> None:
        """The process has died of a file: the next case has a new one."""
        if self._process is not None:
            self._process = None
            self._onAnswer()

    def _onAnswer(self) -> None:
        """There is a picture, or there will be none."""
        if self._asked is not None:
            (name, target), self._asked = self._asked, None
            if target.is_file():
                self._onPicture(name, target)
            else:
                self._failed.add(target)
        self._timer.start()
