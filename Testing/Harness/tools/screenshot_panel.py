"""Pictures of the panel in its states, light and dark, over a phantom and the real worker.

    python screenshot_panel.py FOLDER [STATE...]

What is propagated is propagated: the bars of a review are the scores of the bundled network on the phantom. The widgets
of Slicer are stand-ins (Testing/Harness), so the look of a real Slicer differs in details.
"""

import os
import shutil
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
for folder in ("Testing/Slicer", "Testing/Harness", "SegmentPropagate", "."):
    sys.path.insert(0, str(ROOT / folder))

import numpy as np
from PIL import Image
from SegmentPropagateSlicer.Values.State import State
from slicer_harness import mrml, panel

from SegmentPropagateLib.formats.writing import write_segmentation, write_volume
from SegmentPropagateLib.phantoms.phantom import make_phantom
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateLib.volumes.volume import Volume

WIDTH, PATIENCE_S = 430, 600
SEED, SHAPE_KJI = 6, (48, 160, 160)
KIDNEY, LIVER = "Left kidney", "Liver"


class TorchMissing:
    """An installer that says what a fresh Slicer lacks."""

    def reachesServers(self):
        return False

    def sentence(self):
        from SegmentPropagateSlicer.Panel.Installer import sentenceAbout

        return sentenceAbout(["torch", "sam2"])


def fill(slicer):
    """The phantom, a kidney outlined on one slice, and a liver of which nothing is drawn yet."""
    phantom = make_phantom(SEED, "organs", SHAPE_KJI)
    k, j, i = phantom.spacing_kji_mm
    volume = slicer.util.addVolumeFromArray(phantom.values, ijkToRAS=np.diag([-i, -j, k, 1.0]), name="Abdomen CT")
    volume.CreateDefaultDisplayNodes()
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for name, color in ((KIDNEY, (0.93, 0.6, 0.18)), (LIVER, (0.66, 0.45, 0.82))):
        segment_id = segmentation.GetSegmentation().AddEmptySegment("", name)
        segmentation.GetSegmentation().GetSegment(segment_id).SetColor(*color)
    organs = {KIDNEY: phantom.labels == 1, LIVER: phantom.labels == 4}
    outline(slicer, segmentation, volume, 0, organs[KIDNEY])
    return volume, segmentation, organs


def outline(slicer, segmentation, volume, number, organ):
    """Draw an organ on the slice that shows most of it; returns the slice, and where the organ begins and ends."""
    areas = organ.sum(axis=(1, 2))
    key, there = int(areas.argmax()), np.flatnonzero(areas)
    mask = np.zeros(organ.shape, np.uint8)
    mask[key] = organ[key]
    segment_id = segmentation.GetSegmentation().GetNthSegmentID(number)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, segment_id, volume)
    return key, int(there[0]), int(there[-1])


def idle(slicer, widget):
    """A volume and an empty segmentation."""


def add_key(slicer, widget, number, name):
    """Outline an organ, make the slice a key and give the range."""
    parameters = widget.context.parameters
    segmentation, volume = parameters.segmentation, parameters.volume
    widget.ui.segmentEditor.setCurrentSegmentID(segmentation.GetSegmentation().GetNthSegmentID(number))
    slicer.app.processEvents()
    key, first, last = outline(slicer, segmentation, volume, number, widget.organs[name])
    widget.context.jumpToSlice(key)
    widget.prompt.addKey()
    widget.range.give(first, last)
    slicer.app.processEvents()


def prompted(slicer, widget):
    """One key slice and a range."""
    add_key(slicer, widget, 0, KIDNEY)


def points(slicer, widget):
    """Points instead of an outline."""
    widget.prompt.chooseMode("points")


def wait(slicer, is_done):
    """Let the worker work."""
    end = time.monotonic() + PATIENCE_S
    while not is_done():
        if time.monotonic() > end:
            sys.exit("the worker takes too long")
        slicer.app.processEvents()
        time.sleep(0.005)


def propagate(slicer, widget):
    """Both organs, with the bundled network."""
    widget.context.parameters.model = "starter"
    add_key(slicer, widget, 0, KIDNEY)
    add_key(slicer, widget, 1, LIVER)
    widget.context.parameters.segment = "*"
    slicer.app.processEvents()
    widget.run.toggle()


def running(slicer, widget):
    """Half way through the range."""
    bar = widget.ui.progressBar
    propagate(slicer, widget)
    wait(slicer, lambda: bar.maximum > 0 and bar.value >= bar.maximum // 2)


def review(slicer, widget):
    """A finished proposal for two segments, at the slice that is most worth a look; a locked slice."""
    propagate(slicer, widget)
    wait(slicer, lambda: widget.logic.state not in State.BUSY)
    slicer.app.processEvents()
    widget.review.nextSuspicious()
    key = next(key for key in widget.logic.keys if key.segmentId == widget.review.segmentId())
    widget.logic.confirmSlices(key.segmentId, [key.sliceIndex - 5])


def error(slicer, widget):
    """The worker died."""
    prompted(slicer, widget)
    widget.context.status.log("Killed")
    widget.logic.errorOccurred.emit("The computing process ended unexpectedly (code 9): try again, or see Details.")


def missing(slicer, widget):
    """PyTorch is not installed."""


def template(slicer, widget):
    """A template of segments, and the first of them before her."""
    path = Path(slicer.app.temporaryPath) / "organs.json"
    path.write_text('[{"name": "Liver", "color": "#dd8265"}, "Pancreas", "Stomach"]', encoding="utf-8")
    widget.objects.choose(str(path))
    widget.objects.next()
    widget.steps.open("inputs")


def finish(slicer, widget):
    """A folder with a finished case: the patient's earlier scan, so to say, with two organs."""
    folder = Path(slicer.app.temporaryPath) / "finished" / "patient-000"
    shutil.rmtree(folder.parent, ignore_errors=True)
    folder.mkdir(parents=True)
    phantom = make_phantom(SEED, "organs", SHAPE_KJI)
    k, j, i = phantom.spacing_kji_mm
    grid = Geometry(SHAPE_KJI, np.diag([-i, -j, k, 1.0]))
    noise = np.random.default_rng(1).normal(0, 10, SHAPE_KJI)
    write_volume(folder / "image.nrrd", Volume((phantom.values + noise).astype(np.int16), grid))
    organs = dict(enumerate(widget.organs.values(), start=1))
    named = [SegmentInfo(value, name, (0.9, 0.6, 0.2)) for value, name in enumerate(widget.organs, start=1)]
    write_segmentation(folder / "labels.seg.nrrd", organs, grid, named)
    return folder.parent


def suggesting(slicer, widget):
    """Finished cases are being laid over the image."""
    widget.suggest.useSupport(str(finish(slicer, widget)))
    widget.prompt.chooseMode("suggest")
    widget.suggest.suggest()
    wait(slicer, lambda: widget.ui.progressBar.value > 0 or not widget.logic.suggestions.isAsking)


def suggest(slicer, widget):
    """What a finished case suggests, to be looked at and ticked."""
    suggesting(slicer, widget)
    wait(slicer, lambda: not widget.logic.suggestions.isAsking)


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
    wait(slicer, lambda: not any(widget.ui.caseTable.item(row, 0).icon().isNull() for row in range(5)))


def project(slicer, widget):
    """A project of five images, the first of which is accepted; the ledger is written by its own process."""
    from day import drawFolder

    from SegmentPropagateLib.cli import main as command

    folder = Path(slicer.app.temporaryPath) / "project"
    shutil.rmtree(folder, ignore_errors=True)
    images = drawFolder(folder / "images", [f"patient-{number:03d}" for number in range(1, 6)])
    words = ["--label", KIDNEY, LIVER, "--model", "starter", "--quiet"]
    command(["project", "init", str(folder / "kidneys"), str(images), *words])
    widget.cases.use(str(folder / "kidneys" / "project.json"))
    slicer.app.processEvents()
    widget.ui.caseDoneButton.click()
    widget.cases.next()
    widget.steps.open("cases")
    wait(slicer, lambda: "1 of 5" in widget.ui.projectLabel.text and not widget.collector.isRunning)
    wait(slicer, lambda: not any(widget.ui.caseTable.item(row, 0).icon().isNull() for row in range(5)))


def standin(state):
    """In place of a training that takes hours."""
    from SegmentPropagateSlicer.Runs.Training import Training

    how = {"learning": "waits", "learned": "better"}.get(state)
    return Training([sys.executable, str(ROOT / "Testing" / "Slicer" / "learning_process.py"), how]) if how else None


def learning(slicer, widget):
    """The bundled network learns from three finished cases, as a stand-in for the training has it."""
    learn(slicer, widget)
    wait(slicer, lambda: len(widget.training.points) == 3)


def learned(slicer, widget):
    """What was learned is better, and waits to be chosen."""
    learn(slicer, widget)
    wait(slicer, lambda: not widget.training.isRunning)


def learn(slicer, widget):
    """Three cases of five are done, and the bundled network learns from them."""
    widget.context.parameters.model = "starter"
    cases(slicer, widget)
    widget.ui.caseDoneButton.click()
    widget.cases.next()
    slicer.app.processEvents()
    widget.ui.learnButton.click()


STATES = {
    f.__name__: f
    for f in (
        *(idle, prompted, points, running, review, error, missing, template, suggesting, suggest, cases),
        *(learning, learned, project),
    )
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
    from panel_double import NothingMissing

    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for state in sys.argv[2:] or STATES:
        for dark in (False, True):
            mrml.clear_scene()
            panel.use_theme(dark)
            widget = panel.load_module(
                ROOT / "SegmentPropagate" / "SegmentPropagate.py",
                installer=TorchMissing() if state == "missing" else NothingMissing(),
                training=standin(state),
            )
            widget.parent.resize(WIDTH, 400)
            slicer.app.userSettings().clear()
            _volume, _segmentation, widget.organs = fill(slicer)
            widget.enter()
            slicer.app.processEvents()
            widget.context.jumpToSlice(SHAPE_KJI[0] // 2)
            slicer.app.processEvents()
            STATES[state](slicer, widget)
            widget.parent.resize(WIDTH, 400)
            for _pass in range(3):  # layouts settle
                slicer.app.processEvents()
                widget.parent.resize(WIDTH, widget.parent.sizeHint.height())
            widget.refresh()
            slicer.app.processEvents()
            save(widget.parent, folder / f"panel-{state}-{'dark' if dark else 'light'}.png")
            panel.unload_module(widget)
    mrml.clear_scene()


if __name__ == "__main__":
    main()
