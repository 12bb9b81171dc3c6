"""Which image belongs to which labels: a folder, a JSON or CSV list, the SLM-SAM 2 layout, or MedSAM2 archives.

folder of                                             pairs
---------------------------------------------------   ------------------------------------------------
images/NAME/00000.jpg, masks/NAME/00000.png           SLM-SAM 2: a folder of slices each
imagesTr/NAME.nii.gz, labelsTr/NAME.nii.gz            nnU-Net; also images/labels, images/masks
NAME/image.nii.gz, NAME/labels.nii.gz                 a folder per case (label, labels, mask, seg)
NAME.nrrd, NAME.seg.nrrd or NAME_label.nrrd           side by side (.seg, -label, _labels, _mask, _seg)
NAME.npz                                              MedSAM2: imgs and gts in one archive

Capitals make no difference but in NAME.
Where labels are there twice, a `.seg.nrrd` is taken: it is what somebody corrected in Slicer.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import is_there
from SegmentPropagateLib.formats.dicom_header import begins_as_dicom
from SegmentPropagateLib.formats.kinds import VOLUME_ENDINGS

IMAGE_FOLDERS = {"images": ("labels", "masks"), "imagesTr": ("labelsTr",), "image": ("label", "mask")}
_LARGEST_LIST = 1 << 26  # bytes; 100,000 cases with long paths need half of it
_LOOKED_AT = 5  # files of a folder
_LONGEST_NAME = 150  # a file name has 255 bytes, some of them for what is made of the case
LISTS = (".csv", ".json")
LABEL_WORDS = ("label", "labels", "mask", "masks", "seg", "segmentation")
_OF_WINDOWS = re.compile(r"(con|prn|aux|nul|(com|lpt)\d)( *\..*)?", re.IGNORECASE)  # its devices, whatever the ending
_LABELS = re.compile(rf"[_.-]({'|'.join(LABEL_WORDS)})$", re.IGNORECASE)
_SEG = re.compile(r"\.seg$", re.IGNORECASE)


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
    cases = _all_in(path, labels_to_come=False)
    if not cases:
        raise InputError(
            f"No pair of image and labels was found in '{path}': give each case a folder with image.nii.gz and "
            "labels.nii.gz, name them NAME.nii.gz and NAME_label.nii.gz, put them into images/ and labels/ under equal "
            "names, or list them in a .csv or .json file."
        )
    return _ordered(cases, path)


def find_images(dataset: str | Path) -> list[Case]:
    """All images of a dataset, ordered by name, each with the labels that it has, or with where they are to come.

    Labels to come are a `.seg.nrrd` where `find_cases` finds it.

    Raises:
        InputError: as `find_cases`.
    """
    path = Path(dataset)
    cases = [case for case in _all_in(path, labels_to_come=True) if case.image.suffix.lower() != ".npz"]
    if not cases:
        raise InputError(
            f"No image was found in '{path}': choose a folder of images, or a list in a .csv or .json file."
        )
    check_apart(path, [case.name for case in cases])
    return _ordered(cases, path)


def check_apart(path: Path, names: Iterable[str]) -> None:
    """Raise InputError where two cases of a dataset would write into one file, as some disks pass over capitals."""
    known: dict[str, str] = {}
    for name in names:
        if name.casefold() in known:
            raise InputError(
                f"'{path}' has cases named '{known[name.casefold()]}' and '{name}', which write into one file on some "
                f"disks: give them different names."
            )
        known[name.casefold()] = name


def result_of(case: Case) -> Path:
    """The `.seg.nrrd` beside the labels of a case that is taken in their place once it is there."""
    if case.labels.name.lower().endswith(".seg.nrrd"):
        return case.labels
    stem, image = _stem(case.labels), _stem(case.image)
    beside = case.labels.parent == case.image.parent and stem.startswith(image)
    return case.labels.parent / f"{image if beside else stem}.seg.nrrd"


def _all_in(path: Path, *, labels_to_come: bool) -> list[Case]:
    if not is_there(path):
        raise InputError(f"The dataset '{_shortened(str(path))}' does not exist.")
    if path.is_dir():
        return _in_folder(path, labels_to_come)
    if path.suffix.lower() == ".npz":
        return [Case(path.stem, path, path)]
    if path.suffix.lower() not in LISTS:
        raise InputError(f"The dataset '{path}' must be a folder, or a list in a .json or .csv file.")
    rows = enumerate(read_rows(path), 1)
    return [listed_case(path, row, n, must_exist=True, labels_to_come=labels_to_come) for n, row in rows]


def _ordered(cases: list[Case], path: Path) -> list[Case]:
    name, times = Counter(case.name for case in cases).most_common(1)[0]
    if times > 1:
        raise InputError(f"The dataset '{path}' has {times} cases named '{name}': give them different names.")
    return sorted(cases, key=lambda case: case.name)


def find_labels(dataset: str | Path) -> dict[str, Path]:
    """Name of a case -> its labels: of a data set, or of a folder that has nothing but label files, named as the cases.

    Raises:
        InputError: there is none.
    """
    path = Path(dataset)
    if path.suffix.lower() in LISTS and path.is_file():
        cases = [listed_case(path, row, number) for number, row in enumerate(read_rows(path), 1)]
        return {case.name: case.labels for case in cases}
    alone = {} if not path.is_dir() or _in_folder(path, labels_to_come=False) else dict(_label_files(path))
    return alone or {case.name: case.labels for case in find_cases(path)}


def _label_files(folder: Path) -> Iterator[tuple[str, Path]]:
    for stem, file in _volumes_in(folder).items():
        if file.is_file():
            yield _LABELS.sub("", stem), file


def _in_folder(folder: Path, labels_to_come: bool) -> list[Case]:
    inner = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    for images, label_folders in IMAGE_FOLDERS.items():
        if images.lower() in inner:
            labels = next((inner[name.lower()] for name in label_folders if name.lower() in inner), None)
            if labels is not None or labels_to_come:
                return list(_by_equal_names(inner[images.lower()], labels or folder / label_folders[0], labels_to_come))
    return [*_side_by_side(folder, labels_to_come), *_one_folder_each(folder, labels_to_come)]


def _volumes_in(folder: Path) -> dict[str, Path]:
    """Folders, and files that may be volumes, by their names without ending.

    Of files that differ in their ending alone an archive, as nnU-Net writes it beside its results, goes behind all
    others, and a `.seg.nrrd`, as Slicer writes it beside what was begun from, before them.

    Raises:
        InputError: two files of other kinds do.
    """
    found: dict[str, tuple[int, Path]] = {}
    for path in sorted(folder.iterdir()):
        name = path.name.lower()
        if path.name.startswith(".") or not (name.endswith(VOLUME_ENDINGS) or path.is_dir()):
            continue
        rank = 0 if path.is_dir() else 1 if name.endswith(".npz") else 3 if name.endswith(".seg.nrrd") else 2
        stem = path.name if path.is_dir() else _stem(path)
        other_rank, other = found.get(stem, (-1, path))
        if rank == other_rank:
            raise InputError(f"'{other}' and '{path.name}' have one name: keep the one that counts.")
        if rank > other_rank:
            found[stem] = rank, path
    return {stem: path for stem, (_rank, path) in found.items()}


def _by_equal_names(images: Path, labels: Path, labels_to_come: bool) -> Iterator[Case]:
    present = _volumes_in(labels) if labels.is_dir() else {}
    known = {_SEG.sub("", stem): path for stem, path in present.items()}
    for stem, image in _volumes_in(images).items():
        name = re.sub(r"_0000$", "", stem)  # nnU-Net's number of the channel
        if name not in known and not labels_to_come:
            raise InputError(f"The image '{image}' has no labels of that name in '{labels}'.")
        yield Case(name, image, known.get(name, labels / f"{name}.seg.nrrd"))


def _side_by_side(folder: Path, labels_to_come: bool) -> Iterator[Case]:
    stems = {stem: path for stem, path in _volumes_in(folder).items() if path.is_file()}
    named = dict(stems)
    for stem, path in stems.items():
        for joint in re.finditer("[_.-]", stem):
            named.setdefault(stem[: joint.start()] + stem[joint.start() :].lower(), path)
    for stem, image in stems.items():
        if image.suffix.lower() == ".npz":
            yield Case(stem, image, image)
            continue
        ends = [f"{stem}{joint}{word}" for word in LABEL_WORDS for joint in ("_", "-", ".")]
        ends = [f"{stem}.seg", *ends, *(f"{end}.seg" for end in ends)]
        labels = next((named[end] for end in ends if end in named), None)
        if labels is not None:
            yield Case(stem, image, labels)
        elif labels_to_come and not _LABELS.search(stem):
            yield Case(stem, image, folder / f"{stem}.seg.nrrd")


def _one_folder_each(folder: Path, labels_to_come: bool) -> Iterator[Case]:
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        files = {stem.lower().removesuffix(".seg"): path for stem, path in _volumes_in(inner).items()}
        image = next((files[word] for word in ("image", "img", "dicom") if word in files), None)
        labels = next((files[word] for word in LABEL_WORDS if word in files), None)
        archives = [path for path in files.values() if path.suffix.lower() == ".npz"]
        if image is not None and (labels is not None or labels_to_come):
            yield Case(inner.name, image, labels or inner / "labels.seg.nrrd")
        elif len(archives) == 1:
            yield Case(inner.name, archives[0], archives[0])
        elif labels_to_come and image is None and _is_series(inner):
            yield Case(inner.name, inner, folder / f"{inner.name}.seg.nrrd")


def _is_series(folder: Path) -> bool:
    """Whether one of the first files of a folder is a DICOM file; there may be others before it."""
    files = (path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith("."))
    return any(begins_as_dicom(path) for path in islice(files, _LOOKED_AT))


def _stem(path: Path) -> str:
    """A name without its ending; folders of DICOM series are called by numbers with dots."""
    lower = path.name.lower()
    other = path.suffix if path.suffix[1:2].isalpha() else ""
    ending = next((suffix for suffix in VOLUME_ENDINGS if lower.endswith(suffix)), other)
    return path.name[: len(path.name) - len(ending)] if ending else path.name


def read_rows(path: Path, column: str = "image") -> list[Mapping[str, Any]]:
    """The rows of a list, by the names of their columns.

    Args:
        path: a CSV or JSON file.
        column: a CSV whose first line does not name it has no names of columns, but images and labels alone.

    Raises:
        InputError: it cannot be read, or is no list.
    """
    return _in_json(path) if path.suffix.lower() == ".json" else _in_csv(path, column)


def _in_json(path: Path) -> list[Mapping[str, Any]]:
    content = read_json(path)
    rows = content.get("training") if isinstance(content, Mapping) else content  # Decathlon lists have "training"
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise InputError(f'\'{path}\' must hold a list of objects like {{"image": ..., "label": ...}}.')
    return rows


def _in_csv(path: Path, column: str) -> list[Mapping[str, Any]]:
    text = re.sub(r"\r\n?", "\n", text_of(path)).lstrip("\n")
    told, separator = re.match(r'"?sep=(.)"?\1*\n', text), _separator(text.partition("\n")[0])
    if told is not None:  # Excel's own way to say it
        text, separator = text[told.end() :], told[1]
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=separator) if any(cell.strip() for cell in row)]
    except (csv.Error, TypeError, ValueError) as error:  # TypeError, ValueError: of a separator that can be none
        raise InputError(f"'{path}' is no list in CSV: {error}.") from error
    if rows and not any(cell.strip().lower() == column for cell in rows[0]):
        rows.insert(0, ["image", "label"])
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    twice = [name for name, times in Counter(header).items() if name and times > 1]
    if twice:
        raise InputError(f"'{path}' has two columns named '{_shortened(twice[0])}': leave one out.")
    return [dict(zip(header, row, strict=False)) for row in rows[1:]]


def _separator(line: str) -> str:
    """What stands between the cells of a line: Excel takes the semicolon where the comma is the decimal sign."""
    bare = re.sub(r'"[^"]*"', "", line)
    return max(",;\t", key=bare.count)


def read_json(path: Path) -> Any:
    """What a JSON file holds that somebody may have written by hand.

    Raises:
        InputError: it cannot be read or is no JSON, or names a field twice, of which only one would count.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for name, times in Counter(name for name, _value in pairs).items():
            if times > 1:
                raise ValueError(f"it has '{_shortened(name)}' twice in one object")
        return dict(pairs)

    try:
        return json.loads(text_of(path), object_pairs_hook=unique)
    except RecursionError:
        raise InputError(f"'{path}' is not valid JSON: it is nested too deep.") from None
    except ValueError as error:
        raise InputError(f"'{path}' is not valid JSON: {error}.") from error


def text_of(path: Path) -> str:
    """The text of a list: UTF-8, UTF-16 with its mark, or what Excel saves as plain CSV in Europe."""
    if not path.is_file():  # a device or a pipe never ends
        raise InputError(f"'{path}' is no regular file: give a list in a .json or .csv file.")
    if path.stat().st_size > _LARGEST_LIST:
        raise InputError(f"'{path}' has {path.stat().st_size} bytes, too many for a list.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    encoding = "utf-16" if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def listed_case(
    path: Path, row: Mapping[str, Any], number: int, *, must_exist: bool = False, labels_to_come: bool = False
) -> Case:
    """The case of a row.

    Args:
        path: the list.
        row: by the names of its columns.
        number: of the row, for sentences.
        must_exist: whether image and labels must be there; the labels need not where they are to come.
        labels_to_come: whether a row without labels stands for those that will lie beside the image.

    Raises:
        InputError: the row names no image or no labels, or the name of the case cannot be part of a file's.
    """
    image, labels = row.get("image"), next((row[word] for word in LABEL_WORDS if not _is_blank(row.get(word))), None)
    if isinstance(image, str) and labels is None and labels_to_come:
        labels = str(Path(image.strip()).parent / f"{_stem(Path(image.strip()))}.seg.nrrd")
    if not isinstance(image, str) or not isinstance(labels, str):
        raise InputError(f"Entry {number} of '{path}' must name an image and a label file.")
    files = [path.parent / text.strip() for text in (image, labels)]
    for file in files[: 1 if labels_to_come else 2] if must_exist else ():
        if not is_there(file):
            raise InputError(f"Entry {number} of '{path}' names '{_shortened(str(file))}', which does not exist.")
    return Case(*listed_image(path, row, number), path.parent / labels.strip())


def _is_blank(cell: object) -> bool:
    return not cell or (isinstance(cell, str) and not cell.strip())


def listed_image(path: Path, row: Mapping[str, Any], number: int) -> tuple[str, Path]:
    """Name and image of the case of a row, which need not have labels.

    Raises:
        InputError: the row names no image, or the name of the case cannot be part of a file's.
    """
    if not isinstance(row.get("image"), str) or not row["image"].strip():
        raise InputError(f"Entry {number} of '{path}' must name an image.")
    image = path.parent / row["image"].strip()
    name, where = row.get("name"), f"Entry {number} of '{path}'"
    if name is not None and type(name) not in (str, int):
        raise InputError(f"{where} has {_shortened(ascii(name))} as name: give a text.")
    name = str("" if name is None else name).strip() or _stem(image)
    if name in ("image", "img"):
        name = image.parent.name
    return checked_name(name, where), image


def checked_name(name: str, where: str) -> str:
    """The name of a case, which becomes part of file names.

    Raises:
        InputError: it cannot be; the sentence begins with `where`.
    """
    if len(name) > _LONGEST_NAME or not name.isprintable() or any(sign in name for sign in '/\\:*?"<>|'):
        raise InputError(
            f"{where} is named '{_shortened(name)}': a name has up to {_LONGEST_NAME} printable characters, without "
            'any of / \\ : * ? " < > |.'
        )
    if name.endswith(".") or _OF_WINDOWS.fullmatch(name):
        raise InputError(f"{where} is named '{name}', which Windows takes for no file: choose another name.")
    return name


def _shortened(text: str) -> str:
    shown = text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}..."
    return shown if shown.isprintable() else ascii(shown)[1:-1]
