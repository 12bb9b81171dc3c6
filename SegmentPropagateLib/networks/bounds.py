"""What a model file may ask for, looked at before it is done.

Whoever wrote the file chose its sizes: none is believed that the bytes of the file do not bear out.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from SegmentPropagateLib.errors import CheckpointError

PICKLE_BYTES = 32 * 2**20
"""Longest pickle that is read; the largest SAM 2 has one of 0.1 MB."""

PICKLE_PIECES = 3_000_000
"""Instructions in a file's pickles with their arguments; PyTorch takes 2 s for a million."""

LEGACY_PICKLES = 5
"""Before the numbers of a file as PyTorch wrote them before version 1.6: three marks, the content, keys of storages."""

CALLED_BUDGET = 1_000_000
"""Entries that all calls in a pickle together may ask for; those of real files are given hardly any."""

_ALONE = "save the weights alone"

PLAIN_TENSORS = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter", "_rebuild_parameter_with_state")

NAME_LENGTH = 500
SHARED = 2
"""How often the same bytes may be used: weights that two layers share are stored once."""

PLAIN_DEPTH = 20
PLAIN_BUDGET = 1_000_000
PLAIN_INTEGER = 2**63


def check_archive(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse an archive in which something is larger unpacked than the file, or that two readers could see as two.

    PyTorch stores without compression, begins with the first member and ends with the directory.

    Raises:
        CheckpointError: the archive is packed, or laid out in another way.
    """
    members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise CheckpointError(
            f"{path} is a compressed archive, which no model file is: unpack it and give what is in it."
        )
    if any(member.file_size > PICKLE_BYTES for member in members if member.filename.endswith(".pkl")):
        raise CheckpointError(f"{path} holds far more beside its weights than models do: {_ALONE}.")
    unpacked = sum(member.file_size for member in members)
    if unpacked > path.stat().st_size or archive.comment or min(member.header_offset for member in members):
        raise CheckpointError(f"{path} is not laid out as PyTorch writes files: save the model anew.")


def skeletons(path: Path, data: bytes, count: int = 1) -> list[Any]:
    """Go through pickles one after the other, with stand-ins for all that they name: nothing is made or run.

    Args:
        path: of the file, for messages.
        data: of which the pickles are the beginning.
        count: how many follow each other; fewer are no fault.

    Returns:
        What they hold, with stand-ins where it is more than numbers, texts, lists and dicts.

    Raises:
        CheckpointError: one asks for too much, or for tensors that are no plain arrays.
        Exception: whatever `pickle` raises at a damaged one.
    """
    stream, found = _Counted(path, data), list[Any]()
    while len(found) < count and stream.tell() < len(data):
        found.append(_Skeleton(path, stream).load())
    return found


class _Counted(io.BytesIO):
    """Bytes that are read in so many pieces and no more: one or two make an object."""

    def __init__(self, path: Path, data: bytes) -> None:
        super().__init__(data)
        self._path, self._left = path, PICKLE_PIECES

    def read(self, size: int | None = -1, /) -> bytes:
        """As ever, and counts."""
        self._left -= 1
        if self._left < 0:
            raise CheckpointError(f"{self._path} holds far more beside its weights than models do: {_ALONE}.")
        return super().read(size)


class _Skeleton(pickle._Unpickler):  # the one in C sets aside memory for any number that the file names
    """Unpickles with stand-ins, and counts what calls would make of their arguments."""

    def __init__(self, path: Path, stream: _Counted) -> None:
        super().__init__(stream)
        self._path, self._left = path, CALLED_BUDGET

    def find_class(self, module: str, name: str) -> Any:
        """A stand-in, whatever is asked for."""
        del module
        builds_tensor = name.startswith("_rebuild_")
        if builds_tensor and name not in PLAIN_TENSORS:
            raise CheckpointError(
                f"{self._path} holds tensors that are no plain arrays of numbers ({name}): save ordinary weights."
            )
        charge = self._charge

        class StandIn(dict[Any, Any]):
            """Takes any arguments, items and state."""

            __hash__ = object.__hash__  # type: ignore[assignment]

            def __new__(cls, *arguments: Any) -> Any:
                if not builds_tensor:
                    charge(arguments)
                return super().__new__(cls)

            def __init__(self, *arguments: Any) -> None:
                del arguments
                super().__init__()

            def __setstate__(self, state: Any) -> None:
                del state

        return StandIn

    def persistent_load(self, pid: Any) -> None:
        """No storage is looked at."""

    def _charge(self, arguments: tuple[Any, ...]) -> None:
        for argument in arguments:
            self._left -= abs(argument) if isinstance(argument, int) else len(argument) if _is_sized(argument) else 1
        if self._left < 0:
            raise CheckpointError(f"{self._path} asks for more than it holds: {_ALONE}.")


def _is_sized(value: Any) -> bool:
    return isinstance(value, (str, bytes, list, tuple, Mapping, set))


def check_tensors(path: Path, state: Mapping[str, Tensor]) -> None:
    """Refuse tensors that are not stored number by number, such as one number that stands for a billion.

    Raises:
        CheckpointError: the first such tensor is named.
    """
    used = 0
    for name, tensor in state.items():
        if len(name) > NAME_LENGTH:
            raise CheckpointError(f"{path} has a tensor whose name is {len(name)} characters long: save it anew.")
        is_plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
        if not is_plain or not tensor.numel() or tensor.nbytes > tensor.untyped_storage().nbytes():
            raise CheckpointError(
                f"{path} does not hold the numbers of {name!r}, of shape {list(tensor.shape)}: save it anew with every "
                "tensor made contiguous."
            )
        used += tensor.nbytes
    if used > SHARED * path.stat().st_size:
        raise CheckpointError(f"{path} uses the same bytes for many tensors: save it anew with every tensor cloned.")


def check_plain(value: Any) -> None:
    """Refuse what is no small tree of JSON's kinds: other types, cycles, NaN, and few objects that stand for many.

    Raises:
        ValueError: the message says what was met.
    """
    left = PLAIN_BUDGET
    todo = [(value, 0)]
    while todo:
        item, depth = todo.pop()
        left -= 1
        if depth > PLAIN_DEPTH:
            raise ValueError(f"it is nested more than {PLAIN_DEPTH} deep")
        if isinstance(item, str):
            left -= len(item)
        elif isinstance(item, Mapping):
            left -= len(item)
            if left >= 0:
                todo += [(inner, depth + 1) for pair in item.items() for inner in _entry(pair)]
        elif isinstance(item, (list, tuple)):
            left -= len(item)
            if left >= 0:
                todo += [(inner, depth + 1) for inner in item]
        else:
            _check_number(item)
        if left < 0:
            raise ValueError("it is too large")


def _entry(pair: tuple[Any, Any]) -> tuple[Any, Any]:
    if not isinstance(pair[0], str):
        raise ValueError(f"a {type(pair[0]).__name__} stands where a name should")
    return pair


def _check_number(item: Any) -> None:
    if item is not None and type(item) not in (bool, int, float):
        raise ValueError(f"it holds a {type(item).__name__}")
    if isinstance(item, float) and not math.isfinite(item):
        raise ValueError(f"it holds {item}")
    if isinstance(item, int) and abs(item) >= PLAIN_INTEGER:
        raise ValueError(f"it holds a number of {item.bit_length()} bits")
