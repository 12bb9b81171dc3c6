"""Region growing on the voxel grid beside shortest paths on a graph that is put together edge by edge."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.sparse.csgraph import floyd_warshall

from SegmentPropagateLib.propagators.classical.growcut import growcut


@pytest.mark.parametrize(("shape", "step"), [((3, 4, 5), (0.3, 0.05, 0.1)), ((6, 7), (0.2, 0.4)), ((9,), (0.1,))])
def test_every_voxel_goes_by_the_shortest_paths_from_both_sets_of_seeds(
    shape: tuple[int, ...], step: tuple[float, ...]
) -> None:
    rng = np.random.default_rng(2)
    image = rng.normal(size=shape).astype(np.float32)
    inside, outside = np.zeros(shape, bool), np.zeros(shape, bool)
    inside.flat[[1, 2]] = outside.flat[[-1, -3]] = True
    edges = np.full((image.size, image.size), np.inf)
    for place in product(*map(range, shape)):
        for axis, basic in enumerate(step):
            other = tuple(at + (axis == number) for number, at in enumerate(place))
            if other[axis] < shape[axis]:
                ends = np.ravel_multi_index(place, shape), np.ravel_multi_index(other, shape)
                edges[ends] = edges[ends[::-1]] = abs(image[place] - image[other]) + basic
    paths = floyd_warshall(edges)
    to_inside, to_outside = (paths[seeds.ravel()].min(axis=0).reshape(shape) for seeds in (inside, outside))
    np.testing.assert_allclose(
        growcut(image, inside, outside, step), to_outside / (to_inside + to_outside), rtol=1e-5, atol=1e-7
    )
