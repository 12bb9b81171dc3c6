"""What has become of a case: the file `record.json` in its folder, written when all else of the case is there.

The rule of a batch lives in these files alone: a case is done when its record says so and carries the digest of what
would be computed now. Nothing else is remembered, so whatever interrupts a batch, the next run goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from SegmentPropagateLib import __version__
from SegmentPropagateLib.batch.jobs import Job
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import file_sha256, writing
from SegmentPropagateLib.formats.kinds import VOLUME_ENDINGS

RECORD = "record.json"
OUTPUTS: Mapping[str, str] = MappingProxyType(
    {
        "segmentation": "segmentation.seg.nrrd",
        "overlay": "overlay.png",
        "report": "report.json",
        "thumbnail": "thumbnail.jpg",
    }
)
"""What a case that is done has in its folder; one in which nothing was found has a sentence in its record instead."""
STATUSES = ("done", "failed", "lost")
_LARGEST = 64 << 20  # bytes; a thousand objects take a few
_LONGEST_HEADER = 4 << 20

Record = dict[str, Any]


def read_record(folder: Path) -> Record | None:
    """The record in a case's folder; None where there is none, or it is none of ours."""
    path = folder / RECORD
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return None
        told = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) and told.get("status") in STATUSES and _is_whole(told) else None


_NUMBER = (int, float)
_PARTS: Mapping[str, Any] = MappingProxyType(
    {"case": str, "sentence": str, "inputs": dict, "outputs": dict, "earlier_outputs": dict, "figures": list}
)
_PARTS_OF_INPUT: Mapping[str, Any] = MappingProxyType({"stamp": str, "sha256": str})
_PARTS_OF_OUTPUT: Mapping[str, Any] = MappingProxyType({"file": str, "sha256": str})
_PARTS_OF_FIGURES: Mapping[str, Any] = MappingProxyType(
    {
        "label": int,
        "name": str,
        "key_slices": list,
        "volume_ml": _NUMBER,
        "worth_a_look": int,
        "predicted_iou": (*_NUMBER, type(None)),
    }
)


def _is_whole(told: Record) -> bool:
    """Whether a record has the parts that others rely on: whatever a folder holds may be called so."""
    told = {"earlier_outputs": {}, "seconds": 0, **told}
    if not _has(told, _PARTS) or not isinstance(told["seconds"], _NUMBER):
        return False
    outputs = [*told["outputs"].values(), *told["earlier_outputs"].values()]
    return (
        all(_has(found, _PARTS_OF_INPUT) for found in told["inputs"].values())
        and all(_has(output, _PARTS_OF_OUTPUT) and _is_name(output["file"]) for output in outputs)
        and all(_has(thing, _PARTS_OF_FIGURES) for thing in told["figures"])
        and (told["status"] != "done" or set(told["outputs"]) == (set() if told["sentence"] else set(OUTPUTS)))
    )


def _is_name(file: str) -> bool:
    """Of a file in the case's folder."""
    return Path(file).name == file and file.isprintable()


def _has(thing: object, parts: Mapping[str, Any]) -> bool:
    return isinstance(thing, dict) and all(n in thing and isinstance(thing[n], kind) for n, kind in parts.items())


def read_records(out: Path) -> list[Record]:
    """All records of a batch, ordered by the names of their folders, which are the cases'."""
    found = ((folder.name, read_record(folder)) for folder in sorted(out.iterdir()) if folder.is_dir())
    return [{**record, "case": name} for name, record in found if record is not None]


def write_record(folder: Path, status: str, **content: Any) -> None:
    """Write a record, complete or not at all; what is not told is empty.

    Raises:
        InputError: it cannot be written.
    """
    record = {
        "case": folder.name,
        "status": status,
        "digest": None,
        "sentence": "",
        "program": f"segment-propagate {__version__}",
        "inputs": {},
        "outputs": {},
        "figures": [],
        **content,
    }
    with writing(folder / RECORD) as file:
        file.write(json.dumps(record, indent=1, default=str).encode() + b"\n")


def write_failure(folder: Path, answer: Mapping[str, Any]) -> None:
    """Write the record of a case that came to nothing; files of an earlier run stay, and their digests."""
    folder.mkdir(parents=True, exist_ok=True)
    old = read_record(folder) or {}
    earlier = old.get("outputs") or old.get("earlier_outputs") or {}
    more = {"traceback": answer["traceback"]} if "traceback" in answer else {}
    write_record(folder, answer["status"], sentence=answer["sentence"], earlier_outputs=earlier, **more)


def is_done(record: Record | None, digest: str, folder: Path) -> bool:
    """Whether a record is of what would be computed now, and its files are there; they may have been edited."""
    if record is None or record["status"] != "done" or record.get("digest") != digest:
        return False
    return all((folder / output["file"]).is_file() for output in record["outputs"].values())


def digest_of(job: Job, prints: Mapping[str, Mapping[str, str]], settled: str) -> str:
    """SHA-256 of all that a result depends on.

    Args:
        job: the case.
        prints: of its files, see `prints_of`.
        settled: what all cases share: model and settings.
    """
    parts = [{option: found["sha256"] for option, found in prints.items()}, job.options, settled]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def prints_of(job: Job, record: Record | None, *, read: bool) -> dict[str, dict[str, str]] | None:
    """Of each file of a case its path, a stamp (names, sizes, times) and the SHA-256 of its content.

    What has the stamp that the record tells is taken to have the content, too.

    Args:
        job: the case.
        record: of an earlier run.
        read: read the files whose stamp is new; else there is no answer (None) where one is.

    Raises:
        InputError: a file is missing or cannot be read.
    """
    prints = {}
    for option, path in job.inputs.items():
        known = {} if record is None else record["inputs"].get(option, {})
        try:
            files = sorted(_files_of(Path(path)))
            stats = [(str(file), file.stat()) for file in files]
        except OSError as error:
            raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from error
        listed = [(Path(name).name, status.st_size, status.st_mtime_ns) for name, status in stats]
        stamp = _sha256(listed)
        if known.get("stamp") != stamp and not read:
            return None
        sha256 = known["sha256"] if known.get("stamp") == stamp else _sha256([file_sha256(file) for file in files])
        prints[option] = {"path": path, "stamp": stamp, "sha256": sha256}
    return prints


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _files_of(path: Path) -> Iterator[Path]:
    """The files that are read when this one is: those of a folder, the rest of a series, or what a header names."""
    if path.is_dir():
        yield from (file for file in path.rglob("*") if file.is_file())
        return
    yield path
    name = path.name.lower()
    if name.endswith((".mhd", ".nhdr")):
        with path.open("rb") as file:
            header = file.read(_LONGEST_HEADER)
        for value in re.findall(rb"[:=][ \t]*([^\r\n]+)", header):
            other = path.parent / os.fsdecode(value.strip().replace(b"\0", b""))
            if other.is_file():
                yield other
    elif pair := re.match(r"(.+)\.(hdr|img)(\.gz)?$", path.name, re.IGNORECASE):
        others = (file for file in path.parent.iterdir() if file.name.startswith(f"{pair[1]}.") and file.is_file())
        yield from (file for file in others if file.name != path.name)
    elif not name.endswith(VOLUME_ENDINGS):  # of DICOM, whose files have any name
        yield from (file for file in path.parent.iterdir() if file.is_file())
