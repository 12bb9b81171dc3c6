"""What is known of a segment apart from its voxels, and how Slicer keeps that in a `.seg.nrrd` file.

Format: https://slicer.readthedocs.io/en/latest/developer_guide/modules/segmentations.html (Segmentations file format).
"""

from __future__ import annotations

import colorsys
import gzip
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.volumes.geometry import Geometry

TISSUE_TAGS = (
    "TerminologyEntry:Segmentation category and type - 3D Slicer General Anatomy list"
    "~SCT^85756007^Tissue~SCT^85756007^Tissue~^^~Anatomic codes - DICOM master list~^^~^^|"
)
"""What Slicer writes for a segment whose terminology was never chosen."""


@dataclass(frozen=True)
class SegmentInfo:
    """What is known of a segment apart from its voxels.

    Args:
        value: label value, >= 1, unique within a file.
        name: for people.
        color_rgb: red, green, blue in 0..1.
        tags: Slicer's tags (terminology, status), kept as they came.
    """

    value: int
    name: str
    color_rgb: tuple[float, float, float]
    tags: str = TISSUE_TAGS


def default_segment(value: int) -> SegmentInfo:
    """Name and color of a label of which nothing but the value is known; neighbors get distant hues."""
    hue = (value - 1) * 0.618033988749895 % 1.0  # golden ratio: any run of values is spread evenly
    return SegmentInfo(value, f"Label {value}", colorsys.hsv_to_rgb(hue, 0.65, 0.95))


def write_seg_nrrd(
    path: Path,
    layers: Sequence[NDArray[np.unsignedinteger]],
    members: Sequence[Sequence[SegmentInfo]],
    geometry: Geometry,
    ijk_to_lps: NDArray[np.float64],
) -> None:
    """Write layers of label values as Slicer does.

    Args:
        path: ends in `.seg.nrrd`.
        layers: arrays `(k, j, i)` of one type and shape; more than one where segments overlap.
        members: for each layer the segments that it holds, empty ones too.
        geometry: their grid; Slicer goes on editing on it, even if the segments fill a corner of it only.
        ijk_to_lps: the same in the file's own axes, 4 x 4, mm.
    """
    lines = _grid_lines(layers, ijk_to_lps)
    extents = [_extent(layer) for layer in layers]
    entries = [(layer, info) for layer, infos in enumerate(members) for info in infos]
    for number, (layer, info) in enumerate(sorted(entries, key=lambda entry: entry[1].value)):
        lines += _segment_lines(number, layer, info, extents[layer])
    lines += [
        "Segmentation_ContainedRepresentationNames:=Binary labelmap|",
        f"Segmentation_ConversionParameters:=Reference image geometry|{_reference(geometry)}|&",
        "Segmentation_MasterRepresentation:=Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset:=0 0 0",
    ]
    with path.open("wb") as file:
        file.write("\n".join([*lines, "", ""]).encode())
        with gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed:  # same masks, same bytes
            for planes in zip(*layers, strict=True):
                packed.write(np.stack(planes, axis=-1).tobytes())


def read_segments(metadata: Mapping[str, str]) -> list[tuple[int, SegmentInfo]]:
    """Return (layer, segment) for each segment that the header of a `.seg.nrrd` file describes; none for others."""
    found = []
    for number in range(len(metadata)):
        fields = {
            key: metadata.get(f"Segment{number}_{key}", "")
            for key in ("ID", "LabelValue", "Layer", "Name", "Color", "Tags")
        }
        if not fields["ID"]:
            break
        try:
            value, layer = int(fields["LabelValue"] or number + 1), int(fields["Layer"] or 0)
            color = [float(part) for part in fields["Color"].split()]
        except ValueError:
            continue
        plain = default_segment(value)
        rgb = (color[0], color[1], color[2]) if len(color) == 3 else plain.color_rgb
        found.append((layer, SegmentInfo(value, fields["Name"] or fields["ID"], rgb, fields["Tags"] or TISSUE_TAGS)))
    return found


def _grid_lines(layers: Sequence[NDArray[Any]], ijk_to_lps: NDArray[np.float64]) -> list[str]:
    names = {1: "unsigned char", 2: "unsigned short", 4: "unsigned int", 8: "unsigned long long"}
    width = layers[0].dtype.itemsize
    sizes, directions, kinds = (
        list(layers[0].shape[::-1]),
        [_vector(ijk_to_lps[:3, axis]) for axis in range(3)],
        ["domain"] * 3,
    )
    if len(layers) > 1:
        sizes, directions, kinds = [len(layers), *sizes], ["none", *directions], ["list", *kinds]
    return [
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        "# http://teem.sourceforge.net/nrrd/format.html",
        f"type: {names[width]}",
        f"dimension: {len(sizes)}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, sizes))}",
        f"space directions: {' '.join(directions)}",
        f"kinds: {' '.join(kinds)}",
        *([f"endian: {sys.byteorder}"] if width > 1 else []),
        "encoding: gzip",
        f"space origin: {_vector(ijk_to_lps[:3, 3])}",
    ]


def _reference(geometry: Geometry) -> str:
    """Rows of the index-to-RAS matrix, then first and last index along i, j, k."""
    k, j, i = geometry.shape_kji
    extent = (0, i - 1, 0, j - 1, 0, k - 1)
    return "".join(f"{value};" for value in (*map(float, geometry.ijk_to_ras.ravel()), *extent))


def _segment_lines(number: int, layer: int, info: SegmentInfo, extent: str) -> list[str]:
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
    return [f"Segment{number}_{key}:={_escape(value)}" for key, value in fields.items()]


def _extent(layer: NDArray[Any]) -> str:
    """First and last occupied i, j, k of a layer, as Slicer keeps it for the labelmap that segments share."""
    filled = layer != 0
    if not filled.any():
        return "0 -1 0 -1 0 -1"
    occupied = [np.flatnonzero(filled.any(axis=axes)) for axes in ((0, 1), (0, 2), (1, 2))]
    return " ".join(f"{indices[0]} {indices[-1]}" for indices in occupied)


def _vector(values: NDArray[np.float64]) -> str:
    return "(" + ",".join(repr(float(value) + 0.0) for value in values) + ")"  # + 0.0: no -0.0


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\r", " ").replace("\n", "\\n")
