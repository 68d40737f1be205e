"""Folding time into the batch and back: the only place where a 2D network meets a clip.

Shape letters everywhere in this package: B batch, T frames, C channels, H height, W width, K kernel
size. A 2D backbone sees (B * T, C, H, W); a temporal operation sees (B, T, C, H, W).
"""

from torch import Tensor


def fold_time(x: Tensor) -> Tensor:
    """Turn a batch of clips into a batch of frames: (B, T, ...) -> (B * T, ...).

    A view wherever the strides permit, also in channels-last memory format.

    >>> import torch
    >>> fold_time(torch.zeros(2, 8, 3, 4, 4)).shape
    torch.Size([16, 3, 4, 4])
    """
    return x.flatten(0, 1)  # (B * T, ...)


def unfold_time(x: Tensor, num_frames: int) -> Tensor:
    """The inverse of `fold_time`: (B * T, ...) -> (B, T, ...), always a view.

    Raises:
        ValueError: the batch is not a whole number of clips of `num_frames` frames.

    >>> import torch
    >>> unfold_time(torch.zeros(16, 3, 4, 4), num_frames=8).shape
    torch.Size([2, 8, 3, 4, 4])
    """
    if x.shape[0] % num_frames:
        raise ValueError(
            f"a batch of {x.shape[0]} frames is not a whole number of clips of {num_frames}: "
            f"give {num_frames} frames a clip, or change the length with set_num_frames"
        )
    return x.unflatten(0, (-1, num_frames))  # (B, T, ...)


def check_clip(x: Tensor) -> None:
    """Raise ValueError unless `x` has the five axes of a batch of clips, (B, T, C, H, W)."""
    if x.ndim != 5:
        raise ValueError(f"got a tensor of shape {tuple(x.shape)}; clips are (B, T, C, H, W)")
