"""Class activation over the frames of videos, as strips and as an animation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mixtconv._names import unknown_name
from mixtconv._types import Progress
from mixtconv.data.modality import probe_for
from mixtconv.data.protocol import Protocol
from mixtconv.data.views import TensorViewReader
from mixtconv.models import VideoClassifier, load_model
from mixtconv.models.device import resolve_device
from mixtconv.video.pictures import Unreadable, UnreadableVideoError
from mixtconv.visualization.activation import class_activation, overlay
from mixtconv.visualization.drawing import Animation, Drawing
from mixtconv.visualization.frame_sheet import FrameRow, frame_sheet, shown_frames
from mixtconv.visualization.number_text import percent

ANIMATION_HEIGHT = 256
"""Frames of an animation are enlarged to at least this height."""
FRAMES_PER_SECOND = 4.0
"""Of the animation of a video of unknown duration."""


@dataclass(frozen=True)
class _Activation:
    """One video and where a class was found in it: N frames in order of time, from all clips."""

    frames: NDArray[np.uint8]
    """(N, H, W, 3)."""
    maps: NDArray[np.float32]
    """(N, h, w), 0 or more."""
    indices: tuple[int, ...]
    """Numbers of the frames in the video."""
    label: int
    """The class."""
    score: float
    """Its probability."""
    layer: str
    """Whose feature map was used."""

    @property
    def overlaid(self) -> NDArray[np.uint8]:
        """The frames under their maps: (N, H, W, 3)."""
        return overlay(self.frames, self.maps, strongest=float(self.maps.max()))

    @property
    def shares(self) -> list[float]:
        """Share of each frame in the whole activation, 0 to 1."""
        of_frames = self.maps.sum(axis=(1, 2), dtype=np.float64)
        return (of_frames / (of_frames.sum() or 1)).tolist()


def draw_activation(
    model: str | Path,
    videos: Sequence[Path],
    *,
    label: str | None = None,
    num_clips: int = 1,
    device: str = "auto",
    progress: Progress | None = None,
) -> Drawing:
    """Draw where in their frames a model finds a class.

    Args:
        model: a model file.
        videos: files, or folders of pictures.
        label: the class; by default of each video the one that the model predicts.
        num_clips: clips of each video; several show more of its frames.
        device: where the model runs.
        progress: called with the videos done and all of them.

    Raises:
        ValueError: a model or class that cannot be used, or none of the videos can be read.
    """
    recognizer = load_model(model, device=resolve_device(device))
    classes = recognizer.spec.classes
    if label is not None and label not in classes:
        raise unknown_name("class", label, classes)
    wanted = None if label is None else classes.index(label)
    protocol = Protocol(num_clips)
    found: list[tuple[Path, _Activation]] = []
    unreadable = []
    for number, path in enumerate(videos):
        try:
            found.append((path, _find(recognizer, path, wanted, protocol)))
        except UnreadableVideoError as error:
            unreadable.append(Unreadable(path, error.reason_in(path)))
        if progress is not None:
            progress(number + 1, len(videos))
    if not found:
        first = unreadable[0]
        raise ValueError(f"none of the videos can be read: {first}")
    rows = [row for path, item in found for row in _rows(path, item, classes)]
    return Drawing(
        title=f"Class activation of {recognizer.spec.name}",
        description=(
            "Frames of a clip in order of time, and below them how much each place of each frame "
            "contributes to the class: purple is little, yellow the most of all frames."
        ),
        figure=frame_sheet(rows),
        numbers={
            "model": str(model),
            "layer": found[0][1].layer,
            "videos": [
                {
                    "path": str(path),
                    "label": classes[item.label],
                    "score": item.score,
                    "frames": list(item.indices),
                    "share_of_frames": item.shares,
                }
                for path, item in found
            ],
        },
        columns=("video", "class", "score", "layer", "share of each frame %"),
        rows=tuple(
            (
                str(path),
                classes[item.label],
                f"{item.score:.3f}",
                item.layer,
                " ".join(f"{100 * share:.0f}" for share in item.shares),
            )
            for path, item in found
        ),
        notes=_notes(found, classes),
        animation=_animation(*found[0], recognizer) if len(videos) == 1 else None,
        unreadable=tuple(unreadable),
    )


def _find(model: VideoClassifier, path: Path, label: int | None, protocol: Protocol) -> _Activation:
    views = TensorViewReader(model.spec, protocol).read(path)
    clips = model.normalize(views.frames)  # (V, T, C, S, S)
    if label is None:
        with torch.inference_mode():
            label = int(model(clips).mean(dim=0).argmax())  # one class for all clips
    found = [class_activation(model, clip, label=label) for clip in clips]
    frames = np.concatenate([shown_frames(view, model.spec) for view in views.frames.numpy()])
    maps = torch.cat([item.maps for item in found]).cpu().numpy()  # (V * T, h, w)
    order = np.argsort(views.indices, kind="stable")
    several = model.spec.several_labels
    logits = torch.stack([item.logits for item in found]).mean(dim=0)  # (K,)
    return _Activation(
        frames=frames[order],
        maps=maps[order],
        indices=tuple(np.array(views.indices)[order].tolist()),
        label=label,
        score=float((logits.sigmoid() if several else logits.softmax(dim=0))[label]),
        layer=found[0].module,
    )


def _rows(path: Path, found: _Activation, classes: Sequence[str]) -> list[FrameRow]:
    frames = ", ".join(map(str, found.indices))
    caption = (
        f"{path.name}: {classes[found.label]}, {percent(100 * found.score)}",
        f"frames {frames}; below, what contributes to the class",
    )
    return [FrameRow(found.frames, caption), FrameRow(found.overlaid, ())]


def _notes(found: Sequence[tuple[Path, _Activation]], classes: Sequence[str]) -> tuple[str, ...]:
    first = found[0][1]
    height, width = first.maps.shape[1:]
    return (
        f"the feature map of {first.layer} has {height} x {width} places in a frame",
        *(
            f"{path.name}: no place of its frames contributes to {classes[item.label]!r}"
            for path, item in found
            if not item.maps.any()
        ),
    )


def _animation(path: Path, found: _Activation, model: VideoClassifier) -> Animation:
    """The frames beside themselves with activation, as fast as the video itself."""
    pairs = np.concatenate([found.frames, found.overlaid], axis=2)  # (N, H, 2 W, 3)
    factor = -(-ANIMATION_HEIGHT // pairs.shape[1])
    enlarged = pairs.repeat(factor, axis=1).repeat(factor, axis=2)
    height, width = (side // 2 * 2 for side in enlarged.shape[1:3])  # as H.264 needs it
    seconds = probe_for(path, model.spec.modality).duration_seconds
    return Animation(
        enlarged[:, :height, :width],
        len(enlarged) / seconds if seconds else FRAMES_PER_SECOND,
    )
