"""*Learn from these cases*: a button, the curve of what is learned, and a sentence at the end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import qt
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.worklist import DONE
from SegmentPropagateSlicer.Panel.Context import Context
from SegmentPropagateSlicer.Panel.Installer import Installer
from SegmentPropagateSlicer.Panel.ModelSection import ModelSection
from SegmentPropagateSlicer.Runs.Training import LEAST_CASES, Training
from SegmentPropagateSlicer.Values.Amounts import duration
from SegmentPropagateSlicer.Worklist.Casework import Casework

HEIGHT, TEXT, MARGIN, SHARPNESS = 48, 14, 6, 2
TABLE, TABLE_SHORT, ANY_HEIGHT = 180, 88, 16777215
LINE, START, GROUND = "#3b82d6", "#808080", "#9a9a9a"


class LearnSection:
    """Fine-tunes the chosen model on the cases that are done, in the background.

    Args:
        context: `Context`.
        casework: has the worklist.
        model: takes what was learned.
        installer: says what is missing.
        training: `Training`.
    """

    def __init__(
        self,
        context: Context,
        casework: Casework,
        model: ModelSection,
        installer: Installer,
        training: Training,
    ) -> None:
        self.context, self.training = context, training
        self._casework, self._model, self._installer = casework, model, installer
        self.curve = qt.QLabel()
        self.curve.setMinimumSize(80, HEIGHT)
        self.curve.setMaximumHeight(HEIGHT)
        self.curve.setScaledContents(True)
        self.curve.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Fixed)
        self.curve.setToolTip(
            _("Overlap with the truth (Dice) on the cases that were set aside; the gray line is the present model's.")
        )
        ui, guarded = context.ui, context.status.guarded
        ui.learnHolder.layout().insertWidget(0, self.curve, 1)
        ui.learnButton.connect("clicked()", guarded(self.toggle))
        ui.useLearnedButton.connect("clicked()", guarded(self.use))
        training.changed.connect(guarded(self.refresh))
        training.failed.connect(context.status.complain)

    def toggle(self) -> None:
        """Begin to learn, or cancel it."""
        if self.training.isRunning:
            self.training.cancel()
            return
        worklist, parameters = self._casework.worklist, self.context.parameters
        if worklist is None:
            raise InputError(_("Open a worklist under Cases first."))
        if parameters.model == "classical":
            raise InputError(_("The classical propagator learns nothing: choose a network under Model."))
        missing = self._installer.sentence()
        if missing:
            raise InputError(missing)
        if self._casework.project is not None:
            self.training.startForProject(self._casework.project.project.folder, parameters.device)
        else:
            self.training.start(worklist.path, self._doneCount(), parameters.model, parameters.device)

    def use(self) -> None:
        """Choose the model that was learned."""
        if self.training.learned is not None:
            self._model.useFile(str(self.training.learned))
            self.context.status.say(_("Model: {file}.").format(file=self.training.learned.name))
            self.refresh()

    def _doneCount(self) -> int:
        worklist = self._casework.worklist
        return sum(case.state == DONE for case in worklist.cases) if worklist is not None else 0

    def refresh(self) -> None:
        """Show how far it is."""
        ui, training = self.context.ui, self.training
        running, worklist, learned = training.isRunning, self._casework.worklist, training.learned
        ui.learnButton.setVisible(running or worklist is not None)
        project = self._casework.project
        isEnough = self._doneCount() >= LEAST_CASES if project is None else project.can_learn
        ui.learnButton.enabled = running or isEnough
        ui.learnButton.text = _("Cancel learning") if running else _("Learn from these cases")
        ui.useLearnedButton.setVisible(learned is not None and str(learned) != self.context.parameters.model)
        ui.learnLabel.text = self._progress() if running else training.sentence
        self.curve.setVisible(bool(training.points))
        ui.learnHolder.setVisible(bool(ui.learnLabel.text))
        isShort = bool(ui.learnLabel.text)  # the whole list and this do not fit a laptop; the open case stays in sight
        ui.caseTable.setMinimumHeight(TABLE_SHORT if isShort else TABLE)
        ui.caseTable.setMaximumHeight(TABLE_SHORT if isShort else ANY_HEIGHT)
        if isShort and ui.caseTable.currentItem() is not None:
            ui.caseTable.scrollToItem(ui.caseTable.currentItem())
        if training.points:
            drawCurve(self.curve, training.points, training.steps)

    def _progress(self) -> str:
        training = self.training
        if not training.steps:
            return _("Learning: reading the cases, and measuring the present model...")
        text = _("Learning: step {step} of {steps}").format(step=training.step, steps=training.steps)
        if training.secondsLeft is not None:
            text += _(", {time} left at most").format(time=duration(training.secondsLeft))
        return text + "."


def drawCurve(label: qt.QLabel, points: Sequence[tuple[int, float]], steps: int) -> None:
    """Draw `(step, DSC)` into a label; a line across is the first one's."""
    width = max(80, label.width)
    pixmap = qt.QPixmap(SHARPNESS * width, SHARPNESS * HEIGHT)
    pixmap.fill(qt.QColor(0, 0, 0, 0))
    values = [value for _step, value in points]
    low, high = min(values) - 0.02, max(values) + 0.02
    last = max(steps, points[-1][0], 1)
    across = [MARGIN + round((width - 2 * MARGIN) * step / last) for step, _value in points]
    scale = (HEIGHT - TEXT) / (high - low)
    places = [(x, round(HEIGHT - scale * (value - low))) for x, value in zip(across, values, strict=True)]
    painter = qt.QPainter()
    painter.begin(pixmap)
    painter.scale(SHARPNESS, SHARPNESS)
    painter.fillRect(0, HEIGHT - 1, width, 1, qt.QColor(GROUND))
    painter.fillRect(MARGIN, places[0][1], width - 2 * MARGIN, 1, qt.QColor(START))
    painter.setPen(qt.QPen(qt.QColor(LINE), 1.5))
    for (x, y), (nextX, nextY) in pairwise(places):
        painter.drawLine(x, y, nextX, nextY)
    for x, y in places:
        painter.fillRect(x - 2, y - 2, 4, 4, qt.QColor(LINE))
    best = max(values)
    painter.setPen(qt.QPen(qt.QColor(START)))
    painter.drawText(MARGIN, 10, _("start {start:.3f}, best {best:.3f}").format(start=values[0], best=best))
    painter.end()
    label.setPixmap(pixmap)
