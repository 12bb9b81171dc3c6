import numpy as np

from SegmentPropagateLib.propagation.overlaps import claim_strength, resolve_overlaps


def test_a_contested_pixel_goes_to_the_stronger_claim_and_a_tie_to_the_lower_id():
    first, second = np.array([[True, True, True]]), np.array([[False, True, True]])
    strengths = {1: np.array([[1.0, 1.0, 2.0]]), 2: np.array([[9.0, 3.0, 2.0]])}
    resolved = resolve_overlaps({1: first, 2: second}, strengths.__getitem__)
    assert resolved[1].tolist() == [[True, False, True]]
    assert resolved[2].tolist() == [[False, True, False]]


def test_what_the_user_drew_is_never_given_away():
    drawn, claimed = np.array([[True]]), np.array([[True]])
    resolved = resolve_overlaps({1: claimed, 2: drawn}, {1: np.array([[99.0]]), 2: np.array([[np.inf]])}.__getitem__)
    assert resolved[2].all()
    assert not resolved[1].any()


def test_negative_strengths_still_hold_an_uncontested_pixel():
    masks = {1: np.array([[True]]), 2: np.array([[False]])}
    assert resolve_overlaps(masks, {1: np.array([[-3.0]]), 2: np.array([[5.0]])}.__getitem__)[1].all()


def test_a_thin_object_keeps_what_a_large_one_leaks_over():
    assert claim_strength(np.array(1.0), 20, 3) > claim_strength(np.array(4.0), 2000, 3)


def test_what_was_carried_far_yields_to_what_was_drawn_nearby():
    assert claim_strength(np.array(2.0), 100, 1) > claim_strength(np.array(4.0), 100, 9)
