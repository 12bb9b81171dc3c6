"""How the library's programs are started in Slicer's own Python."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import qt

import SegmentPropagateLib
from SegmentPropagateSlicer.Values.Server import Server


def python() -> str:
    """PythonSlicer, which `shutil.which` would on Windows first look for where Slicer runs; else this Python."""
    folders = [folder for folder in os.get_exec_path() if os.path.isabs(folder)]  # noqa: PTH117 - text, as Qt takes it
    found = [Path(folder, name) for folder in folders for name in ("PythonSlicer", "PythonSlicer.exe")]
    return next((str(path) for path in found if path.is_file()), sys.executable)


def libraryFolder() -> str:
    """Where the library lies; Python looks there first, which may else be the patient's folder."""
    return str(Path(SegmentPropagateLib.__file__).resolve().parent.parent)


def libraryEnvironment(isModule: bool) -> qt.QProcessEnvironment:
    """Slicer's own environment, with the library on Python's path and nothing that depends on where Slicer runs.

    Args:
        isModule: whether `python -m` is started, and not a script, which may import what lies beside it.
    """
    environment = qt.QProcessEnvironment.systemEnvironment()
    known = environment.value("PYTHONPATH", "").split(os.pathsep)
    environment.insert("PYTHONPATH", os.pathsep.join([libraryFolder(), *filter(os.path.isabs, known)]))
    if isModule:
        environment.insert("PYTHONSAFEPATH", "1")
    environment.insert("PYTHONUNBUFFERED", "1")
    environment.insert("PYTHONIOENCODING", "utf-8")
    environment.remove("PYTHONINSPECT")  # would wait for commands at the end
    return environment


def clientEnvironment(server: Server) -> qt.QProcessEnvironment:
    """The same for a server's client, with its token."""
    environment = libraryEnvironment(True)
    for name, value in server.variables.items():
        environment.insert(name, value)
    return environment


def failedToStart(error: object) -> bool:
    """Whether an error of a QProcess is FailedToStart; PythonQt gives enums as numbers, PySide6 as members."""
    return int(getattr(error, "value", error)) == 0  # type: ignore[call-overload, no-any-return]
