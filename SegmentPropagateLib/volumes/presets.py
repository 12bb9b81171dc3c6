"""The intensity presets, without numpy."""

from __future__ import annotations

from types import MappingProxyType

WINDOWS_HU = MappingProxyType(
    {
        "brain": (0.0, 80.0),
        "abdomen": (-160.0, 240.0),
        "bone": (-500.0, 1300.0),
        "lung": (-1350.0, 150.0),
        "mediastinum": (-160.0, 240.0),
        "ct-full": (-1024.0, 2000.0),
    }
)
"""CT windows as (lowest, highest) HU, from width/level 80/40, 400/40, 1800/400, 1500/-600, 400/40 and a full range."""

PRESETS = ("auto", *WINDOWS_HU, "percentile", "minmax", "none")
