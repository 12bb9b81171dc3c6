"""Supports from finished cases in the network's memory: which are chosen, which must go, and what they lead to."""

import numpy as np
import pytest
from doubles import ThresholdPropagator
from drawn_bodies import placed, whole

from SegmentPropagateLib.cli.suggest_arguments import SOURCES as TYPED
from SegmentPropagateLib.prompting import recall
from SegmentPropagateLib.prompting.atlas.second_look import PINS
from SegmentPropagateLib.prompting.finished import read_finished
from SegmentPropagateLib.prompting.recall import Aligned, Memory, Question
from SegmentPropagateLib.prompting.shelf import Shelf, candidates_of, opened, outlines_of
from SegmentPropagateLib.prompting.source import SOURCES, Support, best_source, find_source
from SegmentPropagateLib.prompting.supports import least_similar, most_similar
from SegmentPropagateLib.propagation.propagator import SliceUpdate
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.labels import Labels
from SegmentPropagateLib.volumes.volume import Volume

LIVER, OTHER = 4, 9


def similar(a, b):
    return np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b))


@pytest.mark.parametrize("seed", range(20))
def test_the_most_similar_supports_are_those_of_brute_force(seed):
    rng = np.random.default_rng(seed)
    query, supports, count = rng.normal(size=5), list(rng.normal(size=(rng.integers(1, 9), 5))), rng.integers(1, 6)
    supports.append(supports[0].copy())  # of equals the earlier one
    rest, expected = list(range(len(supports))), []
    while rest and len(expected) < count:
        best = rest[0]
        for number in rest:
            if similar(query, supports[number]) > similar(query, supports[best]):
                best = number
        expected.append(best)
        rest.remove(best)
    assert most_similar(query, supports, count) == expected


@pytest.mark.parametrize("seed", range(20))
def test_the_least_similar_entry_is_that_of_brute_force(seed):
    rng = np.random.default_rng(seed)
    query, bank = rng.normal(size=5), list(rng.normal(size=(rng.integers(1, 6), 5)))
    bank.append(bank[0].copy())  # of equals the oldest
    worst = 0
    for number in range(1, len(bank)):
        if similar(query, bank[number]) < similar(query, bank[worst]):
            worst = number
    assert least_similar(query, bank) == worst


def test_nothing_is_similar_to_nothing():
    assert most_similar(np.zeros(3), [np.ones(3), np.zeros(3)], 5) == [0, 1]


def test_what_can_be_typed_is_what_there_is():
    assert set(TYPED) == {"auto", *SOURCES} - {"drawn", "draft"}
    assert best_source() in TYPED


@pytest.fixture(scope="module")
def memory():
    return Memory()


def disc(row, column, radius=12, size=96):
    rows, columns = np.mgrid[:size, :size]
    return (rows - row) ** 2 + (columns - column) ** 2 < radius**2


def picture(mask, level):
    noise = np.random.default_rng(int(mask.sum())).normal(0, 0.02, mask.shape)
    return (np.where(mask, level, 0.3) + noise).astype(np.float32)


@pytest.mark.parametrize("level", [0.7, 0.5])
def test_the_outline_is_that_of_the_slice_whatever_its_contrast(memory, level):
    true, support = disc(48, 48, 13), disc(48, 46)
    question = Question(picture(true, level), disc(51, 45), [Aligned(picture(support, 0.7), support)])
    (answer,) = memory.ask([question], (1.5, 1.5))
    assert dice(answer.mask, true) > max(0.93, dice(question.expected, true))


def test_answers_do_not_depend_on_the_other_questions(memory):
    true, support = disc(48, 48, 13), disc(48, 46)
    one = Question(picture(true, 0.7), support, [Aligned(picture(support, 0.7), support)])
    far = disc(30, 60, 9)
    other = Question(picture(far, 0.6), far, [Aligned(picture(far, 0.6), far), Aligned(picture(support, 0.7), support)])
    together, alone = memory.ask([one, other], (1.5, 1.5)), memory.ask([one], (1.5, 1.5))
    assert np.array_equal(together[0].mask, alone[0].mask)
    assert together[0].worth == pytest.approx(alone[0].worth, abs=1e-5)


def test_an_answer_tells_how_far_the_network_agrees_with_what_was_expected(memory):
    true, support = disc(48, 48, 13), disc(48, 46)
    expected = {"near": disc(48, 47, 13), "shifted": disc(48, 62)}
    slices = [
        Question(picture(true, 0.7), mask, [Aligned(picture(support, 0.7), support)]) for mask in expected.values()
    ]
    near, shifted = memory.ask(slices, (1.5, 1.5))
    assert near.agreed > 0.9 > 0.6 > shifted.agreed
    assert near.worth <= near.agreed


def test_the_slices_that_can_support_are_those_that_show_the_organ(template):
    _folder, values, labels = template
    image = opened(Volume(values, placed(values), "anna"), 0)
    organ = int(np.flatnonzero(np.bincount(labels[12:-4].ravel(), minlength=60)[1:15])[0]) + 1
    layer = np.where(labels == organ, labels, 0)
    layer[:6] = 0  # it begins above the first slice
    outlines = outlines_of(Labels((layer,), placed(values)), image.volume.geometry, image.body, {organ: organ})
    candidates = candidates_of(organ, [Shelf(image.body, image.sheets, outlines)], 0)
    pages = {page.sheet.number: page for page in image.pages(range(len(values)))}
    shown = [number for number, page in pages.items() if (layer[page.index] > 0).sum() >= 25]
    assert set(shown) <= {candidate.sheet.number for candidate in candidates}
    for candidate in candidates:
        page = pages[candidate.sheet.number]
        assert dice(candidate.on(page).mask, layer[page.index] > 0) > 0.8


def propose(source, folder, values, geometry=None, labels=(LIVER,), model=None):
    volume = Volume(values, placed(values) if geometry is None else geometry, "image.nrrd")
    support = Support(cases=read_finished(folder).cases, model=model)
    return find_source(source).propose(volume, labels, support, Plane.AXIAL)


class Reader(ThresholdPropagator):
    """Copies what its supports show, and promises `iou` for it."""

    def __init__(self, iou):
        super().__init__()
        self.iou = iou

    def _update(self, lane, slice_index, key_masks):
        (mask,) = key_masks[lane.object_id].values()
        return SliceUpdate(lane.object_id, slice_index, mask, 4.0, self.iou)


@pytest.mark.parametrize(
    ("iou", "status"), [(0.9, "found"), pytest.param(0.2, "unsure", marks=pytest.mark.slow)], ids=str
)
def test_slices_on_which_network_and_registration_agree_are_keys(template, monkeypatch, iou, status):
    folder, values, labels = template
    asked = []

    def load(name, **_options):
        asked.append(name)
        return Reader(iou)

    monkeypatch.setattr(recall, "load_model", load)
    noisy = values + np.random.default_rng(0).normal(0, 40, values.shape).astype(np.float32)
    (draft,) = propose("atlas-memory", folder, noisy, model="mine.pt")
    assert asked == ["mine.pt"]  # once for all slices
    assert draft.status == status
    truth = labels == LIVER
    assert len(draft.prompts) > 2
    assert all(dice(prompt.mask, truth[index]) > 0.7 for index, prompt in draft.prompts.items())


class Hesitant(Reader):
    """Promises little of the label that is asked for, at the second look more, and much of all that is found."""

    def __init__(self, at_last):
        super().__init__(0.9)
        self.promises = [0.3, *[0.9] * PINS, at_last]

    def open(self, stack, settings):
        super().open(stack, settings)
        self.iou = self.promises.pop(0)


@pytest.mark.parametrize(("at_last", "status"), [(0.5, "unsure"), (0.7, "found")])
def test_what_the_second_look_finds_must_be_worth_more_than_what_the_first_one_does(
    template, monkeypatch, at_last, status
):
    folder, values, _labels = template
    reader = Hesitant(at_last)
    monkeypatch.setattr(recall, "load_model", lambda name, **_options: reader)
    noisy = values + np.random.default_rng(0).normal(0, 40, values.shape).astype(np.float32)
    (draft,) = propose("atlas-memory", folder, noisy, labels=(OTHER,), model="mine.pt")
    assert reader.promises == []
    assert draft.status == status


@pytest.mark.slow
@pytest.mark.parametrize("source", ["support-memory", "support-memory-walk"])
def test_an_organ_of_a_finished_case_is_found_in_the_case_itself(template, source):
    folder, values, labels = template
    (draft,) = propose(source, folder, values)
    truth = labels == LIVER
    assert draft.status == "found"
    assert draft.source == "support-memory"
    assert dice(draft.mask, truth[draft.key_slice]) > 0.8
    assert (draft.first, draft.last) == (None, None)


@pytest.mark.slow
def test_orientation_of_storage_makes_no_difference(template):
    folder, values, _labels = template
    (draft,) = propose("support-memory", folder, values)
    flipped = values[:, ::-1, ::-1].copy()
    geometry = placed(flipped, (-3.0 * (values.shape[2] - 1), -3.0 * (values.shape[1] - 1), 0.0), np.diag([3.0, 3, 3]))
    (other,) = propose("support-memory", folder, flipped, geometry)
    assert other.key_slice == draft.key_slice
    assert dice(other.mask[::-1, ::-1], draft.mask) > 0.97


def test_another_modality_air_and_other_parts_of_the_body_are_not_here(template):
    folder, values, _labels = template
    noise = np.random.default_rng(0).normal(0, 300, values.shape).astype(np.float32)
    air = np.full_like(values, -1000)
    for picture_, reason in ((noise, "."), (air, "no body")):
        (draft,) = propose("support-memory", folder, picture_)
        assert draft.status == "not here"
        assert reason in draft.reason


@pytest.mark.slow
def test_the_network_leaves_alone_what_fits_exactly(template):
    folder, values, labels = template
    (draft,) = propose("atlas-memory", folder, values)
    truth = labels == LIVER
    assert draft.source == "atlas-memory"
    assert np.array_equal(whole(draft, truth.shape), truth)
