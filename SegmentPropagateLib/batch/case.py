"""One case, from its files to its folder: complete or as it was before."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from SegmentPropagateLib.batch.jobs import Job
from SegmentPropagateLib.batch.records import (
    OUTPUTS,
    RECORD,
    Record,
    digest_of,
    is_done,
    prints_of,
    read_record,
    write_record,
)
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import file_sha256, writing
from SegmentPropagateLib.reports.cohort import figures_of

_SIDE = 480  # pixels of a thumbnail; of a longer sheet the upper part is shown


class Computed(NamedTuple):
    """A result that is not on the disk yet.

    Args:
        report: see `report.describe_run`.
        notes: sentences that a user would have been told.
        write: puts the files of `OUTPUTS` but the thumbnail in their places, all or none.
        nothing: why there is nothing to write; else empty.
    """

    report: Mapping[str, Any]
    notes: list[str]
    write: Callable[[], object]
    nothing: str = ""


Compute = Callable[[Job, Path], Computed]
"""From a case and its folder to a result."""


def is_current(job: Job, out: Path, settled: str) -> bool:
    """Whether a case is known to be done without reading any of its files."""
    folder = out / job.name
    record = read_record(folder)
    try:
        prints = prints_of(job, record, read=False)
    except InputError:  # to be told of as a case that failed
        return False
    return prints is not None and is_done(record, digest_of(job, prints, settled), folder)


def do_case(job: Job, out: Path, settled: str, compute: Compute) -> dict[str, Any]:
    """Compute a case unless it is done; its record is the last that is written.

    Returns:
        `status`, and as `sentence` why nothing was found, where nothing was.

    Raises:
        InputError: it cannot be done; the sentence tells why.
    """
    folder = out / job.name
    folder.mkdir(parents=True, exist_ok=True)
    old = read_record(folder)
    prints = prints_of(job, old, read=True) or {}
    digest = digest_of(job, prints, settled)
    if old is not None and is_done(old, digest, folder):
        write_record(folder, **{**old, "inputs": prints})  # files that were touched, or have moved
        return {"status": "done"}
    started = time.perf_counter()
    computed = compute(job, folder)
    notes = [*computed.notes, *_keep_edited(folder, old)]
    (folder / RECORD).unlink(missing_ok=True)  # from here on the files are not those that it tells of
    written = {} if computed.nothing else OUTPUTS
    for name in set(OUTPUTS) - set(written):  # of an earlier run, which found something
        (folder / OUTPUTS[name]).unlink(missing_ok=True)
    if written:
        computed.write()
        _write_thumbnail(folder)
    write_record(
        folder,
        "done",
        digest=digest,
        sentence=computed.nothing,
        inputs=prints,
        outputs={name: {"file": file, "sha256": file_sha256(folder / file)} for name, file in written.items()},
        figures=figures_of(computed.report),
        notes=notes,
        seconds=round(time.perf_counter() - started, 3),
    )
    return {"status": "done", **({"sentence": computed.nothing} if computed.nothing else {})}


def _keep_edited(folder: Path, old: Record | None) -> list[str]:
    """Give a segmentation that somebody has changed since it was written another name, so that it stays."""
    path = folder / OUTPUTS["segmentation"]
    if not path.is_file():
        return []
    known = {} if old is None else {**old.get("earlier_outputs", {}), **old["outputs"]}
    if file_sha256(path) == known.get("segmentation", {}).get("sha256"):
        return []
    number = next(number for number in range(1, 1 << 20) if not (folder / f"edited-{number}.seg.nrrd").exists())
    path.rename(folder / f"edited-{number}.seg.nrrd")
    return [f"{path.name} had been changed, and was kept as edited-{number}.seg.nrrd."]


def _write_thumbnail(folder: Path) -> None:
    with Image.open(folder / OUTPUTS["overlay"]) as sheet:
        height = min(sheet.height, sheet.width)
        small = sheet.crop((0, 0, sheet.width, height)).resize((_SIDE, max(1, round(height * _SIDE / sheet.width))))
    with writing(folder / OUTPUTS["thumbnail"]) as file:
        small.save(file, format="JPEG", quality=85)
