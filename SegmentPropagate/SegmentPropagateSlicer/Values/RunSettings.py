"""How to run: the choices of the panel's Model and Advanced sections."""

from dataclasses import asdict, dataclass


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
    """

    model: str = "classical"
    device: str = "auto"
    precision: str = "auto"
    imageSize: int | None = None
    plane: str = "axial"
    intensity: str = "auto"
    roi: str = "auto"
    passMode: str = "independent"
    shortSlices: int | None = None
    stopAfterEmpty: int | None = None

    def modelHeader(self):
        """The part that chooses a model, as the worker reads it."""
        return {
            "name": self.model,
            "device": self.device,
            "precision": self.precision,
            "image_size": self.imageSize,
        }

    def sessionHeader(self):
        """The part that a worker session depends on, as the worker reads it."""
        return {
            "plane": self.plane,
            "intensity": self.intensity,
            "roi": self.roi,
            "pass_mode": self.passMode,
            "short_slices": self.shortSlices,
            "stop_after_empty": self.stopAfterEmpty,
        }

    def asDict(self):
        """JSON-able."""
        return asdict(self)
