"""The synthetic dataset: video clips whose classes differ in the order of their frames.

- `classes.py`: the classes and the settings of both levels;
- `clip.py`: `render_clip`, one clip of a class; `dataset.py`: `synthesize`, a folder of them;
- `motions.py`, `rhythms.py`: what happens in a clip, for the easy and for the hard level;
- `scene.py`, `looks.py`: how it is drawn: background, camera, shapes and colours.
"""

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
