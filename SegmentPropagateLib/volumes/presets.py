"""The intensity presets, all that is known of each in one place; without numpy, so that lists of them cost nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Preset:
    """A way from the volume's own unit to gray.

    Args:
        name: what is typed, and kept in scenes and model files.
        about: for people, in English: what a CT window shows, or what else is done.
        window_hu: lowest and highest HU of a CT window; None for what depends on the volume, see `intensity.to_gray`.
    """

    name: str
    about: str
    window_hu: tuple[float, float] | None = None

    @property
    def title(self) -> str:
        """What a list shows, in English."""
        if self.window_hu is None:
            return self.about
        low, high = self.window_hu
        return f"CT {self.about} ({low:g} to {high:g} HU)"


_ALL = (
    Preset("auto", "Automatic"),
    Preset("brain", "brain", (0.0, 80.0)),  # width 80, level 40
    Preset("abdomen", "abdomen", (-160.0, 240.0)),  # 400, 40
    Preset("bone", "bone", (-500.0, 1300.0)),  # 1800, 400
    Preset("lung", "lung", (-1350.0, 150.0)),  # 1500, -600
    Preset("mediastinum", "mediastinum", (-160.0, 240.0)),  # 400, 40
    Preset("ct-full", "full range", (-1024.0, 2000.0)),
    Preset("percentile", "Percentiles 0.5 to 99.5 (MR, PET, ultrasound)"),
    Preset("minmax", "Lowest to highest value"),
    Preset("none", "As stored (8 bit)"),
)

PRESET_OF: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in _ALL})
"""Name -> preset, in the order of lists."""

PRESETS = tuple(PRESET_OF)
"""Their names."""
