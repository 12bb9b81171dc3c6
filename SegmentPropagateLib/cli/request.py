"""From `--mask`, or a `--box` and its like, to prompts; mistakes are found before work starts."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.cli.drafts import Draft, check_any, read_drafts
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.reading import read_labels
from SegmentPropagateLib.prompting.source import Support, find_source
from SegmentPropagateLib.propagation.prompts import BoxPrompt, LinePrompt, MaskPrompt, PointsPrompt, Prompt
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.labels import Labels, SegmentInfo, called, default_segment, find_segment
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
        notes: sentences for the user about what is left out or lies at a doubtful place.
        drafts: what was suggested, where it was.
        ranges: object id -> its own first and last slice, where it has one.
        keep_out: voxels that results must not enter, bool `(k, j, i)`; None where there are none.
    """

    prompts: dict[int, dict[int, Prompt]]
    segments: list[SegmentInfo]
    first: int
    last: int
    notes: list[str] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)
    ranges: dict[int, tuple[int | None, int | None]] = field(default_factory=dict)
    keep_out: NDArray[np.bool_] | None = None


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
    _check_drafting(arguments)
    if arguments.support is not None or arguments.draft is not None or arguments.source is not None:
        request = _suggested_request(arguments, volume)
    elif arguments.mask is not None:
        notes: list[str] = []
        labels = read_labels(arguments.mask, volume.geometry, notes.append)
        request = _mask_request(labels, arguments, volume)
        request.notes[:0] = notes
    else:
        request = _drawn_request(arguments, volume, axis)
    request.first, request.last = first, last
    _check_keys_in_range(request)
    if arguments.keep_out is not None:
        request.keep_out = _read_keep_out(arguments, volume, request, axis)
    return request


def _suggested_request(arguments: argparse.Namespace, volume: Volume) -> Request:
    """Every object that was found is propagated from its draft's key slices, in its own range unless one was typed."""
    notes: list[str] = []
    drafts = read_drafts(arguments, volume, notes)
    wanted = ("found", "unsure") if arguments.unsure else ("found",)
    usable = [draft for draft in drafts if draft.proposal.status in wanted]
    check_any(drafts, usable)
    first, last = arguments.range or (0, volume.geometry.shape_kji[volume.geometry.plane_axis(arguments.plane)] - 1)
    prompts = {}
    for draft in usable:  # a typed range may leave out further key slices, but not the key slice itself
        key, every = draft.proposal.key_slice, draft.proposal.prompts
        prompts[draft.segment.value] = {z: it for z, it in every.items() if z == key or first <= z <= last}
    notes += [draft.sentence for draft in drafts]
    request = Request(prompts, [draft.segment for draft in usable], 0, 0, notes, drafts)
    if arguments.range is None:
        request.ranges = {draft.segment.value: (draft.proposal.first, draft.proposal.last) for draft in usable}
    return request


def _check_drafting(arguments: argparse.Namespace) -> None:
    """Raise InputError for options of drafts without drafts, and for those that drafts leave no room for."""
    drafting = next((name for name in ("support", "draft", "source") if getattr(arguments, name) is not None), None)
    if drafting is None:
        if arguments.unsure:
            raise InputError("--unsure belongs to --support and --draft: nothing is suggested without them.")
        for option, basis in {"localizer": "--source landmarks", "support_model": "--support"}.items():
            if getattr(arguments, option) is not None:
                name = option.replace("_", "-")
                raise InputError(f"--{name} belongs to {basis}, which nothing here asks for.")
        return
    if drafting == "source" and arguments.mask is None:
        raise InputError("--source belongs to --support and --mask: it says what drafts are made of them.")
    for option in ("name", "key_slice"):
        if getattr(arguments, option) is not None:
            raise InputError(f"--{option.replace('_', '-')} does not go with --{drafting}, which suggests it.")


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
                f"The range {request.first}:{request.last} leaves out key slice {outside[0]} of {called(segment)}: "
                "widen --range, or choose another --key-slice or --label."
            )


def _read_keep_out(arguments: argparse.Namespace, volume: Volume, request: Request, axis: int) -> NDArray[np.bool_]:
    """All segments of --keep-out as one mask, bool `(k, j, i)`; InputError where an object was outlined within them."""
    labels = read_labels(arguments.keep_out, volume.geometry, request.notes.append)
    keep_out = np.any(labels.layers, axis=0)
    for segment in request.segments:
        for key, prompt in request.prompts[segment.value].items():
            if not isinstance(prompt, MaskPrompt):
                continue
            inside = np.count_nonzero(prompt.mask & stack_of(keep_out, axis)[key])
            if 2 * inside > np.count_nonzero(prompt.mask):
                raise InputError(
                    f"Most of {called(segment)} on key slice {key} lies within the segments of '{arguments.keep_out}': "
                    "give --keep-out a file without the object and without what it lies in."
                )
    return keep_out


def _drawn_request(arguments: argparse.Namespace, volume: Volume, axis: int) -> Request:
    """Every --box is an object, and so is every --points and every --line."""
    prompts: list[Prompt] = [BoxPrompt(box) for box in arguments.box or ()]
    prompts += [_points_prompt(points) for points in arguments.points or ()]
    prompts += [LinePrompt(line) for line in arguments.line or ()]
    keys = arguments.key_slice
    if not isinstance(keys, list) or len(keys) not in (1, len(prompts)):
        raise InputError(
            f"{len(prompts)} --box, --points or --line need a --key-slice each, in their order, or one for all: the "
            "number of the slice on which they were drawn."
        )
    if len(keys) == 1:
        keys = keys * len(prompts)
    rows, columns = (size for index, size in enumerate(volume.geometry.shape_kji) if index != axis)
    for prompt in prompts:
        prompt.check_inside((rows, columns))
    segments = _drawn_segments(arguments, len(prompts))
    drawn = zip(segments, keys, prompts, strict=True)
    return Request({segment.value: {key: prompt} for segment, key, prompt in drawn}, segments, 0, 0)


def _drawn_segments(arguments: argparse.Namespace, count: int) -> list[SegmentInfo]:
    """The numbers and names that were typed for drawn objects, else 1, 2, ... and default names."""
    values = arguments.label or list(range(1, count + 1))
    if any(isinstance(value, str) for value in values):
        raise InputError(
            "--label of a --box, --points or --line is the number that the object gets; its name is --name."
        )
    names = arguments.name or [default_segment(value).name for value in values]
    for option, given in (("--label", values), ("--name", names)):
        if len(given) != count:
            raise InputError(
                f"{option} gives {len(given)}, there are {count} --box, --points or --line: give one for each."
            )
    if len(set(values)) < count:
        raise InputError(f"--label {' '.join(map(str, values))} gives one number to two objects: they must differ.")
    return [replace(default_segment(value), name=name) for value, name in zip(values, names, strict=True)]


def _points_prompt(points: list[tuple[int, int, bool]]) -> PointsPrompt:
    table = np.array(points)
    return PointsPrompt(table[:, :2].astype(np.float64), table[:, 2].astype(bool))


def _mask_request(labels: Labels, arguments: argparse.Namespace, volume: Volume) -> Request:
    if arguments.name is not None:
        raise InputError("--name belongs to --box, --points and --line: the labels of --mask keep their names.")
    request = Request({}, [], 0, 0)
    everything = arguments.label is None or "all" in arguments.label
    wanted = _wanted(labels, arguments)
    outlines = _outlines(labels, [segment.value for segment in wanted], arguments, volume)
    for segment in wanted:
        if outlines[segment.value]:
            request.segments.append(segment)
            request.prompts[segment.value] = outlines[segment.value]
        elif everything:
            request.notes.append(f"Left out: {called(segment)}, which has no voxel on a key slice.")
        else:
            raise InputError(_nothing_on_keys(segment, labels, arguments))
    used = {key for prompts in request.prompts.values() for key in prompts}
    for key in _numbered_keys(arguments):
        if key not in used:
            places = _whereabouts(wanted, labels, arguments)
            raise InputError(f"Key slice {key} of '{arguments.mask}' has no label to propagate: {places}.")
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
    return sorted({find_segment(labels, wanted, arguments.mask) for wanted in arguments.label}, key=lambda it: it.value)


def _nothing_on_keys(segment: SegmentInfo, labels: Labels, arguments: argparse.Namespace) -> str:
    keys = ", ".join(map(str, arguments.key_slice))
    return f"The {called(segment)} has no voxel on key slice {keys}: {_whereabouts([segment], labels, arguments)}."


def _whereabouts(segments: list[SegmentInfo], labels: Labels, arguments: argparse.Namespace) -> str:
    """On which slices segments are, as the end of a sentence."""
    axis = labels.geometry.plane_axis(arguments.plane)
    present = [stack_of(labels.mask(segment.value), axis).any(axis=(1, 2)) for segment in segments]
    there = np.flatnonzero(np.any(present, axis=0))
    if not len(there):
        return f"nothing of it in '{arguments.mask}' lies within the image"
    return f"{arguments.plane} slices {there[0]} to {there[-1]} hold it, name one of them or --key-slice auto"
