"""One optimizer step after the other, in a way that can stop anywhere and go on as if it had not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import torch
from torch import Tensor, nn

from SegmentPropagateLib.errors import InputError, OutOfMemoryError
from SegmentPropagateLib.networks.memory import MemoryPolicy
from SegmentPropagateLib.networks.sam2 import Network
from SegmentPropagateLib.training.clips import Clip
from SegmentPropagateLib.training.forward import ClipForward, ClipPrompt, Teacher
from SegmentPropagateLib.training.losses import LossTerms, LossWeights, clip_loss
from SegmentPropagateLib.training.optimizer import Rates, make_optimizer, set_rates
from SegmentPropagateLib.training.ranks import Workers
from SegmentPropagateLib.training.supports.loss import SupportWeights


@dataclass(frozen=True)
class TrainerSettings:
    """How weights are changed.

    Args:
        steps: optimizer steps in all; the cosine ends there.
        rates: learning rates.
        weights: of the loss terms.
        clip_norm: largest norm of the gradient.
        checkpointing: compute slices again in the backward pass, to save memory.
        precision: `bf16` runs the network under autocast.
        seed: of dropout.
        learns: pattern of the names of the weights that are trained, at their beginning; the others stay.
        support_weights: of the loss terms where finished cases support slices.
    """

    steps: int
    rates: Rates = field(default_factory=Rates)
    weights: LossWeights = field(default_factory=LossWeights)
    clip_norm: float = 0.1
    checkpointing: bool = False
    precision: Literal["exact", "bf16"] = "exact"
    seed: int = 123
    learns: str = ""
    support_weights: SupportWeights = field(default_factory=SupportWeights)


class Trainer:
    """A network being trained.

    Args:
        network: its weights are changed in place.
        policy: the memory banks to train with.
        settings: see there.
        device: where to compute.
        workers: the processes that share the work; None for this one alone.
    """

    forward = ClipForward

    def __init__(
        self,
        network: Network,
        policy: MemoryPolicy,
        settings: TrainerSettings,
        device: torch.device,
        workers: Workers | None = None,
    ) -> None:
        self.network = network.to(device).train()
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(re.match(settings.learns, name) is not None)
        self.settings = settings
        self.step_count = 0
        self._device, self._workers = device, workers or Workers()
        self._forward = self.forward(network, policy, settings.checkpointing)
        self._optimizer = make_optimizer(network, settings.rates)

    def step(self, clips: Sequence[Clip], prompt: ClipPrompt, teacher: Teacher | None = None) -> dict[str, float]:
        """Learn from a batch of clips of equal length.

        Returns:
            The loss, its terms, and the norm of the gradient before clipping; means over all processes.
        """
        # Dropout of a step is the same whether or not training was interrupted before it.
        torch.manual_seed(self.settings.seed * 1_000_003 + self.step_count * self._workers.count + self._workers.rank)
        self._optimizer.zero_grad(set_to_none=True)
        with out_of_memory_told():
            loss = self._loss(clips, prompt, teacher)
            loss.total.backward()
        self._workers.average_gradients(self.network)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip_norm)
        names = [item.name for item in fields(loss)]
        values = [float(loss.total.detach()), *(float(getattr(loss, name).detach()) for name in names)]
        values = self._workers.mean(values, self._device)
        if not all(torch.isfinite(torch.tensor([*values, float(norm)]))):
            raise InputError(
                f"The loss is no longer a number at step {self.step_count + 1}: start again with a lower learning rate."
            )
        set_rates(self._optimizer, self.settings.rates.share(self.step_count, self.settings.steps))
        self._optimizer.step()
        self.step_count += 1
        return dict(zip(["loss", *names, "gradient_norm"], [*values, float(norm)], strict=True))

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next steps depend on; plain tensors and numbers."""
        return {
            "network": {name: tensor.detach().cpu().clone() for name, tensor in self.network.state_dict().items()},
            "optimizer": self._optimizer.state_dict(),
            "step": self.step_count,
        }

    def state_like(self) -> dict[str, Any]:
        """A state with the names, shapes and kinds of one that `load_state_dict` takes, whatever its numbers."""
        return state_like(self.network, self._optimizer)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step_count = int(state["step"])

    def _loss(self, clips: Sequence[Clip], prompt: ClipPrompt, teacher: Teacher | None) -> LossTerms:
        images, masks = self._stacked(clips)
        with self._autocast():
            taught = None if teacher is None else teacher.to(self._device)
            outputs = self._forward(images, prompt.to(self._device), taught)
        return clip_loss(outputs, masks, self.settings.weights)

    def _stacked(self, clips: Sequence[Clip]) -> tuple[Tensor, Tensor]:
        """Images `(T, B, 3, S, S)` and masks `(T, B, S, S)`."""
        images, masks = (torch.stack([getattr(clip, name) for clip in clips], 1) for name in ("images", "masks"))
        return images.to(self._device), masks.to(self._device)

    def _autocast(self) -> AbstractContextManager[None]:
        if self.settings.precision == "bf16":
            return torch.autocast(self._device.type, torch.bfloat16)
        return nullcontext()


def state_like(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """A state with the names, shapes and kinds of one of this network and its Adam, whatever its numbers."""
    groups = optimizer.state_dict()["param_groups"]
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    places = [place for group in groups for place in group["params"]]
    moments = {
        place: {"step": torch.tensor(0.0), "exp_avg": weight.detach(), "exp_avg_sq": weight.detach()}
        for place, weight in zip(places, weights, strict=True)
    }
    return {
        "network": dict(network.state_dict()),
        "optimizer": {"state": moments, "param_groups": groups},
        "step": 0,
    }


@contextmanager
def out_of_memory_told() -> Iterator[None]:
    """Say what to lower where the device or the computer runs out of memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        is_full = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)
        if not is_full:
            raise
        raise OutOfMemoryError(
            "Training ran out of memory: add --checkpointing on (--resume then goes on from the last save), or start "
            "anew with a lower --batch, --slices or --image-size."
        ) from error
