"""The synthetic dataset: video whose classes differ in the order of their frames.

- `classes.py`: the classes and the settings of both levels;
- `clip.py`: `render_clip`, one clip of a class; `dataset.py`: `synthesize`, a folder of them;
- `recording.py`: `draw_recording`, one long recording of many actions, with `timeline.py` (when
  they happen) and `resting.py` (what is not one); `long_dataset.py`: `synthesize_long`, a folder of
  them with the list of their segments;
- `folder.py`: what both folders share;
- `motions.py`, `rhythms.py`: what happens in an action, for the easy and for the hard level;
- `scene.py`, `looks.py`: how it is drawn: background, camera, shapes and colours.
"""

from mixtconv.data.synthetic.classes import LevelName, SyntheticClass, classes, recorded_classes
from mixtconv.data.synthetic.clip import SyntheticClip, Trajectory, render_clip
from mixtconv.data.synthetic.dataset import SyntheticDataset, synthesize
from mixtconv.data.synthetic.long_dataset import LongDataset, LongRecording, synthesize_long
from mixtconv.data.synthetic.recording import Recording, draw_recording
from mixtconv.data.synthetic.timeline import Action

__all__ = [
    "Action",
    "LevelName",
    "LongDataset",
    "LongRecording",
    "Recording",
    "SyntheticClass",
    "SyntheticClip",
    "SyntheticDataset",
    "Trajectory",
    "classes",
    "draw_recording",
    "recorded_classes",
    "render_clip",
    "synthesize",
    "synthesize_long",
]
