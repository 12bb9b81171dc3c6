"""Several processes that train one model: `torchrun` starts them, gradients are averaged after each backward pass.

The examples of a step are dealt out by rank: n processes with batch b do what one process with batch n x b does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import distributed, nn

from SegmentPropagateLib.errors import InputError


@dataclass(frozen=True)
class Workers:
    """Which of how many processes this is.

    Args:
        rank: 0-based; only rank 0 writes files and speaks.
        count: number of processes.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def share(self, items: Sequence[int]) -> Sequence[int]:
        """This process's part of a step's examples, whose number is a multiple of `count`."""
        size = len(items) // self.count
        return items[self.rank * size : (self.rank + 1) * size]

    def average_gradients(self, network: nn.Module) -> None:
        """Replace each gradient by the mean over all processes; one that nobody has stays None."""
        if self.count == 1:
            return
        for parameter in network.parameters():
            has = torch.tensor(float(parameter.grad is not None), device=parameter.device)
            distributed.all_reduce(has)
            if has == 0:
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            distributed.all_reduce(parameter.grad)
            parameter.grad /= self.count

    def mean(self, values: Sequence[float], device: torch.device) -> list[float]:
        """The mean of each number over all processes."""
        if self.count == 1:
            return list(values)
        pooled = torch.tensor(values, dtype=torch.float64, device=device)
        distributed.all_reduce(pooled)
        return (pooled / self.count).tolist()

    def wait(self) -> None:
        """Until all processes have come here."""
        if self.count > 1:
            distributed.barrier()


_SET_BY_TORCHRUN = ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT")
_NUMBERS = ("WORLD_SIZE", "RANK", "MASTER_PORT")


def join(device: torch.device) -> Workers:
    """Meet the other processes that `torchrun` started, if it did.

    Raises:
        InputError: of the variables that `torchrun` sets some lack, one is no number, or nobody answers.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return Workers()
    missing = [name for name in _SET_BY_TORCHRUN if name not in os.environ]
    if missing:
        raise InputError(f"WORLD_SIZE is set but {missing[0]} is not: start with torchrun, or unset WORLD_SIZE.")
    for name in _NUMBERS:
        if not os.environ[name].isdecimal():
            raise InputError(f"{name} is '{os.environ[name]}', not a number: start with torchrun, or unset WORLD_SIZE.")
    if not distributed.is_initialized():
        try:
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        except (ValueError, RuntimeError) as error:  # torch's errors about addresses and ports are RuntimeErrors
            reason = str(error).partition("\n")[0].rstrip(".")
            raise InputError(f"The other processes cannot be met ({reason}): start with torchrun.") from error
    return Workers(distributed.get_rank(), distributed.get_world_size())


def local_device(device: torch.device) -> torch.device:
    """This process's own GPU where `torchrun` started one process per GPU."""
    if device.type == "cuda" and os.environ.get("LOCAL_RANK", "").isdecimal():
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device
