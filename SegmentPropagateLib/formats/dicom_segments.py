"""What DICOM segmentations say of each segment, and how that is said in Slicer's tags: names, colors, codes.

Codes: https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.8.20.4.html
"""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from SegmentPropagateLib import __version__
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.volumes.labels import SegmentInfo, default_segment

_Code = tuple[str, str, str]  # value, scheme, meaning
_TISSUE = ("85756007", "SCT", "Tissue")
_FAMILY = ("123110", "DCM", "Artificial Intelligence")
_PLACES = (  # of codes in a segment, in the order of Slicer's tags, and below which other code a modifier stands
    ("SegmentedPropertyCategoryCodeSequence", None),
    ("SegmentedPropertyTypeCodeSequence", None),
    ("SegmentedPropertyTypeModifierCodeSequence", "SegmentedPropertyTypeCodeSequence"),
    ("AnatomicRegionSequence", None),
    ("AnatomicRegionModifierSequence", "AnatomicRegionSequence"),
)
_LONGEST = (64, 16, 64)  # characters of value, scheme and meaning
_LONGEST_LABEL = 64
_FAULTS = (ArithmeticError, AttributeError, EOFError, LookupError, RuntimeError, TypeError, ValueError, struct.error)


class Described(NamedTuple):
    """What a file says of its segments.

    Args:
        kind: BINARY, FRACTIONAL or LABELMAP.
        whole: the stored number that stands for all of a voxel, where it is FRACTIONAL.
        segments: in the order of the file.
    """

    kind: str
    whole: int
    segments: list[SegmentInfo]


@contextmanager
def one_sentence(what: str, advice: str) -> Iterator[None]:
    """Turn what pydicom and highdicom raise into an InputError, and keep their warnings from stderr."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except _FAULTS as error:
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise InputError(f"{what} ({reason}): {advice}.") from error


def check_installed(what: str) -> None:
    """Raise InputError where highdicom is not installed; `what` it is needed for begins the sentence."""
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"{what} needs highdicom, which is not installed: run `pip install highdicom`, or go by way "
            f"of .seg.nrrd, which 3D Slicer and dcmqi convert."
        ) from error


def read_segments_of(path: Path) -> Described:
    """What a segmentation object says of its segments.

    Raises:
        InputError: the file is damaged.
    """
    import pydicom

    tags = ["SegmentationType", "MaximumFractionalValue", "SegmentSequence"]
    with one_sentence(f"The segments of the DICOM file '{path}' cannot be read", "export it again"):
        file = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
        segments = [_info_of(item) for item in file.get("SegmentSequence") or ()]
        return Described(
            str(file.get("SegmentationType")), int(file.get("MaximumFractionalValue") or 0), [*filter(None, segments)]
        )


def _info_of(item: Any) -> SegmentInfo | None:
    """One segment; None for the background, which label maps may describe."""
    number = int(item.SegmentNumber)
    if number == 0:
        return None
    plain = default_segment(number)
    codes = [_code_at(item, *place) for place in _PLACES]
    return SegmentInfo(
        number, str(item.get("SegmentLabel") or plain.name), _color_of(item) or plain.color_rgb, _tags_of(codes)
    )


def _color_of(item: Any) -> tuple[float, float, float] | None:
    from highdicom.color import CIELabColor

    value = item.get("RecommendedDisplayCIELabValue")
    if value is None or len(value) != 3:
        return None
    red, green, blue = CIELabColor.from_dicom_value([int(part) for part in value]).to_rgb(clip=True)
    return red / 255, green / 255, blue / 255


def _code_at(item: Any, name: str, parent: str | None) -> _Code | None:
    for step in (parent, name) if parent else (name,):
        found = item.get(step)
        if not found:
            return None
        item = found[0]
    value = item.get("CodeValue") or item.get("LongCodeValue")
    parts = value, item.get("CodingSchemeDesignator"), item.get("CodeMeaning")
    value, scheme, meaning = (re.sub(r"[~^|]", " ", str(part or "")) for part in parts)
    return value, scheme, meaning


def _tags_of(codes: Sequence[_Code | None]) -> str:
    """As Slicer writes them."""
    category, kind, modifier, region, region_modifier = (
        f"{code[1]}^{code[0]}^{code[2]}" if code else "^^" for code in codes
    )
    return (
        f"TerminologyEntry:Segmentation category and type - 3D Slicer General Anatomy list~{category}~{kind}~{modifier}"
        f"~Anatomic codes - DICOM master list~{region}~{region_modifier}|"
    )


def _codes_in(tags: str) -> list[_Code | None]:
    """The codes of Slicer's tags, at the places of `_PLACES`; Tissue where category or type are not told."""
    entry = tags.partition("TerminologyEntry:")[2].partition("|")[0].split("~")
    codes = [_code_in(text) for text in (*entry, *[""] * 7)[:7]]
    _context, category, kind, modifier, _anatomy, region, region_modifier = codes
    if category is None or kind is None:
        category, kind, modifier = _TISSUE, _TISSUE, None
    return [category, kind, modifier, region, region_modifier if region else None]


def _code_in(text: str) -> _Code | None:
    scheme, value, meaning = (*(part.strip() for part in text.split("^")), "", "", "")[:3]
    code = value, scheme, meaning
    fits = all(0 < len(part) <= longest and "\\" not in part for part, longest in zip(code, _LONGEST, strict=True))
    return code if fits else None


def describe(infos: Sequence[SegmentInfo]) -> list[Any]:
    """Descriptions for highdicom, numbered from 1 on as DICOM wants it; made by a method that an outline guided."""
    import highdicom as hd

    version = {"name": "SegmentPropagate", "version": __version__, "family": _concept(_FAMILY)}
    descriptions = []
    for number, info in enumerate(infos, 1):
        category, kind, modifier, region, region_modifier = map(_concept, _codes_in(info.tags))
        label = re.sub(r"[\\\0-\x1f\x7f]", " ", info.name).strip()[:_LONGEST_LABEL] or default_segment(info.value).name
        item = hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=category,
            segmented_property_type=kind,
            algorithm_type="SEMIAUTOMATIC",
            algorithm_identification=hd.AlgorithmIdentificationSequence(**version),
            tracking_uid=hd.UID(),
            tracking_id=label,
            anatomic_regions=[region] if region else None,
            display_color=hd.color.CIELabColor.from_rgb(*(round(255 * part) for part in info.color_rgb)),
        )
        if modifier:
            item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [modifier]
        if region_modifier:
            item.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [region_modifier]
        descriptions.append(item)
    return descriptions


def _concept(code: _Code | None) -> Any:
    from highdicom.sr.coding import CodedConcept

    return code and CodedConcept(*code)
