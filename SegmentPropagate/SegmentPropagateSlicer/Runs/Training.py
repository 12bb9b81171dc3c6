"""Fine-tuning on finished cases as a process of its own, beside the worker: annotating and propagating go on."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateSlicer.Runs.Program import failedToStart, libraryEnvironment, python
from SegmentPropagateSlicer.Values.Signal import Signal

LEAST_CASES = 3
"""A gain on the only case that is set aside was lost on others as often as not: two are set aside, one is learned."""
KILLED_MS = 2000


class Training:
    """One at a time. Its files lie in a folder of their own, which goes when it ends; the model comes out of it.

    Signals: `changed()` with every line of progress and at the end, `failed(sentence)`.

    Attributes:
        points: `(step, validation DSC)`, the first one of the starting point, step 0.
        step: of the last line.
        steps: in all; 0 as long as that is not known.
        secondsLeft: None as long as that is not known.
        learned: the new model's file, once it has turned out better.
        sentence: what came of it, once it has ended.

    Args:
        command: program and first arguments; None runs the library's command line in Slicer's own Python.
    """

    def __init__(self, command: list[str] | None = None) -> None:
        self.changed, self.failed = Signal(), Signal("sentence")
        self._command = command or [python(), "-m", "SegmentPropagateLib"]
        self._process: qt.QProcess | None = None
        self._rest = b""
        self._forget()

    def _forget(self) -> None:
        self.points: list[tuple[int, float]] = []
        self.step, self.steps = 0, 0
        self.secondsLeft: float | None = None
        self.learned: Path | None = None
        self.sentence = ""
        self._facts: Mapping[str, Any] = {}
        self._pid = 0
        self._folder: Path | None = None
        self._model = Path()

    @property
    def isRunning(self) -> bool:
        """Whether it goes on."""
        return self._process is not None

    def start(self, worklist: Path, caseCount: int, model: str, device: str) -> None:
        """Begin; the model that comes of it will lie beside the worklist.

        Args:
            worklist: `worklist.json`, whose cases that are done are learned from.
            caseCount: how many these are.
            model: name or file to start from.
            device: what to compute on, see `RunSettings`.

        Raises:
            InputError: there are too few cases, one is going on, or the folder cannot be written to.
        """
        self._checkFree()
        if caseCount < LEAST_CASES:
            text = _("{count} cases are done, {least} are needed: two of them tell whether what is learned helps.")
            raise InputError(text.format(count=caseCount, least=LEAST_CASES))
        self._forget()
        try:
            self._folder = Path(tempfile.mkdtemp(prefix=".learning-", dir=worklist.parent))
        except OSError as error:
            raise InputError(_("The folder '{folder}' cannot be written to.").format(folder=worklist.parent)) from error
        self._model = _freeName(worklist.parent)
        aside = max(2, round(caseCount / 4))
        words = ["finetune", str(worklist), "--init", model, "-o", str(self._folder / self._model.name)]
        words += ["--background", "--skip-bad", "--device", device, "--method", "full"]  # opens without its base
        words += ["--validation", str(aside / caseCount)]
        self._run(words, self._folder)

    def startForProject(self, project: Path, device: str) -> None:
        """Begin a round of a project, whose schedule it follows, and which keeps the model that comes of it.

        Args:
            project: its folder.
            device: what to compute on, see `RunSettings`.

        Raises:
            InputError: one is going on.
        """
        self._checkFree()
        self._forget()
        self._run(["project", "learn", str(project), "--now", "--background", "--device", device], project)

    def _checkFree(self) -> None:
        if self.isRunning:
            raise InputError(_("A training is going on: wait for its end, or cancel it."))

    def _run(self, words: list[str], folder: Path) -> None:
        process = qt.QProcess()
        process.connect("readyReadStandardOutput()", self._onOutput)
        process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)
        process.connect("errorOccurred(QProcess::ProcessError)", self._onError)
        process.setProcessEnvironment(libraryEnvironment(isModule=True))
        process.setWorkingDirectory(str(folder))
        program, *arguments = self._command
        self._process, self._rest = process, b""
        process.start(program, [*arguments, *words])
        self.changed.emit()

    def cancel(self) -> None:
        """Stop; nothing of it is left."""
        if self._process is not None:
            self._end(_("Learning was cancelled: the present model stays as it is."))

    def stop(self) -> None:
        """The panel is closed."""
        if self._process is not None:
            self._end("")

    def _onOutput(self) -> None:
        if self._process is None:
            return
        *lines, self._rest = (self._rest + bytes(self._process.readAllStandardOutput().data())).split(b"\n")
        for line in lines:
            try:
                found = json.loads(line)
            except ValueError:
                continue  # of a library that prints
            if isinstance(found, dict):
                self._take(found)
        if lines:
            self.changed.emit()

    def _take(self, found: Mapping[str, Any]) -> None:
        if "pid" in found:
            self._pid = found["pid"]
        elif "kept_start" in found:
            self._facts = found
        else:
            self._takeStep(found)

    def _takeStep(self, found: Mapping[str, Any]) -> None:
        self.step, self.steps, self.secondsLeft = found["step"], found["steps"], found["seconds_left"]
        if "validation_dsc" in found:
            self.points.append((found["step"], found["validation_dsc"]))

    def _onFinished(self, *_status: object) -> None:
        process = self._process
        if process is None:
            return
        self._onOutput()
        said = bytes(process.readAllStandardError().data()).decode(errors="replace").strip().splitlines()
        if process.exitCode() or not self._facts:
            reason = said[-1].removeprefix("segment-propagate: ") if said else _("it ended without a word.")
            self._fail(_("Learning failed: {reason}").format(reason=reason))
        elif self._facts["kept_start"]:
            text = _("No better than the present model (Dice overlap {dsc:.3f} on cases set aside): kept.")
            self._end(text.format(dsc=self._facts["start_dsc"]))
        else:
            self._keep()

    def _keep(self) -> None:
        """Take the model out of the folder that goes; a project has its own place for it."""
        if self._folder is None:
            self._model = Path(self._facts["model"])
        else:
            try:
                self._folder.joinpath(self._model.name).replace(self._model)
            except OSError as error:
                self._fail(_("Learning failed: {reason}").format(reason=str(error)))
                return
        self.learned = self._model
        text = _("Better than the present model: Dice overlap {dsc:.3f} instead of {start:.3f} on cases set aside.")
        self._end(text.format(dsc=self._facts["validation_dsc"], start=self._facts["start_dsc"]))

    def _onError(self, error: object) -> None:
        if failedToStart(error):
            self._fail(_("Learning failed: {reason}").format(reason=_("Slicer's Python could not be started.")))

    def _fail(self, sentence: str) -> None:
        if self._process is not None:
            self._end(sentence)
            self.failed.emit(sentence)

    def _end(self, sentence: str) -> None:
        process, self._process = self._process, None
        if process is not None:
            if (
                self._pid and process.state() != qt.QProcess.NotRunning
            ):  # PythonSlicer is a launcher: its child is meant
                with contextlib.suppress(OSError):
                    os.kill(self._pid, getattr(signal, "SIGKILL", signal.SIGTERM))
            process.kill()
            process.waitForFinished(KILLED_MS)
            process.deleteLater()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder, self.sentence = None, sentence
        self.changed.emit()


def _freeName(folder: Path) -> Path:
    """`learned-1.pt`, or the next number that no file has: models that came of earlier ones stay."""
    number = 1
    while (folder / f"learned-{number}.pt").exists():
        number += 1
    return folder / f"learned-{number}.pt"
