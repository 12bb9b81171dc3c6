"""What is to be done: cases with images and prompts, from a data set as fine-tuning takes it, or from a table of boxes.

A list (CSV or JSON) has a row per case, `image` and `label`, and may have `name`, `key_slice`, `first` and `last`. With
`box` instead of `label` it has a row per object: I0,J0,I1,J1, its `key_slice`, and perhaps its name as `object`; rows
of one image, or of one `name`, make one case. A list of keys has the same columns without `image` and `label`, for the
cases of another data set. Where key slices are suggested, images are all there is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.cases import (
    LISTS,
    check_apart,
    find_cases,
    find_images,
    listed_case,
    listed_image,
    read_rows,
)

RESERVED = ("table.csv", "index.html")
_MOST = 2**31 - 1


@dataclass(frozen=True)
class Job:
    """A case.

    Args:
        name: unique in a batch; names its folder.
        inputs: option of `propagate` (`image`, `mask`) -> path of its file or folder.
        options: other options of `propagate` that are this case's own, as JSON has them.
    """

    name: str
    inputs: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)


def find_jobs(dataset: str | Path, keys: str | Path | None = None, *, drawn: bool = True) -> list[Job]:
    """All cases of a data set or a list, ordered by name; the files of a list need not be there.

    Args:
        dataset: a folder or a list.
        keys: a list of key slices or boxes of its cases.
        drawn: whether objects are outlined or boxed; else cases are images.

    Raises:
        InputError: there is none, a row cannot be understood, or a name cannot be that of a folder.
    """
    path = Path(dataset)
    is_list = path.suffix.lower() in LISTS
    if not drawn:
        jobs = _undrawn(path, is_list)
    elif keys is not None:
        jobs = _keyed(path, Path(keys))
    elif is_list:
        jobs = _listed(path, read_rows(path))
    else:
        jobs = [_job(case.name, case.image, case.labels) for case in find_cases(path)]
    if not jobs:
        raise InputError(f"'{path}' lists no case.")
    _check_names(path, [job.name for job in jobs])
    for file in (file for job in jobs for file in job.inputs.values() if "\0" in file):
        raise InputError(f"'{path}' names {file[-60:]!a}, which is no name of a file.")
    return sorted(jobs, key=lambda job: job.name)


def _undrawn(path: Path, is_list: bool) -> list[Job]:
    if not is_list:
        return [Job(case.name, {"image": str(case.image)}) for case in find_images(path)]
    jobs = []
    for number, row in enumerate(read_rows(path), 1):
        name, image = listed_image(path, row, number)
        jobs.append(Job(name, {"image": str(image)}, _range(path, row, number)))
    return jobs


def _keyed(path: Path, keys: Path) -> list[Job]:
    """The cases of a data set with the keys that a list tells; those that it does not name keep their labels alone."""
    if keys.suffix.lower() not in LISTS:
        raise InputError(f"'{keys}' is no list: give a .csv or .json file for --keys, or auto.")
    rows = read_rows(keys, "name")
    has_boxes = any(_is_given(row.get("box")) for row in rows)
    cases = {case.name: case for case in (find_images if has_boxes else find_cases)(path)}
    full = []
    for number, row in enumerate(rows, 1):
        case = cases.get(str(row.get("name") or "").strip())
        if case is None:
            shown = ascii(str(row.get("name") or "")[:60])
            raise InputError(f"Entry {number} of '{keys}' has {shown} as name, which is no case of '{path}'.")
        files = {"image": str(case.image.absolute()), "label": str(case.labels.absolute())}
        full.append({**row, "name": case.name, **files})
    jobs = {job.name: job for job in _listed(keys, full)}
    if len(jobs) < len(full) and not has_boxes:
        raise InputError(f"'{keys}' names a case twice: give all of its key slices in one row.")
    missing = sorted(set(cases) - set(jobs))
    if has_boxes and missing:
        raise InputError(f"'{keys}' has no box for the case '{missing[0]}': give each case one, or leave it out.")
    return [*jobs.values(), *(_job(name, cases[name].image, cases[name].labels) for name in missing)]


def _listed(path: Path, rows: Sequence[Mapping[str, Any]]) -> list[Job]:
    if any(_is_given(row.get("box")) for row in rows):
        return _boxed(path, rows)
    return [_labelled(path, row, number) for number, row in enumerate(rows, 1)]


def _job(name: str, image: Path, labels: Path, **options: Any) -> Job:
    return Job(name, {"image": str(image), "mask": str(labels)}, options)


def _labelled(path: Path, row: Mapping[str, Any], number: int) -> Job:
    case = listed_case(path, row, number)
    options: dict[str, Any] = {}
    if _is_given(row.get("key_slice")) and str(row["key_slice"]).strip().lower() != "auto":
        options["key_slice"] = _numbers(row["key_slice"], f"Entry {number} of '{path}'", "key_slice")
    return _job(case.name, case.image, case.labels, **options, **_range(path, row, number))


def _boxed(path: Path, rows: Sequence[Mapping[str, Any]]) -> list[Job]:
    jobs: dict[str, Job] = {}
    for number, row in enumerate(rows, 1):
        where = f"Entry {number} of '{path}'"
        name, image = listed_image(path, row, number)
        box = _numbers(row.get("box"), where, "box", 4)
        (key,) = _numbers(row.get("key_slice"), where, "key_slice", 1)
        job = jobs.setdefault(name, Job(name, {"image": str(image)}, {"box": [], "key_slice": [], "name": []}))
        ends = _range(path, row, number)
        if job.inputs["image"] != str(image) or (job.options["box"] and {**job.options, **ends} != job.options):
            raise InputError(f"{where} differs from an earlier one of the case '{name}' in its image or range.")
        options = {**job.options, **ends}
        options["box"] = [*options["box"], box]
        options["key_slice"] = [*options["key_slice"], key]
        called = str(row.get("object") or "").strip()
        options["name"] = [*options["name"], called or f"Label {len(options['box'])}"]
        jobs[name] = Job(name, job.inputs, options)
    return list(jobs.values())


def _range(path: Path, row: Mapping[str, Any], number: int) -> dict[str, list[int]]:
    ends = [row.get(word) for word in ("first", "last")]
    if not any(map(_is_given, ends)):
        return {}
    where = f"Entry {number} of '{path}'"
    return {"range": [_numbers(end, where, word, 1)[0] for word, end in zip(("first", "last"), ends, strict=True)]}


def _is_given(value: Any) -> bool:
    return value not in (None, []) and str(value).strip() != ""


def _numbers(value: Any, where: str, what: str, count: int | None = None) -> list[int]:
    """Whole numbers, from a list as JSON has them, or a text with commas or spaces between them."""
    parts = value if isinstance(value, list) else re.split(r"[\s,;]+", str("" if value is None else value).strip())
    texts = [re.sub(r"\.0$", "", str(part)) for part in parts]  # tables turn numbers into decimal ones
    if all(re.fullmatch(r"-?\d{1,9}", text) for text in texts) and count in (None, len(texts)):
        return [int(text) for text in texts]
    wanted = {1: "a whole number", 4: "four voxel indices such as 30,40,60,80"}.get(count or 0, "whole numbers")
    shown = ascii(str(value)[:60])[1:-1]
    raise InputError(f"{where} has '{shown}' as {what}: give {wanted}.")


def _check_names(path: Path, names: Sequence[str]) -> None:
    """Each case has a folder of its own."""
    check_apart(path, names)
    for name in names:
        if name.startswith(".") or name.casefold() in RESERVED:
            raise InputError(f"'{path}' has a case named '{name}', which cannot name its folder: choose another.")
