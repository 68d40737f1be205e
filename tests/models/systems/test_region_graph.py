"""The region graph against loops, what boxes may be, and boxes from a detector."""

import numpy as np
import pytest
import torch

from mixtconv.models import create_model
from mixtconv.models.systems.region_graph import (
    GraphLayer,
    RegionGraphHead,
    detect_boxes,
    fixed_boxes,
    load_detector,
    overlap_graph,
)


def _boxes(*shape: int) -> torch.Tensor:
    corners = torch.rand(*shape, 2, 2, generator=torch.Generator().manual_seed(0)) * 32
    return torch.cat([corners.amin(dim=-2), corners.amax(dim=-2)], dim=-1)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


@pytest.mark.parametrize("step", [1, -1])
def test_edges_are_the_overlaps_with_the_neighbouring_frame(step: int) -> None:
    boxes = _boxes(2, 3, 4)
    boxes[0, 1, 2] = 0  # no node
    got = overlap_graph(boxes, step=step).numpy()
    for clip in range(2):
        nodes = [(frame, box) for frame in range(3) for box in boxes[clip, frame].numpy()]
        for i, (frame, box) in enumerate(nodes):
            row = [
                _overlap(box, other) if other_frame == frame + step else 0.0
                for other_frame, other in nodes
            ]
            total = sum(row)
            expected = [value / total if total else 0.0 for value in row]
            np.testing.assert_allclose(got[clip, i], expected, atol=1e-5)


def test_a_layer_is_what_loops_say() -> None:
    layer = GraphLayer(4)
    nodes, graphs = torch.randn(1, 5, 4), torch.rand(1, 3, 5, 5)
    weights = [each.weight.detach().numpy() for each in layer.weights]
    expected = np.zeros((5, 4))
    for i in range(5):
        total = nodes[0, i].numpy().astype(float)
        for graph, weight in zip(graphs[0].numpy(), weights, strict=True):
            for j in range(5):
                total = total + graph[i, j] * (weight @ nodes[0, j].numpy())
        normed = (total - total.mean()) / np.sqrt(total.var() + 1e-5)
        expected[i] = np.maximum(normed, 0)
    np.testing.assert_allclose(layer(nodes, graphs)[0].detach().numpy(), expected, atol=1e-4)


def _head() -> RegionGraphHead:
    torch.manual_seed(0)
    return RegionGraphHead(8, 6).eval()


def test_the_similarity_of_nodes_is_a_softmax_over_those_that_are_there() -> None:
    head = _head()
    nodes, is_node = torch.randn(1, 5, 6), torch.tensor([[True, True, False, True, True]])
    look, looked_at = (each.weight.detach().numpy() for each in (head.look, head.looked_at))
    got = head._similarity(nodes, is_node)[0].detach().numpy()
    for i in range(5):
        products = [
            (look @ nodes[0, i].numpy()) @ (looked_at @ nodes[0, j].numpy()) for j in range(5)
        ]
        values = np.exp(products) * is_node[0].numpy()
        np.testing.assert_allclose(got[i], values / values.sum(), atol=1e-5)


def test_a_region_is_pooled_from_its_place_in_its_frame() -> None:
    head = _head()
    maps = torch.zeros(1, 6, 2, 8, 8)
    maps[0, 3, 1, 1, 1] = 5.0  # around pixels 4 to 8 of the second frame of 32 pixels
    boxes = torch.tensor([[0.0, 0, 16, 16], [16, 16, 32, 32]]).expand(1, 2, -1, -1)
    nodes = head._region_features(maps, boxes, image_size=32)[0]
    assert nodes[2, 3] > 1 and nodes.abs().sum() == nodes[2, 3]


def test_boxes_have_no_order_and_empty_ones_do_not_count() -> None:
    head = _head()
    maps, boxes = torch.randn(2, 8, 3, 4, 4), _boxes(2, 3, 4)
    with torch.no_grad():
        expected = head(maps, boxes, image_size=32)
        turned = head(maps, boxes[:, :, [2, 0, 3, 1]], image_size=32)
        padded = head(maps, torch.cat([boxes, torch.zeros(2, 3, 2, 4)], dim=2), image_size=32)
        other = head(maps, boxes / 2, image_size=32)
        alone = head(maps, torch.zeros(2, 3, 1, 4), image_size=32)
    torch.testing.assert_close(turned, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(padded, expected, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(other, expected, atol=1e-3)
    assert alone.isfinite().all() and not alone[:, :6].any()


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return create_model("i3d_nl_gcn_resnet50", 3, num_frames=4, image_size=32).eval()


def test_boxes_are_an_input(model) -> None:
    clips = torch.randn(2, 4, 3, 32, 32)
    with torch.no_grad():
        given = model(clips, _boxes(2, 2, 5))
        fixed = model(clips, fixed_boxes(2, 32).expand(2, -1, -1, -1))
        assert torch.equal(model(clips), fixed)
    assert given.shape == (2, 3) and not torch.allclose(given, fixed)
    with pytest.raises(ValueError, match=r"boxes of shape \(2, 4, 5, 4\).*\(2, 2, 'R', 4\)"):
        model(clips, _boxes(2, 4, 5))


def test_boxes_from_a_detector() -> None:
    seen = []

    def detector(images):
        seen.extend(images)
        boxes = [torch.tensor([[float(i), 0, 9, 9], [0, 0, 5, 5]]) for i in range(len(images))]
        return [{"boxes": each, "scores": torch.tensor([0.2, 0.9])} for each in boxes]

    video = torch.randint(0, 256, (2, 4, 3, 16, 16), dtype=torch.uint8)
    got = detect_boxes(video, detector, max_boxes=3)
    assert got.shape == (2, 2, 3, 4)
    assert got[1, 0].tolist() == [[0, 0, 5, 5], [2, 0, 9, 9], [0, 0, 0, 0]]
    assert len(seen) == 4
    torch.testing.assert_close(seen[1], video[0, 2].float() / 255)
    assert detect_boxes(video, detector, max_boxes=1)[0, 1].tolist() == [[0, 0, 5, 5]]


def test_a_detector_without_weights_says_where_to_get_them(monkeypatch, tmp_path) -> None:
    def unreachable(*args, **kwargs):
        raise OSError("no route")

    monkeypatch.setattr("torchvision.models.detection.fasterrcnn_resnet50_fpn", unreachable)
    with pytest.raises(ValueError, match=r"detector's weights \(OSError: no connection\?\)"):
        load_detector()
