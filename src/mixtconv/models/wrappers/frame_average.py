"""The average over the frames of a clip before the last normalisation of a network.

Of ST-Adapter (arXiv 2206.13559), whose head takes the class tokens of all frames, averages them and
normalises the average. Elsewhere here each frame is normalised by itself, and its logits averaged.
"""

from torch import Tensor, nn

from mixtconv.models.wrappers.wrapping import WrappedModule, replace_module
from mixtconv.ops import fold_time, unfold_time


class FrameAverage(WrappedModule):
    """A normalisation of the average over a clip, which each of its frames then has.

    Args:
        module: normalises tokens or features (N, ..., D).
        num_frames: T.
    """

    def __init__(self, module: nn.Module, num_frames: int) -> None:
        super().__init__(module)
        self.num_frames = num_frames

    def forward(self, x: Tensor) -> Tensor:
        clip = unfold_time(x, self.num_frames)  # (B, T, ..., D)
        average = self.module(clip.mean(dim=1))  # (B, ..., D)
        return fold_time(average.unsqueeze(1).expand(clip.shape))


def insert_frame_average(network: nn.Module, *, num_frames: int) -> str:
    """Average the frames of a clip before the last normalisation of a transformer, in place.

    Args:
        network: takes frames (B * T, C, H, W).
        num_frames: T.

    Returns:
        The name of the normalisation.

    Raises:
        ValueError: a network without one behind its blocks.
    """
    for name in ("fc_norm", "norm"):  # behind the pooling, or before it
        module = getattr(network, name, None)
        if module is not None and any(True for _ in module.parameters()):
            replace_module(network, name, FrameAverage(module, num_frames))
            return name
    raise ValueError(
        f"found no normalisation behind the blocks of {type(network).__name__}, before which "
        "frames could be averaged: leave out average_before_norm"
    )
