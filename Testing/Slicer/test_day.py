"""The three flows of an annotator's day, and what they cost: first object, next object, next case."""

import json

import numpy as np
import pytest
from day import TRUTH, dayOf, drawFolder

from SegmentPropagateLib import read_labels, read_volume
from SegmentPropagateLib.formats.cases import find_cases

TEMPLATE = [{"name": "Kidney", "color": "#ff8000", "type": ["SCT", "64033007", "Kidney"]}, "Spleen"]


@pytest.fixture
def day(slicer, tmp_path):
    folder = drawFolder(tmp_path / "scans")
    with dayOf(slicer) as found:
        found.open(folder)
        yield found


@pytest.fixture
def templated(day, tmp_path):
    path = tmp_path / "organs.json"
    path.write_text(json.dumps(TEMPLATE))
    day.widget.objects.choose(str(path))
    day.settle()
    return day


def test_the_first_object_takes_four_clicks(templated):
    templated.click("boxButton")
    templated.clickBox()
    templated.click("acceptButton")
    assert (templated.clicks, templated.keys) == (4, 0)
    assert np.array_equal(templated.mask(), TRUTH)


def test_the_next_object_takes_one_key_and_its_box(templated):
    templated.click("boxButton")
    templated.clickBox()
    templated.clicks = 0
    templated.key("O")
    assert (templated.clicks, templated.keys) == (0, 1)
    assert np.array_equal(templated.mask(0), TRUTH)  # what waited is accepted
    assert templated.names() == ["Kidney", "Spleen"]
    assert templated.widget.context.segmentName(templated.widget.context.selectedSegmentId()) == "Spleen"
    templated.look(6)
    templated.clickBox(6)  # the prompt is armed
    assert templated.logic.proposed[0] == (templated.node.GetSegmentation().GetNthSegmentID(1),)


def test_the_next_case_takes_one_key_and_keeps_everything(templated):
    templated.click("boxButton")
    templated.clickBox()
    first = templated.node
    templated.clicks = 0
    templated.key("X")
    assert (templated.clicks, templated.keys) == (0, 1)
    assert templated.casework.name == templated.parameters.volume.GetName() == "b"
    assert templated.states() == {"a": "done", "b": "in work", "c": "to do"}
    assert templated.app.mrmlScene.GetNodeByID(first.GetID() or "-") is None  # one case at a time
    segment = templated.node.GetSegmentation().GetSegment(templated.widget.context.selectedSegmentId())
    assert (segment.GetName(), np.round(segment.GetColor(), 2).tolist()) == ("Kidney", [1.0, 0.5, 0.0])
    assert "SCT^64033007^Kidney" in segment.GetTerminology()
    assert templated.parameters.model == "threshold"
    templated.clickBox()
    templated.click("acceptButton")
    assert np.array_equal(templated.mask(), TRUTH)


def test_what_the_day_has_made_is_read_by_finetune(templated, tmp_path):
    for _case in "abc":
        if not templated.clicks:
            templated.click("boxButton")
        templated.clickBox()
        templated.key("X")
    assert templated.sentence().endswith("All 3 cases are done.")
    for dataset in (tmp_path / "scans", tmp_path / "scans" / "worklist.json"):
        cases = find_cases(dataset)
        assert [case.name for case in cases] == ["a", "b", "c"]
        for case in cases:
            image = read_volume(case.image)
            labels = read_labels(case.labels, like=image.geometry)
            assert labels.segments[0].name == "Kidney"
            assert np.array_equal(labels.mask(labels.values[0]), TRUTH)
