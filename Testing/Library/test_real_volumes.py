"""Real scans of all file kinds: read, sliced, written and read back. Skipped where the folder of scans is absent."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.formats.kinds import WRITABLE
from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.formats.writing import write_segmentation
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.intensity import to_gray
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateLib.volumes.stack import make_stack

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
MANIFEST = DATA / "MANIFEST.json"
CASES = json.loads(MANIFEST.read_text(encoding="utf-8"))["cases"] if MANIFEST.is_file() else []

pytestmark = [pytest.mark.data, pytest.mark.skipif(not CASES, reason=f"no real volumes at {DATA}")]


@pytest.fixture(scope="module", params=CASES, ids=[case["id"] for case in CASES])
def case(request):
    """Manifest entry, volume, labels on the volume's grid."""
    folder, files = DATA / request.param["id"], request.param["files"]
    both = files.get("image+labels")
    volume = read_volume(folder / (both or files["image"])["file"])
    return request.param, volume, read_labels(folder / (both or files["labels"])["file"], like=volume.geometry)


def test_shape_spacing_and_orientation_are_those_of_the_manifest(case):
    entry, volume, _labels = case
    assert list(volume.geometry.shape_kji[::-1]) == entry["shape_xyz"]
    np.testing.assert_allclose(volume.geometry.spacing_kji_mm[::-1], entry["spacing_mm_xyz"], atol=1e-4)
    letters = ""
    for step in volume.geometry.ijk_to_ras[:3, :3].T:
        axis = int(np.abs(step).argmax())
        letters += ("LR", "PA", "IS")[axis][int(step[axis] > 0)]
    assert letters == entry["orientation"]
    assert [volume.array_kji.min(), volume.array_kji.max()] == pytest.approx(entry["intensity_min_max"])


def test_labels_match_the_image_voxel_for_voxel(case):
    entry, _volume, labels = case
    found = {str(value): int(np.count_nonzero(labels.mask(value))) for value in labels.values}
    assert found == {value: label["voxels"] for value, label in entry["labels"].items()}


def test_labels_stored_in_another_order_than_their_dicom_series_lie_on_the_organ():
    folder = DATA / "ct_dicom_abdomen"
    volume = read_volume(folder / "dicom")
    spleen = read_labels(folder / "labels.nii.gz", like=volume.geometry).mask(1)
    inside, mirrored = volume.array_kji[spleen], volume.array_kji[np.flip(spleen, axis=1)]
    assert np.percentile(inside, 5) > 0  # soft tissue only
    assert np.percentile(mirrored, 5) < 0  # fat and air as well, had the axes been confused


def test_auto_takes_the_preset_of_the_modality(case):
    entry, volume, _labels = case
    result = to_gray(volume.array_kji, "auto", volume.modality)
    expected = "none" if "npz" in entry["tags"] else {"CT": "abdomen", "MR": "percentile"}[entry["modality"][:2]]
    assert result.preset == expected
    assert 20 < result.gray[result.gray > 0].mean() < 235


@pytest.mark.parametrize("plane", list(Plane))
def test_every_plane_gives_a_stack(case, plane):
    _entry, volume, _labels = case
    stack, _gray = make_stack(volume, plane)
    assert len(stack) == volume.geometry.shape_kji[volume.geometry.plane_axis(plane)]
    assert len(stack) * np.prod(stack.slice_shape) == volume.array_kji.size
    assert np.prod(stack.spacing_mm) == pytest.approx(np.prod(volume.geometry.spacing_kji_mm))


ENDINGS = [kind.ending for kind in WRITABLE if not kind.needs_source]


@pytest.mark.parametrize("suffix", ENDINGS)
def test_labels_round_trip_with_the_image_s_geometry(case, suffix, tmp_path):
    entry, volume, labels = case
    path = tmp_path / f"out{suffix}"
    segments = [SegmentInfo(int(value), label["name"], (0.5, 0.25, 1.0)) for value, label in entry["labels"].items()]
    masks = {value: labels.mask(value) for value in labels.values}

    write_segmentation(path, masks, volume.geometry, segments)

    back = read_labels(path)
    assert back.geometry.is_close(volume.geometry, tolerance_voxels=1e-3)
    assert all(dice(back.mask(value), mask) == 1 for value, mask in masks.items())
    if suffix == ".seg.nrrd":
        assert back.segments == tuple(sorted(segments, key=lambda segment: segment.value))
    image = sitk.ReadImage(str(path))
    ras = volume.geometry.ijk_to_ras
    np.testing.assert_allclose(np.array(image.GetOrigin()) * (-1, -1, 1), ras[:3, 3], atol=1e-4)
    steps = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    np.testing.assert_allclose(np.diag([-1, -1, 1]) @ steps, ras[:3, :3], atol=1e-6)


def test_simpleitk_sees_the_same_grid_in_the_image_and_in_what_is_written(case, tmp_path):
    entry, volume, labels = case
    if "image" not in entry["files"]:
        return  # SimpleITK does not read npz; the round trip above covers it
    source = DATA / entry["id"] / entry["files"]["image"]["file"]
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(source)) if source.is_dir() else str(source)
    image = sitk.ReadImage(names)
    for suffix in ENDINGS:
        write_segmentation(tmp_path / f"out{suffix}", {1: labels.mask(labels.values[0])}, volume.geometry)
        written = sitk.ReadImage(str(tmp_path / f"out{suffix}"))
        assert written.GetSize() == image.GetSize()
        np.testing.assert_allclose(written.GetSpacing(), image.GetSpacing(), rtol=1e-6)
        np.testing.assert_allclose(written.GetDirection(), image.GetDirection(), atol=1e-6)
        np.testing.assert_allclose(written.GetOrigin(), image.GetOrigin(), atol=1e-4)


def test_the_command_line_takes_every_kind_of_file(case, tmp_path):
    """Three slices around the key, so that the test is about files and not about the model."""
    entry, volume, labels = case
    files, folder = entry["files"], DATA / entry["id"]
    both = files.get("image+labels")
    value = labels.values[0]
    areas = np.count_nonzero(labels.mask(value), axis=(1, 2))
    plane = next(plane.value for plane in Plane if volume.geometry.plane_axis(plane) == 0)
    key = int(areas.argmax())
    first, last = max(key - 1, 0), min(key + 1, len(areas) - 1)
    out = tmp_path / "out.seg.nrrd"

    arguments = {
        "--mask": folder / (both or files["labels"])["file"],
        "--label": value,
        "--plane": plane,
        "--range": f"{first}:{last}",
        "--model": "classical",
        "-o": out,
        "--overlay": tmp_path / "sheet.png",
        "--report": tmp_path / "report.json",
    }
    image = folder / (both or files["image"])["file"]
    status = main(["propagate", str(image), "--quiet", *(str(part) for pair in arguments.items() for part in pair)])

    assert status == 0
    result = read_labels(out)
    assert result.geometry.is_close(volume.geometry, tolerance_voxels=1e-6)
    np.testing.assert_array_equal(result.mask(value)[key], labels.mask(value)[key])
    assert not np.delete(result.mask(value), range(first, last + 1), axis=0).any()
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["objects"][0]["label"] == value
