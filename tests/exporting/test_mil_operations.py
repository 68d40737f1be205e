"""Operations of Core ML's programs, against plain loops and what coremltools itself computes."""

from itertools import product

import numpy as np
import pytest
import torch

from mixtconv.exporting.mil_operations import OPERATIONS


def _windows(x: np.ndarray, sizes, strides, pads, fill: float, *, partial: bool):
    """The windows of the last two axes of (B, C, H, W), by where they begin, as plain loops."""
    (top, bottom, left, right), (H, W) = pads, x.shape[2:]
    padded = np.full((*x.shape[:2], H + top + bottom, W + left + right), fill)
    padded[:, :, top : top + H, left : left + W] = x
    counts = []
    for axis in range(2):
        length = padded.shape[2 + axis] - sizes[axis]
        count = length // strides[axis] + 1
        if partial and length % strides[axis]:
            begins_at = count * strides[axis]
            count += begins_at < (H + top, W + left)[axis]
        counts.append(count)
    for row, column in product(*map(range, counts)):
        y, z = row * strides[0], column * strides[1]
        yield (row, column), padded[:, :, y : y + sizes[0], z : z + sizes[1]]


def test_a_convolution_is_as_core_ml_defines_it() -> None:
    random = np.random.default_rng(0)
    x, weight = random.normal(size=(2, 4, 7, 6)), random.normal(size=(6, 2, 3, 2))
    given = {"x": torch.from_numpy(x), "weight": torch.from_numpy(weight), "groups": 2}
    given |= {"strides": [2, 1], "dilations": [1, 2], "pad_type": "custom", "pad": [2, 1, 0, 3]}
    got = OPERATIONS["conv"](given).numpy()
    for (row, column), window in _windows(x, (3, 3), (2, 1), (2, 1, 0, 3), 0.0, partial=False):
        for channel in range(6):
            inputs = window[:, channel // 3 * 2 : channel // 3 * 2 + 2, :, ::2]
            expected = (inputs * weight[channel]).sum((1, 2, 3))
            np.testing.assert_allclose(got[:, channel, row, column], expected)
    assert got.shape == (2, 6, 4, 7)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("length", [5, 6, 7])
@pytest.mark.parametrize(("sizes", "strides"), [((3, 2), (2, 2)), ((2, 2), (3, 2))])
def test_poolings_are_as_core_ml_defines_them(
    ceil_mode: bool, length: int, sizes: tuple[int, int], strides: tuple[int, int]
) -> None:
    x = np.random.default_rng(0).normal(size=(1, 2, length, 6))
    given = {"x": torch.from_numpy(x), "kernel_sizes": sizes, "strides": strides}
    given |= {"pad_type": "custom", "pad": [1, 1, 0, 0], "ceil_mode": ceil_mode}
    highest = OPERATIONS["max_pool"](given).numpy()
    mean = OPERATIONS["avg_pool"](given | {"exclude_padding_from_average": True}).numpy()
    places = []
    for place, window in _windows(x, sizes, strides, (1, 1, 0, 0), np.nan, partial=ceil_mode):
        np.testing.assert_allclose(highest[(..., *place)], np.nanmax(window, axis=(2, 3)))
        np.testing.assert_allclose(mean[(..., *place)], np.nanmean(window, axis=(2, 3)))
        places.append(place)
    assert highest.shape[2:] == mean.shape[2:] == tuple(np.add(places[-1], 1))
    expected = torch.nn.functional.max_pool2d(
        given["x"], sizes, strides, padding=(1, 0), ceil_mode=ceil_mode
    )
    np.testing.assert_array_equal(highest, expected)


def test_same_padding_is_as_core_ml_defines_it() -> None:
    x = torch.arange(12.0).reshape(1, 1, 2, 6)
    given = {"x": x, "weight": torch.ones(1, 1, 1, 3), "strides": [1, 2]}
    after = OPERATIONS["conv"](given | {"pad_type": "same"})
    assert after.tolist() == [[[[3, 9, 9], [21, 27, 21]]]]
    before = OPERATIONS["conv"](given | {"pad_type": "same_lower"})
    assert before.tolist() == [[[[1, 6, 12], [13, 24, 30]]]]


def _values(name: str, arguments: dict):
    """What coremltools itself computes of constants, for operations that it can."""
    pytest.importorskip("coremltools", reason="pip install coremltools")
    from coremltools.converters.mil import Builder

    made = []

    @Builder.program(input_specs=[])
    def program():
        result = getattr(Builder, name)(**arguments)
        made.append(result)
        return result[0] if isinstance(result, tuple | list) else result

    [result] = made
    return [each.val for each in result] if isinstance(result, tuple | list) else [result.val]


X = np.random.default_rng(1).normal(size=(2, 3, 4)).astype(np.float32)
CASES = [
    ("add", {"x": X, "y": X[:1]}),
    ("clip", {"x": X, "alpha": np.float32(-0.5), "beta": np.float32(0.25)}),
    ("concat", {"values": [X, X], "axis": 1, "interleave": False}),
    ("erf", {"x": X}),
    ("expand_dims", {"x": X, "axes": [0, 2, -1]}),
    ("floor", {"x": X}),
    ("gather", {"x": X, "indices": np.int32([2, 0, -1]), "axis": 1}),
    ("maximum", {"x": X, "y": -X}),
    ("pad", {"x": X, "pad": [1, 0, 2, 1], "mode": "constant", "constant_val": np.float32(0.5)}),
    ("pad", {"x": X, "pad": [0, 0, 1, 2], "mode": "reflect"}),
    ("real_div", {"x": X, "y": X[0]}),
    ("reduce_max", {"x": X, "axes": [1], "keep_dims": True}),
    ("reduce_mean", {"x": X, "axes": [0, -1], "keep_dims": False}),
    ("reduce_sum", {"x": X, "axes": [2], "keep_dims": False}),
    ("relu", {"x": X}),
    ("reshape", {"x": X, "shape": [4, -1]}),
    ("rsqrt", {"x": abs(X), "epsilon": np.float32(0.5)}),
    ("select", {"cond": X > 0, "a": X, "b": 2 * X}),
    ("sigmoid", {"x": X}),
    (
        "slice_by_index",
        {
            "x": X,
            "begin": [1, 0, 0],
            "end": [2, 2, 3],
            "stride": [1, 1, 2],
            "begin_mask": [False, True, False],
            "end_mask": [False, False, True],
            "squeeze_mask": [True, False, False],
        },
    ),
    ("softmax", {"x": X, "axis": 1}),
    ("split", {"x": X, "split_sizes": [1, 2], "axis": 1}),
    ("squeeze", {"x": X[:, :1], "axes": [1]}),
    ("stack", {"values": [X, -X], "axis": 1}),
    ("tile", {"x": X, "reps": [1, 2, 3]}),
    ("transpose", {"x": X, "perm": [2, 0, 1]}),
]


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=[name for name, _ in CASES])
def test_operations_are_computed_as_coremltools_does(name: str, arguments: dict) -> None:
    def ours(value: object) -> object:
        is_array = isinstance(value, np.ndarray) and value.dtype.kind in "fb" and value.ndim
        return torch.from_numpy(np.array(value)) if is_array else value

    given = {
        key: [ours(each) for each in value] if key == "values" else ours(value)
        for key, value in arguments.items()
    }
    got = OPERATIONS[name](given)
    expected = _values(name, arguments)
    for mine, theirs in zip(got if isinstance(got, tuple) else [got], expected, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs, rtol=1e-6, atol=1e-6)


def test_normalisations_and_attention_are_as_core_ml_defines_them() -> None:
    x, epsilon = X.astype(np.float64), 0.1
    gamma, beta = np.arange(1.0, 5), np.arange(4.0)
    given = {"x": torch.from_numpy(x), "axes": [-1], "epsilon": epsilon}
    got = OPERATIONS["layer_norm"](
        given | {"gamma": torch.from_numpy(gamma), "beta": torch.from_numpy(beta)}
    )
    spread = np.sqrt(x.var(-1, keepdims=True) + epsilon)
    np.testing.assert_allclose(got, (x - x.mean(-1, keepdims=True)) / spread * gamma + beta)

    mean, variance = np.array([1.0, 2, 3]), np.array([0.5, 1, 2])
    of_maps = {"mean": torch.from_numpy(mean), "variance": torch.from_numpy(variance)}
    got = OPERATIONS["batch_norm"]({"x": given["x"], "epsilon": epsilon, **of_maps})
    expected = (x - mean[:, None]) / np.sqrt(variance[:, None] + epsilon)
    np.testing.assert_allclose(got, expected)

    seen = np.array([[True, False, True], [False, True, True], [True, True, True]])
    scores = np.where(seen, x @ x.transpose(0, 2, 1) / 2, -np.inf)
    shares = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    queries = dict.fromkeys(("query", "key", "value"), given["x"])
    got = OPERATIONS["scaled_dot_product_attention"](queries | {"attn_mask": seen})
    np.testing.assert_allclose(got, shares @ x)
