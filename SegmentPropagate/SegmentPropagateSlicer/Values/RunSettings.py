"""How to run: the choices of the panel's Model and Advanced sections.

A new one is a field here, a parameter of that name in `Parameters`, a widget of that name in the .ui file (a list also
needs its choices in `ModelSection`), and, where propagators obey it, a field of `PropagationSettings`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from SegmentPropagateLib.models.registry import REGISTRY
from SegmentPropagateLib.propagation.propagator import PropagationSettings
from SegmentPropagateLib.worker.setup import ModelChoice, SessionChoice


def placeOf(model: str) -> str:
    """The model's name, or where its file is for a worker, which runs in another folder than Slicer."""
    return model if model in REGISTRY or not Path(model).exists() else str(Path(model).absolute())


@dataclass(frozen=True)
class RunSettings:
    """Settings of one propagation; the defaults run everywhere, without torch.

    Args:
        model: `classical`, `starter`, a registered model's name, or the path of a checkpoint file.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        precision: `auto`, `exact`, `bf16`.
        imageSize: side of the square the network sees in pixels; None takes the checkpoint's own.
        plane: `axial`, `coronal`, `sagittal`.
        intensity: preset of `SegmentPropagateLib.volumes.presets.PRESETS`, or `auto`.
        roi: `auto` crops around the object, `off` shows the network whole slices.
        passMode: `independent` or `coupled`.
        shortSlices: length of the short memory; None takes the checkpoint's own.
        stopAfterEmpty: end after so many empty slices in a row; None never ends early.
        adapt: `stack` learns from the key slices, where there are enough.
    """

    model: str = "classical"
    device: str = "auto"
    precision: Literal["auto", "exact", "bf16"] = "auto"
    imageSize: int | None = None
    plane: str = "axial"
    intensity: str = "auto"
    roi: Literal["auto", "off"] = "auto"
    passMode: Literal["independent", "coupled"] = "independent"
    shortSlices: int | None = None
    stopAfterEmpty: int | None = None
    adapt: Literal["off", "stack"] = "off"

    @property
    def modelChoice(self) -> ModelChoice:
        """What decides which model the worker loads, and so what it takes."""
        return ModelChoice(placeOf(self.model), self.device, self.precision, self.imageSize)

    @property
    def sessionChoice(self) -> SessionChoice:
        """What decides how the volume is cut and propagated."""
        settings = PropagationSettings(self.roi, self.passMode, self.shortSlices, self.stopAfterEmpty)
        return SessionChoice(self.plane, self.intensity, settings)
