"""Pictures of the panel in its states, light and dark.

    python screenshot_panel.py FOLDER [STATE...]

The widgets of Slicer are stand-ins (Testing/Harness), so the look of a real Slicer differs in details.
"""

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
for folder in ("Testing/Slicer", "Testing/Harness", "SegmentPropagate", "."):
    sys.path.insert(0, str(ROOT / folder))

import numpy as np
from PIL import Image
from slicer_harness import mrml, panel

WIDTH = 430


class TorchMissing:
    """An installer that says what a fresh Slicer lacks."""

    def sentence(self):
        from SegmentPropagateSlicer.Panel.Installer import sentenceAbout

        return sentenceAbout(["torch", "sam2"])


def idle(slicer, widget):
    """A volume and an empty segmentation."""


def prompted(slicer, widget):
    """One key slice and a range."""
    widget.prompt.addKey()
    widget.range.give(7, 29)


def points(slicer, widget):
    """Points instead of an outline."""
    widget.prompt.chooseMode("points")


def running(slicer, widget):
    """Half way through the range."""
    from panel_double import drawnScores

    prompted(slicer, widget)
    slicer.app.processEvents()
    widget.logic.scores = [score for score in drawnScores(7, 29, 18) if 18 <= score["sliceIndex"] <= 27]
    widget.run.toggle()
    widget.logic.statusChanged.emit("Propagating...")
    widget.logic.progressChanged.emit(9, 22, 12.0)


def outline(slicer, widget, segmentId, index, center, radii):
    """Draw an ellipse `(row, column)` into a segment on an axial slice."""
    parameters, (row, column) = widget.context.parameters, np.indices((64, 64))
    shape = slicer.util.arrayFromVolume(parameters.volume).shape
    found = slicer.util.arrayFromSegmentBinaryLabelmap(parameters.segmentation, segmentId, parameters.volume)
    mask = np.zeros(shape, np.uint8) if found is None else found.astype(np.uint8)
    mask[index] = ((row - center[0]) / radii[0]) ** 2 + ((column - center[1]) / radii[1]) ** 2 < 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, parameters.segmentation, segmentId, parameters.volume)


def review(slicer, widget):
    """A finished proposal for two segments, with one jump; a locked slice."""
    from panel_double import drawnScores
    from SegmentPropagateSlicer.Values.Key import Key

    kidney, spleen = widget.context.parameters.segmentation.GetSegmentation().GetSegmentIDs()
    outline(slicer, widget, kidney, 12, (30, 36), (6, 7.6))
    outline(slicer, widget, spleen, 15, (38, 18), (7, 5))
    for segmentId in (spleen, kidney):
        widget.ui.segmentEditor.setCurrentSegmentID(segmentId)
        widget.range.give(7, 29)
    widget.context.parameters.segment = "*"
    running(slicer, widget)
    keys = [Key(spleen, "axial", 15, 241.0), Key(kidney, "axial", 12, 308.0, confirmed=True)]
    widget.logic.setKeys([*keys, *widget.logic.keys])
    widget.logic.startSession([kidney, spleen], 7, 29)
    scores = drawnScores(7, 29, 18, jump=(24, 25))
    scores[12 - 7].update(confirmed=True, source="key")
    widget.logic.scores = {kidney: scores, spleen: drawnScores(7, 29, 15)}
    widget.context.status.clear()
    widget.logic.go("review")
    slicer.app.processEvents()
    widget.review.nextSuspicious()


def error(slicer, widget):
    """The worker died."""
    prompted(slicer, widget)
    widget.context.status.log("Killed")
    widget.logic.errorOccurred.emit("The worker ended unexpectedly (code 9): try again, or see Details.")


def missing(slicer, widget):
    """PyTorch is not installed."""


def template(slicer, widget):
    """A template of segments, and the first of them before her."""
    path = Path(slicer.app.temporaryPath) / "organs.json"
    path.write_text('[{"name": "Liver", "color": "#dd8265"}, "Pancreas", "Stomach"]', encoding="utf-8")
    widget.objects.choose(str(path))
    widget.objects.next()
    widget.steps.open("inputs")


def suggesting(slicer, widget):
    """Finished cases are being laid over the image."""
    from SegmentPropagateLib.worker.replies import Suggesting

    widget.suggest.useSupport(str(Path(slicer.app.temporaryPath) / "finished"))
    widget.prompt.chooseMode("suggest")
    widget.suggest.suggest()
    widget.logic.runner.answer(Suggesting(7, 23))
    widget.context.status.say("Laying the finished cases over the image...")


def suggest(slicer, widget):
    """Drafts of four organs: two sure, one unsure, one not here; one has been used."""
    from suggest_double import answer

    suggesting(slicer, widget)
    answer(widget.logic.runner)


def cases(slicer, widget):
    """A worklist of five images, two of them done."""
    from day import drawFolder

    folder = Path(slicer.app.temporaryPath) / "scans"
    shutil.rmtree(folder, ignore_errors=True)
    drawFolder(folder, [f"patient-{number:03d}" for number in range(1, 6)])
    widget.cases.use(str(folder))
    for _case in range(2):
        widget.ui.caseDoneButton.click()
        widget.cases.next()
        slicer.app.processEvents()
    widget.steps.open("cases")


STATES = {
    f.__name__: f
    for f in (idle, prompted, points, running, review, error, missing, template, suggesting, suggest, cases)
}


def save(widget, path):
    """A small PNG: a panel has few colors."""
    widget.grab().save(str(path))
    Image.open(path).convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        path, optimize=True
    )


def main():
    """Draw the pictures."""
    slicer = panel.bootstrap(os.environ.get("REAL_SLICER_PYTHON"))
    from panel_double import DrivenLogic, NothingMissing, fillScene

    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for state in sys.argv[2:] or STATES:
        for dark in (False, True):
            mrml.clear_scene()
            panel.use_theme(dark)
            widget = panel.load_module(
                ROOT / "SegmentPropagate" / "SegmentPropagate.py",
                logic=DrivenLogic(),
                installer=TorchMissing() if state == "missing" else NothingMissing(),
            )
            widget.parent.resize(WIDTH, 400)
            slicer.app.userSettings().clear()
            fillScene(slicer)
            widget.enter()
            slicer.app.processEvents()
            STATES[state](slicer, widget)
            widget.parent.resize(WIDTH, 400)
            for _pass in range(3):  # layouts settle
                slicer.app.processEvents()
                widget.parent.resize(WIDTH, widget.parent.sizeHint.height())
            widget.refresh()
            slicer.app.processEvents()
            save(widget.parent, folder / f"panel-{state}-{'dark' if dark else 'light'}.png")
            widget.exit()
            widget.cleanup()
            widget.parent.hide()
            widget.parent.deleteLater()
            slicer.app.processEvents()


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # all is written; Qt crashes when Python deletes what is left of the scene in any order
