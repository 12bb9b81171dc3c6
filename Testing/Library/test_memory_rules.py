"""Named memory rules against oracles that do what the trackers' own papers and code say, step by step."""

import math
from itertools import product
from statistics import median
from typing import get_args

import numpy as np
import pytest

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.networks.memory import AnchorRule, Remembered, Score, select, select_from
from SegmentPropagateLib.networks.memory_rules import RULES, Course, best_courses, find_rule, merit_after
from SegmentPropagateLib.propagation.propagator import MemoryName, PropagationSettings
from SegmentPropagateLib.propagators.tracking.rivals import rival_overlap

SLICES = 30
COURSES = {  # keys, and the slices in the order of visit with their direction
    "up from 0": ((0,), [(index, 1) for index in range(1, SLICES)]),
    "up from 9": ((9,), [(index, 1) for index in range(10, SLICES)]),
    "down from the last": ((29,), [(index, -1) for index in range(28, -1, -1)]),
    "up and back": ((12,), [(index, 1) for index in range(13, 30)] + [(index, -1) for index in range(11, -1, -1)]),
    "over a key": ((3, 14), [(index, 1) for index in range(4, 30) if index != 14]),
}


def random_scores(seed):
    random = np.random.default_rng(seed)
    areas = random.integers(0, 4, SLICES) * 25 * (random.random(SLICES) < 0.7)
    columns = (random.normal(0, 3, SLICES), random.random(SLICES), areas, random.random(SLICES))
    return {
        index: Score(float(p), float(q), int(a), float(r))
        for index, (p, q, a, r) in enumerate(zip(*columns, strict=True))
    }


def ranked(accepts):
    """The selection that SAM 3, SAMURAI and SAM2Long share."""

    def oracle(index, direction, keys, outputs, slices):
        valid = []
        at = index - direction
        while 0 <= at < SLICES:
            if at in outputs and accepts(outputs[at]):
                valid.insert(0, at)
            if len(valid) >= min(slices, 16) - 1:
                break
            at -= direction
        if index - direction not in valid:
            valid.append(index - direction)
        spatial = {(key, 6) for key in keys}
        spatial |= {(valid[-age], age - 1) for age in range(1, 7) if age <= len(valid) and valid[-age] in outputs}
        pointers = {(key, (index - key) * direction) for key in keys if (index - key) * direction >= 0}
        for age in range(1, min(slices, 16)):
            if -age <= -len(valid):
                break
            if valid[-age] in outputs:
                pointers.add((valid[-age], age))
        return spatial, pointers

    return oracle


def strided(index, direction, keys, outputs, slices):
    """`memory_temporal_stride_for_eval` of SAM 2, whose frame 0 is the key slice behind."""
    start = max((key for key in keys if (index - key) * direction > 0), key=lambda key: key * direction)
    frame = (index - start) * direction
    spatial = {(key, 6) for key in keys}
    for place in range(1, 7):
        at = frame - 1 if place == 1 else (frame - 2) // 5 * 5 - (place - 2) * 5
        if start + at * direction in outputs:
            spatial.add((start + at * direction, place - 1))
    _, pointers = published(index, direction, keys, outputs, slices)
    return spatial, pointers


def published(index, direction, keys, outputs, slices):
    reads = select(RULES["sam2"].bank, index, direction, keys, outputs.keys(), slices)  # has an oracle of its own
    return set(reads.spatial), set(reads.pointers)


def without_empty_ones(index, direction, keys, outputs, slices):
    """The recent memory of DAM4SAM, before there are anchors."""
    start = max((key for key in keys if (index - key) * direction > 0), key=lambda key: key * direction)
    taken = []
    for at in range(index - direction, -1 if direction > 0 else SLICES, -direction):
        if at in outputs and outputs[at].area > 0 and (not taken or abs(at - start) % 5 == 0):
            taken.append(at)
    spatial = {(key, 6) for key in keys} | {(at, rank) for rank, at in enumerate(taken[: min(6, 7 - len(keys))])}
    pointers = {(key, (index - key) * direction) for key in keys if (index - key) * direction >= 0}
    for age in range(1, min(slices, 16)):
        at = index - age * direction
        if at in outputs and outputs[at].area > 0:
            pointers.add((at, age))
    return spatial, pointers


ORACLES = {
    "sam2": published,
    "sam2-stride": strided,
    "sam2-near-keys": published,  # as long as there are no more than 4 keys
    "sam3": ranked(lambda it: max(0, 2 / (1 + math.exp(-it.presence)) - 1) * it.predicted_iou > 0.01),
    "samurai": ranked(lambda it: it.predicted_iou > 0.5 and it.presence > 0),
    "dam4sam": without_empty_ones,
    "sam2long": ranked(lambda it: it.predicted_iou > 0.1 and it.presence > 0),
}


def test_every_rule_has_a_name_that_can_be_asked_for_and_an_oracle():
    assert list(RULES) == list(get_args(MemoryName)) == list(ORACLES)
    assert PropagationSettings().memory == "sam2"
    assert all(rule.about and rule.source for rule in RULES.values())


@pytest.mark.parametrize("course", COURSES)
@pytest.mark.parametrize("name", ORACLES)
def test_every_step_reads_what_the_oracle_reads(name, course):
    keys, visits = COURSES[course]
    for seed, slices in product(range(4), (8, 10**6)):
        scores, outputs = random_scores(seed), {}
        for index, direction in visits:
            reads = select_from(
                RULES[name].bank, index, direction, Remembered(keys, outputs.keys(), dict(outputs)), slices
            )
            assert (set(reads.spatial), set(reads.pointers)) == ORACLES[name](index, direction, keys, outputs, slices)
            outputs[index] = scores[index]


def test_of_many_keys_the_nearest_on_either_side_come_first():
    keys = (2, 3, 4, 5, 12, 20)
    reads = select_from(RULES["sam2-near-keys"].bank, 7, 1, Remembered(keys, (6,)), SLICES)
    assert [entry for entry in reads.spatial if entry[1] == 6] == [(3, 6), (4, 6), (5, 6), (12, 6)]
    assert (2, 4) in reads.spatial  # one that is left out is a slice like another
    beside = select_from(RULES["sam2-near-keys"].bank, 19, 1, Remembered((14, 15, 16, 17, 18, 29), ()), SLICES)
    assert {key for key, age in beside.spatial if age == 6} == {29, 18, 17, 16}


def test_anchors_are_read_like_keys_and_take_places_of_recent_slices():
    scores = {index: Score(5.0, 0.9, 40) for index in range(1, 28)}
    bank = RULES["dam4sam"].bank
    reads = select_from(bank, 28, 1, Remembered((0,), scores.keys(), scores, (8, 15, 22)), SLICES)
    assert [entry for entry in reads.spatial if entry[1] == 6] == [(0, 6), (8, 6), (15, 6), (22, 6)]
    assert [entry for entry in reads.spatial if entry[1] < 6] == [(20, 2), (25, 1), (27, 0)]


def test_anchors_are_those_that_the_oracle_admits():
    rule, admitted = AnchorRule(), 0
    for seed, index, distance in product(range(10, 20), range(1, SLICES), (5, 6)):
        scores = random_scores(seed)
        areas, it = [scores[at].area for at in range(1, index)], scores[index]
        full = [area for area in areas if area][-10:]
        expected = bool(full) and it.predicted_iou > 0.8 and it.rival <= 0.7 and it.area >= 1 and distance > 5
        expected = expected and 0.8 <= it.area / median(full) <= 1.2
        assert rule.admits(it, areas, distance) == expected
        admitted += expected
    assert admitted > 3


def test_a_rival_is_the_largest_part_of_an_unchosen_mask_beside_the_chosen_one():
    mask = np.zeros((20, 30), bool)
    mask[5:10, 5:10] = True
    assert rival_overlap(mask, [mask, np.zeros_like(mask)]) == 1
    other = mask.copy()
    other[6, 12] = other[7, 13] = True  # joined at a corner: rows 5 to 9, columns 5 to 13
    other[19, 29] = True
    assert rival_overlap(mask, [other]) == pytest.approx(25 / 45)
    assert rival_overlap(np.zeros_like(mask), [other]) == 1


def surviving(courses):
    """SAM2Long's choice, written down as a list that is walked."""
    best_first = sorted(courses, key=lambda course: -course.merit)
    if max(abs(course.presence) for course in courses) > 2:
        return best_first[:3]
    kept, kinds = [], []
    for course in best_first:
        kind = round((1 if course.presence >= 0 else -1) * course.predicted_iou, 2)
        if kind not in kinds and len(kept) < 3:
            kept.append(course)
            kinds.append(kind)
    for pathway_counts in (True, False):
        for course in best_first:
            is_new = course.pathway not in [other.pathway for other in kept]
            if len(kept) < 3 and course not in kept and (is_new or not pathway_counts):
                kept.append(course)
    return sorted(kept, key=lambda course: -course.merit)


@pytest.mark.parametrize("spread", [0.5, 5.0])
def test_courses_survive_as_in_the_oracle(spread):
    random = np.random.default_rng(0)
    for _ in range(60):
        courses = []
        for pathway in range(int(random.integers(1, 4))):
            presence, merit = float(random.normal(0, spread)), float(random.normal())
            for iou in random.choice([0.2, 0.201, 0.5, 0.503, 0.9], 3):
                courses.append(Course(pathway, merit_after(merit + random.random(), float(iou)), presence, float(iou)))
        assert [courses[number] for number in best_courses(courses, 3)] == surviving(courses)


def test_memories_weigh_by_how_surely_the_object_was_seen():
    scores = {index: Score(presence, 0.9, 40) for index, presence in ((1, 3.0), (2, 1.0), (3, 2.0))}
    reads = select_from(RULES["sam2long"].bank, 4, 1, Remembered((0,), scores.keys(), scores), SLICES)
    assert dict(zip(reads.spatial, reads.spatial_weights, strict=True)) == pytest.approx(
        {(2, 1): 0.95, (3, 0): 0.95 + 0.1 / 3, (1, 2): 0.95 + 0.2 / 3, (0, 6): 1.05}
    )
    assert len(reads.pointer_weights) == len(reads.pointers)
    assert RULES["sam2"].bank.weights is None


def test_a_name_that_is_none_is_answered_with_those_that_are():
    with pytest.raises(InputError, match=r"no memory rule 'sam4'.*sam2, .*sam2long\."):
        find_rule("sam4")
