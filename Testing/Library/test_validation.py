"""Models are measured as users run them, and what does not learn is computed once."""

from collections import Counter

import numpy as np
import pytest
import torch
from tiny_training import CARD, ball_volume, tiny_network

from SegmentPropagateLib.models.loading import as_run
from SegmentPropagateLib.networks.families import find_family
from SegmentPropagateLib.propagation.propagator import PropagationSettings
from SegmentPropagateLib.propagators.classical.engine import ClassicalPropagator
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.training import validation
from SegmentPropagateLib.training.validation import Examiner, Ranking, Score, frozen_propagator, propagate_target

CPU = torch.device("cpu")


def test_a_network_is_measured_with_its_partner_on_both_ranges_and_the_partner_runs_once(monkeypatch):
    runs = Counter()

    class Counted(ClassicalPropagator):
        def run(self, lanes, key_masks):
            runs[tuple(lane.given_ends for lane in lanes)] += 1
            return super().run(lanes, key_masks)

    monkeypatch.setattr(validation, "ClassicalPropagator", Counted)
    volume, target = ball_volume(count=8, center=4, radius=2.0)
    examiner, network = Examiner([(lambda: volume, target)], CPU), tiny_network()
    first, again = examiner.score(network, CARD), examiner.score(network, CARD)
    assert runs == {((), ()): 1, ((target.slices[0],), (target.slices[-1],)): 1}
    pair = as_run(frozen_propagator(network, CARD, CPU), find_family("starter"), ClassicalPropagator())
    masks, _ = propagate_target(pair, volume, target, PropagationSettings())
    truth = volume.masks(target.values)
    assert first == again
    assert first.open_dsc == dice(masks, truth)
    absent = ~truth.any((1, 2))
    assert first.absent_empty == pytest.approx(1 - masks[absent].any((1, 2)).mean())


def test_a_given_range_is_not_left():
    volume, target = ball_volume(count=8, center=4)
    alone = frozen_propagator(tiny_network(), CARD, CPU)
    masks, key = propagate_target(alone, volume, target, PropagationSettings(), (3, 5))
    assert set(np.flatnonzero(masks.any((1, 2)))) <= {3, 4, 5}
    assert np.array_equal(masks[key], volume.masks(target.values)[key])


def test_scores_survive_a_record():
    score = Score(0.25, 0.75, 0.5)
    assert score.dsc == 0.5
    assert Score.of_record({"step": 1, "loss": 2.0, **score.to_record()}) == score
    assert Score.of_record({"step": 1, "loss": 2.0}) is None


def test_without_measures_the_last_model_is_kept():
    ranking = Ranking(None)
    assert ranking.add(None)
    assert ranking.facts() == {"validation_dsc": None, "start_dsc": None, "kept_start": False}
