"""`segment-propagate project ...` as a process of its own: what takes longer than a panel may stand still."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import qt
from slicer.i18n import tr as _

from SegmentPropagateSlicer.Runs.Program import failedToStart, libraryEnvironment, libraryFolder, python
from SegmentPropagateSlicer.Values.Signal import Signal

COLLECT = ("collect", "--patience", "5")
LAST_MS = 3000
"""How long the panel's end waits for it; what is not taken then is taken the next time."""


class ProjectCommand:
    """One process at a time.

    Signals: `ended(sentence, isWell)`: the last sentence that was told.

    Args:
        words: what to do in a project, and options; to take the panel's notes unless given.
        command: program and first arguments; None runs the library's command line in Slicer's own Python.
    """

    def __init__(self, words: Sequence[str] = COLLECT, command: list[str] | None = None) -> None:
        self.ended = Signal("sentence", "isWell")
        self._words = tuple(words)
        self._command = command or [python(), "-m", "SegmentPropagateLib"]
        self._process: qt.QProcess | None = None

    @property
    def isRunning(self) -> bool:
        """Whether it goes on."""
        return self._process is not None

    def other(self, *words: str) -> ProjectCommand:
        """The same program to do something else."""
        return ProjectCommand(words, self._command)

    def start(self, folder: Path) -> None:
        """Do it in the project of a folder; nothing where it is being done."""
        if self.isRunning:
            return
        self._process = process = qt.QProcess()
        process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)
        process.connect("errorOccurred(QProcess::ProcessError)", self._onError)
        process.setProcessEnvironment(libraryEnvironment(isModule=True))
        process.setWorkingDirectory(libraryFolder())
        program, *arguments = self._command
        process.start(program, [*arguments, "project", *self._words, str(folder.absolute())])

    def stop(self, waits: bool = True) -> None:
        """The panel is closed: it ends, after a while if need be; the ledger is whole whenever it does."""
        process, self._process = self._process, None
        if process is not None and not (waits and process.waitForFinished(LAST_MS)):
            process.kill()
            process.waitForFinished(LAST_MS)

    def _onFinished(self, *_status: object) -> None:
        process, self._process = self._process, None
        if process is not None:
            said = bytes(process.readAllStandardError().data()).decode(errors="replace").strip().splitlines()
            isWell = process.exitCode() == 0
            process.deleteLater()
            self.ended.emit(said[-1].removeprefix("segment-propagate: ") if said else "", isWell)

    def _onError(self, error: object) -> None:
        if failedToStart(error) and self._process is not None:
            self._process = None
            self.ended.emit(
                _("The records of the project are not written: Slicer's Python could not be started."), False
            )
