"""What was recognised in a checkpoint file, in one line."""

from pathlib import Path

from SegmentPropagateSlicer.Values.Words import tr as _


def describe(summary):
    """The worker's summary with a "sentence" for the panel.

    Args:
        summary: `CheckpointSummary.to_dict()` with "problems" and "card".
    """
    name = Path(summary["path"]).name
    if summary["problems"]:
        text = _("{name} cannot be used: {problems}.").format(name=name, problems="; ".join(summary["problems"]))
        return {**summary, "sentence": text}
    card = summary["card"] or {}
    parts = [
        _("{family} ({variant})").format(family=summary["family"], variant=summary["variant"]),
        _("{size} x {size} pixels").format(size=summary["image_size"]),
    ]
    if card.get("short_slices"):
        parts.append(_("short memory of {count} slices").format(count=card["short_slices"]))
    if card.get("intensity"):
        parts.append(_("intensities '{preset}'").format(preset=card["intensity"]))
    return {**summary, "sentence": f"{name}: {', '.join(parts)}."}
