"""The scripts that fit tuned numbers, on two small phantoms and a network that is a double."""

import importlib
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from SegmentPropagateLib.models import loading
from SegmentPropagateLib.propagation import review
from SegmentPropagateLib.propagation.prompts import MaskPrompt
from SegmentPropagateLib.propagation.propagator import SliceUpdate
from SegmentPropagateLib.propagation.session import Session
from SegmentPropagateLib.propagators.classical import patches, registration
from SegmentPropagateLib.propagators.classical.engine import ClassicalPropagator
from SegmentPropagateLib.propagators.finishing import FinishingPropagator
from SegmentPropagateLib.propagators.partner import PartnerPropagator
from SegmentPropagateLib.volumes.cropped import Cropped

EXPERIMENTS = Path(__file__).resolve().parents[1] / "Experiments"
SHAPE = (12, 40, 40)


@pytest.fixture(scope="module")
def tuning():
    """A script's or a helper's module by its name."""
    sys.path.insert(0, str(EXPERIMENTS))
    yield importlib.import_module
    sys.path.remove(str(EXPERIMENTS))


@pytest.fixture(scope="module")
def targets(tuning):
    found = tuning("tuning_cases").phantoms(SHAPE)
    return list(islice((target for target in found if target.name in ("organs", "contact")), 2))


@pytest.fixture(scope="module", autouse=True)
def _hasty():
    """A classical propagator that takes less time over each slice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registration, "LEVELS", ((4, 10), (2, 0), (1, 0)))
        patch.setattr(patches, "REACH", 1)
        yield


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("tuning")


@pytest.fixture(scope="module")
def cases(tuning, targets, work):
    shelve = tuning("tuning_recording").shelve
    return [next(iter(shelve([target], Network(target.truth), work))) for target in targets]


class Network:
    """Draws the object a pixel too large, and goes on where it has ended."""

    def __init__(self, truth):
        self.info = {"model": "double"}
        self.truth = truth

    def open(self, stack, settings):
        pass

    def run(self, lanes, key_masks):
        for lane in lanes:
            for index in lane.slices:
                mask = self.truth[index] if self.truth[index].any() else key_masks[1][lane.keys[0]]
                logits = np.where(ndimage.binary_dilation(mask), 3.0, -5.0).astype(np.float32)
                yield SliceUpdate(1, index, logits > 0, 2.0, 0.8, Cropped.of(logits))


def in_full(target, extent):
    """Masks of a run of the library itself."""
    pair = PartnerPropagator(Network(target.truth), ClassicalPropagator())
    session = Session(FinishingPropagator(pair, loading.CLASSICAL_EXCESS), target.volume)
    session.add_key(1, target.key, MaskPrompt(target.truth[target.key]))
    list(session.propagate(*(target.extent if extent == "range" else ())))
    return {index: result.mask.sum() for index, result in session.results(1).items()}


def test_a_recording_played_with_the_numbers_of_the_code_gives_the_masks_of_a_run(tuning, targets, cases):
    replay = tuning("tuning_replay").replay
    for target, case in zip(targets, cases, strict=True):
        for extent in ("open", "range"):
            played = replay(case, extent)
            areas = in_full(target, extent)
            assert sum(areas.values()) > 2 * target.truth[target.key].sum()
            for index, area in areas.items():
                assert played[index].sum() == pytest.approx(area, abs=2), (extent, index)


def test_a_case_is_recorded_once(tuning, targets, cases, work, monkeypatch):
    recording = tuning("tuning_recording")
    monkeypatch.setattr(recording, "record", None)
    again = recording.shelve(targets, Network(None), work)
    assert [case.name for case in again] == [case.name for case in cases]


def test_changed_numbers_change_the_masks_and_are_put_back(tuning, cases):
    replay = tuning("tuning_replay")
    code = replay.in_code("NETWORK_SHARE")
    groups, figures = replay.sweep(cases, [{"NETWORK_SHARE": value} for value in (0.0, code, 1.0)])
    assert groups == [case.group for case in cases]
    assert figures.shape == (2, 3, len(replay.MEASURES))
    assert np.all((figures > 0) & (figures <= 1))
    assert len(np.unique(figures[:, :, 1])) > 2
    assert replay.in_code("NETWORK_SHARE") == code


def test_each_script_finds_a_value_of_its_grid_for_each_number(tuning, cases):
    scripts = tuning("tuning_scripts")
    for name in ("fit_partner", "fit_finishing"):
        grids = {number: values[:2] for number, values in tuning(name).GRIDS.items()}
        in_code = tuning("tuning_replay").in_code
        grids = {number: tuple(sorted({*values, in_code(number)})) for number, values in grids.items()}
        for result in scripts.fit_numbers(cases, grids, "pair"):
            assert result["best"] in grids[result["number"]]
            assert result["best_minus_code"]["mean"] >= 0
            assert len(result["grid"]) == len(grids[result["number"]])


def test_with_the_reference_at_hand_the_halves_combine_no_worse_than_as_shipped(tuning, cases):
    for case in cases:
        found = tuning("measure_ceiling").figures(case)
        for way in ("best share of the object", "presence known", "best of a slice", "best of a pixel"):
            assert sum(found[way]) >= sum(found["pair"]) - 0.01, way
        mended = np.array(found["pair"]) + [found[f"cost: {kind}"] for kind in ("stop", "edge", "drift")]
        assert np.all(mended >= found["pair"])
        assert np.all(mended <= 1)


def test_the_grids_hold_the_numbers_of_the_code(tuning):
    for name in ("fit_partner", "fit_finishing"):
        for number, values in tuning(name).GRIDS.items():
            assert tuning("tuning_replay").in_code(number) in values
    classical = tuning("measure_classical")
    for number, values in classical.GRIDS.items():
        assert classical.in_code(number) in values


def test_the_stop_rule_of_the_code_is_read_off_and_a_fit_is_at_least_as_likely(tuning, cases):
    script = tuning("fit_stop_rule")
    found = script.describe(script.Samples.of(cases))
    assert found["weights"]["code"] == [0.59, 1.92, 0.35, 0.63, -1.53]
    assert found["loss"]["fitted"] <= found["loss"]["code"]
    assert 0 < found["agree"] <= 1
    for result in script.fit_side(cases, found["weights"]["fitted"]):
        assert result["at_best"]["mean"] >= result["at_code"]["mean"] > 0.2


def test_a_stop_rule_of_other_signs_is_noticed(tuning, cases):
    script = tuning("fit_stop_rule")
    samples = script.Samples.of(cases)
    other = script.Samples(samples.signs, samples.logit**2, samples.share, samples.iou, samples.expected)
    with pytest.raises(ValueError, match="make the two the same"):
        script.weights_in_code(other)


def test_a_fit_finds_the_weights_that_samples_were_drawn_with(tuning):
    script = tuning("fit_stop_rule")
    rng = np.random.default_rng(0)
    signs = np.column_stack([rng.normal(size=(20_000, 4)), np.ones(20_000)])
    weights = np.array([1.0, -0.5, 0.3, 0.8, -0.4])
    present = rng.random(20_000) < 1 / (1 + np.exp(-signs @ weights))
    share = np.where(present, 0.9, 0.1)
    assert script.fit_weights(script.Samples(signs, share, share, share, share)) == pytest.approx(weights, abs=0.08)


def test_a_number_of_the_classical_propagator_is_measured_and_remembered(tuning, targets, tmp_path, monkeypatch):
    script = tuning("measure_classical")
    monkeypatch.setattr(script, "GRIDS", {"carrier.SHARPNESS": (2.0, 8.0)})
    known = script.measured(targets[0], tmp_path)
    assert set(known) == {"code", "carrier.SHARPNESS=2.0"}
    assert all(0 < figure <= 1 for figures in known.values() for figure in figures)
    monkeypatch.setattr(script, "measure", None)
    assert script.measured(targets[0], tmp_path) == known


def test_an_interval_draws_whole_patients_but_cases_where_there_are_few_patients(tuning):
    interval = tuning("tuning_report").interval
    values = np.array([0.0] * 40 + [1.0] * 40)
    apart = interval(values, [str(number) for number in range(80)])
    together = interval(values, [str(number // 8) for number in range(80)])
    assert apart["mean"] == together["mean"] == 0.5
    assert together["low"] < apart["low"] < 0.5 < apart["high"] < together["high"]
    assert interval(values, ["a"] * 40 + ["b"] * 40) == apart


def test_a_value_that_is_as_good_as_the_one_of_the_code_is_not_called_better(tuning):
    figures = np.full((3, 2, 3), 0.5)
    result = tuning("tuning_report").compare("number", (1, 2), 2, figures, ["a", "b", "c"])
    assert result["best"] == result["code"] == 2


def test_the_review_is_fitted_where_sureness_tells_the_overlap(tuning):
    script = tuning("fit_review")
    rng = np.random.default_rng(0)
    sureness = rng.uniform(0.5, 1.0, 5_000)
    iou = np.clip(2 * sureness - 1 + rng.normal(0, 0.02, 5_000), 0, 1)
    group = rng.choice(["a", "b", "c"], 5_000)
    found = script.fit(script.Slices(sureness, 2 * iou / (1 + iou), group), script.OF_PAIR)
    assert (found["slope"], found["constant"]) == pytest.approx((2, -1), abs=0.05)
    assert found["picked"]["good"] == pytest.approx(script.PICKED_OF_GOOD, abs=0.005)
    assert found["picked"]["bad"] == 1
    assert found["picked_without_the_patient"]["good"] == pytest.approx(script.PICKED_OF_GOOD, abs=0.03)


def test_the_review_is_fitted_to_slices_of_a_run(tuning, targets):
    script = tuning("fit_review")
    rows = list(script.observe(loading.load_model("classical"), targets[0]))
    assert all(0.5 <= sureness <= 1 and 0 <= dsc <= 1 for sureness, dsc, _group in rows)
    assert len(rows) > 3


def test_corrections_are_measured_against_each_other(tuning, targets, monkeypatch):
    monkeypatch.setattr(review, "EXPECTED_IOU", 1.1)  # every slice is in doubt
    row = tuning("measure_corrections").measure(loading.load_model("classical"), targets[1])
    assert set(row) == {"before", "named", "least sure", "largest", "next to the key", "furthest from it"}
    assert 0 < row["before"] < row["before"] + row["named"] <= 1
