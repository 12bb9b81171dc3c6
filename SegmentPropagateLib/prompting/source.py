"""What a prompt source is given and gives: drafts of key slices, masks and ranges, shown before anything runs.

A new source is a file of this package with a class that implements `PromptSource`, a line in `SOURCES`, and its tests.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.prompting.finished import Finished
from SegmentPropagateLib.propagation.prompts import MaskPrompt, Prompt
from SegmentPropagateLib.propagation.results import SliceResult
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.labels import Labels
from SegmentPropagateLib.volumes.volume import Volume

Status = Literal["found", "unsure", "not here"]

SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "atlas": "SegmentPropagateLib.prompting.atlas.source:Atlas",
        "carried-points": "SegmentPropagateLib.prompting.carried_points:CarriedPoints",
        "draft": "SegmentPropagateLib.prompting.draft:MaskAsDraft",
        "prototypes": "SegmentPropagateLib.prompting.prototypes:Prototypes",
        "atlas-memory": "SegmentPropagateLib.prompting.atlas_memory:AtlasMemory",
        "support-memory": "SegmentPropagateLib.prompting.support_memory:SupportMemory",
        "support-memory-walk": "SegmentPropagateLib.prompting.support_memory:WalkedMemory",
        "landmarks": "SegmentPropagateLib.prompting.landmarks.source:Landmarks",
        "drawn": "SegmentPropagateLib.prompting.drawn:DrawnSlices",
    }
)
"""Name -> `module:class`, imported when it is asked for: a source that needs no torch loads none."""

READERS = ("atlas-memory", "support-memory", "support-memory-walk")
"""The sources that read finished cases by a network, see `Support.model`."""

Tick = Callable[[int, int], None]
"""Told how many steps of work are done, of how many; what it raises ends the work, which has changed nothing."""


@dataclass(frozen=True)
class Support:
    """What was annotated before.

    Args:
        drawn: labels on the volume's own grid, of which single slices are outlined; None where nothing is.
        cases: finished cases, images with their labels.
        localizer: file of a trained one, for the source `landmarks` alone.
        model: file or name of a network to read finished cases with, for the sources with a memory; None takes the
            bundled one.
    """

    drawn: Labels | None = None
    cases: tuple[Finished, ...] = ()
    localizer: Path | None = None
    model: str | Path | None = None


@dataclass(frozen=True, eq=False)
class Proposal:
    """A draft for one label.

    Args:
        label: label value.
        status: `found`; `unsure`, which is shown and never run unasked; or `not here`.
        key_slice: slice to start from, 0-based along the plane; None where the object is not here. There may be more,
            see `prompts`.
        mask: bool `(rows, columns)` on the key slice, read only; None where the object is not here.
        first: first slice with the object; None leaves open where it begins.
        last: last slice with it; None leaves open where it ends.
        confidence: 0..1.
        source: name of the source.
        reason: one sentence, for a label that was not found or is unsure.
        slices: slice -> the object there as far as the source knows, with its opinion of it as `predicted_iou`; empty
            for a source that knows the key slice alone.
        box_mm: low and high corner of the object in RAS; None where the source knows the key slice alone.

    Raises:
        InputError: the parts contradict each other.
    """

    label: int
    status: Status
    key_slice: int | None = None
    mask: NDArray[np.bool_] | None = field(default=None, repr=False)
    first: int | None = None
    last: int | None = None
    confidence: float = 0.0
    source: str = ""
    reason: str = ""
    slices: Mapping[int, SliceResult] = field(default_factory=dict, repr=False)
    box_mm: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 1:
            raise InputError(f"The confidence of label {self.label} must lie in 0..1, got {self.confidence}.")
        if self.status == "not here":
            if self.key_slice is not None or self.mask is not None or not self.reason:
                raise InputError(f"Label {self.label} is not here: it has a reason, and neither key slice nor mask.")
            return
        if self.key_slice is None or self.mask is None or not self.mask.any():
            raise InputError(f"Label {self.label} is {self.status}: it needs a key slice with a mask.")
        low = self.key_slice if self.first is None else self.first
        high = self.key_slice if self.last is None else self.last
        if not 0 <= low <= self.key_slice <= high:
            raise InputError(f"Key slice {self.key_slice} of label {self.label} lies outside {self.first}:{self.last}.")
        mask = self.mask.copy()
        mask.setflags(write=False)
        object.__setattr__(self, "mask", mask)

    @property
    def prompts(self) -> dict[int, Prompt]:
        """Key slice -> mask prompt, as a session takes them; empty where the object is not here.

        Besides `key_slice` these are the slices whose result says that it is a key.
        """
        if self.key_slice is None or self.mask is None:
            return {}
        more = {index: MaskPrompt(result.mask) for index, result in self.slices.items() if result.source == "key"}
        return dict(sorted((more | {self.key_slice: MaskPrompt(self.mask)}).items()))


def in_silence(done: int, total: int) -> None:
    """A `Tick` that tells nobody."""


class PromptSource(Protocol):
    """Turns what was annotated before into drafts for a volume; the volume and the support are never changed."""

    def propose(
        self, volume: Volume, labels: Collection[int], support: Support, plane: Plane, tick: Tick = in_silence
    ) -> list[Proposal]:
        """One draft per label, in the order of `labels`; what one label gets does not depend on the others.

        Raises:
            InputError: the support has nothing that this source could use.
        """


def best_source() -> str:
    """The most accurate source of drafts from finished cases that this computer can run."""
    has_network = all(importlib.util.find_spec(name) for name in ("torch", "sam2"))
    return "atlas-memory" if has_network else "atlas"


def find_source(name: str) -> PromptSource:
    """The source of that name, or InputError naming the choices."""
    if name not in SOURCES:
        raise InputError(f"There is no prompt source '{name}': choose one of {', '.join(SOURCES)}.")
    module, _, kind = SOURCES[name].partition(":")
    source: PromptSource = getattr(importlib.import_module(module), kind)()
    return source
