"""The temporal operations, on clips (B, T, C, H, W)."""

from mixtconv.ops.folding import fold_time, unfold_time
from mixtconv.ops.mixed import MixTConv, depthwise_temporal_conv, mixed_temporal_conv
from mixtconv.ops.ordinary import TemporalConv, temporal_conv
from mixtconv.ops.registry import OPERATIONS, create_operation, register_operation
from mixtconv.ops.shift import TemporalShift, temporal_shift

__all__ = [
    "OPERATIONS",
    "MixTConv",
    "TemporalConv",
    "TemporalShift",
    "create_operation",
    "depthwise_temporal_conv",
    "fold_time",
    "mixed_temporal_conv",
    "register_operation",
    "temporal_conv",
    "temporal_shift",
    "unfold_time",
]
