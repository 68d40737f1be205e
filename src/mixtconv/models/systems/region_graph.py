"""Regions of a clip as nodes of a graph, joined by similarity and by their course through time.

From "Videos as Space-Time Region Graphs" (STRG, arXiv 1806.01810), over the feature map of a
non-local I3D, which has one frame for two of the clip. Every box of every frame is a node, with 512
features pooled from the map. Three graphs join the nodes: by similarity, and by the overlap of
boxes with those of the next frame and of the previous one. Three layers of graph convolutions
(arXiv 1609.02907) follow, each with a residual connection, normalisation and ReLU:

    x <- relu(norm(x + similar x W_1 + next x W_2 + previous x W_3))

The average of the nodes and the average of the whole map are the clip's features.

Different here: boxes are an input. The authors' are proposals of a network of their own;
`detect_boxes` takes those of detected objects, whatever their class, from any detector with the
interface of `torchvision.models.detection`. Where none are given there are ten fixed ones per
frame: the whole frame, and nine of half its sides.
"""

from collections.abc import Callable, Sequence
from urllib.error import URLError

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torchvision.ops import box_area, box_iou, roi_align

from mixtconv.models.spec import ModelSpec
from mixtconv.models.systems.i3d import NUM_FEATURES
from mixtconv.models.systems.whole_clip import ClipClassifier
from mixtconv.ops import fold_time

WIDTH = 512
NUM_LAYERS = 3
REGION_SIDE = 7
FRAMES_PER_MAP = 2
"""Frames of the clip per frame of the feature map."""
Detector = Callable[[list[Tensor]], Sequence[dict[str, Tensor]]]

MAX_BOXES = 10
"""Boxes per frame, as in STRG."""


class RegionGraphClassifier(ClipClassifier):
    """STRG, a recognizer by regions of the clip: (B, T, C, H, W), boxes -> (B, num_classes).

    Args:
        backbone: clips to feature maps (B, 2048, T / 2, h, w).
        spec: as in `VideoClassifier`.
    """

    def __init__(self, backbone: nn.Module, spec: ModelSpec) -> None:
        super().__init__(backbone, 2 * WIDTH, spec, frames_multiple=FRAMES_PER_MAP)
        self.graph = RegionGraphHead()

    def forward(self, video: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Logits (B, num_classes) of normalised clips and their boxes.

        Args:
            video: (B, T, C, H, W).
            boxes: (B, T / 2, R, 4), R boxes in frames 0, 2, 4, ...: left, top, right, bottom in
                pixels of the clip. Boxes without area are ignored, so that frames with fewer
                than R are padded with zeros. By default `fixed_boxes`.

        Raises:
            ValueError: clips or boxes of another shape.
        """
        return self.forward_frames(video, boxes).mean(dim=1)  # (B, num_classes)

    def forward_frames(self, video: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Logits of the clip as those of a single place: (B, 1, num_classes)."""
        return self.head(self.dropout(self.forward_features(video, boxes)))

    def forward_features(self, video: Tensor, boxes: Tensor | None = None) -> Tensor:
        """The feature of the clip as that of a single place: (B, 1, 1024)."""
        self.check_length(video)
        side = video.shape[-1]
        if boxes is None:
            boxes = fixed_boxes(self.num_frames // FRAMES_PER_MAP, side).to(video.device)
            boxes = boxes.expand(len(video), -1, -1, -1)
        expected = (len(video), self.num_frames // FRAMES_PER_MAP)
        if boxes.ndim != 4 or boxes.shape[:2] != expected or boxes.shape[3] != 4:
            raise ValueError(
                f"got boxes of shape {tuple(boxes.shape)}; for these clips they are "
                f"{(*expected, 'R', 4)}: R boxes in every second frame"
            )
        features = self.graph(self.backbone(video), boxes.float(), image_size=side)
        return features[:, None]  # (B, 1, 1024)


def detect_boxes(
    video: Tensor, detector: Detector | None = None, *, max_boxes: int = MAX_BOXES
) -> Tensor:
    """The highest-scoring boxes of every second frame of clips.

    Args:
        video: clips (B, T, 3, H, W), uint8 or float of 0 to 255, R, G, B.
        detector: images (3, H, W) of 0 to 1 -> for each `boxes` (N, 4) and `scores` (N,); by
            default torchvision's Faster R-CNN of ResNet-50 (`load_detector`).
        max_boxes: R.

    Returns:
        (B, T / 2, R, 4): left, top, right, bottom in pixels, the highest score first; rows of
        zeros where a frame has fewer.

    >>> def whole_frame(images):
    ...     return [{"boxes": torch.tensor([[0, 0, 32, 32.0]]), "scores": torch.ones(1)}] * 4
    >>> detect_boxes(torch.zeros(2, 4, 3, 32, 32), whole_frame)[0, 0, :2].tolist()
    [[0.0, 0.0, 32.0, 32.0], [0.0, 0.0, 0.0, 0.0]]
    """
    if detector is None:
        detector = load_detector()
    frames = video[:, ::FRAMES_PER_MAP]  # (B, T / 2, 3, H, W)
    with torch.inference_mode():
        detections = detector([frame.float() / 255 for frame in fold_time(frames)])
    boxes = torch.zeros(len(detections), max_boxes, 4, device=video.device)
    for row, detection in zip(boxes, detections, strict=True):
        best = detection["scores"].argsort(descending=True)[:max_boxes]
        row[: len(best)] = detection["boxes"][best]
    return boxes.unflatten(0, frames.shape[:2])  # (B, T / 2, R, 4)


def load_detector() -> nn.Module:
    """torchvision's Faster R-CNN of ResNet-50 with its published weights, in evaluation mode.

    Raises:
        ValueError: the weights are neither in torch's cache nor can be downloaded.
    """
    weights = torchvision.models.detection.FasterRCNN_ResNet50_FPN_Weights.DEFAULT
    try:
        detector = torchvision.models.detection.fasterrcnn_resnet50_fpn(weights=weights)
    except (URLError, OSError) as error:
        raise ValueError(
            f"cannot fetch the detector's weights ({type(error).__name__}: no connection?): "
            f"download {weights.url} into {torch.hub.get_dir()}/checkpoints, or give a detector"
        ) from error
    return detector.eval()


def fixed_boxes(num_frames: int, image_size: int) -> Tensor:
    """Boxes that do not depend on the picture: all of it, and nine squares of half its side.

    Args:
        num_frames: frames of the feature map, F.
        image_size: side of the picture in pixels.

    Returns:
        (F, 10, 4), left, top, right, bottom in pixels.

    >>> fixed_boxes(1, 224)[0, :3].tolist()
    [[0.0, 0.0, 224.0, 224.0], [0.0, 0.0, 112.0, 112.0], [56.0, 0.0, 168.0, 112.0]]
    """
    quarter = image_size / 4
    squares = [
        [column * quarter, row * quarter, (column + 2) * quarter, (row + 2) * quarter]
        for row in range(3)
        for column in range(3)
    ]
    whole = [0.0, 0.0, float(image_size), float(image_size)]
    return torch.tensor([whole, *squares]).expand(num_frames, -1, -1)  # (F, 10, 4)


def overlap_graph(boxes: Tensor, *, step: int) -> Tensor:
    """Edges from each box to those of the frame `step` later, by how much they overlap.

    Args:
        boxes: (B, F, R, 4); boxes without area are not nodes.
        step: 1 for the next frame, -1 for the previous one.

    Returns:
        (B, F * R, F * R): intersection over union, divided by the sum of the row where it has one.

    >>> overlap_graph(torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 2, 1, 4), step=1)[0]
    tensor([[0., 1.],
            [0., 0.]])
    """
    num_frames, R = boxes.shape[1:3]
    overlaps = torch.stack([box_iou(nodes, nodes) for nodes in boxes.flatten(1, 2)])  # (B, N, N)
    frame = torch.arange(num_frames, device=boxes.device).repeat_interleave(R)  # (N,)
    is_edge = frame[None, :] - frame[:, None] == step
    weight = torch.where(is_edge, overlaps.nan_to_num(0.0), 0.0)  # NaN between boxes without area
    return weight / weight.sum(dim=2, keepdim=True).clamp(min=1e-9)


class RegionGraphHead(nn.Module):
    """A feature map and boxes to the feature of a clip: (B, 2048, F, h, w) -> (B, 1024).

    Args:
        channels: of the feature map.
        width: of a node.

    >>> boxes = fixed_boxes(2, 32).expand(1, -1, -1, -1)
    >>> RegionGraphHead()(torch.zeros(1, 2048, 2, 2, 2), boxes, image_size=32).shape
    torch.Size([1, 1024])
    """

    def __init__(self, channels: int = NUM_FEATURES, width: int = WIDTH) -> None:
        super().__init__()
        self.reduce = nn.Conv3d(channels, width, 1, bias=False)
        self.look = nn.Linear(width, width, bias=False)
        self.looked_at = nn.Linear(width, width, bias=False)
        self.layers = nn.ModuleList(GraphLayer(width) for _ in range(NUM_LAYERS))

    def forward(self, maps: Tensor, boxes: Tensor, *, image_size: int) -> Tensor:
        maps = self.reduce(maps)  # (B, D, F, h, w)
        is_node = (box_area(boxes.flatten(0, 2)) > 0).view(len(boxes), -1)  # (B, N)
        nodes = self._region_features(maps, boxes, image_size)  # (B, N, D)
        graphs = torch.stack(
            [
                self._similarity(nodes, is_node),
                overlap_graph(boxes, step=1).to(nodes.dtype),
                overlap_graph(boxes, step=-1).to(nodes.dtype),
            ],
            dim=1,
        )  # (B, 3, N, N)
        for layer in self.layers:
            nodes = layer(nodes, graphs)
        present = is_node[..., None].to(nodes.dtype)  # (B, N, 1)
        of_regions = (nodes * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)  # (B, D)
        return torch.cat([of_regions, maps.flatten(2).mean(dim=2)], dim=1)  # (B, 2 * D)

    def _region_features(self, maps: Tensor, boxes: Tensor, image_size: int) -> Tensor:
        frames = fold_time(maps.transpose(1, 2))  # (B * F, D, h, w)
        numbers = torch.arange(len(frames), device=boxes.device).repeat_interleave(boxes.shape[2])
        rows = torch.cat([numbers[:, None].to(boxes.dtype), boxes.flatten(0, 2)], dim=1)
        regions = roi_align(
            frames,
            rows.to(frames.dtype),
            REGION_SIDE,
            spatial_scale=frames.shape[-1] / image_size,
            sampling_ratio=2,
            aligned=True,
        )  # (B * N, D, 7, 7)
        return regions.flatten(2).amax(dim=2).unflatten(0, (len(boxes), -1))  # (B, N, D)

    def _similarity(self, nodes: Tensor, is_node: Tensor) -> Tensor:
        products = self.look(nodes) @ self.looked_at(nodes).transpose(1, 2)  # (B, N, N)
        lowest = torch.finfo(products.dtype).min
        return products.masked_fill(~is_node[:, None], lowest).softmax(dim=2)


class GraphLayer(nn.Module):
    """One layer of convolutions over three graphs: (B, N, D), (B, 3, N, N) -> (B, N, D)."""

    def __init__(self, width: int, num_graphs: int = 3) -> None:
        super().__init__()
        self.weights = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(num_graphs))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)

    def forward(self, nodes: Tensor, graphs: Tensor) -> Tensor:
        gathered = [
            weight(graph @ nodes)
            for weight, graph in zip(self.weights, graphs.unbind(dim=1), strict=True)
        ]
        return F.relu(self.norm(nodes + torch.stack(gathered).sum(dim=0)))
