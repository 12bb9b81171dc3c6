"""`segment-propagate tune-prompts`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.cli.console import duration, progress_bar, speaker
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import check_writable, identity_of
from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.models import download, registry
from SegmentPropagateLib.networks.families import FAMILIES, find_family
from SegmentPropagateLib.volumes.labels import find_segment, listed_segments
from SegmentPropagateLib.volumes.stack import ImageStack, make_stack, stack_of
from SegmentPropagateLib.wording import counted

if TYPE_CHECKING:
    from SegmentPropagateLib.networks.card import Card
    from SegmentPropagateLib.networks.sam2 import Network
    from SegmentPropagateLib.training.prompt_tuning import Tuned


def run(arguments: argparse.Namespace) -> None:
    """Read the outlines, tune, and write what differs from the model where slices that were left out gained."""
    if not arguments.output.endswith(".pt"):
        raise InputError(f"Cannot write '{arguments.output}': the name of the model must end in .pt.")
    check_writable(arguments.output)
    say = speaker(arguments.quiet)
    stack, masks = _outlined(arguments, say)
    started = time.monotonic()
    path = _model_file(arguments)
    if identity_of(arguments.output) == identity_of(path):  # of which the result holds only what differs
        raise InputError(f"'{arguments.output}' is given for --model and for --output: choose another for --output.")
    from SegmentPropagateLib.models.devices import choose_device  # torch
    from SegmentPropagateLib.networks.checkpoints import load_network
    from SegmentPropagateLib.training.gray_tuning import tune_grays
    from SegmentPropagateLib.training.prompt_tuning import TuningSettings, tune_prompts

    network, card = load_network(path, bases=registry.model_folders())
    settings = TuningSettings(steps=arguments.steps, seed=arguments.seed)
    network.to(choose_device(arguments.device))
    with progress_bar(arguments.quiet, unit="step") as bar:

        def tick(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        if find_family(card.family).partner:  # which outlines what boxes and points name
            tuned = tune_grays(network, stack, masks, settings, tick)
        else:
            tuned = tune_prompts(network, card, stack, masks, settings, tick)  # type: ignore[arg-type]
    _write(arguments, path, network, card, tuned)  # type: ignore[arg-type]
    took = duration(time.monotonic() - started)
    change = f"DSC {tuned.before:.3f} to {tuned.after:.3f} on slices that were left out"
    if tuned.recipe is not None:
        used, there = len(tuned.slices), counted(len(masks), "slice")
        which = there if used == len(masks) else f"{used} of {there} evenly spread"
        say(f"Wrote {arguments.output}: tuned on {which} in {took}, {change}.")
    else:
        say(f"Wrote {arguments.output}: it answers as '{arguments.model}' does, as tuning did not help ({change}).")


def _outlined(
    arguments: argparse.Namespace, say: Callable[[str], None]
) -> tuple[ImageStack, dict[int, NDArray[np.bool_]]]:
    """The image's slices, and those on which the object is outlined."""
    volume = read_volume(arguments.image)
    labels = read_labels(arguments.mask, volume.geometry, say)
    if arguments.label is None and len(labels.segments) != 1:
        there = listed_segments(labels.segments)
        raise InputError(f"Prompts are tuned for one object: choose one by --label; '{arguments.mask}' has {there}.")
    wanted = labels.segments[0].value if arguments.label is None else arguments.label
    segment = find_segment(labels, wanted, arguments.mask)
    masks = stack_of(labels.mask(segment.value), volume.geometry.plane_axis(arguments.plane))
    stack, _ = make_stack(volume, arguments.plane, arguments.intensity)
    return stack, {int(index): np.array(masks[index]) for index in np.flatnonzero(masks.any(axis=(1, 2)))}


def _model_file(arguments: argparse.Namespace) -> Path:
    found = registry.resolve(arguments.model)
    if isinstance(found, Path):
        return found
    if found.family not in FAMILIES:
        raise InputError(f"The model '{arguments.model}' has nothing to learn: give a network.")
    if arguments.accept_licence:
        found.accept_licence()
    return download.fetch(found)


def _write(arguments: argparse.Namespace, base: Path, network: Network, card: Card, tuned: Tuned) -> None:
    """Write what differs from the base; a delta of a delta would need two files."""
    from SegmentPropagateLib.networks.adapters.delta import base_of, differences
    from SegmentPropagateLib.networks.checkpoints import load_network, save_checkpoint

    becomes_delta = not card.base
    before = load_network(base)[0].state_dict() if becomes_delta else {}
    card = replace(
        card,
        name=Path(arguments.output).stem,
        base=base_of(base) if becomes_delta else {},
        parents={card.name or base.name: card.sha256},
        recipe={"method": "tune-prompts", "seed": arguments.seed, "slices": list(tuned.slices), **(tuned.recipe or {})},
        metrics={"left_out_slices": {"before": tuned.before, "after": tuned.after}},
        sha256="",
    )
    save_checkpoint(arguments.output, differences(network, before), card)
