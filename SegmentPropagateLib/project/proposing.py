"""Keeping a proposal, whoever has made it: the command line, or somebody in the panel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.files import Outputs, file_sha256
from SegmentPropagateLib.formats.writing import write_segmentation
from SegmentPropagateLib.project.folder import PROPOSALS, Project
from SegmentPropagateLib.project.state import State
from SegmentPropagateLib.volumes.geometry import Geometry


def keep_proposal(
    project: Project, name: str, masks: Mapping[int, NDArray[np.bool_]], geometry: Geometry, **parts: Any
) -> State:
    """Write the file of a proposal and tell the ledger; the project is to be held.

    Args:
        project: whose case it is.
        name: of the case.
        masks: label of the template -> bool `(k, j, i)`.
        geometry: their grid.
        **parts: of the entry: model, model_sha256, prompts and what else there is.

    Raises:
        InputError: a file cannot be written.
    """
    path = project.free_name(PROPOSALS, name)
    with Outputs() as outputs:
        write_segmentation(path, masks, geometry, project.settings.segments, outputs)
    return project.append("proposed", case=name, file=project.place(path), sha256=file_sha256(path), **parts)
