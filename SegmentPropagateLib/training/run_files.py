"""The files of a training run: the model, what is needed to go on, the log and the curve."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import Outputs, check_writable, writing
from SegmentPropagateLib.models.registry import model_folders
from SegmentPropagateLib.networks.adapters.delta import differences
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.checkpoints import inspect_checkpoint, load_network, save_checkpoint
from SegmentPropagateLib.training.curve import draw_curve
from SegmentPropagateLib.training.resume import as_bytes
from SegmentPropagateLib.training.validation import Score
from SegmentPropagateLib.wording import counted

Record = Mapping[str, Any]


class RunFiles:
    """Names and writing; a save replaces all of its files, or none.

    Args:
        model: `MODEL.pt`, the best model so far; the others lie beside it.
    """

    def __init__(self, model: Path) -> None:
        self.model = model
        self.last = model.with_suffix(".last.pt")
        self.state = model.with_suffix(".state.pt")
        self.log = model.with_suffix(".log.json")
        self.curve = model.with_suffix(".curve.png")

    def check(self, resume: bool) -> None:
        """Refuse to overwrite an earlier run, or to resume one that is not there."""
        if self.model.suffix != ".pt":
            raise InputError(f"'{self.model}' must end in .pt, as model files do.")
        self.check_names()
        existing = [path for path in self._all if path.exists()]
        if resume and not self.state.exists():
            raise InputError(f"There is no run to resume: '{self.state}' does not exist.")
        if existing and not resume:
            raise InputError(
                f"'{existing[0]}' exists already: choose another name, remove it, or go on with that run by --resume."
            )

    def check_names(self) -> None:
        """Raise InputError unless all files can be made."""
        for path in self._all:
            check_writable(path)

    @property
    def _all(self) -> tuple[Path, ...]:
        return self.model, self.last, self.state, self.log, self.curve

    def write_model(self, network: torch.nn.Module, card: Card, start: Path, is_best: bool, outputs: Outputs) -> None:
        """Write the weights as the last ones, and as the best ones where they are.

        As long as nothing is better than the starting point, that is the best one, and its file is taken as it is.
        """
        base = load_network(start, bases=model_folders())[0].state_dict() if card.base else {}
        state = differences(network, base)
        for path in (self.last, self.model) if is_best else (self.last,):
            save_checkpoint(path, state, card, outputs=outputs)
        if not is_best and not self.model.exists():
            self._write_start(start, outputs)

    def _write_start(self, start: Path, outputs: Outputs) -> None:
        summary = inspect_checkpoint(start, bases=model_folders())
        if summary.has_card:
            with writing(self.model, outputs) as file:
                file.write(start.read_bytes())
        else:  # what it is may be told by its name alone
            network, card = load_network(start)
            save_checkpoint(self.model, network.state_dict(), card, outputs=outputs)

    def write_log(
        self, head: Mapping[str, Any], records: Sequence[Record], start: Score | None, outputs: Outputs
    ) -> None:
        """Write the log and draw its curve."""
        measured = {} if start is None else {"start": start.to_record()}
        with writing(self.log, outputs) as file:
            file.write(json.dumps({**head, **measured, "records": list(records)}, indent=1).encode())
        losses = [(record["step"], record["loss"]) for record in records]
        dices = [] if start is None else [(0, start.dsc)]
        dices += [(record["step"], record["validation_dsc"]) for record in records if "validation_dsc" in record]
        draw_curve(self.curve, losses, dices, f"{self.model.name}, {counted(len(losses), 'step')}", outputs)

    def write_state(self, state: Mapping[str, Any], outputs: Outputs) -> None:
        """Write what `read_state` gives back."""
        start = torch.tensor(state["start"] or (), dtype=torch.float64)
        with writing(self.state, outputs) as file:
            torch.save({**state, "records": as_bytes(state["records"]), "start": start}, file)
