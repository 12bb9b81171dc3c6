"""Opening a model file that may be damaged, of another kind, or hostile: no code in it ever runs."""

from __future__ import annotations

import json
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from SegmentPropagateLib.errors import CheckpointError
from SegmentPropagateLib.networks.bounds import (
    LEGACY_PICKLES,
    PICKLE_BYTES,
    check_archive,
    check_tensors,
    skeletons,
)

_AGAIN = "get it again from where it came from"

HEADER_BYTES = 10 * 2**20
"""Longest header of a safetensors file that is read; that of the largest SAM 2 has 0.1 MB."""

NAMED_AT_MOST = 5

# What zipfile, pickle and torch raise at a file that ends early or was changed; found by changing random bytes.
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
    OverflowError,
    NotImplementedError,
    struct.error,
)


WEIGHTS_UNDER = (
    *("model", "state_dict", "model_state_dict", "model_state", "module", "net", "network", "net_state_dict"),
    *("network_state_dict", "weights", "model_weights", "params", "sam2", "checkpoint"),
    *("ema", "ema_model", "model_ema", "state_dict_ema", "ema_state_dict", "params_ema"),
)
"""Keys under which programs save the weights; in a file with several of them it is not known which are meant."""

WRAPPED_AT_MOST = 3


def read_weights(path: Path) -> tuple[dict[str, Tensor], Any]:
    """Return the state dict in a model file and the `card` beside it, or None.

    The tensors may be views of the file on disk: copy what is to outlive a change of the file.

    Args:
        path: a file of `torch.save`: a state dict, or a dict that holds one under a key of `WEIGHTS_UNDER` beside
            anything harmless, as training leaves it; or a safetensors file, whose metadata may hold a `card` as JSON.
            Its bytes tell which.

    Raises:
        CheckpointError: it is no such file, or it asks for more than its bytes bear out; the message is one sentence.
    """
    content = read_content(path)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__} instead of weights: give a model file.")
    if "network_weights" in content:
        raise _is_nnunet(path)
    found = {id(inner): (keys, inner, card) for keys, inner, card in _state_dicts(content, WRAPPED_AT_MOST)}
    if len(found) > 1:
        places = " and ".join(f"'{keys}'" for keys, *_ in list(found.values())[:NAMED_AT_MOST])
        raise CheckpointError(f"{path} holds weights under {places}: save those that you want in a file of their own.")
    inner, card = next(((inner, card) for _, inner, card in found.values()), (content, content.get("card")))
    if not any(isinstance(value, Tensor) for value in inner.values()):
        raise CheckpointError(f"{path} holds no weights, neither at the top nor under 'model': give a model file.")
    for name, value in inner.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{path} holds a {type(value).__name__} at {_shown(name)} where a tensor should be: give a model file "
                "with the state dict at the top or under 'model'."
            )
    check_tensors(path, inner)
    return dict(inner), card


def _shown(name: Any) -> str:
    return repr(name[:80]) if isinstance(name, str) else f"a key of type {type(name).__name__}"


def _state_dicts(content: Mapping[Any, Any], depth: int, card: Any = None) -> Iterator[tuple[str, Any, Any]]:
    """Every state dict under the usual keys: the keys that lead there, the state dict, and the card beside it."""
    card = content.get("card", card)
    for key in WEIGHTS_UNDER:
        inner = content.get(key)
        if isinstance(inner, Mapping):
            deeper = list(_state_dicts(inner, depth - 1, card)) if depth > 1 else []
            if not deeper and any(isinstance(value, Tensor) for value in inner.values()):
                deeper = [("", inner, card)]
            yield from ((f"{key}.{keys}".rstrip("."), found, beside) for keys, found, beside in deeper)


def read_content(path: Path) -> Any:
    """Return whatever a file of `torch.save` or safetensors holds, without running anything in it.

    Raises:
        CheckpointError: it is no such file, or it asks for more than its bytes bear out.
    """
    return _load_safetensors(path) if _is_safetensors(path) else _load(path)


def _first_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder: give the model file in it.")
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path} is a device or a pipe: give a model file.")
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
    if not start.startswith((b"PK", b"\x80")):
        raise CheckpointError(f"{path} is no model file, or it is damaged: give a .pt or .safetensors file.")
    return False


def _refuse_other_zips(path: Path, names: Sequence[str]) -> None:
    if any("/code/" in name for name in names):
        raise CheckpointError(f"{path} is a TorchScript program, not weights: give the .pt file of the weights.")
    if not any(name.endswith("data.pkl") for name in names):
        raise CheckpointError(f"{path} is a zip archive, not a model file: unpack it and give the .pt file in it.")


def _load(path: Path) -> Any:
    try:
        is_zip = zipfile.is_zipfile(path)
        outlines = _outlines_of_zip(path) if is_zip else _outlines_of_legacy(path)
        if any(isinstance(outline, Mapping) and "network_weights" in outline for outline in outlines):
            raise _is_nnunet(path)  # beside objects that would be refused as code
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols; what matters is raised
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        culprit = re.search(r"GLOBAL (\S+)", str(error))
        if "Weights only load failed" not in str(error):
            raise CheckpointError(f"{path} is not a PyTorch model file, or it is damaged: {_AGAIN}.") from error
        raise CheckpointError(
            f"{path} asks to run code when opened{f' ({culprit[1]})' if culprit else ''} and was not opened: use "
            "it only through a program you trust, which can save its weights alone."
        ) from error
    except MemoryError as error:
        raise CheckpointError(f"{path} does not fit into memory: close other programs.") from error
    except _DAMAGE as error:
        raise CheckpointError(f"{path} is damaged or incomplete: {_AGAIN}.") from error


def _outlines_of_zip(path: Path) -> list[Any]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        _refuse_other_zips(path, names)
        check_archive(path, archive)
        return skeletons(path, archive.read(next(name for name in names if name.endswith("data.pkl"))))


def _outlines_of_legacy(path: Path) -> list[Any]:
    with path.open("rb") as file:
        return skeletons(path, file.read(PICKLE_BYTES), LEGACY_PICKLES)


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


def _is_nnunet(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} is an nnU-Net model, which cannot run here: give a SAM 2 or SLM-SAM 2 file.")
