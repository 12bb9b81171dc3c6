"""SegmentPropagate: one outlined slice becomes a segmented volume. Importing this package loads no torch."""

import importlib

TYPE_CHECKING = False  # as of `typing`, which `python -m` would still look for in the folder that it is started in
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "read_volume": "formats.reading",
    "read_labels": "formats.reading",
    "write_segmentation": "formats.writing",
    "load_model": "models.loading",
    "Session": "propagation.session",
    "MaskPrompt": "propagation.prompts",
    "BoxPrompt": "propagation.prompts",
    "PointsPrompt": "propagation.prompts",
    "LinePrompt": "propagation.prompts",
    "PropagationSettings": "propagation.propagator",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> "Any":
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
