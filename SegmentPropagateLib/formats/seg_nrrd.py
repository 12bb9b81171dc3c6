"""What is known of a segment apart from its voxels, and how Slicer keeps that in a `.seg.nrrd` file.

Format: https://slicer.readthedocs.io/en/latest/developer_guide/modules/segmentations.html (Segmentations file format).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.formats.plain_nrrd import write_array
from SegmentPropagateLib.volumes.boxes import bounding_box
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import TISSUE_TAGS, SegmentInfo, default_segment

_KEYS = ("ID", "LabelValue", "Layer", "Name", "Color", "DefaultColor", "Tags")
_LONGEST_NAME = 255


def write_labels(
    path: Path,
    layers: Sequence[NDArray[np.unsignedinteger]],
    members: Sequence[Sequence[SegmentInfo]],
    geometry: Geometry,
) -> None:
    """Write layers of label values as Slicer does.

    Args:
        path: ends in `.seg.nrrd`.
        layers: arrays `(k, j, i)` of one type and shape; more than one where segments overlap.
        members: for each layer the segments that it holds, empty ones too.
        geometry: their grid; Slicer goes on editing on it, even if the segments fill a corner of it only.
    """
    fields: dict[str, str] = {}
    extents = [_extent(layer) for layer in layers]
    entries = [(layer, info) for layer, infos in enumerate(members) for info in infos]
    for number, (layer, info) in enumerate(sorted(entries, key=lambda entry: entry[1].value)):
        fields |= _segment_fields(number, layer, info, extents[layer])
    fields |= {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ConversionParameters": f"Reference image geometry|{_reference(geometry)}|&",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    write_array(path, layers, geometry, fields)


def read_segments(metadata: Mapping[str, str], layers: int) -> tuple[list[tuple[int, SegmentInfo]], list[str]]:
    """What the header of a `.seg.nrrd` file says of segments; nothing for other files.

    As in Slicer, a segment without a label value has 1, and one without a layer has the layer of its place in the
    list: such are the files of Slicer 4.

    Args:
        metadata: fields of the header.
        layers: how many the file has.

    Returns:
        (layer, segment) for each segment, and a sentence about each that the voxels cannot belong to.
    """
    found: dict[tuple[int, int], SegmentInfo] = {}
    notes = []
    numbers = {int(it[1]) for key in metadata if (it := re.fullmatch(r"Segment(\d{1,6})_(?:ID|LabelValue|Name)", key))}
    for place, number in enumerate(sorted(numbers)):  # some programs count from 1, or leave numbers out
        fields = {key: metadata.get(f"Segment{number}_{key}", "") for key in _KEYS}
        name = _plain(fields["Name"] or fields["ID"])
        if not (name or fields["LabelValue"]):
            continue
        value, layer = _whole(fields["LabelValue"], 1), _whole(fields["Layer"], place if layers > 1 else 0)
        if not 1 <= value < 2**32:
            notes.append(f"Segment '{name}' is left out: its label value is no whole number from 1 up.")
        elif not 0 <= layer < layers:
            notes.append(f"Segment '{name}' is left out: there is no layer of its number.")
        elif (layer, value) in found:
            notes.append(f"Segment '{name}' is left out: its voxels are those of '{found[layer, value].name}'.")
        else:
            plain = default_segment(value)
            color = _color(fields["Color"] or fields["DefaultColor"]) or plain.color_rgb
            tags = fields["Tags"] or TISSUE_TAGS
            found[layer, value] = SegmentInfo(value, name or plain.name, color, tags)
    return [(layer, info) for (layer, _value), info in found.items()], notes


def _whole(text: str, default: int) -> int:
    """The number that a field holds, the default where it is empty, and -1 for what is no whole number."""
    if not text.strip():
        return default
    return int(text) if re.fullmatch(r"\s*\+?\d{1,10}\s*", text, re.ASCII) else -1


def _color(text: str) -> tuple[float, float, float] | None:
    try:
        red, green, blue = map(float, text.split())
    except ValueError:
        return None
    return (red, green, blue) if all(0 <= part <= 1 for part in (red, green, blue)) else None


def _plain(name: str) -> str:
    """A name as a terminal, a table and a file name can take it."""
    return re.sub(r"[\0-\x1f\x7f-\x9f]", " ", name[:_LONGEST_NAME]).strip()


def _reference(geometry: Geometry) -> str:
    """Rows of the index-to-RAS matrix, then first and last index along i, j, k."""
    k, j, i = geometry.shape_kji
    extent = (0, i - 1, 0, j - 1, 0, k - 1)
    return "".join(f"{value};" for value in (*map(float, geometry.ijk_to_ras.ravel()), *extent))


def _segment_fields(number: int, layer: int, info: SegmentInfo, extent: str) -> dict[str, str]:
    fields = {
        "Color": " ".join(f"{part:.6g}" for part in info.color_rgb),
        "ColorAutoGenerated": "0",
        "Extent": extent,
        "ID": f"Segment_{info.value}",
        "LabelValue": str(info.value),
        "Layer": str(layer),
        "Name": info.name,
        "NameAutoGenerated": "0",
        "Tags": info.tags,
    }
    return {f"Segment{number}_{key}": value for key, value in fields.items()}


def _extent(layer: NDArray[Any]) -> str:
    """First and last occupied i, j, k of a layer, as Slicer keeps it for the labelmap that segments share."""
    box = bounding_box(layer)
    if box is None:
        return "0 -1 0 -1 0 -1"
    return " ".join(f"{span.start} {span.stop - 1}" for span in reversed(box))
