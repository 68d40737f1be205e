"""The benchmark of the operation: its shapes, its candidates, its sums."""

from dataclasses import replace

import pytest
import torch

from mixtconv.benchmarks import operation
from mixtconv.benchmarks.operation import COPY, REUSED, bench_operation, site_shapes
from mixtconv.benchmarks.settings import Workload
from mixtconv.benchmarks.timing import Timing

TINY = Workload(backbone="test_resnet", num_frames=3, image_size=32, batch_size=2, device="cpu")


def test_the_shapes_are_those_of_the_networks_residual_branches():
    # ResNet-50 in its paper's table (arXiv 1512.03385): stages of 3, 4, 6 and 3 bottlenecks; the
    # first block of a stage sees what the stage before gives.
    expected = {
        (64, 56): 1,
        (256, 56): 2 + 1,
        (512, 28): 3 + 1,
        (1024, 14): 5 + 1,
        (2048, 7): 2,
    }
    shapes = site_shapes("resnet50", image_size=224)
    assert {(shape.channels, shape.height): shape.count for shape in shapes} == expected
    assert all(shape.height == shape.width for shape in shapes)


def test_a_backbone_without_residual_branches_is_refused():
    with pytest.raises(ValueError, match="no residual branch in mobilenetv1_100"):
        site_shapes("mobilenetv1_100", image_size=32)


def test_a_total_counts_every_shape_as_often_as_the_network_has_it():
    counts = [shape.count for shape in site_shapes("test_resnet", image_size=32)]
    speed = bench_operation(replace(TINY, rounds=2))
    assert len(speed.times) == 4
    for number, total in enumerate(speed.times):
        parts = speed.details[number * len(counts) : (number + 1) * len(counts)]
        layout_and_direction = total.title.split(", ")[:2]
        for part in parts:
            assert part.title.split(", ")[:2] == layout_and_direction
        for timing in total.timings:
            for index, seconds in enumerate(timing.seconds):
                of_parts = [part.timing(timing.name).seconds[index] for part in parts]
                assert seconds == pytest.approx(
                    sum(count * part for count, part in zip(counts, of_parts, strict=True))
                )


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_candidates_of_one_operation_compute_the_same(monkeypatch, precision):
    results = []

    def run_all(candidates, *, rounds, device, before_each):
        before_each()
        results.append({name: candidate() for name, candidate in candidates.items()})
        return [Timing(name, (1.0,)) for name in candidates]

    monkeypatch.setattr(operation, "interleave", run_all)
    bench_operation(replace(TINY, precision=precision, rounds=1))
    tolerance = {"32": 1e-4, "bf16": 5e-2}[precision]
    formats = set()
    if precision == "bf16":
        # The gradient of depthwise Conv3d's weights is wrong in torch (2.14, CPU, channels-last,
        # kernel sizes 5 and 7), so that there is nothing to compare backward passes with.
        results = [computed for computed in results if REUSED in computed]
    for computed in results:
        for family in ("MixTConv", "TSM"):
            first = computed[family]
            others = [result for name, result in computed.items() if name.startswith(family)]
            assert len(others) == {"MixTConv": 4 + (REUSED in computed), "TSM": 2}[family]
            for other in others:
                for own, theirs in zip(_flat(first), _flat(other), strict=True):
                    torch.testing.assert_close(theirs, own, rtol=tolerance, atol=20 * tolerance)
        if REUSED in computed:
            assert not any(result.requires_grad for result in computed.values())
            assert computed[COPY].shape == computed[REUSED].shape
            formats.add(computed[COPY].flatten(0, 1).is_contiguous())
    assert formats == {True, False}


def _flat(result):
    tensors = result if isinstance(result, tuple) else (result,)
    return [tensor.detach().float().flatten() for tensor in tensors]
