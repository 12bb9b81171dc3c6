"""DICOM folders as archives leave them: compressed, shuffled, with slices missing or other series beside."""

import struct

import numpy as np
import pytest
import SimpleITK as sitk

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.reading import read_volume
from SegmentPropagateLib.wording import counted

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (6, 16, 20)).astype(np.int16)
ALONG_Z = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


def write_series(folder, *, uid="1.2.826.0.1.1", positions=None, axes=ALONG_Z, modality="CT", keep=None, **options):
    """Write VOXELS as one file per slice; file names are not in the order of the slices."""
    folder.mkdir(exist_ok=True)
    normal = np.cross(*axes)
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.KeepOriginalImageUIDOn()
    if options.get("jpeg2000"):
        writer.UseCompressionOn()
        writer.SetCompressor("JPEG2000")
    for index, plane in enumerate(VOXELS):
        if keep is not None and index not in keep:
            continue
        place = normal * 2.5 * index if positions is None else np.array(positions[index], dtype=float)
        image = sitk.GetImageFromArray(plane)
        image.SetSpacing((0.7, 0.9))
        tags = {
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
            "0008|0018": f"{uid}.{index + 1}",
            "0008|0060": modality,
            "0008|103e": options.get("description", "Abdomen"),
            "0020|000d": "1.2.826.0.1",
            "0020|000e": uid,
            "0020|0013": str(index + 1),
            "0020|0032": "\\".join(f"{value:.6f}" for value in place),
            "0020|0037": "\\".join(f"{value:.8f}" for value in np.ravel(axes)),
            "0028|1052": "0",
            "0028|1053": "1",
        }
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{(index * 5) % 7}-{uid[-1]}.dcm"))
        writer.Execute(image)


def write_structure_set(path, refers_to):
    """A DICOM file without an image that mentions the series: explicit little endian, the fewest elements."""

    def element(group, number, kind, value):
        value = value.encode() + b" " * (len(value) % 2)
        return struct.pack("<HH2sH", group, number, kind, len(value)) + value

    kind = "1.2.840.10008.5.1.4.1.1.481.3"
    meta = element(2, 2, b"UI", kind) + element(2, 3, b"UI", "1.2.9") + element(2, 0x10, b"UI", "1.2.840.10008.1.2.1")
    body = element(8, 0x16, b"UI", kind) + element(8, 0x18, b"UI", "1.2.9") + element(8, 0x60, b"CS", "RTSTRUCT")
    body += element(0x20, 0x0D, b"UI", "1.2.826.0.1") + element(0x20, 0x0E, b"UI", "1.2.826.0.1.7")
    body += element(0x20, 0x4000, b"LT", refers_to)
    length = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta))
    path.write_bytes(b"\0" * 128 + b"DICM" + length + meta + body)


def sentence_of(path):
    with pytest.raises(InputError) as caught:
        read_volume(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


@pytest.mark.parametrize("jpeg2000", [False, True])
def test_a_series_is_read_in_the_order_of_its_positions(jpeg2000, tmp_path):
    write_series(tmp_path / "ct", jpeg2000=jpeg2000)
    if jpeg2000:
        assert b"1.2.840.10008.1.2.4.9" in next((tmp_path / "ct").iterdir()).read_bytes()
    volume = read_volume(tmp_path / "ct")
    np.testing.assert_array_equal(volume.array_kji, VOXELS)
    np.testing.assert_allclose(volume.geometry.ijk_to_ras, np.diag([-0.7, -0.9, 2.5, 1.0]))
    assert volume.modality == "CT"


def test_an_oblique_series_keeps_its_directions(tmp_path):
    axes = ((0.8, 0.6, 0.0), (0.0, 0.0, -1.0))
    write_series(tmp_path / "mr", axes=axes, modality="MR")
    volume = read_volume(tmp_path / "mr")
    np.testing.assert_array_equal(volume.array_kji, VOXELS)
    expected = np.diag([-1, -1, 1]) @ np.column_stack([axes[0], axes[1], np.cross(*axes)]) * [0.7, 0.9, 2.5]
    np.testing.assert_allclose(volume.geometry.ijk_to_ras[:3, :3], expected, atol=1e-7)
    assert volume.modality == "MR"


def test_one_file_stands_for_its_whole_series(tmp_path):
    write_series(tmp_path / "ct")
    write_series(tmp_path / "ct", uid="1.2.826.0.1.2", keep=[0, 1])
    np.testing.assert_array_equal(read_volume(tmp_path / "ct" / "0-1.dcm").array_kji, VOXELS)


def test_several_series_are_listed_and_not_guessed_at(tmp_path):
    write_series(tmp_path / "ct", description="Portal venous")
    write_series(tmp_path / "ct", uid="1.2.826.0.1.2", keep=[0, 1], description="Scout")
    message = sentence_of(tmp_path / "ct")
    assert "holds 2 DICOM series" in message
    assert "Portal venous (6 files" in message
    assert "Scout (2 files" in message


def test_other_files_in_the_folder_do_no_harm(tmp_path, capfd):
    write_series(tmp_path / "ct")
    (tmp_path / "ct" / "README.txt").write_text("exported by hand")
    (tmp_path / "ct" / "labels.nii.gz").write_bytes(b"\x1f\x8b no labels")
    (tmp_path / "ct" / "folder").mkdir()
    write_structure_set(tmp_path / "ct" / "rs.dcm", refers_to="1.2.826.0.1.1")
    np.testing.assert_array_equal(read_volume(tmp_path / "ct").array_kji, VOXELS)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("lost", "count"), [((2,), 1), ((2, 3), 2), ((1,), 1)])
def test_missing_slices_are_found_by_position(lost, count, tmp_path):
    write_series(tmp_path / "ct", keep=set(range(6)) - set(lost))
    message = sentence_of(tmp_path / "ct")
    assert (
        f"lacks about {counted(count, 'slice')} between {(lost[0] - 1) * 2.5:g} and {(lost[-1] + 1) * 2.5:g} mm"
        in message
    )


def test_two_slices_at_one_place_are_refused(tmp_path):
    write_series(tmp_path / "ct", positions=[(0, 0, z) for z in (0, 2, 2, 4, 6, 8)])
    message = sentence_of(tmp_path / "ct")
    assert "several slices at the same place (2 mm along its axis): '3-1.dcm' and '5-1.dcm'" in message


def test_uneven_spacing_is_refused(tmp_path):
    write_series(tmp_path / "ct", positions=[(0, 0, z) for z in (0, 2, 4, 6.7, 8.7, 10.7)])
    assert "unevenly spaced (2 to 2.7 mm)" in sentence_of(tmp_path / "ct")


def test_rounded_positions_are_no_uneven_spacing(tmp_path):
    write_series(tmp_path / "ct", positions=[(0, 0, z) for z in (0, 0.83, 1.67, 2.5, 3.33, 4.17)])
    assert read_volume(tmp_path / "ct").geometry.spacing_kji_mm[0] == pytest.approx(0.834, abs=0.005)


def test_a_tilted_gantry_is_refused(tmp_path):
    write_series(tmp_path / "ct", positions=[(0, z * 0.3, z) for z in range(6)])
    assert "tilted gantry" in sentence_of(tmp_path / "ct")


def test_slices_of_several_directions_are_refused(tmp_path):
    write_series(tmp_path / "ct", keep=[0, 1])
    write_series(tmp_path / "ct", keep=[3, 4], axes=((0, 1, 0), (0, 0, -1)))
    message = sentence_of(tmp_path / "ct")
    assert "different directions" in message or "several" in message or "holds 2" in message


def test_a_folder_without_dicom_is_refused(tmp_path, capfd):
    (tmp_path / "note.txt").write_text("nothing here")
    assert "holds no DICOM image series" in sentence_of(tmp_path)
    assert capfd.readouterr().err == ""


def test_a_single_dicom_slice_is_no_volume(tmp_path):
    write_series(tmp_path / "ct", keep=[3])
    assert "2-D image" in sentence_of(tmp_path / "ct")


@pytest.mark.parametrize("position", [0, 3, 5])
@pytest.mark.parametrize("jpeg2000", [False, True])
def test_a_damaged_slice_is_refused_wherever_it_lies(position, jpeg2000, tmp_path):
    write_series(tmp_path / "ct", jpeg2000=jpeg2000)
    path = tmp_path / "ct" / f"{position * 5 % 7}-1.dcm"
    path.write_bytes(path.read_bytes()[:-300])
    assert f"{path.name}' is damaged" in sentence_of(tmp_path / "ct")


def test_damaged_compressed_voxels_are_refused_without_a_word_of_the_decoder(tmp_path, capfd):
    write_series(tmp_path / "ct", jpeg2000=True)
    path = tmp_path / "ct" / "3-1.dcm"
    content = bytearray(path.read_bytes())
    start = content.index(b"\xff\x4f\xff\x51")
    content[start + 8 : start + 24] = b"\xff" * 16
    path.write_bytes(content)
    assert "3-1.dcm' cannot be decompressed" in sentence_of(tmp_path / "ct")
    assert capfd.readouterr().err == ""


def test_a_dicom_file_without_an_image_is_refused(tmp_path):
    (tmp_path / "report.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 200)
    assert "without an image" in sentence_of(tmp_path / "report.dcm")
