"""A step of SAM2-SGP's training: supports are remembered, the query is read against them, twice."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from SegmentPropagateLib.networks.mask_attention import second_look
from SegmentPropagateLib.networks.memory import POINTER_SLOTS, Bank, Reads, select
from SegmentPropagateLib.networks.steps import Decoded, decode, embed_prompt
from SegmentPropagateLib.training.clips import Clip
from SegmentPropagateLib.training.forward import ClipForward, ClipPrompt, Teacher
from SegmentPropagateLib.training.losses import SliceOutput
from SegmentPropagateLib.training.supports.loss import SupportLoss, support_loss
from SegmentPropagateLib.training.trainer import Trainer


class SupportForward(ClipForward):
    """Answers for the last slice of clips whose other slices are key slices, all of them."""

    def answers(self, images: Tensor, masks: Tensor) -> tuple[SliceOutput, SliceOutput]:
        """Pseudo-mask and result.

        Args:
            images: network input `(K + 1, B, 3, S, S)`, the supports first, the most similar one last of them.
            masks: of the supports, bool `(K, B, S, S)`.
        """
        *supports, query = self._encoded_slices(images)
        memories = {
            index: self._again(self._remember_mask, image, mask)
            for index, (image, mask) in enumerate(zip(supports, masks, strict=True))
        }
        features = self._again(self._conditioned, len(supports), query, memories)
        prompt = embed_prompt(self._network, batch=len(features))
        first = decode(self._network, features, query.fine, prompt)
        return _best(first), _best(second_look(self._network, features, query.fine, first))

    def _reads(self, bank: Bank, index: int) -> Reads:
        return select(bank, index, 1, range(index), (), POINTER_SLOTS)


class SupportTrainer(Trainer):
    """Trains a network with mask attention on slices and their supports; see `Trainer`."""

    forward = SupportForward
    _forward: SupportForward

    def _loss(self, clips: Sequence[Clip], prompt: ClipPrompt, teacher: Teacher | None) -> SupportLoss:
        del prompt, teacher  # the supports' masks are all that is told
        images, masks = self._stacked(clips)
        with self._autocast():
            pseudo, result = self._forward.answers(images, masks[:-1])
        return support_loss(pseudo, result, masks[-1], self.settings.support_weights)


def _best(decoded: Decoded) -> SliceOutput:
    return SliceOutput(decoded.best[:, None], decoded.of_best(decoded.ious)[:, None].float(), decoded.presence.float())
