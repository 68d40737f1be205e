"""The synthetic dataset: video clips whose classes differ in the order of their frames."""

from mixtconv.data.synthetic.classes import LevelName, SyntheticClass, classes
from mixtconv.data.synthetic.clip import SyntheticClip, Trajectory, render_clip
from mixtconv.data.synthetic.dataset import SyntheticDataset, synthesize

__all__ = [
    "LevelName",
    "SyntheticClass",
    "SyntheticClip",
    "SyntheticDataset",
    "Trajectory",
    "classes",
    "render_clip",
    "synthesize",
]
