"""The temporal operations, on clips (B, T, C, H, W).

`mixed`, `ordinary` and `shift` are the operations, each a function and a layer; `registry` names
them, `taps` has their offsets, groups and initial values, `folding` moves time in and out of the
batch. `mean_removal` takes away what stands still. All depthwise ones are the operator of `filter`,
which is computed by `plain_filter` (the reference), `cpu_filter` (C in `native/`, loaded by
`native_library`) or `triton_filter` (with `triton_kernel` and `triton_tiling`). `stream_filter` is
the same frame by frame, with the past in `stream_state` and the C loop in `cpu_stream_filter`.
"""

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
