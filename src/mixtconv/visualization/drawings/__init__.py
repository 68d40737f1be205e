"""What `mixtconv visualize` draws: from model files and videos to a picture with its numbers."""

from mixtconv.visualization.drawings.activation import draw_activation
from mixtconv.visualization.drawings.confusion import draw_confusion
from mixtconv.visualization.drawings.kernels import draw_kernels
from mixtconv.visualization.drawings.predictions import draw_predictions
from mixtconv.visualization.drawings.tsne import draw_tsne

__all__ = [
    "draw_activation",
    "draw_confusion",
    "draw_kernels",
    "draw_predictions",
    "draw_tsne",
]
