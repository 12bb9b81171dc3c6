"""From `--mask`, `--label`, `--key-slice`, `--box` and `--range` to prompts; mistakes are found before work starts."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

import numpy as np

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.reading import read_labels
from SegmentPropagateLib.prompting.source import Support, find_source
from SegmentPropagateLib.propagation.prompts import BoxPrompt, MaskPrompt, Prompt
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.labels import Labels, SegmentInfo, default_segment
from SegmentPropagateLib.volumes.stack import stack_of
from SegmentPropagateLib.volumes.volume import Volume


@dataclass
class Request:
    """What is to be propagated.

    Args:
        prompts: object id -> key slice -> prompt; object ids are label values.
        segments: names and colors of the objects.
        first: first slice of the range.
        last: last slice of the range, inclusive.
        notes: sentences for the user about what is left out.
    """

    prompts: dict[int, dict[int, Prompt]]
    segments: list[SegmentInfo]
    first: int
    last: int
    notes: list[str] = field(default_factory=list)


def read_request(arguments: argparse.Namespace, volume: Volume) -> Request:
    """Read the prompts and check them and the range against the volume.

    Raises:
        InputError: for whatever cannot be done, in one sentence.
    """
    axis = volume.geometry.plane_axis(arguments.plane)
    count = volume.geometry.shape_kji[axis]
    first, last = arguments.range or (0, count - 1)
    _check_range(first, last, count, arguments.plane)
    for key in _numbered_keys(arguments):
        if not 0 <= key < count:
            raise InputError(
                f"Key slice {key} is outside the volume: {arguments.plane} slices run from 0 to {count - 1}."
            )
    if arguments.box is not None:
        request = _box_request(arguments, volume, axis)
    else:
        request = _mask_request(read_labels(arguments.mask, like=volume.geometry), arguments, volume)
    request.first, request.last = first, last
    _check_keys_in_range(request)
    return request


def _numbered_keys(arguments: argparse.Namespace) -> list[int]:
    return arguments.key_slice if isinstance(arguments.key_slice, list) else []  # None and "auto" name none


def _check_range(first: int, last: int, count: int, plane: str) -> None:
    if first > last:
        raise InputError(f"The range {first}:{last} is reversed: give the smaller slice number first.")
    if first < 0 or last >= count:
        raise InputError(
            f"The range {first}:{last} reaches beyond the volume: {plane} slices run from 0 to {count - 1}."
        )


def _check_keys_in_range(request: Request) -> None:
    for segment in request.segments:
        outside = [key for key in request.prompts[segment.value] if not request.first <= key <= request.last]
        if outside:
            raise InputError(
                f"The range {request.first}:{request.last} leaves out key slice {outside[0]} of {_called(segment)}: "
                "widen --range, or choose another --key-slice or --label."
            )


def _box_request(arguments: argparse.Namespace, volume: Volume, axis: int) -> Request:
    keys = arguments.key_slice
    if keys is None or keys == "auto" or len(keys) != 1:
        raise InputError("A --box needs one --key-slice: the number of the slice on which it was drawn.")
    if arguments.label is not None:
        raise InputError("--label belongs to --mask: a box always makes object 1.")
    box = BoxPrompt(arguments.box)
    rows, columns = (size for index, size in enumerate(volume.geometry.shape_kji) if index != axis)
    box.check_inside((rows, columns))
    return Request({1: {keys[0]: box}}, [default_segment(1)], 0, 0)


def _mask_request(labels: Labels, arguments: argparse.Namespace, volume: Volume) -> Request:
    request = Request({}, [], 0, 0)
    everything = arguments.label is None or "all" in arguments.label
    wanted = _wanted(labels, arguments)
    outlines = _outlines(labels, [segment.value for segment in wanted], arguments, volume)
    for segment in wanted:
        if outlines[segment.value]:
            request.segments.append(segment)
            request.prompts[segment.value] = outlines[segment.value]
        elif everything:
            request.notes.append(f"Left out: {_called(segment)}, which has no voxel on a key slice.")
        else:
            raise InputError(_nothing_on_keys(segment, labels, arguments, volume))
    used = {key for prompts in request.prompts.values() for key in prompts}
    for key in _numbered_keys(arguments):
        if key not in used:
            raise InputError(
                f"Key slice {key} of '{arguments.mask}' has no label to propagate: choose a slice on which the object "
                "is outlined, or --key-slice auto."
            )
    return request


def _outlines(
    labels: Labels, values: list[int], arguments: argparse.Namespace, volume: Volume
) -> dict[int, dict[int, Prompt]]:
    """Label value -> key slice -> its outline: on the slices that were named, else where the label is largest."""
    plane = Plane.parse(arguments.plane)
    if arguments.key_slice in (None, "auto"):
        drafts = find_source("drawn").propose(volume, values, Support(labels), plane)
        return {draft.label: draft.prompts for draft in drafts}
    axis, keys = volume.geometry.plane_axis(plane), _numbered_keys(arguments)
    outlines: dict[int, dict[int, Prompt]] = {}
    for value in values:  # one mask of the volume's size at a time
        stack = stack_of(labels.mask(value), axis)
        outlines[value] = {key: MaskPrompt(stack[key]) for key in keys if stack[key].any()}
    return outlines


def _wanted(labels: Labels, arguments: argparse.Namespace) -> list[SegmentInfo]:
    if not labels.segments:
        raise InputError(f"'{arguments.mask}' holds no label: every voxel of it is 0.")
    if arguments.label is None or "all" in arguments.label:
        return list(labels.segments)
    known = {segment.value: segment for segment in labels.segments}
    for value in arguments.label:
        if value not in known:
            there = ", ".join(_called(segment) for segment in labels.segments)
            raise InputError(f"'{arguments.mask}' has no label {value}; it has {there}.")
    return [known[value] for value in sorted(set(arguments.label))]


def _nothing_on_keys(segment: SegmentInfo, labels: Labels, arguments: argparse.Namespace, volume: Volume) -> str:
    mask = stack_of(labels.mask(segment.value), volume.geometry.plane_axis(arguments.plane))
    there = np.flatnonzero(mask.any(axis=(1, 2)))
    if not len(there):
        return f"The {_called(segment)} of '{arguments.mask}' has no voxel within the image."
    return (
        f"The {_called(segment)} has no voxel on key slice {', '.join(map(str, arguments.key_slice))}: it is on "
        f"{arguments.plane} slices {there[0]} to {there[-1]}."
    )


def _called(segment: SegmentInfo) -> str:
    plain = f"label {segment.value}"
    return plain if segment.name.lower() == plain else f"{plain} ({segment.name})"
