"""MedSAM2 archives."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.kinds import Content

KEYS: Mapping[Content, str] = {"image": "imgs", "labels": "gts"}


def read(path: Path, content: Content) -> tuple[sitk.Image, None]:
    """Read one array of a MedSAM2 archive; its spacing, direction and origin are SimpleITK's, in x, y, z.

    Raises:
        InputError: no such archive, or it is damaged or incomplete.
    """
    key = KEYS[content]
    try:
        with np.load(path, allow_pickle=False) as archive:
            array = archive[key]
            spacing, direction, origin = (
                np.asarray(archive[name], dtype=np.float64).ravel() if name in archive else default
                for name, default in (
                    ("spacing", np.ones(3)),
                    ("direction", np.eye(3).ravel()),
                    ("origin", np.zeros(3)),
                )
            )
    except KeyError as error:
        raise InputError(f"'{path}' has no array '{key}': MedSAM2 files hold 'imgs', 'gts' and 'spacing'.") from error
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"'{path}' is no MedSAM2 archive, or it is damaged.") from error
    if array.ndim != 3 or array.dtype.kind not in "buif":
        raise InputError(
            f"'{key}' in '{path}' has shape {array.shape}: it must be one number per (slice, row, column)."
        )
    if (spacing.size, direction.size, origin.size) != (3, 9, 3):
        raise InputError(f"'{path}' needs a spacing of 3, a direction of 9 and an origin of 3 numbers.")
    if array.dtype in (np.bool_, np.float16):
        array = array.astype(np.uint8 if array.dtype == np.bool_ else np.float32)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing.tolist())
    image.SetDirection(direction.tolist())
    image.SetOrigin(origin.tolist())
    return image, None
