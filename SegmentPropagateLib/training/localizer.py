"""Training a localizer on volumes that nobody has annotated: `segment-propagate train-localizer`.

Every step draws its volumes, views and points anew from the seed and its own number, so that a run that was stopped
goes on to exactly the weights it would have had.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import Outputs
from SegmentPropagateLib.formats.cases import Case, find_images
from SegmentPropagateLib.formats.reading import read_volume
from SegmentPropagateLib.models.devices import choose_device
from SegmentPropagateLib.networks.localizer import Localizer, Maps
from SegmentPropagateLib.networks.localizer_file import LocalizerCard, save_localizer
from SegmentPropagateLib.prompting.atlas.grid import body_of, shows_no_body
from SegmentPropagateLib.prompting.landmarks.grid import image_of, modality_of, voxel_mm
from SegmentPropagateLib.training.finetune import Conduct
from SegmentPropagateLib.training.landmark_views import PairLoss, ViewSettings, pair_loss, view_of
from SegmentPropagateLib.training.optimizer import Rates, make_optimizer, set_rates
from SegmentPropagateLib.training.resume import read_state
from SegmentPropagateLib.training.run_files import RunFiles
from SegmentPropagateLib.training.trainer import out_of_memory_told, state_like


@dataclass(frozen=True)
class LocalizerSettings:
    """All that the result depends on, beside the images.

    Args:
        steps: optimizer steps.
        batch: volumes per step, of each two views.
        points: per view.
        step: points of the 3 mm lattice per voxel; the paper's 3 mm (1) takes 27 times as long for the same views.
        width: channels of the network's first stage.
        views: how views differ.
        rates: of the optimizer.
        similarity: weight of the loss of MSS beside that of RDR.
        clip_norm: largest norm of the gradient.
        seed: of everything random.
    """

    steps: int = 4000
    batch: int = 4
    points: int = 48
    step: int = 3
    width: int = 8
    views: ViewSettings = field(default_factory=ViewSettings)
    rates: Rates = field(default_factory=lambda: Rates(rest=2e-3, final=0.02, weight_decay=1e-4, warm_up=50))
    similarity: float = 0.3
    clip_norm: float = 5.0
    seed: int = 1


def train_localizer(
    dataset: str | Path, output: str | Path, settings: LocalizerSettings, conduct: Conduct
) -> dict[str, Any]:
    """Train a localizer.

    Args:
        dataset: images, see `cases.find_images`; labels beside them are not read.
        output: `MODEL.pt`; log, curve and state lie beside it.
        settings: what the result depends on.
        conduct: what it does not depend on.

    Returns:
        Facts: steps, loss, and the median error of offsets in mm over the last steps.

    Raises:
        InputError: there are no images, they are of two kinds, one shows no body, or a file cannot be written.
    """
    files = RunFiles(Path(output))
    files.check(conduct.resume)
    device = choose_device(conduct.device)
    seen = _images(find_images(dataset), settings.step, conduct)
    card = LocalizerCard(settings.step, seen.modality, name=Path(output).stem, training_cases=seen.names)
    return _Run(settings, conduct, files, device).go([image.to(device) for image in seen.images], card)


@dataclass(frozen=True)
class _Images:
    names: tuple[str, ...]
    images: Sequence[Tensor]
    modality: str


def _images(cases: Sequence[Case], step: int, conduct: Conduct) -> _Images:
    """All images on the localizer's grid: at 9 mm a whole trunk has a quarter of a megabyte."""
    names, images, kinds = [], [], dict[str, str]()
    for case in cases:
        try:
            body = body_of(read_volume(case.image))
            if body is None:
                raise InputError(shows_no_body(f"The image '{case.name}'"))
        except InputError as reason:
            if not conduct.skip_bad:
                raise
            conduct.say(f"Left out '{case.name}': {reason}")
            continue
        kinds.setdefault(modality_of(body), case.name)
        names.append(case.name)
        images.append(torch.from_numpy(image_of(body, step)))
    if not images:
        raise InputError("None of the images can be used: see the lines above.")
    if len(kinds) > 1:
        raise InputError(f"'{kinds['CT']}' is CT and '{kinds['other']}' is not: train a localizer for each kind.")
    return _Images(tuple(names), images, *kinds)


class _Run:
    """The loop, between what it reads and what it writes."""

    def __init__(self, settings: LocalizerSettings, conduct: Conduct, files: RunFiles, device: torch.device) -> None:
        self._settings, self._conduct, self._files, self._device = settings, conduct, files, device
        torch.manual_seed(settings.seed)  # the first weights
        self._network = Localizer(settings.width).to(device).train()
        self._optimizer = make_optimizer(self._network, settings.rates)

    def go(self, images: Sequence[Tensor], card: LocalizerCard) -> dict[str, Any]:
        """Train to the last step."""
        head = {"recipe": asdict(self._settings), "training_cases": list(card.training_cases)}
        run = _digest(head, images)
        records: list[dict[str, Any]] = []
        if self._conduct.resume:
            state = read_state(self._files.state, state_like(self._network, self._optimizer), run)
            self._network.load_state_dict(state.trainer["network"])
            self._optimizer.load_state_dict(dict(state.trainer["optimizer"]))
            records = list(state.records)
        saved_at = time.monotonic()
        while len(records) < self._settings.steps:
            records.append({"step": len(records) + 1, **self._step(len(records), images)})
            is_last = len(records) == self._settings.steps
            if is_last or time.monotonic() - saved_at >= self._conduct.save_seconds:
                self._save(head, run, records, card)
                saved_at = time.monotonic()
            self._conduct.tick(records[-1], self._settings.steps)
        return {"steps": len(records), **_means(records)}

    def _step(self, number: int, images: Sequence[Tensor]) -> dict[str, float]:
        settings = self._settings
        rng = np.random.default_rng([settings.seed, number])
        sizes = np.cbrt([float(image.numel()) for image in images])  # a long one has more to show
        chosen = rng.choice(len(images), settings.batch, p=sizes / sizes.sum())
        shape = tuple(int(side) for side in rng.choice(settings.views.sizes, 3))
        views = [view_of(images[place].cpu(), shape, rng, settings.views) for place in chosen for _ in range(2)]
        self._optimizer.zero_grad(set_to_none=True)
        with out_of_memory_told():
            maps = self._network(torch.stack([view.image for view in views])[:, None].to(self._device))
            each = [_of_one(maps, place) for place in range(len(views))]
            pairs = [((views[n], views[n + 1]), (each[n], each[n + 1])) for n in range(0, len(views), 2)]
            found = [pair_loss(*pair, voxel_mm(settings.step), rng, settings.points) for pair in pairs]
            losses = [loss for loss in found if loss is not None]
            return self._learn(losses, number)

    def _learn(self, losses: Sequence[PairLoss], number: int) -> dict[str, float]:
        """Step down the mean loss; where no pair shows anything, stay."""
        if not losses:
            return {"loss": 0.0, "rdr": 0.0, "mss": 0.0, "error_mm": 0.0}
        rdr, mss = (torch.stack(terms).mean() for terms in ([it.rdr for it in losses], [it.mss for it in losses]))
        loss = rdr + self._settings.similarity * mss
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._network.parameters(), self._settings.clip_norm)
        if not torch.isfinite(loss) or not torch.isfinite(norm):
            raise InputError(f"The loss is no longer a number at step {number + 1}: start again with another seed.")
        set_rates(self._optimizer, self._settings.rates.share(number, self._settings.steps))
        self._optimizer.step()
        values = {"loss": loss, "rdr": rdr, "mss": mss}
        error = float(np.median([it.error_mm for it in losses]))
        return {**{name: float(value.detach()) for name, value in values.items()}, "error_mm": error}

    def _save(self, head: Mapping[str, Any], run: str, records: list[dict[str, Any]], card: LocalizerCard) -> None:
        card = LocalizerCard(
            **{
                **card.to_dict(),
                "training_cases": card.training_cases,
                "recipe": {**head["recipe"], "steps_done": len(records)},
                "metrics": _means(records),
            }
        )
        weights = {name: tensor.detach().cpu().clone() for name, tensor in self._network.state_dict().items()}
        trainer = {"network": weights, "optimizer": self._optimizer.state_dict(), "step": len(records)}
        with Outputs() as outputs:
            save_localizer(self._files.model, weights, card, outputs)
            self._files.write_log(head, records, None, outputs)
            # Last, so that a run whose machine fails in between resumes from the save before.
            self._files.write_state({"trainer": trainer, "records": records, "start": None, "run": run}, outputs)


def _of_one(maps: Maps, place: int) -> Maps:
    return Maps(maps.places[place : place + 1], tuple(level[place : place + 1] for level in maps.features))


def _means(records: Sequence[Mapping[str, float]]) -> dict[str, float]:
    last = records[-100:]
    return {name: round(float(np.mean([record[name] for record in last])), 4) for name in ("loss", "error_mm")}


def _digest(head: Mapping[str, Any], images: Sequence[Tensor]) -> str:
    """Of all that the result depends on, the images' gray values too."""
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for image in images:
        digest.update(image.cpu().numpy().tobytes())
    return digest.hexdigest()
