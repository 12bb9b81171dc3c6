"""Where a template lies in a volume: every translation at once, at a few scales.

Normalized cross-correlation within masks by Fourier transform (Padfield 2012, doi:10.1109/TIP.2011.2181402), of
self-similarity within both bodies, and of gray values over both fields of view.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from SegmentPropagateLib.prompting.atlas.descriptors import self_similarity
from SegmentPropagateLib.prompting.atlas.grid import MM, Body
from SegmentPropagateLib.prompting.atlas.sampling import on_lines

SCALES = (0.86, 0.93, 1.0, 1.08, 1.16)
"""Of the template across the body; along it people differ less than fields of view do."""
STARTS = 3
APART_MM = 14.0
"""Starts nearer to each other than this end in the same place."""

_STEP = 2  # grid points per step of the search, which is 6 mm
_LEAST_OVERLAP = 0.2  # of the smaller body
_LEAST_LENGTH_MM = 20.0  # of the overlap along the body; shorter ones fit anywhere
_ROUNDING = 1e-5  # of the largest square: what single precision leaves of the variance of a constant
_HILL = (2, 4, 4)  # steps around a peak that belong to it

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Place:
    """How a template lies: point `p` of the volume's lattice is on the template's `p * scale + shift`.

    Args:
        score: correlation, -1..1.
        scale: the template's steps per step of the volume, along S, A and R.
        shift: in steps of the template's lattice.
    """

    score: float
    scale: tuple[float, float, float]
    shift: tuple[float, float, float]

    def points(self, shape: tuple[int, ...]) -> Image:
        """The template's points under a lattice: float32 `(3, *shape)`."""
        axes = [
            np.arange(size, dtype=np.float32) * np.float32(scale) + np.float32(shift)
            for size, scale, shift in zip(shape, self.scale, self.shift, strict=True)
        ]
        return np.stack(np.meshgrid(*axes, indexing="ij"))


def places(volume: Body, template: Body) -> list[Place]:
    """The best places that are apart from each other, best first, at most `STARTS`; none without a common part."""
    mine, other = _sheets(volume), _sheets(template)
    still = [_coarse(sheet, 1.0) for sheet in mine]
    found: list[Place] = []
    for scale in SCALES:
        moving = [_coarse(sheet, scale) for sheet in other]
        score = _scores(still, moving)
        across = (1.0, 1 / scale, 1 / scale)
        for value, offset in _peaks(score, moving[0][1].shape):
            s, a, r = (0.5 - (_STEP * step + 0.5) * part for step, part in zip(offset, across, strict=True))
            found.append(Place(value, across, (s, a, r)))
    return _apart(found, (np.array(volume.body.shape) - 1) / 2)


def best_scores(volume: Body, templates: Iterable[Body]) -> list[float]:
    """Correlation of each template at its best place and scale, -1..1; the bodies may be on a coarser grid."""
    still = [_coarse(sheet, 1.0) for sheet in _sheets(volume)]

    def best(template: Body) -> float:
        sheets = _sheets(template)
        scores = (_scores(still, [_coarse(sheet, scale) for sheet in sheets]) for scale in SCALES[::2])
        return max(float(score.max()) for score in scores)

    return [best(template) for template in templates]


def masked_ncc(volume: Image, inside: Image, template: Image, within: Image) -> tuple[Image, Image]:
    """Correlation of two images for every offset between them, over the points that both masks have.

    Args:
        volume: float32 `(channels, *shape)`; the channels share one mean and one spread.
        inside: its mask, float32 0 or 1, `shape`.
        template: float32 `(channels, *other)`.
        within: its mask, float32 `other`.

    Returns:
        Correlation, -1..1, and number of common points, float32 each. At index `o` the template's first point lies on
        the volume's `o - (other - 1)`. 0 where one of the two is constant.
    """
    shape = [a + b - 1 for a, b in zip(inside.shape, within.shape, strict=True)]
    fast = [fft.next_fast_len(size, real=True) for size in shape]
    volume, template = volume * inside, (template * within)[:, ::-1, ::-1, ::-1]
    within = within[::-1, ::-1, ::-1]

    def forth(image: Image) -> NDArray[np.complex64]:
        return fft.rfftn(image, fast)

    def back(spectrum: NDArray[np.complex64]) -> Image:
        return fft.irfftn(spectrum, fast)[tuple(slice(0, size) for size in shape)]

    mask, mask_t = forth(inside), forth(within)
    common = np.rint(back(mask * mask_t))
    count = np.maximum(common, 1) * len(volume)
    mean, mean_t = back(forth(volume.sum(0)) * mask_t) / count, back(mask * forth(template.sum(0))) / count
    product = np.zeros_like(mask)
    for channel, channel_t in zip(volume, template, strict=True):
        product += forth(channel) * forth(channel_t)
    covariance = back(product) / count - mean * mean_t
    variance = back(forth((volume**2).sum(0)) * mask_t) / count - mean**2
    variance_t = back(mask * forth((template**2).sum(0))) / count - mean_t**2
    spread = np.sqrt(np.maximum(variance, 0) * np.maximum(variance_t, 0))
    known = (common > 0) & (spread > 1e-3 * spread.max())
    for one, image in ((variance, volume), (variance_t, template)):
        known &= one > _ROUNDING * float((image**2).max())
    score = np.divide(covariance, spread, out=np.zeros_like(spread), where=known)
    return np.clip(score, -1, 1), common


_Sheet = tuple[Image, Image]  # an image `(channels, *shape)` and its mask


def _sheets(body: Body) -> list[_Sheet]:
    """What is correlated: self-similarity within the body, gray values within the field of view; both smooth."""
    similarity = self_similarity(ndimage.gaussian_filter(body.gray, 1), step=2)
    grays = np.stack([body.gray, body.wide])
    sheets = []
    for image, where in ((similarity, body.body), (grays, body.inside)):
        image -= image[:, where].mean(axis=1)[:, None, None, None]
        mask = where.astype(np.float32)
        sheets.append((np.stack([ndimage.gaussian_filter(channel, 1) for channel in image]), mask))
    return sheets


def _coarse(sheet: _Sheet, scale: float) -> _Sheet:
    """On the grid of the search, enlarged across the body."""
    image, mask = sheet
    step = np.array([_STEP, _STEP / scale, _STEP / scale])
    shape = tuple(max(1, round(size / part)) for size, part in zip(mask.shape, step, strict=True))

    lines = [0.5 + part * np.arange(size) for part, size in zip(step, shape, strict=True)]
    return on_lines(image, lines), (on_lines(mask[None], lines)[0] > 0.5).astype(np.float32)


def _scores(volume: list[_Sheet], template: list[_Sheet]) -> Image:
    """Mean correlation for every offset; -1 where too little lies on each other."""
    (score, common), (gray, _) = (masked_ncc(*mine, *other) for mine, other in zip(volume, template, strict=True))
    body, other = volume[0][1], template[0][1]
    length, length_t = body.shape[0], other.shape[0]
    first = np.arange(score.shape[0]) - (length_t - 1)
    overlap = np.minimum(first + length_t, length) - np.maximum(first, 0)
    enough = overlap >= min(_LEAST_LENGTH_MM / (_STEP * MM), 0.9 * min(length, length_t))
    enough = enough[:, None, None] & (common > _LEAST_OVERLAP * min(body.sum(), other.sum()))
    return np.where(enough, (score + gray) / 2, np.float32(-1))


def _peaks(score: Image, template: tuple[int, ...]) -> Iterator[tuple[float, list[int]]]:
    """The highest scores, at most `STARTS`, and the offset of the template's first point at each."""
    score = score.copy()
    for _ in range(STARTS):
        top = np.unravel_index(int(score.argmax()), score.shape)
        if score[top] <= -1:
            return
        yield float(score[top]), [int(index) - size + 1 for index, size in zip(top, template, strict=True)]
        score[tuple(slice(max(0, at - hill), at + hill + 1) for at, hill in zip(top, _HILL, strict=True))] = -1


def _apart(found: list[Place], middle: NDArray[np.float64]) -> list[Place]:
    chosen: list[Place] = []
    for place in sorted(found, key=lambda place: -place.score):
        target = middle * place.scale + place.shift
        taken = [middle * other.scale + other.shift for other in chosen]
        if all(MM * np.abs(target - other).max() >= APART_MM for other in taken):
            chosen.append(place)
    return chosen[:STARTS]
