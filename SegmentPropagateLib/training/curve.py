"""The learning curve as a picture: loss per step and, where there is one, validation DSC."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from SegmentPropagateLib.files import Outputs, writing

SIZE, MARGIN = (720, 420), (64, 36, 64, 48)  # left, top, right, bottom
LOSS_COLOR, DICE_COLOR, INK = (200, 90, 40), (40, 90, 190), (70, 70, 70)

Points = Sequence[tuple[float, float]]


def draw_curve(path: Path, losses: Points, dices: Points, title: str, outputs: Outputs | None = None) -> None:
    """Draw `(step, loss)` against the left axis and `(step, DSC)`, 0 to 1, against the right one."""
    image = Image.new("RGB", SIZE, "white")
    pen = ImageDraw.Draw(image)
    left, top, right, bottom = MARGIN[0], MARGIN[1], SIZE[0] - MARGIN[2], SIZE[1] - MARGIN[3]
    last = max([step for step, _ in (*losses, *dices)], default=1) or 1
    highest = sorted(loss for _, loss in losses)[int(0.98 * (len(losses) - 1))] * 1.1 if losses else 1.0
    highest = highest or 1.0

    def place(step: float, height: float) -> tuple[float, float]:
        return left + (right - left) * step / last, bottom - (bottom - top) * min(max(height, 0), 1)

    for tenth in range(0, 11, 2):
        y = place(0, tenth / 10)[1]
        pen.line([(left, y), (right, y)], fill=(225, 225, 225))
        pen.text((right + 8, y), f"{tenth / 10:.1f}", fill=DICE_COLOR, anchor="lm")
        pen.text((left - 8, y), f"{highest * tenth / 10:.3g}", fill=LOSS_COLOR, anchor="rm")
    for quarter in range(5):
        pen.text((place(last * quarter / 4, 0)[0], bottom + 8), f"{last * quarter / 4:.0f}", fill=INK, anchor="mt")
    pen.rectangle([left, top, right, bottom], outline=INK)
    pen.line([place(step, loss / highest) for step, loss in losses], fill=(240, 205, 185), width=1)
    pen.line([place(step, loss / highest) for step, loss in _smooth(losses)], fill=LOSS_COLOR, width=2)
    pen.line([place(step, dice) for step, dice in dices], fill=DICE_COLOR, width=2)
    for step, dice in dices:
        x, y = place(step, dice)
        pen.ellipse([x - 3, y - 3, x + 3, y + 3], fill=DICE_COLOR)
    pen.text((left, top - 10), title, fill=INK, anchor="ls")
    pen.text((left, SIZE[1] - 12), "loss (left)", fill=LOSS_COLOR, anchor="ls")
    pen.text((left + 90, SIZE[1] - 12), "validation DSC (right)", fill=DICE_COLOR, anchor="ls")
    pen.text((right, SIZE[1] - 12), "step", fill=INK, anchor="rs")
    with writing(path, outputs) as file:
        image.save(file, format="PNG")


def _smooth(points: Points) -> list[tuple[float, float]]:
    """Running mean over about a twentieth of the points."""
    reach = max(1, len(points) // 40)
    smooth = []
    for index, (step, _) in enumerate(points):
        window = [value for _, value in points[max(0, index - reach) : index + reach + 1]]
        smooth.append((step, sum(window) / len(window)))
    return smooth
