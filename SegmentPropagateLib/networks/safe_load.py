"""Opening a model file that may be damaged, of another kind, or hostile: no code in it ever runs."""

from __future__ import annotations

import json
import pickle
import pickletools
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from SegmentPropagateLib.errors import CheckpointError

_AGAIN = "get it again from where it came from"

HEADER_BYTES = 10 * 2**20
"""Longest header of a safetensors file that is read; that of the largest SAM 2 has 0.1 MB."""

# What zipfile, pickletools and torch raise at a file that ends early or was changed; found by changing random bytes.
_DAMAGE = (
    zipfile.BadZipFile,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OSError,
    AssertionError,
    StopIteration,
    struct.error,
)


def read_weights(path: Path) -> tuple[dict[str, Tensor], Any]:
    """Return the state dict in a model file and the `card` beside it, or None.

    The tensors may be views of the file on disk: copy what is to outlive a change of the file.

    Args:
        path: a file of `torch.save`: a state dict, or a dict that holds one under `model` beside anything harmless, as
            training leaves it; or a safetensors file, whose metadata may hold a `card` as JSON. Its bytes tell which.

    Raises:
        CheckpointError: it is no such file; the message is one sentence.
    """
    content = _load_safetensors(path) if _is_safetensors(path) else _load(path)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__} instead of weights: give a model file.")
    if "network_weights" in content:
        raise _is_nnunet(path)
    inner = content.get("model", content)
    if not isinstance(inner, Mapping) or not inner:
        raise CheckpointError(f"{path} holds no weights under 'model': give a model file.")
    for name, value in inner.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{path} holds a {type(value).__name__} at {name!r} where a tensor should be: give a model file with "
                "the state dict at the top or under 'model'."
            )
    state = dict(inner)
    if all(name.startswith("module.") for name in state):  # saved from DistributedDataParallel
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return state, content.get("card")


def _first_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder: give the model file in it.")
    if not path.is_file():
        raise CheckpointError(f"The model file {path} does not exist: check the path.")
    try:
        with path.open("rb") as file:
            start = file.read(1024)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}): check its permissions.") from error
    if not start:
        raise CheckpointError(f"{path} is empty: {_AGAIN}.")
    return start


def _is_safetensors(path: Path) -> bool:
    """Tell the two kinds of file apart by the first bytes, and refuse what is neither."""
    start = _first_bytes(path)
    if re.match(rb"\s*(<!doctype|<html|<\?xml|<head)", start, re.IGNORECASE):
        raise CheckpointError(f"{path} is a web page that was saved in place of a model file: download the file again.")
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path} is a Git LFS pointer, not the model file itself: run 'git lfs pull'.")
    if start[8:9] == b"{":  # after eight bytes that say how long the header is
        return True
    if path.suffix.lower() == ".safetensors":  # torch.load goes by the ending
        raise CheckpointError(f"{path} is no safetensors file, or it is damaged: name a PyTorch file .pt, or {_AGAIN}.")
    if start.startswith(b"PK"):
        _refuse_other_zips(path)
    elif not start.startswith(b"\x80"):
        raise CheckpointError(f"{path} is no model file, or it is damaged: give a .pt or .safetensors file.")
    return False


def _refuse_other_zips(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except _DAMAGE as error:
        raise CheckpointError(f"{path} is damaged or incomplete: {_AGAIN}.") from error
    if any("/code/" in name for name in names):
        raise CheckpointError(f"{path} is a TorchScript program, not weights: give the .pt file of the weights.")
    if not any(name.endswith("data.pkl") for name in names):
        raise CheckpointError(f"{path} is a zip archive, not a model file: unpack it and give the .pt file in it.")


def _load(path: Path) -> Any:
    is_zip = zipfile.is_zipfile(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols; what matters is raised
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        names = _names_in_pickle(path, is_zip)
        if "network_weights" in names:
            raise _is_nnunet(path) from error
        culprit = re.search(r"GLOBAL (\S+)", str(error))
        if culprit or names:
            raise CheckpointError(
                f"{path} asks to run code when opened{f' ({culprit[1]})' if culprit else ''} and was not opened: use "
                "it only through a program you trust, which can save its weights alone."
            ) from error
        raise CheckpointError(f"{path} is not a PyTorch model file, or it is damaged: {_AGAIN}.") from error
    except MemoryError as error:
        raise CheckpointError(f"{path} does not fit into memory: close other programs.") from error
    except _DAMAGE as error:
        raise CheckpointError(f"{path} is damaged or incomplete: {_AGAIN}.") from error


def _load_safetensors(path: Path) -> dict[str, Any]:
    """The tensors under `model` and the card, as `save_checkpoint` lays them out in a .pt file."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise CheckpointError(
            f"{path} is a safetensors file, and the package safetensors is not installed: install it, or give the .pt "
            "file of the model."
        ) from error
    try:
        _check_header(path)
        with safe_open(path, framework="pt", device="cpu") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            card = (file.metadata() or {}).get("card")
            return {"model": weights, "card": None if card is None else json.loads(card)}
    except MemoryError as error:
        raise CheckpointError(f"{path} does not fit into memory: close other programs.") from error
    except (SafetensorError, *_DAMAGE) as error:
        raise CheckpointError(f"{path} is damaged or incomplete: {_AGAIN}.") from error


def _check_header(path: Path) -> None:
    """Raise ValueError at a header that is absurdly long or names something twice, of which one would be overlooked."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entries = dict(pairs)
        if len(entries) < len(pairs):
            raise ValueError("a name stands twice")
        return entries

    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > HEADER_BYTES:
            raise ValueError("the header is too long")
        json.loads(file.read(length), object_pairs_hook=unique)


def _names_in_pickle(path: Path, is_zip: bool) -> set[str]:
    """All strings in the file's first pickle, read without running it; empty where it is no pickle."""
    try:
        if is_zip:
            with zipfile.ZipFile(path) as archive:
                name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
                data = archive.read(name)
        else:
            data = path.read_bytes()
        return {argument for _, argument, _ in pickletools.genops(data) if isinstance(argument, str)}
    except _DAMAGE:
        return set()


def _is_nnunet(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} is an nnU-Net model, which cannot run here: give a SAM 2 or SLM-SAM 2 file.")
