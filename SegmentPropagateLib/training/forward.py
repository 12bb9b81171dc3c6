"""A differentiable pass along a clip: memories are read and written as in a run, and the gradient flows through them.

The banks are those of `memory`, the steps those of `steps`. What differs from a run: whole batches in lockstep, nothing
is cached, masks are not silenced before they meet the loss, and true masks may stand in for remembered ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from SegmentPropagateLib.networks.memory import (
    POINTER_SLOTS,
    Bank,
    MemoryPolicy,
    Reads,
    long_bank,
    pointer_span,
    select,
    short_bank,
)
from SegmentPropagateLib.networks.sam2 import Network
from SegmentPropagateLib.networks.steps import (
    Decoded,
    Points,
    decode,
    embed_prompt,
    memory_attentions,
    object_pointers,
    pointer_times,
    pointer_tokens,
)
from SegmentPropagateLib.training.losses import SliceOutput

KEY = 0
"""A clip starts at its key slice."""


@dataclass(frozen=True)
class ClipPrompt:
    """What the network is told on the first slice of a clip: masks, or points (a box is two points).

    Args:
        masks: bool `(B, S, S)`; None with points.
        points_xy: pixels of the network's input, `(B, P, 2)`.
        point_labels: `(B, P)`: 1 on the object, 0 beside it, 2 and 3 the corners of a box.
        clicks: how many simulated clicks correct the first slice; needs `truth`.
        truth: reference masks of the first slice, bool `(B, S, S)`.
    """

    masks: Tensor | None = None
    points_xy: Tensor | None = None
    point_labels: Tensor | None = None
    clicks: int = 0
    truth: Tensor | None = None

    def to(self, device: torch.device) -> ClipPrompt:
        """A copy on a device."""
        tensors = (self.masks, self.points_xy, self.point_labels, self.truth)
        masks, points_xy, labels, truth = (None if tensor is None else tensor.to(device) for tensor in tensors)
        return ClipPrompt(masks, points_xy, labels, self.clicks, truth)


@dataclass(frozen=True)
class Teacher:
    """True masks that are remembered in place of predicted ones, for training from scratch.

    Args:
        masks: bool `(T, B, S, S)`.
        stands_in: bool `(T, B)`.
    """

    masks: Tensor
    stands_in: Tensor

    def to(self, device: torch.device) -> Teacher:
        """A copy on a device."""
        return Teacher(self.masks.to(device), self.stands_in.to(device))


@dataclass(frozen=True)
class _Image:
    top: Tensor  # (HW, B, C)
    position: Tensor  # (HW, B, C)
    fine: list[Tensor]  # strides /4 and /2 of the top level
    size: tuple[int, int]


@dataclass(frozen=True)
class _ClipMemory:
    tokens: Tensor  # (HW, B, M)
    position: Tensor  # (HW, B, M)
    pointer: Tensor  # (B, C)


def policy_of(network: Network, short_slices: int) -> MemoryPolicy:
    """The banks that a network reads."""
    if len(memory_attentions(network)) > 1:
        return MemoryPolicy((long_bank(), short_bank(short_slices)))
    return MemoryPolicy((long_bank(),))


class ClipForward:
    """Runs clips through a network.

    Args:
        network: in training or evaluation mode; with one bank its fuser is left out.
        policy: one bank for each memory attention.
        checkpointing: compute every slice again in the backward pass instead of keeping what lies within it.
    """

    def __init__(self, network: Network, policy: MemoryPolicy, checkpointing: bool = False) -> None:
        self._network = network
        self._policy = policy
        self._attentions = memory_attentions(network)[: len(policy.banks)]
        self._checkpointing = checkpointing

    def __call__(
        self, images: Tensor, prompt: ClipPrompt, teacher: Teacher | None = None
    ) -> list[tuple[int, SliceOutput]]:
        """Segment the slices of a batch of clips one after the other.

        Args:
            images: network input `(T, B, 3, S, S)`.
            prompt: for the first slice.
            teacher: which memories to write from true masks.

        Returns:
            `(slice of the clip, answer)` in order. A mask prompt is taken as it is, so its slice has no answer.
        """
        outputs: list[tuple[int, SliceOutput]] = []
        memories: dict[int, _ClipMemory] = {}
        for index, image in enumerate(self._encoded_slices(images)):
            taught = None if teacher is None or index == KEY else (teacher.masks[index], teacher.stands_in[index])
            answers, memories[index] = self._again(self._step, index, image, dict(memories), prompt, taught)
            outputs.extend((index, answer) for answer in answers)
        return outputs

    def _again(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if not self._checkpointing:
            return function(*arguments)
        return checkpoint(function, *arguments, use_reentrant=False)

    def _encoded_slices(self, images: Tensor) -> Iterator[_Image]:
        """One slice after the other where memory is scarce, else all in one call: a step takes 0.84 of the time."""
        if self._checkpointing:
            yield from (self._again(self._encode, slice_) for slice_ in images)
            return
        slices, batch = images.shape[:2]
        whole = self._encode(images.flatten(0, 1))
        for first in range(0, slices * batch, batch):
            rows = slice(first, first + batch)
            fine = [level[rows] for level in whole.fine]
            yield _Image(whole.top[:, rows], whole.position[:, rows], fine, whole.size)

    def _encode(self, images: Tensor) -> _Image:
        levels = self._network.forward_image(images.contiguous(memory_format=torch.channels_last))
        maps, position = levels["backbone_fpn"], levels["vision_pos_enc"][-1]
        return _Image(_tokens(maps[-1]), _tokens(position), maps[:-1], tuple(maps[-1].shape[-2:]))

    def _step(
        self,
        index: int,
        image: _Image,
        memories: Mapping[int, _ClipMemory],
        prompt: ClipPrompt,
        taught: tuple[Tensor, Tensor] | None,
    ) -> tuple[list[SliceOutput], _ClipMemory]:
        if index == KEY and prompt.masks is not None:
            return [], self._remember_mask(image, prompt.masks)
        features = self._conditioned(index, image, memories)
        is_key = index == KEY
        decoded = self._answer_points(features, image, prompt) if is_key else [self._decode(features, image)]
        return [_answer(each) for each in decoded], self._remember(image, decoded[-1], is_key, taught)

    # -------------------------------------------------------------------------------------------------- reading

    def _conditioned(self, index: int, image: _Image, memories: Mapping[int, _ClipMemory]) -> Tensor:
        """Features of a slice after it has read its banks, `(B, C, H, W)`."""
        if index == KEY:
            fresh = image.top + self._network.no_mem_embed
            reads = [fresh for _ in self._policy.banks]
        else:
            reads = [
                self._read(attention, bank, index, image, memories)
                for attention, bank in zip(self._attentions, self._policy.banks, strict=True)
            ]
        summed = _maps(sum(reads[1:], reads[0]), image.size)
        return summed if len(reads) == 1 else self._network.recent_memory_fuser(summed)

    def _read(
        self, attention: torch.nn.Module, bank: Bank, index: int, image: _Image, memories: Mapping[int, _ClipMemory]
    ) -> Tensor:
        reads = self._reads(bank, index)
        tokens = [memories[slice_].tokens for slice_, _ in reads.spatial]
        times = self._network.maskmem_tpos_enc
        positions = [memories[slice_].position + times[age] for slice_, age in reads.spatial]
        pointers, times_of_pointers = self._pointers(reads, memories)
        return attention(
            curr=[image.top],
            curr_pos=[image.position],
            memory=torch.cat([*tokens, pointers]),
            memory_pos=torch.cat([*positions, times_of_pointers]),
            num_obj_ptr_tokens=len(pointers),
        )

    def _reads(self, bank: Bank, index: int) -> Reads:
        # Pointers count distances as in a volume of 16 slices or more, whatever the length of the clip.
        return select(bank, index, 1, {KEY}, range(KEY + 1, index), POINTER_SLOTS)

    def _pointers(self, reads: Reads, memories: Mapping[int, _ClipMemory]) -> tuple[Tensor, Tensor]:
        """Tokens `(P, B, M)` of object pointers, and the encodings of their ages."""
        pointers = torch.stack([memories[slice_].pointer for slice_, _ in reads.pointers], 1)
        ages = [age for _, age in reads.pointers]
        times = pointer_times(self._network, ages, pointer_span(POINTER_SLOTS))
        tokens, times = pointer_tokens(self._network, pointers, times.expand(len(pointers), -1, -1))
        return tokens.transpose(0, 1), times.transpose(0, 1)

    # ------------------------------------------------------------------------------------------------- decoding

    def _decode(
        self, features: Tensor, image: _Image, points: Points | None = None, earlier: Tensor | None = None
    ) -> Decoded:
        prompt = embed_prompt(self._network, points, earlier, batch=len(features))
        return decode(self._network, features, image.fine, prompt)

    def _answer_points(self, features: Tensor, image: _Image, prompt: ClipPrompt) -> list[Decoded]:
        """Answers to points and to the clicks that then correct them."""
        if prompt.points_xy is None or prompt.point_labels is None:
            raise ValueError("a clip's prompt needs masks or points")
        points = (prompt.points_xy, prompt.point_labels)
        answers = [self._decode(features, image, points)]
        truth = prompt.truth
        if truth is None:
            return answers
        for _ in range(prompt.clicks):
            logits = answers[-1].best[:, None]
            click = correcting_click(_resize(logits, truth.shape[-1])[:, 0] > 0, truth)
            points = (torch.cat([points[0], click[0]], 1), torch.cat([points[1], click[1]], 1))
            answers.append(self._decode(features, image, points, logits.clamp(-32, 32)))
        return answers

    # ----------------------------------------------------------------------------------------------- remembering

    def _remember(
        self, image: _Image, decoded: Decoded, from_points: bool, taught: tuple[Tensor, Tensor] | None
    ) -> _ClipMemory:
        pointer = object_pointers(self._network, decoded)
        masks, presence = _resize(decoded.silenced[:, None], self._network.image_size), decoded.presence.float()
        if taught is not None:
            truth, stands_in = taught[0][:, None].float() * 20 - 10, taught[1]
            masks = torch.where(stands_in[:, None, None, None], truth, masks)
            presence = torch.where(stands_in[:, None], truth.flatten(1).amax(1, keepdim=True), presence)
        return self._encoded(image, masks, presence, pointer, from_points)

    def _remember_mask(self, image: _Image, masks: Tensor) -> _ClipMemory:
        features = _maps(image.top, image.size)
        # SAM 2's own method: the mask as logits of +-10, its pointer from the decoder.
        *_, high_res, pointer, presence = self._network._use_mask_as_output(
            features, image.fine, masks[:, None].float()
        )
        return self._encoded(image, high_res, presence, pointer, False)

    def _encoded(
        self, image: _Image, masks: Tensor, presence: Tensor, pointer: Tensor, from_points: bool
    ) -> _ClipMemory:
        memory, positions = self._network._encode_new_memory([image.top], [image.size], masks, presence, from_points)
        return _ClipMemory(_tokens(memory), _tokens(positions[-1]), pointer)


def correcting_click(predicted: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """The point deepest inside the largest error of each mask, as a user would click it.

    Args:
        predicted: bool `(B, S, S)`.
        truth: bool `(B, S, S)`.

    Returns:
        Points `(B, 1, 2)` as (x, y) and labels `(B, 1)`: 1 where the object was missed, 0 where it was exceeded.
        Without an error a padding point of label -1.
    """
    points, labels = np.zeros((len(truth), 1, 2), np.float32), np.full((len(truth), 1), -1, np.int32)
    for row, (mask, reference) in enumerate(zip(predicted.cpu().numpy(), truth.cpu().numpy(), strict=True)):
        depths = [
            ndimage.distance_transform_edt(np.pad(error, 1))[1:-1, 1:-1]
            for error in (mask & ~reference, reference & ~mask)
        ]
        missed = int(depths[1].max() >= depths[0].max())
        if depths[missed].max() > 0:
            y, x = np.unravel_index(depths[missed].argmax(), mask.shape)
            points[row, 0], labels[row, 0] = (x, y), missed
    return torch.from_numpy(points).to(truth.device), torch.from_numpy(labels).to(truth.device)


def _answer(decoded: Decoded) -> SliceOutput:
    return SliceOutput(decoded.logits.float(), decoded.ious.float(), decoded.presence.float())


def _resize(logits: Tensor, side: int) -> Tensor:
    return functional.interpolate(logits, size=(side, side), mode="bilinear", align_corners=False)


def _tokens(maps: Tensor) -> Tensor:
    return maps.flatten(2).permute(2, 0, 1)


def _maps(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    return tokens.permute(1, 2, 0).reshape(tokens.shape[1], tokens.shape[2], *size)
