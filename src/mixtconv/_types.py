"""Types that several layers share; neither torch nor NumPy is imported for them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

Precision = Literal["auto", "32", "bf16", "16"]
"""Numbers a network computes with: float32, mixed with bfloat16 or float16, or what fits the
device."""

ScoreKind = Literal["logits", "probabilities"]
"""What the scores of a video are, and what is averaged over its views."""

Progress: TypeAlias = Callable[[int, int], None]
"""Is called with how much is done and how much there is."""

Frame: TypeAlias = "npt.NDArray[np.uint8]"
"""One frame or several, uint8 RGB (..., H, W, 3)."""

FrameLike: TypeAlias = "npt.NDArray[np.uint8] | Tensor"
"""A frame that a user gives: uint8 RGB (H, W, 3), an array or a tensor."""

Edges = Literal["zeros", "replicate"]
"""What frames outside of a clip count as: zeros, or the clip's first and last frame."""

Position = Literal["head", "inner", "spatial", "kv"]
"""Where in a block a temporal operation stands: at the start of its residual branch, before the
first spatial convolution that follows another one, before each spatial convolution, or on keys and
values."""

AdapterPlaces = Literal["both", "attention", "mlp"]
"""The branches of a transformer's block that have an adapter before them."""
