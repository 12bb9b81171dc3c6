"""Templates of segments: names, colors and terminology that case after case gets, from a JSON or a `.seg.nrrd` file.

    {"segments": ["Liver",
                  {"name": "Tumor", "color": "#c8503c"},
                  {"name": "Spleen", "color": [157, 108, 162], "type": ["SCT", "78961009", "Spleen"]}]}

`type` and, where needed, `category`, `modifier`, `region` and `region_modifier` are codes as DICOM writes them:
scheme, value, meaning. A list without the braces around it will do as well.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import PathLike, is_there
from SegmentPropagateLib.formats.cases import read_json
from SegmentPropagateLib.formats.plain_nrrd import read_fields
from SegmentPropagateLib.formats.seg_nrrd import read_segments
from SegmentPropagateLib.volumes.labels import TISSUE_TAGS, SegmentInfo, default_segment

ANATOMY = ("SCT", "123037004", "Anatomical Structure")
_FIELDS = frozenset({"name", "color", "category", "type", "modifier", "region", "region_modifier"})
_MOST_SEGMENTS = 1000


def read_template(path: PathLike) -> tuple[SegmentInfo, ...]:
    """Read the segments that a case gets, in their order, numbered from 1.

    Args:
        path: JSON as above, or a `.seg.nrrd` file, whose voxels do not matter.

    Raises:
        InputError: the file is missing, damaged, of another kind, or names no segment or one twice.
    """
    path = Path(path)
    if not is_there(path):
        raise InputError(f"The template '{path}' does not exist.")
    if path.name.lower().endswith(".json"):
        found = _in_json(path)
    elif path.name.lower().endswith(".seg.nrrd"):
        found = _in_seg_nrrd(path)
    else:
        raise InputError(f"The template '{path}' is of an unknown kind: give a .json or a .seg.nrrd file.")
    return checked_segments(found, f"The template '{path}' names")


def checked_segments(found: Sequence[SegmentInfo], where: str) -> tuple[SegmentInfo, ...]:
    """Segments that every case may get.

    Raises:
        InputError: there are none or too many, one is there twice, or has no name or no color; `where` begins it.
    """
    if not 1 <= len(found) <= _MOST_SEGMENTS:
        raise InputError(f"{where} {len(found)} segments: name 1 to {_MOST_SEGMENTS}.")
    name, times = Counter(info.name for info in found).most_common(1)[0]
    if times > 1:
        raise InputError(f"{where} '{name}' {times} times: give every segment a name of its own.")
    for info in found:
        if not (info.name.strip() and all(0 <= part <= 1 for part in info.color_rgb)):
            raise InputError(f"{where} '{info.name}' with the color {info.color_rgb}: it needs a name and a color.")
    return tuple(found)


def template_of_names(names: Sequence[str]) -> tuple[SegmentInfo, ...]:
    """Segments of which only the names are known, numbered from 1.

    Raises:
        InputError: a name is empty or there twice.
    """
    found = [_listed(name, number, f"Label {number}") for number, name in enumerate(names, start=1)]
    return checked_segments(found, "The labels are")


def template_as_json(segments: tuple[SegmentInfo, ...]) -> str:
    """Segments as text that `template_of_json` reads, tags and all."""
    return json.dumps([[info.name, info.color_rgb, info.tags] for info in segments])


def template_of_json(text: str) -> tuple[SegmentInfo, ...]:
    """The segments of `template_as_json`; none where the text is damaged."""
    try:
        return tuple(
            SegmentInfo(number, str(name), (float(red), float(green), float(blue)), str(tags))
            for number, (name, (red, green, blue), tags) in enumerate(json.loads(text), 1)
        )
    except (TypeError, ValueError, RecursionError):
        return ()


def _in_seg_nrrd(path: Path) -> list[SegmentInfo]:
    if not path.is_file():
        raise InputError(f"The template '{path}' is no regular file.")
    try:
        fields = read_fields(path)
    except ValueError as error:
        raise InputError(f"The template '{path}' is damaged or no NRRD file: save it again in Slicer.") from error
    layers = 1 + max((int(value) for key, value in fields.items() if _is_layer(key, value)), default=0)
    described, _notes = read_segments(fields, layers)
    return [SegmentInfo(n, info.name, info.color_rgb, info.tags) for n, (_layer, info) in enumerate(described, 1)]


def _is_layer(key: str, value: str) -> bool:
    return bool(re.fullmatch(r"Segment\d+_Layer", key) and re.fullmatch(r"\d{1,4}", value.strip(), re.ASCII))


def _in_json(path: Path) -> list[SegmentInfo]:
    content = read_json(path)
    rows = content.get("segments") if isinstance(content, Mapping) else content
    if not isinstance(rows, list):
        raise InputError(f"The template '{path}' must hold {{\"segments\": [...]}}, or a list of segments.")
    return [_listed(row, number, f"Segment {number} of the template '{path}'") for number, row in enumerate(rows, 1)]


def _listed(row: Any, number: int, where: str) -> SegmentInfo:
    row = {"name": row} if isinstance(row, str) else row
    if not isinstance(row, Mapping):
        raise InputError(f'{where} must be a name, or an object like {{"name": "Liver", "color": "#dd8265"}}.')
    unknown = sorted(set(row) - _FIELDS)
    if unknown:
        raise InputError(f"{where} has the field '{unknown[0]}', known are {', '.join(sorted(_FIELDS))}.")
    name = row.get("name")
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > 255:
        raise InputError(f"{where} needs a name of 1 to 255 printable characters, it has {_shown(name)}.")
    color = default_segment(number).color_rgb if row.get("color") is None else _color(row["color"], where)
    return SegmentInfo(number, name.strip(), color, _tags(row, where))


def _color(color: Any, where: str) -> tuple[float, float, float]:
    if isinstance(color, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", color):
        color = list(bytes.fromhex(color[1:]))
    if not isinstance(color, list) or len(color) != 3 or not all(type(n) is int and 0 <= n <= 255 for n in color):
        raise InputError(f'{where} has the color {_shown(color)}: write "#rrggbb", or three whole numbers 0 to 255.')
    red, green, blue = (part / 255 for part in color)
    return red, green, blue


def _tags(row: Mapping[str, Any], where: str) -> str:
    """Slicer's tag for the codes, see vtkSlicerTerminologiesModuleLogic::SerializeTerminologyEntry."""
    if row.get("type") is None:
        return TISSUE_TAGS
    codes = {name: _code(row.get(name), f"{where}, field '{name}',") for name in sorted(_FIELDS - {"name", "color"})}
    parts = (
        "Segmentation category and type - DICOM master list",
        codes["category"] or "^".join(ANATOMY),
        codes["type"],
        codes["modifier"] or "^^",
        "Anatomic codes - DICOM master list",
        codes["region"] or "^^",
        codes["region_modifier"] or "^^",
    )
    return "TerminologyEntry:" + "~".join(parts) + "|"


def _code(code: Any, where: str) -> str:
    if code is None:
        return ""
    is_code = isinstance(code, list) and len(code) == 3 and all(isinstance(p, str) and p.strip() for p in code)
    if not is_code or any(re.search(r"[\^~|:\0-\x1f]", part) for part in code):
        raise InputError(
            f'{where} must be a code of three texts like ["SCT", "10200004", "Liver"], not {_shown(code)}.'
        )
    return "^".join(part.strip() for part in code)


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
