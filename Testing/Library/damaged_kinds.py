"""One small file of every kind that is read: how it is drawn, and what reads it. Damaged ones are tested and fuzzed."""

import contextlib
import csv
import functools
import json

import numpy as np
import SimpleITK as sitk
from drawn_dicom import PLACES, VOXELS, enhanced_elements, frame_item, write_dicom, write_slices
from drawn_files import SHAPE, medsam_archive, random_image, random_masks
from drawn_nifti import draw, draw_pair, values
from drawn_seg import KIDNEY, TUMOR, frames_of, seg_elements
from test_geometry import geometry_of

from SegmentPropagateLib.formats.cases import Case, find_cases
from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.formats.writing import write_segmentation
from SegmentPropagateLib.reports.report import keys_of_run
from SegmentPropagateLib.worker.messages import Decoder
from SegmentPropagateLib.worker.requests import read_request

OVERLAPPING = {value: np.random.default_rng(value).random(SHAPE) > 0.4 for value in (1, 5)}


# ------------------------------------------------------------------------------------------------- what reads a file


def read_folder(path):
    read_volume(path.parent)


def read_model(path):
    from SegmentPropagateLib.networks.checkpoints import load_network  # torch, of which most kinds have no need

    load_network(path)


def read_card(path):
    from SegmentPropagateLib.networks.card import Card

    with contextlib.suppress(ValueError, RecursionError):  # it is no JSON, of which those who read it take care
        Card.from_dict(json.loads(path.read_bytes()), origin=path.name)


def read_run(path):
    """The state of a run; what it is held against was made before memory was short."""
    from SegmentPropagateLib.training.resume import read_state

    read_state(path, _trainer().state_like(), "digest")


def read_list(path):
    find_cases(path)


def read_pictures(path):
    from SegmentPropagateLib.training.data import Library

    Library().examples(Case("case", *(path.parents[2] / name / "case" for name in ("images", "masks"))))


def read_report(path):
    keys_of_run("case.nii.gz", path, "axial")


def read_requests(path):
    for message in Decoder().feed(path.read_bytes()):
        read_request(message)


def read_replies(path):
    from test_requests import REPLIES

    for message in Decoder().feed(path.read_bytes()):
        if message.type in REPLIES:
            REPLIES[message.type].from_message(message)


# ------------------------------------------------------------------------------------------------- how it is drawn


def itk_image(path):
    sitk.WriteImage(random_image(), str(path))


def packed_image(path):
    sitk.WriteImage(random_image(), str(path), True)


def segmentation(path):
    write_segmentation(path, random_masks(), geometry_of(np.eye(3)))


def overlapping(path):
    write_segmentation(path, OVERLAPPING, geometry_of(np.eye(3)))


def nifti(path):
    draw(path, values(), version=2 if "nifti2" in path.name else 1)


def pair(path):
    draw_pair(path.parent, values(), ".img.gz" if path.name.endswith(".gz") else ".img")


def single_slices(path):
    write_slices(path.parent, lambda index: {0x00281053: ("DS", "1")})


def enhanced(path):
    voxels = VOXELS if "labels" not in path.name else np.abs(VOXELS) % 4
    write_dicom(path, enhanced_elements(voxels, [frame_item(place, (1, 0)) for place in PLACES]))


def segments(path):
    write_dicom(path, seg_elements(frames_of({1: KIDNEY, 2: TUMOR}), {1: "kidney", 2: "tumor"}))


def _model():
    import torch
    from small_models import CARD, random_weights

    return torch, {"model": random_weights(), "card": CARD.to_dict()}


def model(path):
    torch, content = _model()
    torch.save(content, path, _use_new_zipfile_serialization="old" not in path.name)


def safetensors(path):
    from safetensors.torch import save_file

    _, content = _model()
    save_file(content["model"], path, {"card": json.dumps(content["card"])})


def card(path):
    path.write_text(json.dumps(_model()[1]["card"]))


@functools.cache
def _trainer():
    import torch
    from tiny_training import tiny_network

    from SegmentPropagateLib.networks.memory import MemoryPolicy, long_bank, short_bank
    from SegmentPropagateLib.training.optimizer import Rates
    from SegmentPropagateLib.training.trainer import Trainer, TrainerSettings

    settings = TrainerSettings(4, Rates(1e-3, 1e-3, layer_decay=1.0))
    return Trainer(tiny_network(), MemoryPolicy((long_bank(), short_bank(1))), settings, torch.device("cpu"))


def run_state(path):
    from SegmentPropagateLib.files import Outputs
    from SegmentPropagateLib.training.run_files import RunFiles

    trainer = {**_trainer().state_dict(), "step": 1}
    state = {"trainer": trainer, "records": [{"step": 1, "loss": 0.5}], "start": None, "run": "digest"}
    with Outputs() as outputs:
        RunFiles(path.with_name("run.pt")).write_state(state, outputs)


def _pairs(folder):
    """Rows of a list of two cases, whose files are there."""
    names = [f"{word}{number}.nii" for number in (1, 2) for word in ("ct", "seg")]
    for name in names:
        (folder / name).touch()
    return [{"image": image, "label": label} for image, label in zip(names[::2], names[1::2], strict=True)]


def csv_list(path):
    rows = _pairs(path.parent)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, ["image", "label"])
        table.writeheader()
        table.writerows(rows)


def json_list(path):
    path.write_text(json.dumps({"training": _pairs(path.parent)}))


def report(path):
    things = [{"label": value, "name": f"thing {value}", "key_slices": [value, 9]} for value in (1, 2)]
    path.write_text(json.dumps({"output": "case.nii.gz", "plane": "axial", "objects": things}))


def pictures(path):
    """A folder of three slices and their masks, as SLM-SAM 2 lays them out; `path` is one of the files."""
    from PIL import Image

    root = path.parents[2]
    for name, high in (("images", 256), ("masks", 3)):
        folder = root / name / "case"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(3):
            pixels = np.random.default_rng(number).integers(0, high, (16, 20), np.uint8)
            Image.fromarray(pixels).save(folder / f"{number:05d}.png")


def requests(path):
    from test_requests import RIGHT_REQUESTS, frame

    path.write_bytes(b"".join(frame(request.to_message(number)) for number, request in enumerate(RIGHT_REQUESTS)))


def replies(path):
    from test_requests import RIGHT_REPLIES, frame

    path.write_bytes(b"".join(frame(reply.to_message(number)) for number, reply in enumerate(RIGHT_REPLIES)))


KINDS = {  # the file that is damaged -> what reads it, how it and what belongs to it are drawn
    "whole.nii": (read_volume, nifti),
    "whole.nii.gz": (read_volume, nifti),
    "labels.nii": (read_labels, nifti),
    "nifti2.nii": (read_volume, nifti),
    "case.hdr": (read_volume, pair),
    "case.img": (read_volume, pair),
    "case.img.gz": (read_volume, pair),
    "raw.nrrd": (read_volume, itk_image),
    "packed.nrrd": (read_volume, packed_image),
    "detached.nhdr": (read_volume, itk_image),
    "raw.mha": (read_volume, itk_image),
    "packed.mha": (read_volume, packed_image),
    "detached.mhd": (read_volume, itk_image),
    "one.seg.nrrd": (read_labels, segmentation),
    "two.seg.nrrd": (read_labels, overlapping),
    "image.npz": (read_volume, medsam_archive),
    "labels.npz": (read_labels, medsam_archive),
    "series/0.dcm": (read_folder, single_slices),
    "alone/0.dcm": (read_volume, single_slices),
    "enhanced.dcm": (read_volume, enhanced),
    "labels.dcm": (read_labels, enhanced),
    "segments.dcm": (read_labels, segments),
    "model.pt": (read_model, model),
    "old.pt": (read_model, model),
    "model.safetensors": (read_model, safetensors),
    "card.json": (read_card, card),
    "run.state.pt": (read_run, run_state),
    "list.csv": (read_list, csv_list),
    "list.json": (read_list, json_list),
    "case.json": (read_report, report),
    "images/case/00001.png": (read_pictures, pictures),
    "masks/case/00001.png": (read_pictures, pictures),
    "requests.frames": (read_requests, requests),
    "replies.frames": (read_replies, replies),
}
