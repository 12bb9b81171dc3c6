import math

import numpy as np
import pytest

from SegmentPropagateLib.propagation.results import SliceResult

MASK = np.eye(5, 7, dtype=bool)


@pytest.mark.parametrize(
    ("believed", "presence"), [(0.5, 0.0), (0.9, math.log(9)), (0.0, -math.log(999)), (1.0, math.log(999))]
)
def test_a_mask_of_another_tool_is_as_present_as_it_is_believed_and_never_beyond_doubt(believed, presence):
    result = SliceResult.of_draft(MASK, believed)
    assert (result.source, result.predicted_iou, result.area) == ("propagated", believed, 5)
    assert result.presence == pytest.approx(presence)
    assert np.array_equal(result.mask, MASK)


def test_key_slices_of_another_tool_are_told_from_the_others():
    assert SliceResult.of_draft(MASK, 0.9, is_key=True).source == "key"
