"""The files of a training run: the model, what is needed to go on, the log and the curve."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import check_writable, replacing
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.checkpoints import save_checkpoint
from SegmentPropagateLib.training.curve import draw_curve

Record = Mapping[str, Any]


class RunFiles:
    """Names and writing; every file is complete or as it was before.

    Args:
        model: `MODEL.pt`, the best weights so far; the others lie beside it.
    """

    def __init__(self, model: Path) -> None:
        self.model = model
        self.last = model.with_suffix(".last.pt")
        self.state = model.with_suffix(".state.pt")
        self.log = model.with_suffix(".log.json")
        self.curve = model.with_suffix(".curve.png")

    def check(self, resume: bool) -> None:
        """Refuse to overwrite an earlier run, or to resume one that is not there."""
        check_writable(self.model)
        if self.model.suffix != ".pt":
            raise InputError(f"'{self.model}' must end in .pt, as model files do.")
        existing = [path for path in (self.model, self.last, self.state, self.log, self.curve) if path.exists()]
        if resume and not self.state.exists():
            raise InputError(f"There is no run to resume: '{self.state}' does not exist.")
        if existing and not resume:
            raise InputError(
                f"'{existing[0]}' exists already: choose another name, remove it, or go on with that run by --resume."
            )

    def write_model(self, network: torch.nn.Module, card: Card, is_best: bool) -> None:
        """Write the weights as the last ones, and as the best ones where they are."""
        for path in (self.last, self.model) if is_best else (self.last,):
            save_checkpoint(path, network.state_dict(), card)

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Write what `resume.read_state` gives back."""
        with replacing(self.state) as part, part.open("wb") as file:
            torch.save(dict(state), file)

    def write_log(self, head: Mapping[str, Any], records: Sequence[Record]) -> None:
        """Write the log and draw its curve."""
        with replacing(self.log) as part:
            part.write_text(json.dumps({**head, "records": list(records)}, indent=1), encoding="utf-8")
        losses = [(record["step"], record["loss"]) for record in records]
        dices = [(record["step"], record["validation_dsc"]) for record in records if "validation_dsc" in record]
        draw_curve(self.curve, losses, dices, f"{self.model.name}, {len(losses)} steps")
