"""Files that are damaged, strange or elsewhere, and what is said of them."""

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from drawn_files import SHAPE, image_of, medsam_archive, random_image, random_masks, sentence_of
from drawn_headers import write_meta, write_nrrd
from test_geometry import geometry_of

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.formats.writing import check_output, write_segmentation
from SegmentPropagateLib.volumes.volume import Volume

STRANGE = [
    {"imgs": None},
    {"imgs": np.zeros((3, 4, 5, 3), np.uint8)},
    {"imgs": np.zeros((4, 5), np.uint8)},
    {"imgs": np.array(["a"] * 8).reshape(2, 2, 2)},
    {"imgs": np.array([{}, {}], dtype=object)},
    {"spacing": np.ones(2)},
    {"spacing": np.array([1.0, 0.0, 1.0])},
    {"direction": np.full(9, np.nan)},
]


@pytest.mark.parametrize("changes", STRANGE)
def test_a_strange_archive_is_refused_in_one_sentence(changes, tmp_path):
    medsam_archive(tmp_path / "case.npz", **changes)
    assert "case.npz" in sentence_of(read_volume, tmp_path / "case.npz")


def test_a_file_that_is_absent_empty_or_no_image_is_refused_in_one_sentence(tmp_path, capfd):
    assert "does not exist" in sentence_of(read_volume, tmp_path / "absent.nii.gz")
    for name in ("a.nii.gz", "a.nii", "a.nrrd", "a.mha", "a.npz", "a.dcm", "a"):
        path = tmp_path / name
        path.write_bytes(b"")
        assert name in sentence_of(read_volume, path)
        path.write_bytes(b"this is no image, whatever it is called\n" * 50)
        assert name in sentence_of(read_volume, path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["v.png", "v.tif", "v.vtk", "v.mnc", "v.gipl", "v.xyz", "v"])
def test_a_kind_that_is_not_named_is_not_tried(name, tmp_path):
    sitk.WriteImage(image_of(np.zeros((6, 7), np.uint8)), str(tmp_path / "v.png"))
    (tmp_path / "v.png").rename(tmp_path / name)
    assert "kind is unknown by its name (NIfTI, " in sentence_of(read_volume, tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without pipes in folders")
@pytest.mark.parametrize("name", ["v.nii.gz", "v.nrrd", "v.mhd", "v.npz", "v.dcm", "v"])
def test_a_pipe_is_refused_and_not_waited_for(name, tmp_path):
    os.mkfifo(tmp_path / name)
    assert "a pipe or a device" in sentence_of(read_volume, tmp_path / name)
    assert "a pipe or a device" in sentence_of(read_labels, tmp_path / name)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="a system without devices in folders")
@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null"])
def test_a_device_is_refused(name):
    assert "a pipe or a device" in sentence_of(read_volume, name)


def test_a_name_that_cannot_be_is_refused_by_its_cause(tmp_path):
    (tmp_path / "loop.nrrd").symlink_to(tmp_path / "loop.nrrd")
    assert "no name of a file" in sentence_of(read_volume, tmp_path / "a\0b.nrrd")
    assert "links" in sentence_of(read_volume, tmp_path / "loop.nrrd")
    assert "too long" in sentence_of(read_volume, tmp_path / ("x" * 300 + ".nrrd"))


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("Failed to allocate memory for image.")])
def test_a_file_that_does_not_fit_into_the_memory_is_not_called_damaged(error, tmp_path, monkeypatch):
    def fail(*_arguments):
        raise error

    sitk.WriteImage(random_image(), str(tmp_path / "v.nrrd"))
    monkeypatch.setattr("SegmentPropagateLib.formats.itk.load", fail)
    assert "not enough memory" in sentence_of(read_volume, tmp_path / "v.nrrd")


@pytest.mark.parametrize("share", [0.97, 0.5, 0.02])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz", "v.nrrd", "v.mha", "v.npz"])
def test_a_file_that_is_cut_off_is_refused_in_one_sentence(name, compressed, share, tmp_path, capfd):
    path = tmp_path / name
    if name == "v.npz":
        medsam_archive(path)
    else:
        sitk.WriteImage(random_image(shape=(20, 30, 40)), str(path), compressed)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert name in sentence_of(read_volume, path)
    assert capfd.readouterr().err == ""


def test_a_detached_voxel_file_that_is_cut_off_is_found(tmp_path, capfd):
    sitk.WriteImage(random_image(), str(tmp_path / "v.mhd"))
    raw = tmp_path / "v.raw"
    raw.write_bytes(raw.read_bytes()[:-10])
    assert "10 bytes of voxels are missing" in sentence_of(read_volume, tmp_path / "v.mhd")
    assert capfd.readouterr().err == ""


def test_a_header_that_makes_no_sense_is_refused_in_one_sentence(tmp_path, capfd):
    for name, place, wrong in (("v.nii", 40, b"\0\0"), ("v.nii", 72, b"\0\0"), ("v.nii", 108, b"\0\0\x80\x7f")):
        sitk.WriteImage(random_image(), str(tmp_path / name))
        content = bytearray((tmp_path / name).read_bytes())
        content[place : place + len(wrong)] = wrong
        (tmp_path / name).write_bytes(content)
        assert "damaged" in sentence_of(read_volume, tmp_path / name)
    sitk.WriteImage(random_image(), str(tmp_path / "v.mha"))
    for field in (b"DimSize", b"MET_SHORT", b"ElementDataFile"):
        (tmp_path / "w.mha").write_bytes((tmp_path / "v.mha").read_bytes().replace(field, b"Nonsense"))
        assert "damaged" in sentence_of(read_volume, tmp_path / "w.mha")
    assert capfd.readouterr().err == ""


def test_a_name_in_another_encoding_does_not_stop_the_reading(tmp_path):
    write_segmentation(tmp_path / "l.seg.nrrd", random_masks(), geometry_of(np.eye(3)))
    content = (tmp_path / "l.seg.nrrd").read_bytes()
    (tmp_path / "l.seg.nrrd").write_bytes(content.replace(b"Label 2", "Lüber".encode("latin-1")))
    assert [info.name for info in read_labels(tmp_path / "l.seg.nrrd").segments] == ["Label 1", "L?ber", "Label 7"]


def test_a_damaged_byte_in_a_zipped_file_is_found(tmp_path):
    for name in ("v.nii.gz", "v.npz"):
        path = tmp_path / name
        medsam_archive(path) if name == "v.npz" else sitk.WriteImage(random_image(shape=(20, 30, 40)), str(path))
        content = bytearray(path.read_bytes())
        content[200] ^= 0xFF  # within the voxels that come first
        path.write_bytes(content)
        assert name in sentence_of(read_volume, path)


def test_a_flat_a_moving_and_a_colored_image_are_told_apart(tmp_path):
    flat, single, moving, color, parts = (
        tmp_path / name for name in ("f.nrrd", "s.nrrd", "m.nii.gz", "c.nrrd", "z.mha")
    )
    sitk.WriteImage(image_of(np.zeros((6, 7), np.uint8)), str(flat))
    sitk.WriteImage(random_image(shape=(1, 6, 7)), str(single))
    sitk.WriteImage(random_image(shape=(3, *SHAPE)), str(moving))
    sitk.WriteImage(image_of(np.zeros((*SHAPE, 3), np.uint8), is_vector=True), str(color))
    sitk.WriteImage(sitk.Image(*SHAPE, sitk.sitkVectorFloat32), str(parts))
    assert "2-D image" in sentence_of(read_volume, flat)
    assert "2-D image" in sentence_of(read_volume, single)
    assert "(4-D)" in sentence_of(read_volume, moving)
    assert "3 values per voxel" in sentence_of(read_volume, color)
    assert "values per voxel" in sentence_of(read_volume, parts)
    assert "per voxel" in sentence_of(read_labels, color)


def _sheared_nifti(path):
    sitk.WriteImage(random_image(), str(path))
    content = bytearray(path.read_bytes())
    content[252:256] = np.array([0, 1], "<i2").tobytes()  # no qform, an sform
    content[280:328] = np.array([[0.7, 0.2, 0, 0], [0, 1.1, 0, 0], [0, 0, 4, 0]], "<f4").tobytes()
    path.write_bytes(content)


SHEARED = {
    "v.nii": _sheared_nifti,
    "v.nrrd": lambda path: write_nrrd(path, {"space directions": "(1,0,0) (0.2,1,0) (0,0,1)"}),
    "v.mha": lambda path: write_meta(path, {"TransformMatrix": "1 0 0 0.2 0.98 0 0 0 1"}),
}


@pytest.mark.parametrize(("name", "draw"), SHEARED.items(), ids=SHEARED)
def test_a_sheared_image_is_refused_in_one_sentence_whatever_its_kind(name, draw, tmp_path, capfd):
    draw(tmp_path / name)
    assert "not at right angles, resample it" in sentence_of(read_volume, tmp_path / name)
    assert capfd.readouterr().err == ""


def test_an_image_given_as_labels_is_refused_in_one_sentence(tmp_path):
    sitk.WriteImage(random_image(), str(tmp_path / "ct.nii.gz"))
    assert "holds no labels" in sentence_of(read_labels, tmp_path / "ct.nii.gz")
    sitk.WriteImage(image_of(np.full(SHAPE, 0.5, np.float32)), str(tmp_path / "half.nrrd"))
    assert "holds no labels" in sentence_of(read_labels, tmp_path / "half.nrrd")
    sitk.WriteImage(image_of(np.arange(4000, dtype=np.uint16).reshape(10, 20, 20)), str(tmp_path / "mr.mha"))
    assert "looks like an image" in sentence_of(read_labels, tmp_path / "mr.mha")


def test_labels_stored_as_floats_are_taken(tmp_path):
    sitk.WriteImage(image_of(random_masks()[7].astype(np.float32) * 7), str(tmp_path / "l.nii.gz"))
    assert read_labels(tmp_path / "l.nii.gz").values == (7,)


@pytest.mark.parametrize("name", ["out.png", "out", "out.nrrd.txt", "absent/out.nrrd", "folder.nrrd"])
def test_an_output_that_cannot_be_is_refused_and_nothing_is_written(name, tmp_path):
    (tmp_path / "folder.nrrd").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert "Cannot write" in sentence_of(check_output, tmp_path / name)
    assert "Cannot write" in sentence_of(write_segmentation, tmp_path / name, random_masks(), geometry_of(np.eye(3)))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder that not even root can write to")
def test_a_folder_that_cannot_be_written_is_refused():
    assert "Cannot write" in sentence_of(check_output, "/proc/out.nrrd")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "out.seg.nrrd"
    write_segmentation(path, random_masks(), geometry_of(np.eye(3)))
    old = path.read_bytes()

    def fail(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gzip.GzipFile.write", fail)
    message = sentence_of(write_segmentation, path, random_masks(seed=9), geometry_of(np.eye(3)))
    assert "No space left on device" in message
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_a_mask_of_another_shape_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not fit"):
        write_segmentation(tmp_path / "o.nrrd", {1: np.zeros((2, 2, 2), bool)}, geometry_of(np.eye(3)))
    with pytest.raises(InputError, match="its geometry"):
        Volume(np.zeros((2, 2, 2)), geometry_of(np.eye(3)))
