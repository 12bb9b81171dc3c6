"""Templates of segments: read from JSON and `.seg.nrrd`, refused in one sentence."""

import json
import re

import numpy as np
import pytest

from SegmentPropagateLib import write_segmentation
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.reading import read_labels
from SegmentPropagateLib.formats.templates import read_template, template_as_json, template_of_json
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import TISSUE_TAGS, SegmentInfo, default_segment

SPLEEN = (
    "TerminologyEntry:Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure"
    "~SCT^78961009^Spleen~SCT^7771000^Left~Anatomic codes - DICOM master list~^^~^^|"
)


def template(tmp_path, content):
    path = tmp_path / "organs.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_names_colors_and_codes_are_read_from_json(tmp_path):
    codes = {"type": ["SCT", "78961009", "Spleen"], "modifier": ["SCT", "7771000", "Left"]}
    rows = ["Liver", {"name": "Tumor", "color": "#c8503c"}, {"name": "Spleen", "color": [157, 108, 162], **codes}]
    for content in (rows, {"segments": rows}):
        assert read_template(template(tmp_path, content)) == (
            SegmentInfo(1, "Liver", default_segment(1).color_rgb, TISSUE_TAGS),
            SegmentInfo(2, "Tumor", (200 / 255, 80 / 255, 60 / 255), TISSUE_TAGS),
            SegmentInfo(3, "Spleen", (157 / 255, 108 / 255, 162 / 255), SPLEEN),
        )


def test_the_segments_of_a_seg_nrrd_are_a_template_in_their_order(tmp_path):
    path, geometry = tmp_path / "case.seg.nrrd", Geometry((2, 3, 4), np.eye(4))
    mask = np.ones((2, 3, 4), bool)
    overlapping = [SegmentInfo(1, "Liver", (1, 0, 0), SPLEEN), SegmentInfo(2, "Tumor", (0, 1, 0))]
    write_segmentation(path, {1: mask, 2: mask}, geometry, overlapping)  # two layers
    assert read_template(path) == tuple(overlapping)


@pytest.mark.parametrize("name", ["a\\b", "C:\\new", "\\\\n", "end\\", "a\nb", "a\u2028b", "a\x85b", "a:=b", "\u202eb"])
def test_a_template_has_the_names_that_its_segmentation_has(tmp_path, name):
    path, mask = tmp_path / "case.seg.nrrd", np.ones((2, 3, 4), bool)
    write_segmentation(path, {1: mask}, Geometry((2, 3, 4), np.eye(4)), [SegmentInfo(1, name, (1, 0, 0))])
    (info,) = read_template(path)
    assert info.name == read_labels(path).segments[0].name == re.sub(r"[\n\x85]", " ", name)


def test_a_template_survives_as_text_and_damaged_text_is_none():
    known = (SegmentInfo(1, "Leber", (0.5, 0.25, 1.0), SPLEEN), default_segment(2))
    assert template_of_json(template_as_json(known)) == known
    for damaged in ("", "{", "[1]", '[["a", [1, 2], "t"]]', "null"):
        assert template_of_json(damaged) == ()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ({"organs": []}, "must hold"),
        ([], "names 0 segments"),
        (["Liver"] * 2, "names 'Liver' 2 times"),
        (["a"] * 1001, "names 1001 segments"),
        ([7], "Segment 1 .* must be a name"),
        ([{"color": "#000000"}], "needs a name"),
        ([{"name": " "}], "needs a name"),
        ([{"name": "a\nb"}], "needs a name"),
        (["Liver", {"name": "b", "colour": 1}], "Segment 2 .* field 'colour', known are category, color"),
        ([{"name": "a", "color": "red"}], "color 'red': write"),
        ([{"name": "a", "color": [1, 2]}], "three whole numbers"),
        ([{"name": "a", "color": [0.5, 0, 0]}], "three whole numbers"),
        ([{"name": "a", "color": [0, 0, 256]}], "three whole numbers"),
        ([{"name": "a", "type": "Liver"}], "field 'type', must be a code of three texts"),
        ([{"name": "a", "type": ["SCT", "1", "x~y"]}], "three texts"),
        ([{"name": "a", "type": ["SCT", "1", "x"], "region": ["SCT", 2, "y"]}], "field 'region'"),
    ],
)
def test_what_is_no_template_is_refused_in_one_sentence(tmp_path, content, words):
    with pytest.raises(InputError, match=words):
        read_template(template(tmp_path, content))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.json", None, "does not exist"),
        ("list.txt", b"Liver", "unknown kind"),
        ("a.seg.nrrd", b"\x89PNG", "no NRRD file"),
        ("a.seg.nrrd", b"NRRD0004\ndimension: 3\n\n", "names 0 segments"),
    ],
)
def test_other_files_are_refused_in_one_sentence(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_template(tmp_path / name)
