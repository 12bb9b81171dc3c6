"""Masks of other tools as drafts: what is trusted of them, and what comes of the rest."""

import json
from pathlib import Path

import numpy as np
import pytest
from doubles import ThresholdPropagator

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.cli import propagate as command
from SegmentPropagateLib.formats.reading import read_labels
from SegmentPropagateLib.formats.writing import write_segmentation, write_volume
from SegmentPropagateLib.prompting.source import Support, find_source
from SegmentPropagateLib.prompting.trust import TRUSTED, trust_of
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.geometry import Geometry, Plane
from SegmentPropagateLib.volumes.labels import Labels, SegmentInfo
from SegmentPropagateLib.volumes.stack import make_stack
from SegmentPropagateLib.volumes.volume import Volume

SHAPE = (10, 48, 56)
GEOMETRY = Geometry(SHAPE, np.diag([-1.0, -1.0, 3.0, 1.0]))


def drawn():
    """A bright organ, larger in the middle, beside another one, on noise; and where they are."""
    k, j, i = np.indices(SHAPE)
    radius = 13 * np.sqrt(np.clip(1 - ((k - 4.5) / 3.9) ** 2, 1e-6, 1))
    organ = ((j - 22) / radius) ** 2 + ((i - 20) / (1.2 * radius)) ** 2 <= 1
    organ[[0, -1]] = False
    other = (j - 24) ** 2 + (i - 47) ** 2 <= 36
    noise = np.random.default_rng(0).normal(0, 8, SHAPE)
    return Volume((100 * organ + 60 * other + noise).astype(np.int16), GEOMETRY, "image.nrrd"), organ, other


VOLUME, ORGAN, OTHER = drawn()
SPOILED = (3, 4, 7)


def spoiled():
    """Two slices of the other organ, and one that has slipped aside."""
    masks = ORGAN.copy()
    masks[[3, 4]] = OTHER[[3, 4]]
    masks[7] = np.roll(ORGAN[7], 14, axis=1)
    return masks


def labels_of(masks):
    return Labels((masks.astype(np.uint8),), GEOMETRY)


def propose(masks, labels=(1,), plane=Plane.AXIAL):
    return find_source("draft").propose(VOLUME, labels, Support(labels_of(masks)), plane)


@pytest.fixture(scope="module")
def drafts():
    """What is thought of the mask that is right, and of the spoiled one."""
    masks = np.where(ORGAN, 1, 0) | np.where(spoiled(), 2, 0)
    labels = Labels(((masks & 1).astype(np.uint8), (masks & 2).astype(np.uint8)), GEOMETRY)
    return find_source("draft").propose(VOLUME, (1, 2), Support(labels), Plane.AXIAL)


def test_slices_that_image_and_neighbors_bear_out_are_told_from_those_that_they_do_not(drafts):
    trust = {index: result.predicted_iou for index, result in drafts[1].slices.items()}
    assert sorted(trust) == list(range(1, 9))
    assert {index for index, value in trust.items() if value < TRUSTED} == set(SPOILED)


def test_a_mask_that_is_right_is_taken_as_it_is(drafts):
    draft = drafts[0]
    assert draft.status == "found"
    assert sorted(draft.prompts) == list(range(1, 9))
    for index, prompt in draft.prompts.items():
        assert np.array_equal(prompt.mask, ORGAN[index])
    assert draft.key_slice == int(ORGAN.sum(axis=(1, 2)).argmax())
    assert draft.confidence == 1.0


def test_slices_in_doubt_are_no_keys_and_their_mask_is_kept_in_the_draft(drafts):
    draft = drafts[1]
    assert set(draft.slices) - set(draft.prompts) == set(SPOILED)
    assert np.array_equal(draft.slices[4].mask, OTHER[4])
    assert draft.confidence == 0.625


def test_an_empty_mask_has_nothing_to_trust():
    assert trust_of(make_stack(VOLUME, Plane.AXIAL)[0], np.zeros(SHAPE, bool)) == {}


@pytest.fixture
def told(monkeypatch):
    """Trust as it is measured, without the seconds."""

    def trust(_stack, masks):
        return {int(k): 0.2 if (masks[k] != ORGAN[k]).any() else 0.9 for k in np.flatnonzero(masks.any(axis=(1, 2)))}

    monkeypatch.setattr("SegmentPropagateLib.prompting.draft.trust_of", trust)


def test_the_object_ends_where_the_mask_does_even_in_doubt(told):
    masks = np.where(np.arange(10)[:, None, None] == 8, OTHER, ORGAN)
    (draft,) = propose(masks)
    assert 8 not in draft.prompts
    assert (draft.first, draft.last) == (1, 8)


def test_an_empty_label_is_not_here_and_a_single_slice_is_unsure():
    masks = np.zeros(SHAPE, np.uint8)
    masks[5] = 2 * ORGAN[5]
    empty, single = propose(masks, labels=(1, 2))
    assert (empty.status, single.status) == ("not here", "unsure")
    assert "empty" in empty.reason
    assert list(single.prompts) == [5]


@pytest.fixture
def folder(tmp_path, monkeypatch, told):
    """An image, the spoiled mask on the same grid and a part of it on another one, and a model that finds it all."""
    monkeypatch.chdir(tmp_path)
    write_volume(tmp_path / "image.nrrd", VOLUME)
    names = [SegmentInfo(7, "Kidney", (1.0, 0.0, 0.0))]
    write_segmentation(tmp_path / "tool.seg.nrrd", {7: spoiled()}, GEOMETRY, names)
    part = (slice(0, 10), slice(2, 46), slice(1, 56))
    shifted = GEOMETRY.part([2 if n == 1 else 1 if n == 2 else 0 for n in range(3)], [10, 44, 55])
    write_segmentation(tmp_path / "crop.nrrd", {7: spoiled()[part]}, shifted, names)
    propagator = ThresholdPropagator()
    monkeypatch.setattr(command, "load_model", lambda *args, **options: propagator)
    return propagator


def run(*words):
    return main([str(word) for word in words])


@pytest.mark.parametrize("draft", ["tool.seg.nrrd", "crop.nrrd"])
def test_propagating_a_draft_keeps_what_is_trusted_and_redoes_the_rest(folder, capsys, draft):
    assert run("propagate", "image.nrrd", "--draft", draft, "-o", "out.nrrd", "--report", "out.json") == 0
    result = read_labels("out.nrrd").mask(7)
    assert dice(spoiled(), ORGAN) < 0.85
    kept = [index for index in range(1, 9) if index not in SPOILED]
    assert np.array_equal(result[kept], ORGAN[kept])
    assert all(dice(result[index], ORGAN[index] | OTHER[index]) > 0.95 for index in SPOILED)  # what the double finds
    assert "5 of 8 slices as keys" in capsys.readouterr().err
    told = json.loads(Path("out.json").read_text())["proposals"][0]
    assert told["key_slices"] == kept
    assert {row["slice"] for row in told["slices"] if row["believed"] < TRUSTED} == set(SPOILED)


def test_a_draft_is_shown_before_anything_runs(folder, capsys):
    assert run("suggest", "image.nrrd", "--draft", "tool.seg.nrrd", "-o", "draft.seg.nrrd") == 0
    assert np.array_equal(read_labels("draft.seg.nrrd").mask(7), spoiled())
    assert "Kidney: 5 of 8 slices as keys" in capsys.readouterr().err
    assert folder.runs == []


MISTAKES = {
    "a key slice": (["--draft", "tool.seg.nrrd", "--key-slice", "3"], "--key-slice does not go with --draft"),
    "a mask as well": (["--draft", "tool.seg.nrrd", "--mask", "tool.seg.nrrd"], "not allowed with argument"),
    "no such label": (["--draft", "tool.seg.nrrd", "--label", "Liver"], "has no label 'Liver'"),
    "the output": (["--draft", "out.nrrd"], "given for --draft and for --output"),
    "a source alone": (["--box", "1,1,5,5", "--key-slice", "3", "--source", "atlas"], "--source belongs to"),
    "the wrong source": (["--draft", "tool.seg.nrrd", "--source", "atlas"], "--draft"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes_are_told_in_one_sentence(folder, kind, capsys):
    words, told = MISTAKES[kind]
    assert run("propagate", "image.nrrd", *words, "-o", "out.nrrd") == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
