"""What happens between cases: which comes next, what is learned, what a simulated annotator does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from doubles import ThresholdPropagator
from project_bench import GEOMETRY, NAMES, act, ball, drawn_cases, entries_of, here, project, truth  # noqa: F401
from tiny_training import save_tiny

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.writing import write_segmentation
from SegmentPropagateLib.project.annotator import cost, key_slices, repaired
from SegmentPropagateLib.project.choosing import choose_by_chance, least_agreed
from SegmentPropagateLib.project.folder import Project
from SegmentPropagateLib.project.opinions import agreement, boxed, carried
from SegmentPropagateLib.project.schedule import check_enough, held_out
from SegmentPropagateLib.project.state import SMALLEST_AREA, State
from SegmentPropagateLib.volumes.volume import Volume


def random_stack(rng):
    return rng.random((4, 5, 6)) > rng.choice([0.3, 0.7, 1.0])


def test_the_case_that_is_chosen_by_disagreement_is_the_one_that_counting_voxels_finds():
    rng = np.random.default_rng(0)
    for _ in range(20):
        runs = {name: [{1: random_stack(rng), 2: random_stack(rng)} for _run in range(2)] for name in NAMES}
        del runs["clara"][1][2]  # one run has not found it

        def counted(one, other):
            scores = []
            for label in (1, 2):
                pairs = [
                    (bool(one[label][at]), label in other and bool(other[label][at])) for at in np.ndindex(4, 5, 6)
                ]
                shared, total = sum(a and b for a, b in pairs), sum(a + b for a, b in pairs)
                scores += [2 * shared / total] if total else []
            return sum(scores) / len(scores) if scores else 1.0

        expected = {name: counted(*pair) for name, pair in runs.items()}
        found = {name: agreement(*pair) for name, pair in runs.items()}
        assert found == pytest.approx(expected)
        assert least_agreed(found) == min(NAMES, key=expected.get)


def test_chance_is_seeded_and_goes_on():
    state = State("m")
    first = [choose_by_chance(NAMES, state, seed) for seed in range(40)]
    assert first == [choose_by_chance(NAMES, state, seed) for seed in range(40)]
    assert set(first) == set(NAMES)


def test_second_opinions_start_from_the_key_slices_or_from_a_box_on_every_slice():
    volume = Volume((ball() * 100).astype(np.int16), GEOMETRY)
    proposal = {1: ball(), 2: np.zeros_like(ball())}
    propagator = ThresholdPropagator()
    assert (carried(propagator, volume, "axial", proposal, {1: [5], 2: []})[1] == ball()).all()
    assert {key for lane in propagator.runs[0] for key in lane.keys} == {5}
    found = boxed(propagator, volume, "axial", proposal)
    assert (found[1] == ball()).all()
    assert not found[2].any()
    assert len(propagator.prompts) == ball().any((1, 2)).sum()
    assert carried(propagator, volume, "axial", {}, {}) == {}


def test_the_annotator_redraws_what_is_below_ninety_percent_and_leaves_the_rest():
    reference = {1: ball()}
    proposal = {1: ball().copy(), 2: ball()}
    proposal[1][5, 9, 9] = False  # a small hole: good enough
    proposal[1][6, :9] = False  # half of a slice
    proposal[1][0, 3:9, 3:9] = True  # where nothing is
    result = repaired(proposal, reference)
    assert (result[1][5] == proposal[1][5]).all()
    for index in (0, 6):
        assert (result[1][index] == reference[1][index]).all()
    assert not result[2].any()


def test_the_annotator_outlines_what_was_not_proposed_and_mends_a_key_slice_of_what_is_mostly_wrong():
    reference = {1: ball(), 2: ball(3)}
    assert {
        label: list(np.flatnonzero(stack.any((1, 2)))) for label, stack in key_slices({}, reference, {}).items()
    } == {
        1: [5],
        2: [5],
    }
    good, shifted = {1: ball(), 2: ball(3)}, {1: ball(4), 2: ball(3)}
    assert key_slices(good, reference, {1: [4], 2: [4]}) == {}
    mended = key_slices(shifted, reference, {1: [4], 2: [4]})
    assert list(mended) == [1]
    assert (mended[1][4] == reference[1][4]).all()
    assert mended[1].any((1, 2)).sum() == 1
    assert key_slices({}, {1: np.zeros_like(ball())}, {}) == {}  # nothing is there to be outlined


def test_cases_that_are_measured_on_stay_so():
    names = [f"case {number}" for number in range(30)]
    for count in range(4, 31):
        aside = held_out(names[:count])
        assert len(aside) >= 2
        assert aside == [name for name in held_out(names) if name in names[:count]]
        assert len(aside) <= count / 2


@pytest.mark.parametrize(
    ("count", "sentence"), [(0, "there are 0: accept 4 more"), (1, "there is 1"), (3, "accept 1 more")]
)
def test_learning_from_too_few_cases_is_refused_with_how_many_are_needed(project, count, sentence):
    for name in NAMES[:count]:
        act("accept", "p", name, f"truth/{name}.seg.nrrd")
    with pytest.raises(InputError, match=f"needs 4 accepted cases.*{sentence}"):
        check_enough(project, project.state(), at_once=True)


def learn(project, monkeypatch, *, better):
    """Learn by a training that is only told of; what it was told."""
    from SegmentPropagateLib.project import learning
    from SegmentPropagateLib.training.finetune import Conduct
    from SegmentPropagateLib.training.settings import RECIPES

    told = []

    def finetune(dataset, init, output, settings, conduct):
        told.append((init, settings, conduct.resume))
        for ending in (".pt", ".log.json", ".curve.png", ".state.pt"):
            Path(output).with_suffix(ending).write_text(f"{len(told)}{ending}")
        return {"validation_dsc": 0.9, "start_dsc": 0.8, "kept_start": not better, "steps": 3}

    monkeypatch.setattr(learning, "finetune", finetune)
    learning.learn(project, RECIPES["starter"], Conduct())
    return told[0]


def test_cases_are_accepted_while_a_model_learns_and_it_learns_once_at_a_time(project, monkeypatch, capsys):
    from SegmentPropagateLib.project import learning
    from SegmentPropagateLib.training.finetune import Conduct
    from SegmentPropagateLib.training.settings import RECIPES

    for name in NAMES:
        act("accept", "p", name, f"truth/{name}.seg.nrrd")

    def finetune(dataset, init, output, settings, conduct):
        assert act("accept", "p", "anna", "truth/anna.seg.nrrd", "--again") == 0
        assert act("learn", "p", "--now") == 2
        assert "models' is in use" in capsys.readouterr().err
        for ending in (".pt", ".log.json", ".curve.png"):
            Path(output).with_suffix(ending).write_text(ending)
        return {"validation_dsc": 0.9, "start_dsc": 0.8, "kept_start": False, "steps": 3}

    monkeypatch.setattr(learning, "finetune", finetune)
    with project.learning():
        learning.learn(project, RECIPES["starter"], Conduct())
    state = project.state()
    assert (len(state.accepted), state.model, state.round) == (5, "models/round-1.pt", 2)


def test_rounds_halve_the_rates_and_replay_all_cases_and_a_model_that_is_no_better_stays_unused(project, monkeypatch):
    from SegmentPropagateLib.training import data
    from SegmentPropagateLib.training.settings import RECIPES

    assert data.SMALLEST_AREA == SMALLEST_AREA
    act("use", "p", "starter")
    for name in NAMES:
        act("accept", "p", name, f"truth/{name}.seg.nrrd")
    init, settings, _ = learn(project, monkeypatch, better=True)
    recipe = RECIPES["starter"]
    assert init == "starter"
    assert settings.rates == replace(recipe.rates, encoder=recipe.rates.encoder / 2, rest=recipe.rates.rest / 2)
    assert (settings.epochs, settings.validation) == (6, ("berta", "doris"))
    assert project.state().model == "models/round-1.pt"
    with pytest.raises(InputError, match="0 of 4 cases"):
        check_enough(project, project.state(), at_once=True)
    init, settings, _ = learn(project, monkeypatch, better=False)
    assert Path(init) == project.folder / "models" / "round-1.pt"
    assert settings.epochs == 15
    assert project.state().model == "models/round-1.pt"
    assert project.state().round == 3
    save_tiny(project.folder / "models" / "round-2.pt")
    assert act("use", "p", "models/round-2.pt") == 0
    assert project.state().model == "models/round-2.pt"
    assert sorted(path.name for path in (project.folder / "models").iterdir()) == sorted(
        f"round-{number}{ending}" for number in (1, 2) for ending in (".pt", ".log.json", ".curve.png")
    )


def interrupted(project, monkeypatch):
    """Learning that ends before the ledger is told of it."""

    def stop(self, event, **parts):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Project, "append", stop)
        with pytest.raises(KeyboardInterrupt):
            learn(project, patch, better=True)


def test_learning_that_was_cut_off_goes_on(project, monkeypatch):
    from SegmentPropagateLib.project import learning

    act("use", "p", "starter")
    for name in NAMES:
        act("accept", "p", name, f"truth/{name}.seg.nrrd")

    def cut_off():
        interrupted(project, monkeypatch)
        assert project.state().learned == ()

    cut_off()
    act("accept", "p", "anna", "truth/anna.seg.nrrd", "--again")  # the same, which is told again
    cut_off()
    assert learn(project, monkeypatch, better=True)[2] is True
    assert not list((project.folder / learning.MODELS).glob("unfinished-*"))


def test_learning_begins_anew_when_what_was_accepted_has_changed(project, monkeypatch):
    act("use", "p", "starter")
    for name in NAMES:
        act("accept", "p", name, f"truth/{name}.seg.nrrd")
    interrupted(project, monkeypatch)
    write_segmentation("other.seg.nrrd", {1: ball(7)}, GEOMETRY)
    act("accept", "p", "anna", "other.seg.nrrd", "--again")
    assert learn(project, monkeypatch, better=True)[2] is False


def test_a_simulated_annotator_pays_less_from_the_second_round_on_and_goes_on_where_she_stopped(project):
    for rounds in (1, 2, 2):
        assert act("simulate", "p", "truth", "--rounds", rounds, "--cases", 2) == 0
    entries = entries_of(project, "accepted")
    assert [entry["case"] for entry in entries] == list(NAMES)
    first, later = [cost(entry) for entry in entries[:2]], [cost(entry) for entry in entries[2:]]
    assert max(later) < min(first)
    assert [entry["prompts"]["kind"] for entry in entries] == ["mask", "mask", "support", "support"]


@pytest.mark.slow
def test_a_network_learns_from_a_project_and_is_used_from_then_on(tmp_path, monkeypatch):
    from tiny_training import ball as drawn
    from tiny_training import save_tiny, write_pair

    monkeypatch.chdir(tmp_path)
    for number in range(4):
        write_pair(tmp_path / "pairs", f"case{number}", *drawn(center=4 + number % 2))
    (tmp_path / "images").mkdir()
    for image in (tmp_path / "pairs").glob("case?.nrrd"):
        image.rename(tmp_path / "images" / image.name)
    save_tiny(tmp_path / "tiny.pt")
    assert act("init", "p", "images", "--label", "ball", "--model", "tiny.pt") == 0
    for number in range(4):
        assert act("accept", "p", f"case{number}", f"pairs/case{number}_label.nrrd") == 0
    assert act("learn", "p", "--device", "cpu") == 0
    (entry,) = entries_of(Project("p"), "learned")
    assert (entry["training"], entry["held_out"]) == (["case0", "case2"], ["case1", "case3"])
    assert entry["dsc"] >= entry["start_dsc"]
    assert (tmp_path / "p" / entry["model"]).is_file()
    assert act("next", "p", "--case", "case0", "--mask", "pairs/case0_label.nrrd") == 0
