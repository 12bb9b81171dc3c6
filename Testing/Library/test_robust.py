"""The spread of values, which outliers leave alone."""

import numpy as np
import pytest

from SegmentPropagateLib.volumes.robust import spread


def test_the_spread_of_normal_values_is_their_standard_deviation():
    values = np.random.default_rng(0).normal(300, 25, (200, 500))
    assert spread(values) == pytest.approx(25, rel=0.01)


def test_a_tenth_of_wild_values_moves_it_little():
    values = np.random.default_rng(0).normal(0, 1, 10_000)
    values[:1000] = 1e6
    assert spread(values) == pytest.approx(1, rel=0.2)


def test_it_may_be_taken_about_another_middle_than_the_median():
    values = np.array([3.0, 3.0, 5.0])
    assert spread(values) == 0
    assert spread(values, middle=1.0) == pytest.approx(2 * 1.4826)
