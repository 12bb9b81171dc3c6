"""The source `atlas`: finished cases are laid over the volume one by one, and what they bring is put together.

It does the work of MedLSAM (Lei 2023) by registration instead of a trained network. What is handed over is a mask on one
slice and a range: a box loses more (mean DSC .35 against .69 of 23 organs that were then propagated).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.prompting.atlas.deformation import deform
from SegmentPropagateLib.prompting.atlas.fusion import Outline, Start, carry, outline_of
from SegmentPropagateLib.prompting.atlas.grid import Body, body_of
from SegmentPropagateLib.prompting.atlas.judgement import judged
from SegmentPropagateLib.prompting.atlas.placement import STARTS, Place, places
from SegmentPropagateLib.prompting.finished import Finished
from SegmentPropagateLib.prompting.source import Proposal, Support, Tick, in_silence
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.volume import Volume

TEMPLATES = 5
"""How many of the cases are used, those that fit best where they are placed; as many as MedLSAM's supports."""


@dataclass(frozen=True, eq=False)
class Template:
    """A finished case that can lie on the volume.

    Args:
        body: its image.
        outlines: label -> where it is.
        places: where it can lie, best first; at least one.
    """

    body: Body
    outlines: Mapping[int, Outline]
    places: Sequence[Place]


class Atlas:
    """Carries the masks of finished cases; see `PromptSource`."""

    def propose(
        self, volume: Volume, labels: Collection[int], support: Support, plane: Plane, tick: Tick = in_silence
    ) -> list[Proposal]:
        """See `source.PromptSource.propose`.

        Raises:
            InputError: there are no finished cases, or one of them cannot be read.
        """
        if not support.cases:
            raise InputError("The source 'atlas' needs finished cases: give a folder of images with their labels.")
        body = body_of(volume)
        if body is None:
            return [_absent(label, f"'{volume.name}' shows no body: it is empty, or all air.") for label in labels]
        registering = STARTS * min(TEMPLATES, len(support.cases))
        total = len(support.cases) + registering + len(labels)
        templates: list[Template] = []
        reasons: dict[int, str] = {}
        for done, finished in enumerate(support.cases, 1):
            template = _template(finished, labels, body, reasons)
            if template is not None:
                templates = sorted([*templates, template], key=lambda it: -it.places[0].score)[:TEMPLATES]
            tick(done, total)
        starts: list[Start] = []
        owners: list[Template] = []
        for template in templates:
            for place in template.places:
                points = place.points(body.gray.shape)
                starts.append(Start(template.body.lattice, deform(body.gray, template.body.gray, points)))
                owners.append(template)
                tick(len(support.cases) + len(starts), total)
        proposals = []
        for label in labels:
            mine = [(owner.outlines[label], start) for owner, start in zip(owners, starts, strict=True) if label in owner.outlines]
            if not mine:
                proposals.append(_absent(label, reasons.get(label, f"No finished case has label {label}.")))
            else:
                carried = carry([outline for outline, _ in mine], [start for _, start in mine], body.gray)
                proposals.append(judged(label, carried, body.lattice, volume, plane))
            tick(len(support.cases) + registering + len(proposals), total)
        return proposals


def _absent(label: int, reason: str) -> Proposal:
    return Proposal(label, "not here", source="atlas", reason=reason)


def _template(
    finished: Finished, labels: Collection[int], volume: Body, reasons: dict[int, str]
) -> Template | None:
    """The case, if it has one of the labels and can lie on the volume; else `reasons` say why it cannot."""
    wanted = [label for label in labels if label in finished.values]
    if not wanted:
        return None
    image = read_volume(finished.case.image)
    body = body_of(image)
    found = _places(volume, body, finished.case.name)
    if isinstance(found, str) or body is None:
        reasons.update({label: reasons.get(label, str(found)) for label in wanted})
        return None
    drawn = read_labels(finished.case.labels, image.geometry)
    outlines = {
        label: outline
        for label in wanted
        if (outline := outline_of(drawn.mask(finished.values[label]), image.geometry, body.lattice)) is not None
    }
    return Template(body, outlines, found) if outlines else None


def _places(volume: Body, template: Body | None, name: str) -> list[Place] | str:
    """Where the template can lie, or why it cannot."""
    if template is None:
        return f"The finished case '{name}' shows no body: it is empty, or all air."
    if volume.is_ct != template.is_ct:
        kinds = ("CT", "none") if volume.is_ct else ("no CT", "one")
        return f"The image is {kinds[0]} and the finished case '{name}' is {kinds[1]}: give cases of its modality."
    found = places(volume, template)
    return found or f"The image and the finished case '{name}' have too little of the body in common."
