"""Normalisation of pixels, by what a network takes (`ModelSpec.modality`):

- pictures: less the mean of R, G and B, over their standard deviation, as the backbone expects;
- differences: of normalised pictures, in which the means cancel. Different here: TSN's published
  code does not scale them, though it names a deviation (twice that of pictures) for it;
- motion: pictures less the median picture of their clip, over the deviations (`motion.py`);
- flow: less the value of zero flow, over the mean of the three deviations, as in TSN's code. Zero
  flow is 0.5 as for TSN's ResNet, so that mirroring x negates it exactly, or `spec.flow_mean`:
  128 / 255 for the published weights of BN-Inception;
- both, for two streams: a picture, and five fields of flow that begin at it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from mixtconv.models.motion import subtract_median
from mixtconv.models.spec import Modality


def _normalize_picture(frames: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return (frames - mean) / std


def _normalize_differences(frames: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    pictures = frames.unflatten(-3, (-1, 3))  # (..., L, 3, H, W)
    differences = (pictures[..., 1:, :, :, :] - pictures[..., :-1, :, :, :]) / std
    return differences.flatten(-4, -3)  # (..., (L - 1) * 3, H, W)


def _normalize_flow(frames: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return (frames - mean) / std.mean()


def _normalize_both(frames: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    places = frames.unflatten(-3, (-1, 5))  # (..., L, 5, H, W): R, G, B, x, y
    pictures = _normalize_picture(places[..., 0, :3, :, :], mean[:3], std)  # the first alone
    flow = _normalize_flow(places[..., 3:, :, :].flatten(-4, -3), mean[3:], std)
    return torch.cat([pictures, flow], dim=-3)  # (..., 3 + 2 * L, H, W)


NORMALIZE: dict[Modality, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "rgb": _normalize_picture,
    "rgbdiff": _normalize_differences,
    "motion": subtract_median,
    "flow": _normalize_flow,
    "rgbflow": _normalize_both,
}
"""By modality: values (..., L * C, H, W) of L frames of C channels in 0 to 1; means (3, 1, 1) of R,
G, B, for motion median pictures, for flow the value of zero flow, for both the means and that; and
deviations (3, 1, 1) of R, G, B -> (..., in_channels, H, W)."""
