"""Operations of MIL, the language of Core ML's programs, in PyTorch.

Each is written from the definition that coremltools documents
(https://apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html); those of
them are here that our networks and the backbones that were tried have.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Arguments = dict[str, Any]
"""Of an operation by name: tensors, and constants as numbers, words and lists."""


def _list(values: Any) -> list[int]:
    return [int(value) for value in np.asarray(values).ravel()]


def _padding(given: Arguments, sizes: list[int], x: Tensor) -> list[int]:
    """Rows before and after each axis in space, in the order of `F.pad` (the last axis first)."""
    axes, kind = len(sizes), given["pad_type"]
    steps = _list(given["strides"]) if "strides" in given else axes * [1]
    spread = _list(given["dilations"]) if "dilations" in given else axes * [1]
    if kind == "valid":
        pairs = axes * [(0, 0)]
    elif kind == "custom":
        pad = _list(given["pad"])
        pairs = list(zip(pad[::2], pad[1::2], strict=True))
    else:  # same: as many results as steps, the odd row at the end, or at the start
        pairs = []
        for length, size, step, dilation in zip(x.shape[2:], sizes, steps, spread, strict=True):
            missing = max(0, (-(-length // step) - 1) * step + (size - 1) * dilation + 1 - length)
            pair = (missing // 2, missing - missing // 2)
            pairs.append(pair if kind == "same" else pair[::-1])
    return [rows for pair in reversed(pairs) for rows in pair]


def _conv(given: Arguments) -> Tensor:
    x, weight = given["x"], torch.as_tensor(given["weight"])
    axes = weight.ndim - 2
    convolve = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
    return convolve(
        F.pad(x, _padding(given, list(weight.shape[2:]), x)),
        weight,
        None if given.get("bias") is None else torch.as_tensor(given["bias"]),
        stride=_list(given.get("strides", axes * [1])),
        dilation=_list(given.get("dilations", axes * [1])),
        groups=int(given.get("groups", 1)),
    )


def _pool(given: Arguments, kind: str) -> Tensor:
    """Windows of maxima or means, as an unfolding of every axis in space."""
    x, sizes = given["x"], _list(given["kernel_sizes"])
    steps = _list(given["strides"]) if "strides" in given else len(sizes) * [1]
    padding = _padding(given, sizes, x)
    if given.get("ceil_mode", False):  # rows after the end for a window that begins before it
        for axis, (size, step) in enumerate(zip(sizes, steps, strict=True)):
            place = 2 * (len(sizes) - 1 - axis)
            before, after = padding[place : place + 2]
            length = x.shape[2 + axis] + before + after
            count = -(-(length - size) // step) + 1
            if (count - 1) * step >= x.shape[2 + axis] + before:
                count -= 1
            padding[place + 1] += max(0, (count - 1) * step + size - length)

    def windows(values: Tensor, fill: float) -> Tensor:
        values = F.pad(values, padding, value=fill)
        for axis, (size, step) in enumerate(zip(sizes, steps, strict=True)):
            values = values.unfold(2 + axis, size, step)
        return values.flatten(2 + len(sizes))

    if kind == "max":
        return windows(x, float("-inf")).amax(-1)
    total = windows(x, 0.0)
    if not given.get("exclude_padding_from_average", False):
        return total.mean(-1)
    return total.sum(-1) / windows(torch.ones_like(x), 0.0).sum(-1)


def _slice(given: Arguments) -> Tensor:
    x, begin, end = given["x"], _list(given["begin"]), _list(given["end"])
    masks = {
        name: np.asarray(given.get(f"{name}_mask", x.ndim * [False])).ravel()
        for name in ("begin", "end", "squeeze")
    }
    steps = _list(given.get("stride", x.ndim * [1]))
    places: list[Any] = [
        begin[axis]
        if masks["squeeze"][axis]
        else slice(
            None if masks["begin"][axis] else begin[axis],
            None if masks["end"][axis] else end[axis],
            steps[axis],
        )
        for axis in range(x.ndim)
    ]
    return x[tuple(places)]


def _split(given: Arguments) -> tuple[Tensor, ...]:
    x, axis = given["x"], int(given["axis"])
    if given.get("split_sizes") is not None:
        return tuple(x.split(_list(given["split_sizes"]), dim=axis))
    return tuple(x.tensor_split(int(given["num_splits"]), dim=axis))


def _gather(given: Arguments) -> Tensor:
    x, axis = torch.as_tensor(given["x"]), int(given.get("axis", 0))
    if int(given.get("batch_dims", 0)):
        raise ValueError("it has batch_dims")
    indices = torch.as_tensor(given["indices"]).long()
    flat = x.index_select(axis, indices.reshape(-1) % x.shape[axis])
    axis %= x.ndim
    return flat.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def _gelu(given: Arguments) -> Tensor:
    x, mode = given["x"], given.get("mode", "EXACT")
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    return F.gelu(x, approximate="none" if mode == "EXACT" else "tanh")


def _layer_norm(given: Arguments) -> Tensor:
    x, axes = given["x"], _list(given.get("axes", range(1, given["x"].ndim)))
    centered = x - x.mean(axes, keepdim=True)
    normal = centered * torch.rsqrt((centered**2).mean(axes, keepdim=True) + given["epsilon"])
    shape = [x.shape[axis] for axis in sorted(axis % x.ndim for axis in axes)]
    gamma, beta = (
        1 if given.get(name) is None else torch.as_tensor(given[name]).reshape(shape)
        for name in ("gamma", "beta")
    )
    return normal * gamma + (0 if given.get("beta") is None else beta)


def _batch_norm(given: Arguments) -> Tensor:
    x = given["x"]
    shape = (1, -1, *(x.ndim - 2) * [1])
    mean, variance = (given[name].reshape(shape) for name in ("mean", "variance"))
    normal = (x - mean) * torch.rsqrt(variance + given["epsilon"])
    if given.get("gamma") is None:
        return normal
    return normal * given["gamma"].reshape(shape) + given["beta"].reshape(shape)


def _attention(given: Arguments) -> Tensor:
    query, key, value = given["query"], given["key"], given["value"]
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    mask = given.get("attn_mask")
    if mask is not None:
        mask = torch.as_tensor(mask)
        scores = (
            scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
        )
    return scores.softmax(-1) @ value


def _matmul(given: Arguments) -> Tensor:
    x, y = (
        torch.as_tensor(given[name]).transpose(-1, -2)
        if given.get(f"transpose_{name}", False)
        else torch.as_tensor(given[name])
        for name in ("x", "y")
    )
    return x @ y


def _linear(given: Arguments) -> Tensor:
    bias = given.get("bias")
    return given["x"] @ given["weight"].T + (0 if bias is None else bias)


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Arguments], Tensor]:
    return lambda given: function(torch.as_tensor(given["x"]), torch.as_tensor(given["y"]))


def _pad(given: Arguments) -> Tensor:
    x, pad = given["x"], _list(given["pad"])
    order = [rows for pair in zip(pad[-2::-2], pad[::-2], strict=True) for rows in pair]
    mode = given.get("mode", "constant")
    if mode == "constant":
        return F.pad(x, order, value=float(given.get("constant_val", 0)))
    while len(order) > 2 and order[-2:] == [0, 0]:  # F.pad takes the axes in space alone
        order = order[:-2]
    return F.pad(x, order, mode=mode)


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[[Arguments], Tensor]:
    return lambda given: function(given["x"])


def _reduction(function: Callable[..., Tensor]) -> Callable[[Arguments], Tensor]:
    def reduce(given: Arguments) -> Tensor:
        axes = given.get("axes")
        axes = range(given["x"].ndim) if axes is None else _list(axes)
        return function(given["x"], tuple(axes), keepdim=bool(given.get("keep_dims", False)))

    return reduce


OPERATIONS: dict[str, Callable[[Arguments], Any]] = {
    "abs": _unary(torch.abs),
    "add": _binary(torch.add),
    "avg_pool": lambda given: _pool(given, "mean"),
    "batch_norm": _batch_norm,
    "cast": lambda given: given["x"],  # the type is that of the result
    "clip": lambda given: given["x"].clamp(float(given["alpha"]), float(given["beta"])),
    "concat": lambda given: torch.cat(
        [torch.as_tensor(value) for value in given["values"]], dim=int(given["axis"])
    ),
    "conv": _conv,
    "equal": _binary(torch.eq),
    "erf": _unary(torch.erf),
    "exp": _unary(torch.exp),
    "expand_dims": lambda given: _expanded(given["x"], _list(given["axes"])),
    "fill_like": lambda given: torch.full(given["ref_tensor"].shape, given["value"]),
    "floor": _unary(torch.floor),
    "gather": _gather,
    "gelu": _gelu,
    "greater": _binary(torch.gt),
    "greater_equal": _binary(torch.ge),
    "identity": lambda given: given["x"],
    "layer_norm": _layer_norm,
    "leaky_relu": lambda given: F.leaky_relu(given["x"], float(given["alpha"])),
    "less": _binary(torch.lt),
    "less_equal": _binary(torch.le),
    "linear": _linear,
    "log": lambda given: torch.log(given["x"] + given.get("epsilon", 1e-45)),
    "matmul": _matmul,
    "max_pool": lambda given: _pool(given, "max"),
    "maximum": _binary(torch.maximum),
    "minimum": _binary(torch.minimum),
    "mul": _binary(torch.mul),
    "pad": _pad,
    "pow": _binary(torch.pow),
    "real_div": _binary(torch.div),
    "reduce_max": _reduction(torch.amax),
    "reduce_mean": _reduction(torch.mean),
    "reduce_sum": _reduction(torch.sum),
    "relu": _unary(torch.relu),
    "relu6": lambda given: given["x"].clamp(0, 6),
    "reshape": lambda given: given["x"].reshape(_list(given["shape"])),
    "rsqrt": lambda given: torch.rsqrt(given["x"] + given.get("epsilon", 1e-12)),
    "scaled_dot_product_attention": _attention,
    "select": lambda given: torch.where(
        *(torch.as_tensor(given[name]) for name in ("cond", "a", "b"))
    ),
    "sigmoid": _unary(torch.sigmoid),
    "sigmoid_hard": lambda given: (given["alpha"] * given["x"] + given["beta"]).clamp(0, 1),
    "silu": _unary(F.silu),
    "slice_by_index": _slice,
    "softmax": lambda given: given["x"].softmax(int(given.get("axis", -1))),
    "split": _split,
    "sqrt": _unary(torch.sqrt),
    "square": _unary(torch.square),
    "squeeze": lambda given: given["x"].squeeze(
        tuple(range(given["x"].ndim)) if given.get("axes") is None else tuple(_list(given["axes"]))
    ),
    "stack": lambda given: torch.stack(given["values"], dim=int(given["axis"])),
    "sub": _binary(torch.sub),
    "tanh": _unary(torch.tanh),
    "thresholded_relu": lambda given: torch.where(given["x"] >= given["alpha"], given["x"], 0.0),
    "tile": lambda given: given["x"].tile(_list(given["reps"])),
    "transpose": lambda given: given["x"].permute(_list(given["perm"])),
}
"""Operations of MIL by name, each from its arguments to its result, or several."""


def _expanded(x: Tensor, axes: list[int]) -> Tensor:
    """Axes of size 1, at places in the result."""
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x
