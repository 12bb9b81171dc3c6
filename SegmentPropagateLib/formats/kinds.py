"""The kinds of files that are read and written: a new one is a row here, and a module of its own beside this one.

Imports nothing heavy, as the help of the command line names them; a module is loaded when a file of its kind is met.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Content = Literal["image", "labels"]
"""What is wanted of a file that may hold both."""

NOTE = "SegmentPropagate note"
"""The field of an image in which its reader leaves a sentence for the user."""


@dataclass(frozen=True)
class ReadableKind:
    """A kind of file that images or labels are read from.

    Args:
        name: in sentences.
        module: of this package. It has `read(path, content) -> (image, modality)`: a `SimpleITK.Image` and, where the
            file says it, the DICOM modality.
        endings: of names, lower case, the longest first. Without any the module also has `recognizes(path)`, which
            looks at the file itself and is asked before endings count.
        holds_images: whether it holds images too, not labels alone.
    """

    name: str
    module: str
    endings: tuple[str, ...] = ()
    holds_images: bool = True


@dataclass(frozen=True)
class WritableKind:
    """A kind of file that segmentations are written into.

    Args:
        ending: of names, lower case.
        module: of this package. It has `write_labels(path, layers, members, geometry)`, see `seg_nrrd`.
        overlapping: whether it takes several layers, so that objects keep voxels that they share.
        needs_source: whether it is written for the image that was segmented. Then `write_labels` takes that one's path
            as well and returns sentences for the user, and `check_source(source, path)` tells beforehand if it will do.
    """

    ending: str
    module: str
    overlapping: bool = False
    needs_source: bool = False


READABLE = (
    ReadableKind("NIfTI", "nifti", (".nii.gz", ".nii")),
    ReadableKind("Analyze", "nifti"),
    ReadableKind("NRRD", "nrrd", (".nrrd", ".nhdr")),
    ReadableKind("MHA", "metaimage", (".mha", ".mhd")),
    ReadableKind("DICOM SEG", "dicom_seg", holds_images=False),
    ReadableKind("DICOM folder", "dicom"),
    ReadableKind("MedSAM2 .npz", "npz", (".npz",)),
)

WRITABLE = (  # the first whose ending fits is taken
    WritableKind(".seg.nrrd", "seg_nrrd", overlapping=True),
    WritableKind(".nrrd", "nrrd"),
    WritableKind(".nii.gz", "nifti"),
    WritableKind(".mha", "metaimage"),
    WritableKind(".dcm", "dicom_seg", overlapping=True, needs_source=True),
)

VOLUME_ENDINGS = tuple(ending for kind in READABLE for ending in kind.endings)
OUTPUT_ENDINGS = tuple(kind.ending for kind in WRITABLE)


def listed(words: Iterable[str], joint: Literal["and", "or"]) -> str:
    """Return words as a sentence lists them: `a, b and c`."""
    *others, last = words
    return f"{', '.join(others)} {joint} {last}" if others else last
