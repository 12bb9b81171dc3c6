"""The picture of slice and 3-D views shows the segment where it is; skipped until `make screenshots` has been run."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from SegmentPropagateLib.formats.writing import write_segmentation, write_volume
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateLib.volumes.volume import Volume

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-views" / "bin" / "python"
GREEN = SegmentInfo(1, "Ball", (0.0, 1.0, 0.0))


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """A ball on the patient's left, in front and below the middle, as RGB pixels."""
    if not PYTHON.exists():
        pytest.skip("no .venv-views: make screenshots sets it up")
    folder, shape = tmp_path_factory.mktemp("views"), (32, 48, 48)
    geometry = Geometry(shape, np.diag([-1.0, -1.0, 1.5, 1.0]))  # i toward the left, j toward the back, k upward
    k, j, i = np.indices(shape)
    ball = (1.5 * (k - 9)) ** 2 + (j - 14) ** 2 + (i - 36) ** 2 < 7**2
    write_volume(folder / "v.nrrd", Volume((100 + 100 * ball + k).astype(np.int16), geometry))
    write_segmentation(folder / "s.seg.nrrd", {1: ball}, geometry, (GREEN,))
    render = [str(PYTHON), str(ROOT / "Testing" / "Harness" / "tools" / "render_views.py")]
    subprocess.run([*render, str(folder / "v.nrrd"), str(folder / "s.seg.nrrd"), str(folder / "p.png")], check=True)
    return np.asarray(Image.open(folder / "p.png").convert("RGB")).astype(int)


@pytest.mark.parametrize(
    ("row", "column", "right", "low"),
    [(0, 0, True, False), (1, 0, True, True), (1, 1, False, True)],
    ids=["axial", "coronal", "sagittal"],
)
def test_the_segment_is_outlined_on_the_side_where_it_is(picture, row, column, right, low):
    """Radiological views: the left is to the right, the front is up in axial and to the left in sagittal."""
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    view = picture[row * height + 30 : (row + 1) * height, column * width : (column + 1) * width]
    green = np.argwhere(view[..., 1] > view[..., [0, 2]].max(-1) + 60)
    assert len(green) > 200
    down, across = green.mean(0) / view.shape[:2]
    assert (across > 0.5, down > 0.5) == (right, low)


def test_the_surface_is_lit(picture):
    """Many shades of green in the 3-D view, from one color."""
    view = picture[30 : picture.shape[0] // 2, picture.shape[1] // 2 + 90 :]
    shades = np.unique(view[view[..., 1] > view[..., [0, 2]].max(-1) + 60][:, 1])
    assert len(shades) > 20
