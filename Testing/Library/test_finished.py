"""Finished cases of several people, under one numbering."""

import pytest

from SegmentPropagateLib.prompting.finished import joined
from SegmentPropagateLib.volumes.labels import SegmentInfo, default_segment


def named(value, name):
    return SegmentInfo(value, name, (1.0, 0.0, 0.0))


KIDNEY, LIVER = named(1, "Kidney"), named(2, "Liver")
PLAIN = default_segment(1)

JOINED = {
    "one file": ([[KIDNEY, LIVER]], {1: "Kidney", 2: "Liver"}, [{1: 1, 2: 2}]),
    "numbers that are swapped": (
        [[KIDNEY, LIVER], [named(1, "liver"), named(2, "KIDNEY")]],
        {1: "Kidney", 2: "Liver"},
        [{1: 1, 2: 2}, {2: 1, 1: 2}],
    ),
    "two names under one number": ([[KIDNEY], [named(1, "Spleen")]], {1: "Kidney", 2: "Spleen"}, [{1: 1}, {2: 1}]),
    "no names": ([[PLAIN], [PLAIN]], {1: "Label 1"}, [{1: 1}, {1: 1}]),
    "a name that comes later": ([[PLAIN], [KIDNEY]], {1: "Kidney"}, [{1: 1}, {1: 1}]),
    "a name that came before": ([[KIDNEY], [PLAIN]], {1: "Kidney"}, [{1: 1}, {1: 1}]),
}


@pytest.mark.parametrize("case", JOINED)
def test_labels_of_one_name_are_one_whatever_their_numbers(case):
    files, wanted, values = JOINED[case]
    segments, own = joined(files)
    assert {segment.value: segment.name for segment in segments} == wanted
    assert own == values
