"""A project in the panel: drawn cases, and the ledger written in this process, which is quicker than in another."""

import io
from contextlib import contextmanager, redirect_stderr

from day import dayOf, drawFolder
from SegmentPropagateSlicer.Values.Signal import Signal

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.project.folder import Project


class CommandHere:
    """In place of `ProjectCommand`: does it at once, when `isOn`."""

    def __init__(self, isOn=True, words=("collect",)):
        self.ended, self.isRunning, self.isOn, self.words = Signal("sentence", "isWell"), False, isOn, words

    def other(self, *words):
        return CommandHere(self.isOn, [word for word in words if word != "--background"])

    def start(self, folder):
        if not self.isOn:
            return
        with redirect_stderr(io.StringIO()) as said:
            code = main(["project", *self.words, str(folder)])
        lines = said.getvalue().strip().splitlines()
        self.ended.emit(lines[-1].removeprefix("segment-propagate: ") if lines else "", code == 0)

    def stop(self, waits=True):
        pass


def beginProject(folder, names="abcd", *words):
    """A project of drawn images; returns it."""
    images = drawFolder(folder / "images", names)
    words = ["project", "init", str(folder / "p"), str(images), "--label", "organ", "--model", "classical", *words]
    assert main([*words, "--quiet"]) == 0
    return Project(folder / "p")


@contextmanager
def dayIn(slicer, project, collector=None, **more):
    """The panel with a project open."""
    with dayOf(slicer, collector=collector or CommandHere(), **more) as day:
        day.open(project.folder / "project.json")
        yield day
