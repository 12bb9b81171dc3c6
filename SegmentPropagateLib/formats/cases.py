"""Which image belongs to which labels: a folder, a JSON or CSV list, the SLM-SAM 2 layout, or MedSAM2 archives.

folder of                                             pairs
---------------------------------------------------   ------------------------------------------------
images/NAME/00000.jpg, masks/NAME/00000.png           SLM-SAM 2: a folder of slices each
imagesTr/NAME.nii.gz, labelsTr/NAME.nii.gz            nnU-Net; also images/labels, images/masks
NAME/image.nii.gz, NAME/labels.nii.gz                 a folder per case (label, labels, mask, seg)
NAME.nrrd, NAME_label.nrrd or NAME.seg.nrrd           side by side (-label, _labels, _mask, _seg, .seg)
NAME.npz                                              MedSAM2: imgs and gts in one archive
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import is_there
from SegmentPropagateLib.formats.kinds import VOLUME_ENDINGS

IMAGE_FOLDERS = {"images": ("labels", "masks"), "imagesTr": ("labelsTr",), "image": ("label", "mask")}
_LARGEST_LIST = 1 << 26  # bytes; 100,000 cases with long paths need half of it
_LONGEST_NAME = 150  # a file name has 255 bytes, some of them for what is made of the case
LABEL_WORDS = ("label", "labels", "mask", "masks", "seg", "segmentation")


@dataclass(frozen=True)
class Case:
    """An image and its labels.

    Args:
        name: for people; unique in a dataset.
        image: a volume file or folder.
        labels: a label file, or a folder of PNG slices.
    """

    name: str
    image: Path
    labels: Path


def find_cases(dataset: str | Path) -> list[Case]:
    """All pairs of a dataset, ordered by name.

    Raises:
        InputError: there is none, a listed file is missing, or a name stands for two pairs.
    """
    path = Path(dataset)
    if not is_there(path):
        raise InputError(f"The dataset '{_shortened(str(path))}' does not exist.")
    if path.is_dir():
        cases = _in_folder(path)
    elif path.suffix.lower() == ".json":
        cases = _in_json(path)
    elif path.suffix.lower() == ".csv":
        cases = _in_csv(path)
    elif path.suffix.lower() == ".npz":
        cases = [Case(path.stem, path, path)]
    else:
        raise InputError(f"The dataset '{path}' must be a folder, or a list in a .json or .csv file.")
    if not cases:
        raise InputError(
            f"No pair of image and labels was found in '{path}': name them NAME.nii.gz and NAME_label.nii.gz, put them "
            "into images/ and labels/ under equal names, or list them in a .csv or .json file."
        )
    name, times = Counter(case.name for case in cases).most_common(1)[0]
    if times > 1:
        raise InputError(f"The dataset '{path}' has {times} cases named '{name}': give them different names.")
    return sorted(cases, key=lambda case: case.name)


def _in_folder(folder: Path) -> list[Case]:
    for images, label_folders in IMAGE_FOLDERS.items():
        for labels in label_folders:
            if (folder / images).is_dir() and (folder / labels).is_dir():
                return list(_by_equal_names(folder / images, folder / labels))
    return [*_side_by_side(folder), *_one_folder_each(folder)]


def _by_equal_names(images: Path, labels: Path) -> Iterator[Case]:
    known = {_stem(path): path for path in sorted(labels.iterdir()) if not path.name.startswith(".")}
    for image in sorted(images.iterdir()):
        name = re.sub(r"_0000$", "", _stem(image))  # nnU-Net's number of the channel
        if image.name.startswith(".") or not (image.is_dir() or image.name.lower().endswith(VOLUME_ENDINGS)):
            continue
        if name not in known:
            raise InputError(f"The image '{image}' has no labels of that name in '{labels}'.")
        yield Case(name, image, known[name])


def _side_by_side(folder: Path) -> Iterator[Case]:
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name.lower().endswith(VOLUME_ENDINGS)]
    stems = {_stem(path): path for path in files}
    for stem, image in stems.items():
        if image.suffix == ".npz":
            yield Case(stem, image, image)
            continue
        ends = [f"{stem}{joint}{word}" for word in LABEL_WORDS for joint in ("_", "-", ".")]
        labels = next((stems[end] for end in ends if end in stems), None)
        if labels is not None:
            yield Case(stem, image, labels)


def _one_folder_each(folder: Path) -> Iterator[Case]:
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = {_stem(path).lower(): path for path in sorted(inner.iterdir())}
        image = next((files[word] for word in ("image", "img", "dicom") if word in files), None)
        labels = next((files[word] for word in LABEL_WORDS if word in files), None)
        archives = [path for path in files.values() if path.suffix == ".npz"]
        if image is not None and labels is not None:
            yield Case(inner.name, image, labels)
        elif len(archives) == 1:
            yield Case(inner.name, archives[0], archives[0])


def _stem(path: Path) -> str:
    lower = path.name.lower()
    ending = next((suffix for suffix in VOLUME_ENDINGS if lower.endswith(suffix)), path.suffix)
    return path.name[: len(path.name) - len(ending)] if ending else path.name


def _in_json(path: Path) -> list[Case]:
    try:
        content = json.loads(_text_of(path))
    except RecursionError:
        raise InputError(f"'{path}' is nested too deep for a list of cases.") from None
    except ValueError as error:
        raise InputError(f"'{path}' is not valid JSON: {error}.") from error
    rows = content.get("training") if isinstance(content, Mapping) else content  # Decathlon lists have "training"
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise InputError(f'\'{path}\' must hold a list of objects like {{"image": ..., "label": ...}}.')
    return [_listed(path, row, number) for number, row in enumerate(rows, 1)]


def _in_csv(path: Path) -> list[Case]:
    text = _text_of(path)
    separator = ";" if ";" in text.partition("\n")[0] else ","  # Excel's where the comma is the decimal sign
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=separator) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InputError(f"'{path}' is no list in CSV: {error}.") from error
    if rows and not any(cell.strip().lower() == "image" for cell in rows[0]):
        rows.insert(0, ["image", "label"])
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    return [_listed(path, dict(zip(header, row, strict=False)), number) for number, row in enumerate(rows[1:], 1)]


def _text_of(path: Path) -> str:
    """The text of a list: UTF-8, UTF-16 with its mark, or what Excel saves as plain CSV in Europe."""
    if not path.is_file():  # a device or a pipe never ends
        raise InputError(f"'{path}' is no regular file: give a list in a .json or .csv file.")
    if path.stat().st_size > _LARGEST_LIST:
        raise InputError(f"'{path}' has {path.stat().st_size} bytes, too many for a list of cases.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    encoding = "utf-16" if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _listed(path: Path, row: Mapping[str, Any], number: int) -> Case:
    image, labels = row.get("image"), next((row[word] for word in LABEL_WORDS if row.get(word)), None)
    if not isinstance(image, str) or not isinstance(labels, str):
        raise InputError(f"Entry {number} of '{path}' must name an image and a label file.")
    files = [path.parent / text.strip() for text in (image, labels)]
    for file in files:
        if not is_there(file):
            raise InputError(f"Entry {number} of '{path}' names '{_shortened(str(file))}', which does not exist.")
    name = row.get("name") or _stem(files[0])
    if name in ("image", "img"):
        name = files[0].parent.name
    return Case(_checked_name(str(name), f"Entry {number} of '{path}'"), files[0], files[1])


def _checked_name(name: str, where: str) -> str:
    """Names of cases become parts of file names."""
    if len(name) > _LONGEST_NAME or not name.isprintable() or any(sign in name for sign in '/\\:*?"<>|'):
        raise InputError(
            f"{where} is named '{_shortened(name)}': a name has up to {_LONGEST_NAME} printable characters, without "
            'any of / \\ : * ? " < > |.'
        )
    return name


def _shortened(text: str) -> str:
    shown = text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}..."
    return shown if shown.isprintable() else ascii(shown)[1:-1]
