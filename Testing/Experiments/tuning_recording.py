"""What a network and the classical propagator say of a case, kept as it is before any tuned number has its part.

Neither of them knows of the shares, of the finishing or of the stop rule: these only change what has been said. So it
is computed once per case and played again with as many numbers as one likes (`tuning_replay`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tuning_cases import ROOT, Target

from SegmentPropagateLib.propagation.lanes import plan_lanes
from SegmentPropagateLib.propagation.propagator import Lane, PropagationSettings, Propagator
from SegmentPropagateLib.propagators.classical.carrier import Carrier, Signs
from SegmentPropagateLib.propagators.classical.way import Way
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.stack import ImageStack, make_stack

EXTENTS = ("open", "range")
SIGNS = Signs._fields
SOFTEST = 1e-4
"""Probabilities are kept from 0 and 1 by that much, as in the classical engine."""
FAINT = -3.0
"""Pixels whose logits are below on all slices are left out: no number of interest could bring them above 0."""
LIBRARY = ROOT / "SegmentPropagateLib"
HEARD = ("bundled", "networks", "phantoms", "propagation", "propagators/classical", "propagators/tracking", "volumes")
"""Parts of the library whose change makes recordings stale."""

Logits = NDArray[np.float16]


@dataclass(frozen=True)
class Course:
    """One run over a case, slices in the order of visit, the lanes one after the other.

    Args:
        lanes: as a session plans them.
        network: logits `(slices, rows, columns)` within the recording's window.
        network_presence: float64 `(slices,)`.
        network_iou: the same.
        carried: logits of the classical propagator, which goes on whatever its stop rule says.
        carried_iou: what it expects, float64 `(slices,)`.
        signs: what its stop rule looks at, float64 `(slices, 4)`, see `SIGNS`; NaN where nothing is left.
        agreement: the rule's logit by the numbers in the code, float64 `(slices,)`.
    """

    lanes: tuple[Lane, ...]
    network: Logits
    network_presence: NDArray[np.float64]
    network_iou: NDArray[np.float64]
    carried: Logits
    carried_iou: NDArray[np.float64]
    signs: NDArray[np.float64]
    agreement: NDArray[np.float64]

    @property
    def slices(self) -> tuple[int, ...]:
        """Slice numbers in the order of the arrays."""
        return tuple(index for lane in self.lanes for index in lane.slices)


ARRAYS = tuple(field.name for field in fields(Course) if field.name != "lanes")


@dataclass(frozen=True)
class Recording:
    """A case; its slices are cut to a window with all that is ever said.

    Args:
        name: the case's.
        group: the patient or phantom.
        key: the key slice.
        truth: reference mask `(slices, rows, columns)`.
        courses: by extent, see `EXTENTS`.
    """

    name: str
    group: str
    key: int
    truth: NDArray[np.bool_]
    courses: dict[str, Course]


class Unstopped(Carrier):
    """Carries on whatever the stop rule says, and writes down what the rule sees."""

    def __init__(self, *arguments: Any) -> None:
        self.seen: list[tuple[float, ...]] = []
        self.agreements: list[float] = []
        super().__init__(*arguments)

    def presence(self, agreement: float) -> float:
        return max(super().presence(agreement), 1.0)

    def judge(self, soft: Any, grown: Any, likelihood: Any) -> float:
        logit, signs = super().judge(soft, grown, likelihood), self.signs(soft, grown, likelihood)
        self.agreements.append(logit)
        self.seen.append((np.nan,) * len(SIGNS) if signs is None else signs)
        return logit


@dataclass(frozen=True)
class Shelf:
    """Recordings in files, read one by one however often."""

    files: tuple[Path, ...]

    def __iter__(self) -> Iterator[Recording]:
        return map(_read, self.files)


def shelve(targets: Iterable[Target], network: Propagator, work: Path) -> Shelf:
    """Record the cases that have not been recorded before, into files under `work`."""
    code, files = digest_of_sources(), []
    for target in targets:
        name = hashlib.sha256(code.encode() + repr((target.case, target.name, target.truth.shape)).encode())
        for file in target.files:
            name.update(file.read_bytes())
        path = work / "recordings" / f"{name.hexdigest()[:24]}.npz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, record(target, network))
            print(f"recorded {target.case} {target.name}", flush=True)  # noqa: T201 - this takes long
        files.append(path)
    return Shelf(tuple(files))


def digest_of_sources() -> str:
    """Of everything that recordings depend on, but for the volumes."""
    digest = hashlib.sha256()
    files = [Path(__file__), *(path for part in HEARD for path in (LIBRARY / part).rglob("*") if path.is_file())]
    for path in sorted(path for path in files if path.suffix in (".py", ".pt")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def record(target: Target, network: Propagator) -> Recording:
    """Let both carry the key slice's mask over the whole volume, and over the object's extent."""
    stack, _ = make_stack(target.volume, Plane.AXIAL)
    lanes = {extent: _lanes(target.truth, target.key, extent) for extent in EXTENTS}
    courses = {extent: _course(stack, target.truth[target.key], lanes[extent], network) for extent in EXTENTS}
    said = [array.max(axis=0) > FAINT for course in courses.values() for array in (course.network, course.carried)]
    seen = np.any([target.truth.any(axis=0), *said], axis=0)
    ends = (np.flatnonzero(seen.any(axis=1 - axis))[[0, -1]] for axis in (0, 1))
    window = (slice(None), *(slice(first, last + 1) for first, last in ends))
    cut = {
        extent: replace(course, network=course.network[window], carried=course.carried[window])
        for extent, course in courses.items()
    }
    return Recording(f"{target.case} {target.name}", target.group, target.key, target.truth[window], cut)


def _lanes(truth: NDArray[np.bool_], key: int, extent: str) -> tuple[Lane, ...]:
    """The lanes that a session would plan."""
    present = np.flatnonzero(truth.any(axis=(1, 2)))
    ends = (int(present[0]), int(present[-1])) if extent == "range" else (0, len(truth) - 1)
    return tuple(plan_lanes(1, {key: truth[key]}, *ends, "independent", ends if extent == "range" else ()))


def _course(stack: ImageStack, key_mask: NDArray[np.bool_], lanes: tuple[Lane, ...], network: Propagator) -> Course:
    said, carried, ious, signs, agreements = {}, [], [], [], []
    network.open(stack, PropagationSettings())
    for update in network.run(lanes, {1: {lanes[0].keys[0]: key_mask}}):
        if update.logits is None:
            raise ValueError(
                f"{network.info['model']} gives no logits on slice {update.slice_index}: there is nothing to record."
            )
        said[update.slice_index] = update.logits.astype(np.float16), update.presence, update.predicted_iou
    for lane in lanes:
        leg = lane.legs[0]
        carrier = Unstopped(Way(stack, lane.keys[0], key_mask, leg.step), leg, leg[-1] in lane.given_ends)
        for index in lane.slices:
            guess = carrier.at(index)
            soft = np.clip(guess.soft.whole, SOFTEST, 1 - SOFTEST)
            carried.append(np.log(soft / (1 - soft)).astype(np.float16))
            ious.append(guess.predicted_iou)
        signs += carrier.seen
        agreements += carrier.agreements
    logits, presence, iou = zip(*(said[index] for lane in lanes for index in lane.slices), strict=True)
    return Course(
        lanes,
        np.stack(logits),
        np.array(presence, dtype=float),
        np.array(iou, dtype=float),
        np.stack(carried),
        np.array(ious),
        np.array(signs),
        np.array(agreements),
    )


def _write(path: Path, recording: Recording) -> None:
    arrays = {
        f"{extent}_{name}": getattr(course, name) for extent, course in recording.courses.items() for name in ARRAYS
    }
    part = path.with_suffix(".part.npz")
    words = {"name": recording.name, "group": recording.group, "key": recording.key}
    np.savez_compressed(part, truth=recording.truth, **words, **arrays)
    part.replace(path)


def _read(path: Path) -> Recording:
    with np.load(path) as stored:
        truth, key = stored["truth"], int(stored["key"])
        courses = {
            extent: Course(_lanes(truth, key, extent), **{name: stored[f"{extent}_{name}"] for name in ARRAYS})
            for extent in EXTENTS
        }
        return Recording(str(stored["name"]), str(stored["group"]), key, truth, courses)
