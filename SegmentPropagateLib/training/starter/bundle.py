"""Writing the bundled starter: half-precision weights, what is known of them, and a record that a test checks.

python -m SegmentPropagateLib.training.starter.bundle build/starter.pt [--facts FACTS.json]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from SegmentPropagateLib.files import writing
from SegmentPropagateLib.models import registry
from SegmentPropagateLib.networks.checkpoints import load_network, save_checkpoint
from SegmentPropagateLib.training.starter.run import VALIDATION_SEEDS, measure

RECORD_SEEDS = (9_100, 9_101, 9_105)
"""Phantoms (nested, spine, contact) whose DSC is recorded one by one."""


def bundle(model: Path, folder: Path, facts: Path | None) -> None:
    """Measure a trained model on phantoms and write `starter.pt` and `starter.json` into a folder.

    Args:
        model: file to bundle.
        folder: of the bundled models.
        facts: JSON with entries for the card (`recipe`, `metrics`, `parents`, ...) that go before the model's own.
    """
    network, card = load_network(model)
    given = json.loads(facts.read_text(encoding="utf-8")) if facts else {}
    phantoms = measure(network, card, torch.device("cpu"), VALIDATION_SEEDS)
    metrics = {**card.metrics, "phantoms": phantoms, **given.pop("metrics", {})}
    card = replace(card, name="starter", metrics=metrics, **given)
    save_checkpoint(folder / "starter.pt", network.state_dict(), card, torch.float16)
    network, card = load_network(folder / "starter.pt")
    scores = {str(seed): measure(network, card, torch.device("cpu"), [seed])["dsc"] for seed in RECORD_SEEDS}
    text = json.dumps({"sha256": card.sha256, "dsc": scores}, indent=1) + "\n"
    with writing(folder / "starter.json") as file:
        file.write(text.encode())


def main(argv: Sequence[str] | None = None) -> None:
    """Bundle a model file."""
    parser = argparse.ArgumentParser(description="Write the bundled starter model and its record.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--facts", type=Path, help="JSON entries for the card")
    arguments = parser.parse_args(argv)
    bundle(arguments.model, registry.bundled_folder(), arguments.facts)


if __name__ == "__main__":
    main()
