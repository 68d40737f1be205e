"""Boxes for the region graph, from a detector of torchvision.

The detector is any model of `torchvision.models.detection` in evaluation mode, or one that answers
as they do: a list of images (3, H, W) of 0 to 1 to a list of dictionaries with `boxes` (N, 4) and
`scores` (N,). Different from STRG (arXiv 1806.01810), which takes the proposals of a network of its
own: boxes are those of detected objects, whatever their class.
"""

from collections.abc import Callable, Sequence
from urllib.error import URLError

import torch
import torchvision
from torch import Tensor, nn

from mixtconv.models.region_graph import FRAMES_PER_MAP
from mixtconv.ops import fold_time

Detector = Callable[[list[Tensor]], Sequence[dict[str, Tensor]]]

MAX_BOXES = 10
"""Boxes of a frame, as STRG takes."""


def detect_boxes(
    video: Tensor, detector: Detector | None = None, *, max_boxes: int = MAX_BOXES
) -> Tensor:
    """The surest boxes in every second frame of clips.

    Args:
        video: clips (B, T, 3, H, W) as they are read, uint8 or 0 to 255, R, G, B.
        detector: by default torchvision's Faster R-CNN of ResNet-50 (`load_detector`).
        max_boxes: R.

    Returns:
        (B, T / 2, R, 4): left, top, right, bottom in pixels, the surest first; rows of zeros where
        a frame has fewer.

    >>> def whole_frame(images):
    ...     return [{"boxes": torch.tensor([[0, 0, 32, 32.0]]), "scores": torch.ones(1)}] * 4
    >>> detect_boxes(torch.zeros(2, 4, 3, 32, 32), whole_frame)[0, 0, :2].tolist()
    [[0.0, 0.0, 32.0, 32.0], [0.0, 0.0, 0.0, 0.0]]
    """
    if detector is None:
        detector = load_detector()
    frames = video[:, ::FRAMES_PER_MAP]  # (B, T / 2, 3, H, W)
    with torch.inference_mode():
        found = detector([frame.float() / 255 for frame in fold_time(frames)])
    boxes = torch.zeros(len(found), max_boxes, 4, device=video.device)
    for row, detection in zip(boxes, found, strict=True):
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
