"""Real frames on which an exported file is compared with PyTorch.

How far the logits of an exported file are from those of PyTorch.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mixtconv.data.clips import as_frames
from mixtconv.data.protocol import Protocol
from mixtconv.data.synthetic.classes import classes
from mixtconv.data.synthetic.clip import MAX_SIZE, render_clip
from mixtconv.data.views import TensorViewReader
from mixtconv.inference.engines.base import FRAME, LOGITS, VIDEO, Array, Engine
from mixtconv.models import ModelSpec, VideoClassifier
from mixtconv.video.find import find_videos
from mixtconv.video.sampling import place_clips
from mixtconv.video.views import center_crop_pictures

NUM_SYNTHETIC = 3
"""Clips of the synthetic dataset that are rendered where no video is given."""


def frames_to_compare(spec: ModelSpec, videos: Sequence[str | Path], num_frames: int) -> Tensor:
    """Clips as they are read, uint8 (N, T, C, S, S).

    Args:
        spec: what the model takes.
        videos: files, folders and patterns; where none is given, clips of the synthetic dataset.
        num_frames: T.

    Raises:
        ValueError: no such video, or one that cannot be read.
    """
    spec = replace(spec, num_frames=num_frames)
    if not videos:
        return torch.stack([_synthetic(spec, number) for number in range(NUM_SYNTHETIC)])
    reader = TensorViewReader(spec, Protocol(1, 1))
    return torch.cat([reader.read(path).frames for path in find_videos(videos)])


def _synthetic(spec: ModelSpec, number: int) -> Tensor:
    """One clip (T, C, S, S); for motion, pictures that follow each other stand in as channels."""
    name = classes()[number].name
    size = min(max(spec.image_size, 32), MAX_SIZE)
    pictures = render_clip(name, seed=number, size=size).frames  # (N, H, W, 3)
    frames = as_frames(center_crop_pictures(pictures, spec.image_size))  # (N, 3, S, S)
    length = -(-spec.snippet.channels // 3)
    [starts] = place_clips("own", spec, max(1, len(frames) - length + 1), 1)
    chosen = np.minimum(np.add.outer(starts, np.arange(length)), len(frames) - 1)
    return frames[torch.from_numpy(chosen)].flatten(1, 2)[:, : spec.snippet.channels]


TOLERANCE = 1e-4
"""Largest difference that is no fault, as a part of the largest logit (of 1 at least): float32 in
another order of additions differs by a hundredth of it."""

FRAMES_OF_A_STREAM = 12
"""Frames over which a streaming file is compared, at least; more than its past reaches back."""


@dataclass(frozen=True)
class Agreement:
    """Logits of a file beside those of PyTorch, on the same frames."""

    difference: float
    """The largest difference."""
    largest_logit: float
    """The largest size of a logit."""
    num_logits: int
    """Logits that were compared."""
    tolerance: float = TOLERANCE
    """Largest difference that is no fault, as a part of the largest logit."""

    @property
    def allowed(self) -> float:
        """The largest difference that is no fault."""
        return self.tolerance * max(1.0, self.largest_logit)

    @property
    def holds(self) -> bool:
        """Whether they are the same but for rounding."""
        return self.difference <= self.allowed  # not so of NaN


def compare(
    model: VideoClassifier, engine: Engine, clips: Tensor, *, tolerance: float = TOLERANCE
) -> Agreement:
    """Run a file and the model it was made from on the same frames.

    Clips go through the file one by one and all together, so that another batch is tried as well.

    Args:
        model: on the CPU, not optimised.
        engine: the file.
        clips: uint8 (N, T, C, S, S); of a streaming file T is the length of the streams.
        tolerance: see `Agreement`.
    """
    streaming = engine.description.is_streaming
    run = _stream_logits if streaming else _clip_logits
    expected = _expected(model, clips, streaming)
    batches = [clips[:1], clips] if len(clips) > 1 else [clips]
    given = np.concatenate([run(engine, model, batch) for batch in batches])
    wanted = np.concatenate([expected[: len(batch)] for batch in batches])
    return Agreement(
        float(np.abs(given - wanted).max()), float(np.abs(wanted).max()), wanted.size, tolerance
    )


def engine_input(engine: Engine, model: VideoClassifier, clips: Tensor) -> Array:
    """Clips or frames as they are read, in the values that the file takes."""
    if engine.description.pixels == "normalized":
        return model.normalize(clips).numpy()
    return engine.normalized(clips.numpy())


def _expected(model: VideoClassifier, clips: Tensor, streaming: bool) -> Array:
    with torch.inference_mode():
        video = model.normalize(clips)
        if not streaming:
            return model(video).numpy()  # (N, K)
        whole = copy.deepcopy(model)
        whole.set_num_frames(clips.shape[1])
        return whole.forward_frames(video).numpy()  # (N, T, K)


def _clip_logits(engine: Engine, model: VideoClassifier, clips: Tensor) -> Array:
    return engine.run({VIDEO: engine_input(engine, model, clips)})[LOGITS]  # (N, K)


def _stream_logits(engine: Engine, model: VideoClassifier, clips: Tensor) -> Array:
    states = engine.description.states or ()
    given = {state.name: np.zeros((len(clips), *state.shape), np.float32) for state in states}
    logits = []
    for frames in clips.unbind(1):
        results = engine.run({FRAME: engine_input(engine, model, frames), **given})
        logits.append(results[LOGITS])
        given = {state.name: results[state.next_name] for state in states}
    return np.stack(logits, axis=1)  # (N, T, K)
