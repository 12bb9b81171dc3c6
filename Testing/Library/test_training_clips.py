from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_training import ball_volume

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.propagators.tracking.appearance import RgbAppearance, windows_appearance
from SegmentPropagateLib.propagators.tracking.views import View
from SegmentPropagateLib.training.clips import (
    Augmentation,
    ClipSettings,
    Target,
    TrainingVolume,
    draw_clip,
    draw_kind,
    draw_prompt,
    draw_run,
)
from SegmentPropagateLib.volumes.stack import ImageStack

PLAIN = ClipSettings(image_size=64, slices=4, augmentation=None)


def test_half_of_the_clips_run_backwards():
    rng = np.random.default_rng(0)
    reversed_clips = sum(draw_run(range(10, 20), 40, ClipSettings(64), rng)[1] for _ in range(2000))
    assert abs(reversed_clips / 2000 - 0.5) < 0.04
    assert not any(draw_run(range(10, 20), 40, ClipSettings(64, reverse=0), rng)[1] for _ in range(50))


def test_a_clip_is_consecutive_slices_that_start_on_the_target():
    rng = np.random.default_rng(1)
    for _ in range(200):
        run, reversed_order = draw_run((7, 8, 9), 30, ClipSettings(64, slices=8), rng)
        assert run[0] in (7, 8, 9)
        assert np.diff(run).tolist() == [-1 if reversed_order else 1] * 7


def test_the_last_slice_is_repeated_where_the_volume_ends_too_soon():
    run, _ = draw_run((3,), 6, ClipSettings(64, slices=8, reverse=0), np.random.default_rng(0))
    assert run.tolist() == [3, 4, 5, 5, 5, 5, 5, 5]


def test_a_run_that_fits_is_preferred_to_one_that_does_not():
    for seed in range(20):
        run, _ = draw_run((1, 5), 6, ClipSettings(64, slices=4, reverse=0), np.random.default_rng(seed))
        assert run.tolist() == [1, 2, 3, 4]


def test_images_and_masks_of_an_unchanged_clip_are_the_slices_themselves():
    volume, target = ball_volume(side=64)
    clip = draw_clip(volume, target, PLAIN, np.random.default_rng(0))
    start = int(clip.masks.sum((1, 2))[0])
    assert start > 0
    assert clip.images.shape == (4, 3, 64, 64)
    matches = [
        index
        for index in target.slices
        if np.array_equal(clip.masks[0].numpy(), volume.masks(target.values, [index])[0])
    ]
    shown = [RgbAppearance().image(volume.stack, index, View(0, 0, 64, 64), 64)[0] for index in matches]
    assert any(torch.allclose(clip.images[0], image, atol=1e-4) for image in shown)


def test_windows_are_chosen_as_at_inference():
    volume, target = ball_volume(side=64)
    clip = draw_clip(volume, target, replace(PLAIN, windows=True), np.random.default_rng(0))
    whole = View(0, 0, 64, 64)
    for index in target.slices:
        mask = volume.masks(target.values, [index])[0]
        if np.array_equal(mask, clip.masks[0].numpy()):
            appearance = windows_appearance(volume.stack, index, whole, mask, 64)
            image = appearance.image(volume.stack, index, whole, 64)[0]
            if torch.allclose(clip.images[0], image, atol=1e-3):
                return
    pytest.fail("no slice looks as the clip's first one")


def test_a_view_around_the_object_makes_it_larger():
    volume, target = ball_volume(side=64)
    shares = [
        draw_clip(volume, target, replace(PLAIN, roi_factor=roi), np.random.default_rng(0)).masks[0].float().mean()
        for roi in (None, (2.0, 2.0))
    ]
    assert shares[1] > 2 * shares[0]


def test_augmentation_moves_all_slices_alike_and_keeps_the_mask_on_the_object():
    volume, target = ball_volume(side=64)
    settings = replace(PLAIN, augmentation=Augmentation(shear_deg=0, slice_jitter=0, brightness=0))
    for seed in range(5):
        clip = draw_clip(volume, target, settings, np.random.default_rng(seed))
        for image, mask in zip(clip.images[:, 0], clip.masks, strict=True):
            if mask.sum() > 40:
                assert image[mask].mean() > image[~mask].mean() + 1


def rod(radius):
    """The same disk on 12 slices of 64 x 64."""
    j, i = np.indices((64, 64)) - 31.5
    values = np.repeat(100 * (j**2 + i**2 <= radius**2)[None], 12, axis=0).astype(np.int16)
    stack = ImageStack(values, values.astype(np.uint8), (1.0, 1.0, 1.0))
    return TrainingVolume("rod", stack, ((values > 0).astype(np.uint8),)), Target((1,), (0,))


NO_AUGMENTATION = Augmentation(flip=0, rotation_deg=0, shear_deg=0, brightness=0, contrast=0, slice_jitter=0)
STILL = replace(PLAIN, slices=12, reverse=0, augmentation=NO_AUGMENTATION)
DRIFTING = replace(STILL, augmentation=replace(NO_AUGMENTATION, drift=1.0))


def test_drift_moves_object_and_image_together_but_not_the_first_slice():
    for seed in range(5):
        clip = draw_clip(*rod(4), DRIFTING, np.random.default_rng(seed))
        at_rest = draw_clip(*rod(4), STILL, np.random.default_rng(seed))
        assert torch.equal(clip.masks[0], at_rest.masks[0])
        middles = [mask.nonzero().double().mean(0) for mask in clip.masks]
        assert max(float((middle - middles[0]).norm()) for middle in middles) > 2
        bright = clip.images[:, 0] > clip.images[:, 0].mean((1, 2), keepdim=True)
        assert float((bright == clip.masks).double().mean()) > 0.98  # partial pixels at the rim


def test_drift_bends_objects_too():
    for seed in range(5):
        clip = draw_clip(*rod(14), DRIFTING, np.random.default_rng(seed))
        spreads = [mask.nonzero().double().std(0) for mask in clip.masks]
        ratios = [float(rows / columns) for rows, columns in spreads]
        assert ratios[0] == pytest.approx(1, abs=0.01)
        assert max(ratios) - min(ratios) > 0.02  # a disk that was only moved would stay one


def test_the_same_seed_draws_the_same_clip_and_another_seed_another():
    volume, target = ball_volume()
    settings = ClipSettings(64, windows=True, slices=4, roi_factor=(1.5, 3.0))
    first, again, other = (draw_clip(volume, target, settings, np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.masks, again.masks)
    assert not torch.equal(first.images, other.images)


def test_a_sloppy_prompt_is_near_the_mask_and_never_empty():
    volume, target = ball_volume(side=64)
    settings = replace(PLAIN, roi_factor=(2.0, 2.0), augmentation=Augmentation(mask_jitter=1.0))
    overlaps = []
    for seed in range(10):
        clip = draw_clip(volume, target, settings, np.random.default_rng(seed))
        both = (clip.prompt_mask & clip.masks[0]).sum()
        overlaps.append(float(2 * both / (clip.prompt_mask.sum() + clip.masks[0].sum())))
    assert min(overlaps) > 0.6
    assert np.mean(overlaps) < 0.999


def test_an_object_too_small_to_see_is_refused_by_name():
    volume, _ = ball_volume(side=48)
    dot = np.zeros(volume.layers[0].shape, np.uint8)
    dot[4, 20, 20] = 7
    with pytest.raises(InputError, match="Label 7 of 'ball'"):
        draw_clip(TrainingVolume("ball", volume.stack, (dot,)), Target((7,), (4,)), PLAIN, np.random.default_rng(0))


def _clips(count):
    volume, target = ball_volume(side=64)
    return [draw_clip(volume, target, PLAIN, np.random.default_rng(seed)) for seed in range(count)]


def test_a_box_prompt_wavers_by_a_tenth_of_the_box():
    (clip,) = _clips(1)
    rows, columns = (np.flatnonzero(clip.prompt_mask.numpy().any(axis)) for axis in (1, 0))
    exact = np.array([[columns[0], rows[0]], [columns[-1], rows[-1]]])
    drawn = np.stack(
        [draw_prompt([clip], "box", 0, [np.random.default_rng(s)]).points_xy[0].numpy() for s in range(50)]
    )
    away = np.abs(drawn - exact)
    assert away.max() <= 0.1 * (exact[1] - exact[0] + 1).max() + 1e-6
    assert away.max() > 0.5
    assert draw_prompt([clip], "box", 0, [np.random.default_rng(0)]).point_labels.tolist() == [[2, 3]]


def test_a_point_prompt_lies_inside_and_does_not_depend_on_its_batch():
    clips = _clips(3)
    together = draw_prompt(clips, "points", 2, [np.random.default_rng([8, n]) for n in range(3)])
    alone = draw_prompt(clips[1:2], "points", 2, [np.random.default_rng([8, 1])])
    for clip, (point,) in zip(clips, together.points_xy.long(), strict=True):
        assert clip.prompt_mask[point[1], point[0]]
    assert torch.equal(together.points_xy[1:2], alone.points_xy)
    assert together.clicks == 2


def test_mixed_prompts_are_half_masks_a_quarter_boxes_a_quarter_points():
    rng = np.random.default_rng(2)
    kinds = [draw_kind("mixed", rng) for _ in range(2000)]
    assert abs(kinds.count("mask") / 2000 - 0.5) < 0.04
    assert abs(kinds.count("box") / 2000 - 0.25) < 0.04
    assert draw_kind("box", rng) == "box"
