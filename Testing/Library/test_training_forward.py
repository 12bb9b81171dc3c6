import pytest
import torch
import upstream
from tiny_training import tiny_network

from SegmentPropagateLib.networks.memory import MemoryPolicy, long_bank, short_bank
from SegmentPropagateLib.training.forward import ClipForward, ClipPrompt, Teacher, correcting_click, policy_of
from SegmentPropagateLib.training.losses import LossWeights, clip_loss

BOTH = MemoryPolicy((long_bank(), short_bank(1)))


def _clip(slices, batch=2, side=64):
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(slices, batch, 3, side, side, generator=generator)
    masks = torch.zeros(slices, batch, side, side, dtype=torch.bool)
    masks[:, :, 20:40, 16:44] = True
    return images, masks


def _tracked_by_sam2(network, images, mask):
    """The same clip by `SAM2Base.track_step`, which the released predictors call."""
    network.eval()
    held = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    scores = []
    with torch.no_grad():
        for index, image in enumerate(images):
            levels = network.forward_image(image)
            _, features, positions, sizes = network._prepare_backbone_features(levels)
            prompt = mask[:, None].float() if index == 0 else None
            out = network.track_step(index, index == 0, features, positions, sizes, None, prompt, held, len(images))
            held["cond_frame_outputs" if index == 0 else "non_cond_frame_outputs"][index] = out
            scores.append((out["pred_masks"], out["object_score_logits"]))
    return scores[1:]


@pytest.mark.parametrize("short_slices", [1, 3])
def test_a_clip_reads_the_same_memories_as_sam2_does(short_slices):
    network = tiny_network()
    images, masks = _clip(17)
    with torch.no_grad():
        answers = ClipForward(network, policy_of(network, short_slices))(images, ClipPrompt(masks=masks[0]))
    expected = _tracked_by_sam2(upstream.reading_both(network, short_slices), images, masks[0])
    for (index, answer), (logits, presence) in zip(answers, expected, strict=True):
        assert torch.allclose(answer.presence, presence, atol=1e-5), index
        visible = presence[:, 0] > 0
        assert visible.any()
        assert torch.allclose(answer.logits[visible], logits[visible], atol=1e-4), index


def _gradients(network, policy, checkpointing=False, prompt=None):
    images, masks = _clip(4)
    network.train().requires_grad_(True)
    forward = ClipForward(network, policy, checkpointing)
    loss = clip_loss(forward(images, prompt or ClipPrompt(masks=masks[0])), masks, LossWeights())
    loss.total.backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def _reached(gradients, part):
    return any(name.startswith(part) and gradient.any() for name, gradient in gradients.items())


def test_gradients_reach_both_attentions_the_fuser_and_the_memory_encoder():
    gradients = _gradients(tiny_network(), BOTH)
    for part in ("memory_attention.", "recent_memory_attention.", "recent_memory_fuser.", "memory_encoder."):
        assert _reached(gradients, part), part
    assert _reached(gradients, "image_encoder.trunk.st.0.")
    assert _reached(gradients, "obj_ptr_tpos_proj.")


def test_with_one_bank_neither_the_second_attention_nor_the_fuser_is_used():
    gradients = _gradients(tiny_network(), MemoryPolicy((long_bank(),)))
    assert _reached(gradients, "memory_attention.")
    assert not _reached(gradients, "recent_memory_")


def test_computing_slices_again_in_the_backward_pass_changes_no_gradient():
    plain, again = (_gradients(tiny_network(), BOTH, checkpointing) for checkpointing in (False, True))
    assert plain.keys() == again.keys()
    for name, gradient in plain.items():
        assert torch.allclose(gradient, again[name], rtol=1e-4, atol=1e-6), name


def test_a_true_mask_in_memory_takes_the_place_of_a_predicted_one():
    images, masks = _clip(3)
    network = tiny_network()
    stands_in = torch.ones(3, 2, dtype=torch.bool)
    run = ClipForward(network, BOTH)
    with torch.no_grad():
        own = run(images, ClipPrompt(masks=masks[0]))
        taught = run(images, ClipPrompt(masks=masks[0]), Teacher(masks, stands_in))
        untaught = run(images, ClipPrompt(masks=masks[0]), Teacher(masks, ~stands_in))
    assert torch.equal(own[0][1].logits, taught[0][1].logits)  # the first slice remembers the prompt alone
    assert not torch.equal(own[1][1].logits, taught[1][1].logits)
    assert torch.equal(own[1][1].logits, untaught[1][1].logits)


def test_points_get_an_answer_on_the_first_slice_and_one_more_per_click():
    images, masks = _clip(2)
    points, labels = torch.tensor([[[30.0, 30.0]]] * 2), torch.ones(2, 1, dtype=torch.int32)
    prompt = ClipPrompt(points_xy=points, point_labels=labels, clicks=2, truth=masks[0])
    with torch.no_grad():
        answers = ClipForward(tiny_network(), BOTH)(images, prompt)
    assert [index for index, _ in answers] == [0, 0, 0, 1]
    assert not torch.equal(answers[0][1].logits, answers[1][1].logits)


def test_gradients_flow_from_a_box_prompt_too():
    _, masks = _clip(1)
    box = torch.tensor([[[16.0, 20.0], [43.0, 39.0]]] * 2)
    prompt = ClipPrompt(
        points_xy=box, point_labels=torch.tensor([[2, 3]] * 2, dtype=torch.int32), clicks=1, truth=masks[0]
    )
    gradients = _gradients(tiny_network(), BOTH, prompt=prompt)
    assert _reached(gradients, "sam_prompt_encoder.")
    assert _reached(gradients, "no_mem_embed")


def test_a_click_lies_deepest_in_the_largest_error():
    truth = torch.zeros(2, 40, 40, dtype=torch.bool)
    truth[:, 5:20, 5:20] = True
    predicted = truth.clone()
    predicted[0, 5:14, 5:14] = False  # missed
    predicted[1, 22:39, 22:39] = True  # exceeded
    points, labels = correcting_click(predicted, truth)
    assert points[0, 0].tolist() == [9, 9]
    assert points[1, 0].tolist() == [30, 30]
    assert labels.flatten().tolist() == [1, 0]
    assert correcting_click(truth, truth)[1].flatten().tolist() == [-1, -1]
