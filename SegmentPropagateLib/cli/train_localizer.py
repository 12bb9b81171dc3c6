"""`segment-propagate train-localizer`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from SegmentPropagateLib.cli.console import ProgressLines, progress_bar, speaker
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import check_writable, is_there
from SegmentPropagateLib.wording import counted

SETTINGS = ("steps", "batch", "width", "seed")


def run(arguments: argparse.Namespace) -> None:
    """Train, showing the loss, by how far offsets are off, and time left."""
    if not arguments.output.endswith(".pt"):
        raise InputError(f"Cannot write '{arguments.output}': the name of the localizer must end in .pt.")
    check_writable(arguments.output)
    if not is_there(arguments.dataset):
        raise InputError(f"The folder of images '{arguments.dataset}' does not exist.")
    from SegmentPropagateLib.prompting.atlas.grid import MM
    from SegmentPropagateLib.training.finetune import Conduct  # torch
    from SegmentPropagateLib.training.localizer import LocalizerSettings, train_localizer

    say = speaker(arguments.quiet)
    typed = {name: getattr(arguments, name) for name in SETTINGS if getattr(arguments, name) is not None}
    if arguments.voxel_mm is not None:
        typed["step"] = round(arguments.voxel_mm / MM)
    with progress_bar(arguments.quiet, unit="step") as bar:
        lines = ProgressLines(say) if bar.disable else None

        def tick(record: Mapping[str, Any], steps: int) -> None:
            bar.total = steps
            facts = {"loss": f"{record['loss']:.3f}", "offsets off by": f"{record['error_mm']:.0f} mm"}
            bar.set_postfix(facts, refresh=False)
            bar.update(record["step"] - bar.n)
            if lines is not None:
                lines.tell(record["step"], steps, [f"{name} {value}" for name, value in facts.items()])

        conduct = Conduct(
            resume=arguments.resume, skip_bad=arguments.skip_bad, device=arguments.device, say=say, tick=tick
        )
        facts = train_localizer(arguments.dataset, arguments.output, LocalizerSettings(**typed), conduct)
    say(
        f"Wrote {arguments.output}: {counted(facts['steps'], 'step')}, loss {facts['loss']:.3f}, offsets off by "
        f"{facts['error_mm']:.0f} mm in the median."
    )
