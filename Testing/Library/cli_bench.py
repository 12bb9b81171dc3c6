"""A folder of files for tests of the command line, good and bad ones, and a propagator that finds what is bright."""

import numpy as np
import pytest
import SimpleITK as sitk
from doubles import ThresholdPropagator

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.cli import propagate as command

SHAPE = (12, 20, 24)  # k, j, i

SPACING = (1.5, 1.5, 3.0)  # i, j, k


def ellipsoid(center, radii, shape=SHAPE):
    grid = np.stack(np.indices(shape), -1)
    return (((grid - np.array(center)) / np.array(radii)) ** 2).sum(-1) <= 1


BALL = ellipsoid((5.5, 9.5, 7), (4, 6, 5))  # slices 2 to 9

OTHER = ellipsoid((8, 9, 18), (2.5, 4, 4))  # slices 6 to 10


def save(path, array, spacing=SPACING, origin=(-10.0, 5.0, 3.0)):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing[: image.GetDimension()])
    image.SetOrigin(origin[: image.GetDimension()])
    sitk.WriteImage(image, str(path))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder of good and bad files."""
    folder = tmp_path_factory.mktemp("inputs")
    values = ((BALL | OTHER) * 100).astype(np.int16)
    labels = (BALL * 1 + OTHER * 3).astype(np.uint8)
    save(folder / "image.nii.gz", values)
    save(folder / "labels.nii.gz", labels)
    save(folder / "nothing.nii.gz", labels * 0)
    save(folder / "elsewhere.nii.gz", labels, origin=(5000.0, 5000.0, 5000.0))
    save(folder / "flat.nii.gz", values[0])
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(values)] * 2), str(folder / "series4d.nii.gz"))
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((*SHAPE, 3), np.uint8), isVector=True), str(folder / "color.nrrd"))
    save(folder / "nan.nrrd", np.full(SHAPE, np.nan, np.float32))
    (folder / "empty.nii.gz").write_bytes(b"")
    (folder / "cut.nii.gz").write_bytes((folder / "image.nii.gz").read_bytes()[:60])
    (folder / "text.nrrd").write_text("this is no image")
    (folder / "unknown.xyz").write_text("?")
    (folder / "folder").mkdir()
    (folder / "notes.txt").write_text("a file, not a folder")
    (folder / "broken.pt").write_bytes(b"not a checkpoint")
    return folder


@pytest.fixture(autouse=True)
def here(inputs, monkeypatch):
    monkeypatch.chdir(inputs)
    return inputs


@pytest.fixture
def double(monkeypatch):
    """Runs the command line on a propagator that finds what is bright."""
    propagator = ThresholdPropagator()
    monkeypatch.setattr(command, "load_model", lambda *args, **options: propagator)
    return propagator


@pytest.fixture
def out(tmp_path):
    return tmp_path / "result.nrrd"


def propagate(*words):
    return main(["propagate", *map(str, words)])


def read(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
