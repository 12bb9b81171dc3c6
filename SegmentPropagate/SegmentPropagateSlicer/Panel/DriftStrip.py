"""One small bar per slice: what overlap to expect, where the keys are, what is worth a look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import qt

from SegmentPropagateSlicer.Review.Suspicion import Score

HEIGHT = 46
GROUND = 5  # pixels below the bars, for locks
SHARPNESS = 2  # drawn larger than shown, for screens with small pixels
SURE, SUSPICIOUS, KEY, LOCKED, EMPTY, CURRENT = "#7d9c8c", "#f5931e", "#3b82d6", "#2fa84f", "#8c8c8c", "#d9413a"


class Strip(qt.QLabel):
    """A label that knows where it was pressed."""

    onPressed: Callable[[float], None] | None = (
        None  # called with the position from the left as a fraction of the width
    )

    def mousePressEvent(self, event: qt.QMouseEvent) -> None:
        """Qt calls this."""
        position = event.position() if hasattr(event, "position") else event.pos()  # Qt 6, Qt 5
        if self.onPressed is not None and self.width > 0:
            self.onPressed(position.x() / self.width)


class DriftStrip:
    """Draws scores and tells which slice was clicked.

    Args:
        layout: where to put the strip.
        onSlice: called with a slice number when its bar is clicked.
    """

    def __init__(self, layout: qt.QLayout, onSlice: Callable[[int], object]) -> None:
        self._slices: Sequence[int] = ()
        self._onSlice = onSlice
        self.label = Strip()
        self.label.setMinimumSize(80, HEIGHT)
        self.label.setMaximumHeight(HEIGHT)
        self.label.setScaledContents(True)  # follows the panel's width until the next drawing
        self.label.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Fixed)
        self.label.onPressed = self._pressed
        layout.addWidget(self.label)

    def _pressed(self, fraction: float) -> None:
        index = self.indexAt(fraction)
        if index is not None:
            self._onSlice(index)

    def indexAt(self, fraction: float) -> int | None:
        """The slice number at a fraction of the width; None while there is no range."""
        if not self._slices:
            return None
        return self._slices[min(int(fraction * len(self._slices)), len(self._slices) - 1)]

    def show(self, scores: Iterable[Score], slices: Sequence[int], current: int | None = None) -> None:
        """Draw.

        Args:
            scores: as `SegmentPropagateLogic.reviewScores` gives them; slices that have not been computed are missing.
            slices: slice numbers of the whole range.
            current: slice number to mark, or None.
        """
        self._slices, known = slices, {score["sliceIndex"]: score for score in scores}
        width = max(80, self.label.width)
        pixmap = qt.QPixmap(SHARPNESS * width, SHARPNESS * HEIGHT)
        pixmap.fill(qt.QColor(0, 0, 0, 0))
        painter = qt.QPainter()
        painter.begin(pixmap)
        painter.scale(SHARPNESS, SHARPNESS)
        painter.fillRect(0, HEIGHT - GROUND - 1, width, 1, qt.QColor(EMPTY))  # of what is not computed yet
        for number, index in enumerate(slices):
            left, right = (round(n * width / len(slices)) for n in (number, number + 1))
            if index in known:
                drawBar(painter, known[index], left, max(1, right - left - (1 if right - left > 2 else 0)))
            if index == current:
                painter.fillRect(left, 0, max(2, right - left - 1), 3, qt.QColor(CURRENT))
        painter.end()
        self.label.setPixmap(pixmap)


def drawBar(painter: qt.QPainter, score: Score, left: int, width: int) -> None:
    """One slice: the bar on its ground, and the lock below."""
    height = max(2, round(barHeight(score) * (HEIGHT - GROUND - 6)))
    painter.fillRect(left, HEIGHT - GROUND - height, width, height, qt.QColor(barColor(score)))
    if score["confirmed"]:
        painter.fillRect(left, HEIGHT - GROUND + 1, width, GROUND - 1, qt.QColor(LOCKED))


def barHeight(score: Score) -> float:
    """0..1: the overlap with the truth that is expected, or how sure the model is that the object is there."""
    if score["source"] == "key":
        return 1.0
    if score["source"] == "empty":
        return 0.0
    iou = score["predictedIou"]
    return score["presence"] if iou is None else iou


def barColor(score: Score) -> str:
    """A key, a slice that is worth a look, an empty one, or an ordinary one."""
    if score["source"] == "key":
        return KEY
    if score["doubt"]:
        return SUSPICIOUS
    return EMPTY if score["source"] == "empty" else SURE
