"""What `--support`, `--draft` and `--source` ask for: drafts of key slices and ranges, and how they are told."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from SegmentPropagateLib.cli.console import progress_bar
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.reading import read_labels
from SegmentPropagateLib.models import registry
from SegmentPropagateLib.networks.families import FAMILIES
from SegmentPropagateLib.prompting.finished import read_finished
from SegmentPropagateLib.prompting.source import READERS, Proposal, Support, best_source, find_source
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.labels import Described, SegmentInfo, find_segment
from SegmentPropagateLib.volumes.volume import Volume
from SegmentPropagateLib.wording import counted

SOURCES_OF = {
    "support": ("auto", "atlas-memory", "atlas", "support-memory", "support-memory-walk", "landmarks"),
    "draft": ("draft",),
    "mask": ("prototypes", "carried-points"),
}
"""Where drafts come from -> what can make them of it, the one first that `--source auto` stands for."""
SURENESS = {"found": "sure", "unsure": "unsure"}


class NothingFoundError(InputError):
    """No draft is there to go on with; the message tells the reasons of all."""


class Draft(NamedTuple):
    """A proposal, and what its label is called."""

    segment: SegmentInfo
    proposal: Proposal

    @property
    def sentence(self) -> str:
        """One line for people."""
        return f"{self.segment.name}: {self.said}"

    @property
    def said(self) -> str:
        """What is said of it, without its name."""
        draft = self.proposal
        if draft.status == "not here":
            return f"not here. {draft.reason}"
        first, last = ("open" if end is None else end for end in (draft.first, draft.last))
        ends = "open range" if first == last == "open" else f"{first} to {last}"
        doubt = f". {draft.reason}" if draft.reason else ""
        keys = len(draft.prompts)
        place = f"slice {draft.key_slice}" if keys == 1 else f"{keys} of {counted(len(draft.slices), 'slice')} as keys"
        return f"{place}, {ends}, {SURENESS[draft.status]}{doubt}"

    @property
    def facts(self) -> dict[str, Any]:
        """Its entry in a report."""
        draft = self.proposal
        return {
            "label": draft.label,
            "name": self.segment.name,
            "status": draft.status,
            "key_slice": draft.key_slice,
            "key_slices": list(draft.prompts),
            "first": draft.first,
            "last": draft.last,
            "confidence": draft.confidence,
            "source": draft.source,
            "reason": draft.reason,
            "box_mm": draft.box_mm,
            "slices": [
                {"slice": index, "believed": round(float(result.predicted_iou), 4)}
                for index, result in sorted(draft.slices.items())
            ],
        }


class _Basis(NamedTuple):
    """What drafts are made of: what has the labels, what it is called, and what a source is given."""

    described: Described
    path: str
    support: Support


def read_drafts(arguments: argparse.Namespace, volume: Volume, notes: list[str]) -> list[Draft]:
    """Drafts for the labels that were asked for, ascending by label; sentences on a label file go to `notes`.

    Raises:
        InputError: what they are to be made of cannot be used, or does not have a label that was asked for.
    """
    kind = next(kind for kind in SOURCES_OF if getattr(arguments, kind) is not None)
    name = SOURCES_OF[kind][0] if arguments.source in (None, "auto") else arguments.source
    if name not in SOURCES_OF[kind]:
        raise InputError(f"--source {name} does not go with --{kind}: choose {' or '.join(SOURCES_OF[kind])}.")
    if name == "auto":
        name = best_source()
    basis = _basis(kind, getattr(arguments, kind), volume, notes)
    support = replace(basis.support, localizer=_localizer(arguments, name), model=_model(arguments, name))
    segments = _wanted(basis, arguments)
    with progress_bar(arguments.quiet, unit="step") as bar:

        def tick(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        values = [segment.value for segment in segments]
        source = find_source(name)
        proposals = source.propose(volume, values, support, Plane.parse(arguments.plane), tick)
    return [Draft(segment, proposal) for segment, proposal in zip(segments, proposals, strict=True)]


def _localizer(arguments: argparse.Namespace, name: str) -> Path | None:
    if (arguments.localizer is not None) != (name == "landmarks"):
        raise InputError("--source landmarks and --localizer belong together: give both, or none.")
    return None if arguments.localizer is None else Path(arguments.localizer)


def _model(arguments: argparse.Namespace, name: str) -> str | None:
    """The network that reads finished cases; a mistyped name is told before anything long begins."""
    if arguments.support_model is None:
        return None
    if name not in READERS:
        option = "--model" if arguments.command == "suggest" else "--support-model"
        raise InputError(f"{option} is for sources with a memory, such as atlas-memory: leave it out with {name}.")
    check_reader(arguments.support_model)
    return str(arguments.support_model)


def check_reader(model: str) -> None:
    """Raise InputError for a model that cannot read finished cases: there is none of that name, or it is no network."""
    found = registry.resolve(model)
    check_file(found)
    if not isinstance(found, Path) and found.family not in FAMILIES:
        raise InputError(f"The model '{model}' has no memory for finished cases: give a network.")


def check_file(found: registry.NamedModel | Path) -> None:
    """Raise CheckpointError for a file that is no model: it may be used long after it was named, or never."""
    if isinstance(found, Path):
        from SegmentPropagateLib.networks.checkpoints import inspect_checkpoint  # torch

        inspect_checkpoint(found, bases=registry.model_folders())


def _basis(kind: str, path: str, volume: Volume, notes: list[str]) -> _Basis:
    if kind == "support":
        finished = read_finished(path)
        return _Basis(finished, path, Support(cases=finished.cases))
    labels = read_labels(path, volume.geometry, notes.append)
    if not labels.segments:
        raise InputError(f"'{path}' holds no label: every voxel of it is 0.")
    return _Basis(labels, path, Support(drawn=labels))


def check_any(drafts: list[Draft], usable: list[Draft]) -> None:
    """Raise NothingFoundError with the reasons of all, each told once, where there is nothing to go on with."""
    if not usable:
        names: dict[str, list[str]] = {}
        for draft in drafts:
            names.setdefault(draft.said.removesuffix("."), []).append(draft.segment.name)
        told = " ".join(f"{', '.join(those)}: {said}." for said, those in names.items())
        unsure = any(draft.proposal.status == "unsure" for draft in drafts)
        found = "Nothing sure was found, --unsure takes the rest too" if unsure else "Nothing was found"
        raise NothingFoundError(f"{found}. {told}")


def _wanted(basis: _Basis, arguments: argparse.Namespace) -> list[SegmentInfo]:
    if arguments.label is None or "all" in arguments.label:
        return list(basis.described.segments)
    found = {find_segment(basis.described, word, basis.path) for word in arguments.label}
    return sorted(found, key=lambda segment: segment.value)
