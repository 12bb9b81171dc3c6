"""What a model file of our own says about itself: a JSON-able card that lies beside the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from SegmentPropagateLib.errors import CheckpointError


@dataclass(frozen=True)
class Card:
    """Facts about a model that its weights do not show.

    Args:
        family: as in `families.NetworkConfig`.
        variant: as in `families.NetworkConfig`.
        image_size: side of the square that the network sees, in pixels.
        name: what to call the model.
        short_slices: length of the short memory bank.
        intensity: intensity preset that the model was trained with, or `auto`.
        roi: `auto` where the network expects to see a crop around the object, `off` for whole slices.
        roi_factor: side of such a crop over the longer side of the object's bounding box.
        parents: file or model name -> sha256 of the files that training started from.
        recipe: how it was trained.
        training_cases: names of the cases it was trained on.
        metrics: what it reached, and on what.
        sha256: of the file that the card was read with; not stored.
        more: entries that a later version of this library wrote; kept as they are.
    """

    family: str
    variant: str
    image_size: int
    name: str = ""
    short_slices: int = 1
    intensity: str = "auto"
    roi: str = "off"
    roi_factor: float = 2.0
    parents: Mapping[str, str] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    training_cases: tuple[str, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""
    more: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able entries as they are stored."""
        entries = asdict(self)
        del entries["sha256"]
        entries["training_cases"] = list(self.training_cases)
        return {**entries.pop("more"), **entries}

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any], origin: str) -> Card:
        """Take a stored card; entries that this version does not know go to `more`.

        Args:
            entries: as `to_dict` gave them, perhaps of a later version.
            origin: what to call the file in messages.

        Raises:
            CheckpointError: an entry is missing or not of its kind.
        """
        known = {item.name for item in fields(cls)} - {"sha256", "more"}
        values = {name: value for name, value in entries.items() if name in known}
        for name, kind in _KINDS.items():
            if name in values and (not isinstance(values[name], kind) or isinstance(values[name], bool)):
                raise CheckpointError(
                    f"The card in {origin} has an unusable entry {name!r}, {values[name]!r}: write the file anew."
                )
        absent = [name for name in ("family", "variant", "image_size") if name not in values]
        if absent:
            raise CheckpointError(f"The card in {origin} has no entry {absent[0]!r}: write the file anew.")
        if "training_cases" in values:
            values["training_cases"] = tuple(values["training_cases"])
        return cls(**values, more={name: value for name, value in entries.items() if name not in known})


_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "family": str,
    "variant": str,
    "image_size": int,
    "name": str,
    "short_slices": int,
    "intensity": str,
    "roi": str,
    "roi_factor": (int, float),
    "parents": Mapping,
    "recipe": Mapping,
    "training_cases": (list, tuple),
    "metrics": Mapping,
}
