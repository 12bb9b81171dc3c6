"""The source `landmarks`: its parts exactly, and all of it with a localizer that knows every place."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from drawn_bodies import MM, body, placed, save_case, whole

from SegmentPropagateLib.errors import CheckpointError, InputError
from SegmentPropagateLib.networks.localizer import PLACE_STRIDE, STRIDES, Localizer, Maps, offsets_mm
from SegmentPropagateLib.networks.localizer_file import LocalizerCard, save_localizer
from SegmentPropagateLib.prompting.atlas.fusion import outline_of
from SegmentPropagateLib.prompting.atlas.grid import Lattice, body_of
from SegmentPropagateLib.prompting.finished import read_finished
from SegmentPropagateLib.prompting.landmarks import source
from SegmentPropagateLib.prompting.landmarks.drawing import stretched
from SegmentPropagateLib.prompting.landmarks.grid import image_of, mask_of, to_points, to_voxels
from SegmentPropagateLib.prompting.landmarks.points import box_of, extreme_points, parts_for, parts_of, surface_of
from SegmentPropagateLib.prompting.landmarks.search import Codes, Seen, averaged, jumped, located, seen_of
from SegmentPropagateLib.prompting.source import Support, find_source
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.geometry import Geometry, Plane
from SegmentPropagateLib.volumes.volume import Volume

STEP = 2
FAR_MM = torch.tensor([1500.0, 600.0, 600.0])


def knowing(body, network=None, step=STEP):
    """What a localizer sees that knows the world: latent places are places, features are waves of them."""
    del network
    shape = image_of(body, step).shape
    padded = [size + (1 - size) % 8 for size in shape]

    def world(stride):
        axes = np.meshgrid(*(np.arange(0, size, stride) for size in padded), indexing="ij")
        return body.lattice.origin_mm + MM * to_points(np.stack(axes, -1), step)

    places = torch.from_numpy(world(PLACE_STRIDE)).float() / FAR_MM
    features = []
    for stride in STRIDES:
        angles = (
            torch.from_numpy(world(stride)).float()[..., None]
            * 2
            * np.pi
            / (stride * torch.tensor([60.0, 110.0, 190.0]))
        )
        waves = torch.cat([angles.sin(), angles.cos()], -1).flatten(3)
        features.append((waves / waves.norm(dim=-1, keepdim=True)).permute(3, 0, 1, 2)[None])
    starts = np.argwhere(mask_of(body, step))[::97].astype(np.float64)
    return Seen(Maps(places.permute(3, 0, 1, 2)[None], tuple(features)), shape, starts, step)


@pytest.fixture(scope="module")
def localizer(tmp_path_factory):
    """A file of an untrained one."""
    path = tmp_path_factory.mktemp("localizer") / "localizer.pt"
    torch.manual_seed(0)
    save_localizer(path, Localizer(4, 8).state_dict(), LocalizerCard(STEP, "CT"))
    return path


@pytest.fixture
def all_knowing(monkeypatch):
    monkeypatch.setattr(source, "seen_of", knowing)


def propose(folder, localizer, values, geometry=None, labels=(4, 9, 14), **options):
    support = Support(cases=read_finished(folder).cases, localizer=localizer)
    volume = Volume(values, placed(values) if geometry is None else geometry, "image.nrrd")
    return find_source("landmarks").propose(volume, labels, support, Plane.AXIAL, **options)


def test_the_way_back_is_the_way_with_its_sign_turned():
    places = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(offsets_mm(places[0], places[1]), -offsets_mm(places[1], places[0]))
    assert not offsets_mm(places[0], places[0]).any()
    assert (offsets_mm(100 * places[0], places[1]).abs() <= FAR_MM).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_box_of_extreme_points_is_the_box_of_the_voxels(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((12, 14, 16), dtype=bool)
    mask[3:9, 4:11, 2:13] = rng.random((6, 7, 11)) < 0.3
    lattice = Lattice(np.array([0.0, 0.0, 0.0]), (12, 14, 16))
    geometry = Geometry(mask.shape, np.diag([MM, MM, MM, 1.0]))
    points = extreme_points(*surface_of(outline_of(mask, geometry, lattice), lattice))
    inside = np.argwhere(mask)
    assert np.allclose(box_of(points), [inside.min(axis=0) - 0.5, inside.max(axis=0) + 0.5])
    for axis in range(3):  # each lies in the middle of what is outermost
        for number, end in enumerate((inside[:, axis].min(), inside[:, axis].max())):
            others = [other for other in range(3) if other != axis]
            there = np.median(inside[inside[:, axis] == end], axis=0)
            assert np.allclose(points[2 * axis + number][others], there[others])


def test_ends_that_crossed_make_a_box_all_the_same():
    points = np.arange(18.0).reshape(6, 3)
    assert np.array_equal(box_of(points), box_of(points[[1, 0, 3, 2, 5, 4]]))
    assert (box_of(points)[1] >= box_of(points)[0]).all()


def test_parts_of_a_long_organ_follow_each_other_and_miss_nothing():
    surface = np.random.default_rng(0).uniform(0, 90, (500, 3))
    parts = parts_of(surface, 4)
    assert sum(map(len, parts)) == 500
    assert all(one[:, 0].max() <= other[:, 0].min() for one, other in pairwise(parts))
    torn = surface[(surface[:, 0] < 20) | (surface[:, 0] > 70)]
    assert len(parts_of(torn, 4)) == 1


@pytest.mark.parametrize(("length_mm", "count"), [(30, 1), (117, 1), (120, 2), (200, 4), (900, 6)])
def test_an_organ_of_12_cm_or_more_is_cut_into_up_to_six_parts(length_mm, count):
    assert parts_for([length_mm / MM, length_mm / MM]) == count


def test_boxes_are_stretched_onto_each_other():
    found = np.array([[[10.0, 5, 5], [20, 15, 25]], [[20, 7, 5], [40, 17, 25]]])
    given = np.array([[[0.0, 0, 0], [5, 20, 10]], [[5, 0, 0], [25, 20, 10]]])
    points = stretched(found, given, (50, 30, 30))
    assert points[0, 10, 0, 0] == pytest.approx(0)
    assert points[0, 20, 0, 0] == pytest.approx(5)
    assert points[0, 40, 0, 0] == pytest.approx(25)
    assert np.allclose(points[1:, 15, 5, 25], (0, 10))
    assert np.allclose(points[1:, 30, 17, 5], (20, 0))
    assert (np.diff(points[0, :, 0, 0]) > 0).all()


def test_a_volume_of_3_mm_is_seen_as_it_is():
    values, _labels = body(0)
    seen = body_of(Volume(values, placed(values)))
    assert np.array_equal(image_of(seen, 1), np.where(seen.inside, seen.wide, 0))
    coarse = image_of(seen, 2)
    assert coarse[1, 2, 3] == pytest.approx(image_of(seen, 1)[2:4, 4:6, 6:8].mean(), abs=1e-6)
    assert np.allclose(to_points(to_voxels([4.0, 5, 6], 3), 3), (4, 5, 6))


def codes(seed, count=4):
    generator = torch.Generator().manual_seed(seed)
    vectors = [torch.randn(count, 6, generator=generator) for _ in STRIDES]
    return Codes(torch.randn(count, 3, generator=generator), tuple(it / it.norm(dim=1, keepdim=True) for it in vectors))


def test_supports_are_averaged():
    one, other = codes(0), codes(1)
    mean = averaged([one, other])
    assert torch.allclose(mean.places, (one.places + other.places) / 2)
    for vectors, a, b in zip(mean.features, one.features, other.features, strict=True):
        assert torch.allclose(vectors.norm(dim=1), torch.ones(4))
        assert torch.allclose(vectors, (a + b) / (a + b).norm(dim=1, keepdim=True), atol=1e-6)
    alone = averaged([one])
    assert torch.equal(alone.places, one.places)
    assert all(torch.allclose(a, b) for a, b in zip(alone.features, one.features, strict=True))


def test_starts_beyond_the_field_of_view_jump_as_its_border_does():
    values, _labels = body(0)
    seen = knowing(body_of(Volume(values, placed(values))))
    far = np.array([[-50.0, 5, 5], [5, 500, 5], [5, 5, -1e6]])
    border = np.clip(far, 0, np.array(seen.shape) - 1)
    assert np.array_equal(jumped(seen, codes(0).places, far), jumped(seen, codes(0).places, border))
    assert np.isfinite(jumped(seen, codes(0).places, far)).all()


def test_landmarks_are_found_where_they_are_and_beyond_the_field_of_view():
    values, _labels = body(0)
    seen = knowing(body_of(Volume(values, placed(values))))
    inside = np.array([[8.0, 20, 30], [15, 30, 22]])
    looked = seen.codes(inside)
    assert np.abs(located(seen, looked).jumps - inside).max() < 0.5
    assert np.abs(located(seen, looked).points - inside).max() < 1
    assert located(seen, looked).likeness.min() > 0.9
    place = torch.from_numpy(np.median(seen.maps.places[0].flatten(1).numpy(), axis=1)).float()
    outside = Codes(place[None] + torch.tensor([[0.15, 0, 0]]), tuple(level[:1] for level in looked.features))
    assert located(seen, outside).points[0, 0] > seen.shape[0] * STEP + 20
    assert located(seen, outside).likeness[0] == -1


def test_a_body_that_is_hollow_in_its_middle_is_seen(localizer):
    values, _labels = body(0)
    hollow = values.copy()
    hollow[6:18, 15:50, 20:60] = -1000
    seen = seen_of(body_of(Volume(hollow, placed(hollow))), Localizer(4, 8).eval(), STEP)
    found = located(seen, seen.codes(np.array([[12.0, 30, 40]])))
    assert np.isfinite(found.points).all()
    del localizer


@pytest.mark.usefixtures("all_knowing")
def test_organs_of_a_case_are_found_in_the_case_itself(template, localizer):
    folder, values, labels = template
    for draft in propose(folder, localizer, values):
        truth = labels == draft.label
        assert (draft.status, draft.source) == ("unsure", "landmarks")  # here, and to be looked at
        assert draft.confidence > 0.7
        assert dice(whole(draft, truth.shape), truth) > 0.85
        assert truth[draft.key_slice].any()


@pytest.mark.usefixtures("all_knowing")
def test_flipped_storage_gives_the_same_place_in_the_world(template, localizer):
    folder, values, _labels = template
    geometry = placed(values, (-MM * (values.shape[2] - 1), -MM * (values.shape[1] - 1), 0.0), np.diag([MM, MM, MM]))
    pairs = zip(
        propose(folder, localizer, values[:, ::-1, ::-1].copy(), geometry),
        propose(folder, localizer, values),
        strict=True,
    )
    for draft, before in pairs:
        assert np.allclose(draft.box_mm, before.box_mm)
        assert np.array_equal(draft.mask[::-1, ::-1], before.mask)


@pytest.mark.usefixtures("all_knowing")
def test_an_organ_beyond_the_field_of_view_is_not_here(template, localizer):
    folder, values, labels = template
    present = np.flatnonzero((labels == 14).any(axis=(1, 2)))
    below, above = values[: present[0]], values[present[-1] + 1 :]
    part, start = (below, 0) if len(below) > len(above) else (above, int(present[-1]) + 1)
    (draft,) = propose(folder, localizer, part.copy(), placed(part, (0, 0, MM * start)), [14])
    assert draft.status == "not here"
    assert "field of view" in draft.reason


@pytest.mark.usefixtures("all_knowing")
def test_a_label_gets_the_same_alone_and_with_others_and_a_second_time(template, localizer):
    folder, values, _labels = template
    together = propose(folder, localizer, values, labels=(4, 9))
    alone = [draft for label in (4, 9) for draft in propose(folder, localizer, values, labels=[label])]
    for one, other in zip(together, alone, strict=True):
        assert (one.status, one.key_slice, one.first, one.last, one.confidence) == (
            *(other.status, other.key_slice, other.first, other.last, other.confidence),
        )
        assert np.array_equal(one.mask, other.mask)


REFUSALS = {
    "all air": (lambda values: np.full_like(values, -1000), "no body"),
    "constant": (lambda values: np.zeros_like(values), "no body"),
    "another modality": (lambda values: (np.abs(values) % 300 + 5).astype(np.int16), "kind"),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_a_localizer_cannot_see_holds_nothing(template, localizer, kind):
    folder, values, _labels = template
    spoil, why = REFUSALS[kind]
    drafts = propose(folder, localizer, spoil(values))
    assert {draft.status for draft in drafts} == {"not here"}
    assert all(why in draft.reason for draft in drafts)


@pytest.mark.usefixtures("all_knowing")
def test_a_case_of_air_is_passed_over_and_the_next_one_taken(template, localizer, tmp_path):
    _folder, values, labels = template
    save_case(tmp_path, "air", np.full_like(values, -1000), labels, placed(values))
    (draft,) = propose(tmp_path, localizer, values, labels=[9])
    assert "'air' shows no body" in draft.reason
    save_case(tmp_path, "anna", values, labels, placed(values))
    (draft,) = propose(tmp_path, localizer, values, labels=[9])
    assert draft.status == "unsure"


def test_what_is_missing_is_asked_for(template, localizer):
    folder, values, _labels = template
    with pytest.raises(InputError, match="needs a localizer"):
        propose(folder, None, values)
    volume = Volume(values, placed(values))
    with pytest.raises(InputError, match="needs finished cases"):
        find_source("landmarks").propose(volume, [1], Support(localizer=localizer), Plane.AXIAL)
    with pytest.raises(CheckpointError, match="does not exist"):
        propose(folder, folder / "none.pt", values)


class Stop(Exception):
    pass


def test_a_tick_that_raises_ends_the_work_and_leaves_nothing(template, localizer):
    folder, values, _labels = template
    before = values.copy()

    told = []

    def tick(done, total):
        told.append((done, total))
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        propose(folder, localizer, values, tick=tick)
    assert np.array_equal(values, before)
    assert told == [(1, 4), (2, 4)]
