"""The thumbnails of the key list show the outline on its slice, turned as in the slice views."""

import itertools

import numpy as np
import pytest
from SegmentPropagateSlicer.Review import KeyPicture
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Values.Proposal import proposalOfMask

from SegmentPropagateLib.volumes.geometry import Geometry

SIZE, COLOR = 44, (1.0, 0.0, 0.0)
ACROSS = {"axial": 1, "coronal": 1, "sagittal": -1}  # where the spot lies; anterior is on the left of a sagittal view


def stored(order, signs):
    """A head of 40 mm stored in any order: gray values `(k, j, i)`, organ, geometry.

    A bright spot lies left, anterior and superior of the organ in the middle.
    """
    axes = np.array(order)  # RAS axis along i, j, k
    matrix = np.eye(4)
    matrix[:3, :3] = 0
    for column, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        matrix[axis, column] = sign
        matrix[axis, 3] += -19.5 * sign
    k, j, i = np.indices((40, 40, 40))
    ras = (
        np.einsum("ab,bkji->akji", matrix[:3, :3], np.stack([i, j, k]).astype(float)) + matrix[:3, 3, None, None, None]
    )
    organ = (np.abs(ras) < 6).all(axis=0)
    spot = (np.abs(ras - np.array([-8, 8, 8])[:, None, None, None]) < 1.2).any(axis=0)
    spot &= (np.abs(ras - np.array([-8, 8, 8])[:, None, None, None]) < 1.2).sum(axis=0) >= 2
    return np.where(spot, 900, np.where(organ, 100, 0)).astype(np.int16), organ, Geometry((40, 40, 40), matrix)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_picture_is_turned_as_the_view_whatever_the_order_in_storage(plane):
    first = None
    for order, signs in itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)):
        values, organ, geometry = stored(order, signs)
        grid = SliceGrid(geometry, plane)
        outline = proposalOfMask(np.moveaxis(organ, grid.axis, 0)[20])
        picture = KeyPicture.draw(grid, np.moveaxis(values, grid.axis, 0)[20], outline, COLOR, SIZE)
        red = (picture == (255, 0, 0)).all(axis=2)
        bright = (picture == 255).all(axis=2)
        assert red.any()
        rows, columns = np.argwhere(bright).mean(axis=0) - np.argwhere(red).mean(axis=0)
        assert rows < 0 < columns * ACROSS[plane], (order, signs)
        first = picture if first is None else first
        assert np.abs(picture.astype(int) - first).mean() < 12, (order, signs)  # half-pixel steps aside, the same


def test_an_empty_outline_shows_the_whole_slice_and_a_flat_one_is_black():
    _values, organ, geometry = stored((0, 1, 2), (1, 1, 1))
    grid = SliceGrid(geometry, "axial")
    nothing = proposalOfMask(np.zeros_like(organ[20]))
    ramp = np.repeat(np.arange(40.0)[None, :], 40, axis=0)
    picture = KeyPicture.draw(grid, ramp, nothing, COLOR, SIZE)
    assert (np.diff(picture[20, :, 0].astype(int)) <= 0).all()  # x grows to the left on the screen
    assert picture[20, 0, 0] == 255
    flat = KeyPicture.draw(grid, np.full((40, 40), np.nan), nothing, COLOR, SIZE)
    assert flat.shape == (SIZE, SIZE, 3)
    assert not flat.any()


def test_the_key_list_shows_the_pictures_one_after_another(prompted):
    table = prompted.ui.keyTable
    assert not table.item(0, 0).icon().isNull()
    image = table.item(0, 0).icon().pixmap(SIZE, SIZE).toImage()
    color = prompted.segmentation.GetSegmentation().GetSegment(prompted.segmentId).GetColor()
    wanted = [round(255 * channel) for channel in color]
    pixels = [image.pixelColor(x, y) for x in range(SIZE) for y in range(SIZE)]
    assert wanted in [[pixel.red(), pixel.green(), pixel.blue()] for pixel in pixels]


def test_a_picture_that_cannot_be_drawn_leaves_the_row(prompted):
    def gone(_key, _size):
        from SegmentPropagateLib.errors import InputError

        raise InputError("The segment has gone.")

    prompted.logic.keyPicture = gone
    prompted.showSlice(20)
    prompted.press("addKeyButton")
    assert prompted.ui.keyTable.rowCount == 2
    assert prompted.ui.keyTable.item(1, 0).icon().isNull()


def test_a_key_whose_outline_has_changed_gets_another_picture(bench):
    (key,) = bench.logic.keys
    before = bench.logic.keyPicture(key, SIZE)
    mask = bench.get()
    mask[5, 0:3, 0:3] = True
    bench.set(bench.segment, mask)
    assert not np.array_equal(bench.logic.keyPicture(key, SIZE), before)
    bench.run(4, 6)
    assert bench.logic.keys != (key,)  # so that the list draws it again
