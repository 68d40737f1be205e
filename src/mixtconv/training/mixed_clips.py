"""One mixture of the clips of a batch, for several models: each takes its clips of the same batch.

Mixup and cutmix take a part of each clip from the one before it in the batch. Which part is drawn
once, for the clips of the student, and applied to clips of any size and number of frames.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mixtconv.training.loss import ClipLoss


@dataclass(frozen=True)
class Mixture:
    """What each clip of a batch keeps of itself; the rest is of the clip before it."""

    share: Tensor | None = None
    """float32 (S, S), 0 to 1 at each pixel; None keeps all."""

    def clips(self, video: Tensor) -> Tensor:
        """Mix the normalised clips (B, T, C, S', S') of a model, which keep their type."""
        if self.share is None:
            return video
        share = F.interpolate(self.share[None, None], video.shape[-2:])[0, 0].to(video)
        return video * share + video.roll(1, 0) * (1 - share)

    def targets(self, values: Tensor) -> Tensor:
        """Mix what belongs to whole clips, (B, ...)."""
        if self.share is None:
            return values
        share = float(self.share.mean())
        return values * share + values.roll(1, 0) * (1 - share)


def mix_clips(loss: ClipLoss, video: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Mixture]:
    """Mix normalised clips and labels as a loss does, and tell how.

    Args:
        loss: of the student, which draws the mixture.
        video: (B, T, C, S, S).
        labels: as they come with the clips.
    """
    if loss.mix is None:
        return video, labels, Mixture()
    state = torch.get_rng_state()
    mixed, target = loss.mixed(video, labels)
    # The same draw, on pictures that are 1 for the first clip and 0 for the others
    own = torch.zeros(len(video), 1, 1, *video.shape[-2:])
    own[0] = 1
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(state)
        share = loss.mixed(own, labels.cpu())[0][0, 0, 0]
    return mixed, target, Mixture(share)
