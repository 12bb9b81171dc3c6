"""What a model file of our own says about itself: a JSON-able card that lies beside the weights."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from SegmentPropagateLib.errors import CheckpointError
from SegmentPropagateLib.networks.bounds import check_plain
from SegmentPropagateLib.networks.families import IMAGE_SIZES, is_image_size
from SegmentPropagateLib.volumes.presets import PRESETS


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
        base: name and sha256 of the file that holds all weights that this one lacks; empty where it is whole.
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
    base: Mapping[str, str] = field(default_factory=dict)
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
    def from_dict(cls, entries: Any, origin: str) -> Card:
        """Take a stored card; entries that this version does not know go to `more`.

        Args:
            entries: as `to_dict` gave them, perhaps of a later version.
            origin: what to call the file in messages.

        Raises:
            CheckpointError: an entry is missing, or is not what `ENTRIES` says.
        """
        try:
            check_plain(entries)
        except ValueError as reason:
            raise CheckpointError(f"The card in {origin} cannot be used, as {reason}: write the file anew.") from reason
        if not isinstance(entries, Mapping):
            raise CheckpointError(f"The card in {origin} is no table of entries: write the file anew.")
        for name, entry in ENTRIES.items():
            if name in entries and not entry.takes(entries[name]):
                raise CheckpointError(
                    f"The card in {origin} has an unusable entry {name!r}, {reprlib.repr(entries[name])} instead of "
                    f"{entry.wanted}: write the file anew."
                )
        absent = [name for name in ("family", "variant", "image_size") if name not in entries]
        if absent:
            raise CheckpointError(f"The card in {origin} has no entry {absent[0]!r}: write the file anew.")
        values = {name: entries[name] for name in ENTRIES if name in entries}
        if "training_cases" in values:
            values["training_cases"] = tuple(values["training_cases"])
        return cls(**values, more={name: value for name, value in entries.items() if name not in ENTRIES})


@dataclass(frozen=True)
class Entry:
    """What an entry of a card may be.

    Args:
        wanted: in words, for messages.
        kinds: its types; a bool is no number.
        fits: whether a value of these types will do.
    """

    wanted: str
    kinds: tuple[type, ...]
    fits: Callable[[Any], bool] = lambda _: True

    def takes(self, value: Any) -> bool:
        """Whether it may be this value."""
        return isinstance(value, self.kinds) and not isinstance(value, bool) and self.fits(value)


def _all_texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _is_short(text: str) -> bool:
    return len(text) <= 255


ENTRIES: Mapping[str, Entry] = {
    "family": Entry("a short text", (str,), _is_short),  # one that is not known yet is told by the weights
    "variant": Entry("a short text", (str,), _is_short),
    "image_size": Entry(IMAGE_SIZES, (int,), is_image_size),
    "name": Entry("a short text", (str,), _is_short),
    "short_slices": Entry("a number from 1 to 1000", (int,), lambda value: 1 <= value <= 1000),
    "intensity": Entry(f"one of {', '.join(PRESETS)}", (str,), lambda value: value in PRESETS),
    "roi": Entry("auto or off", (str,), lambda value: value in ("auto", "off")),
    "roi_factor": Entry("a number from 1 to 100", (int, float), lambda value: 1 <= value <= 100),
    "parents": Entry("names with digests", (Mapping,), lambda value: _all_texts(value.values())),
    "base": Entry("a name with a digest", (Mapping,), lambda value: _all_texts(value.values())),
    "recipe": Entry("a table of entries", (Mapping,)),
    "training_cases": Entry("a list of names", (list, tuple), _all_texts),
    "metrics": Entry("a table of entries", (Mapping,)),
}
"""All that a card may say and mean; the weights win over what it says of family and variant."""
