"""Which devices this machine can run a network on, without importing torch into Slicer."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import qt
from slicer.i18n import tr as _


class Devices:
    """The choices of the device list; NVIDIA cards are asked for in the background.

    Args:
        onFound: called without arguments when the names of the cards are known.
        parent: the process ends with it.
        program: path of nvidia-smi; None looks for it.
    """

    def __init__(self, onFound: Callable[[], object], parent: qt.QObject, program: str | None = None) -> None:
        self.cards: list[str] = []
        self._onFound = onFound
        self._process = qt.QProcess(parent)
        self._process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)
        program = program or findNvidiaSmi()
        if program:
            self._process.start(program, ["--query-gpu=name", "--format=csv,noheader"])

    def choices(self) -> list[tuple[str, str]]:
        """`(value, text)` per device."""
        cards = [(f"cuda:{n}", name) for n, name in enumerate(self.cards)]
        apple = sys.platform == "darwin" and platform.machine() == "arm64"
        return [
            ("auto", _("Automatic")),
            *cards,
            *([("mps", _("Apple graphics (MPS)"))] if apple else []),
            ("cpu", _("CPU")),
        ]

    def _onFinished(self) -> None:
        text = bytes(self._process.readAllStandardOutput().data()).decode(errors="replace")
        if self._process.exitCode() == 0:
            self.cards = [line.strip() for line in text.splitlines() if line.strip()]
        self._onFound()

    def stop(self) -> None:
        """Ask no longer."""
        self._process.kill()
        self._process.waitForFinished(500)


def findNvidiaSmi() -> str | None:
    """Path of nvidia-smi, or None.

    Not by `shutil.which`: on Windows that looks into the current folder first, and everywhere into relative entries of
    PATH. What lies there may have come with the data.
    """
    name = "nvidia-smi.exe" if sys.platform == "win32" else "nvidia-smi"
    paths = [Path(folder, name) for folder in os.get_exec_path() if Path(folder).is_absolute()]
    return next((str(path) for path in paths if path.is_file() and os.access(path, os.X_OK)), None)
