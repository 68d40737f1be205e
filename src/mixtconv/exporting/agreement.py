"""The agreement of an exported file with PyTorch: how far their logits differ on equal frames."""

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
from mixtconv.inference.engines.past import PastOfStreams
from mixtconv.models import ModelSpec, VideoClassifier
from mixtconv.video.crops import center_crop_pictures
from mixtconv.video.find import find_videos
from mixtconv.video.sampling import place_clips

TOLERANCE = 1e-4
"""Largest difference that is allowed, relative to the largest logit (of 1 at least); float32 sums
in another order differ by a hundredth of it."""

HALF_TOLERANCE = 1e-2
"""The same of files that compute in float16, or keep the past of a stream in it: values have 11
bits, and errors of a whole network's roundings add up."""

FRAMES_OF_A_STREAM = 12
"""Least number of frames on which a streaming file is compared; more than its past reaches back."""

NUM_SYNTHETIC = 3
"""Clips of the synthetic dataset that are rendered if no video is given."""


@dataclass(frozen=True)
class Agreement:
    """Logits of a file compared with those of PyTorch, on the same frames."""

    difference: float
    """The largest absolute difference."""
    largest_logit: float
    """The largest absolute value of a logit."""
    num_logits: int
    """Number of logits that were compared."""
    tolerance: float = TOLERANCE
    """Largest difference that is allowed, relative to the largest logit."""

    @property
    def allowed(self) -> float:
        """The largest absolute difference that is allowed."""
        return self.tolerance * max(1.0, self.largest_logit)

    @property
    def holds(self) -> bool:
        """Whether they are equal up to rounding; not if a logit is NaN."""
        return self.difference <= self.allowed


def compare(
    model: VideoClassifier, engine: Engine, clips: Tensor, *, tolerance: float = TOLERANCE
) -> Agreement:
    """Run a file and the model it was made from on the same frames.

    The file runs on the first clip alone and on all together, so that two batch sizes are tried.

    Args:
        model: on the CPU, not optimised.
        engine: the file.
        clips: uint8 (N, T, C, S, S); for a streaming file T is the length of the streams.
        tolerance: see `Agreement`.
    """
    streaming = engine.description.is_streaming
    run = _stream_logits if streaming else _clip_logits
    expected = _expected(model, clips, streaming)
    batches = [clips[:1], clips] if len(clips) > 1 else [clips]
    logits = np.concatenate([run(engine, model, batch) for batch in batches])
    reference = np.concatenate([expected[: len(batch)] for batch in batches])
    difference, largest = np.abs(logits - reference).max(), np.abs(reference).max()
    return Agreement(float(difference), float(largest), reference.size, tolerance)


def engine_input(engine: Engine, model: VideoClassifier, clips: Tensor) -> Array:
    """uint8 clips, or the frames of streams, as the values that the file takes."""
    if engine.description.pixels == "normalized":
        streaming = engine.description.is_streaming
        return (_normalize_streams(model, clips) if streaming else model.normalize(clips)).numpy()
    return engine.normalized(clips.numpy())


def _normalize_streams(model: VideoClassifier, clips: Tensor) -> Tensor:
    """Normalise streams (N, T, C, S, S) of any length, also those of a model that is not causal."""
    causal = copy.copy(model)
    causal.spec = replace(model.spec, causal=True)  # running medians, in modality motion
    return causal.normalize(clips)


def _expected(model: VideoClassifier, clips: Tensor, streaming: bool) -> Array:
    with torch.inference_mode():
        if not streaming:
            return model(model.normalize(clips)).numpy()  # (N, K)
        whole = copy.deepcopy(model)
        whole.set_num_frames(clips.shape[1])
        return whole.forward_frames(_normalize_streams(model, clips)).numpy()  # (N, T, K)


def _clip_logits(engine: Engine, model: VideoClassifier, clips: Tensor) -> Array:
    return engine.run({VIDEO: engine_input(engine, model, clips)})[LOGITS]  # (N, K)


def _stream_logits(engine: Engine, model: VideoClassifier, clips: Tensor) -> Array:
    past, logits = PastOfStreams(engine.description.states or (), len(clips)), []
    for frames in np.moveaxis(engine_input(engine, model, clips), 1, 0):
        results = engine.run({FRAME: np.ascontiguousarray(frames), **past.before()})
        logits.append(results[LOGITS])
        past.after(results)
    return np.stack(logits, axis=1)  # (N, T, K)


def frames_to_compare(spec: ModelSpec, videos: Sequence[str | Path], num_frames: int) -> Tensor:
    """Real frames for a comparison, as they are read: uint8 (N, T, C, S, S).

    Args:
        spec: of the model.
        videos: files, folders and patterns; if there are none, clips of the synthetic dataset.
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
    """One clip (T, C, S, S); for motion inputs, successive pictures serve as channels."""
    name = classes()[number].name
    size = min(max(spec.image_size, 32), MAX_SIZE)
    pictures = render_clip(name, seed=number, size=size).frames  # (N, H, W, 3)
    frames = as_frames(center_crop_pictures(pictures, spec.image_size))  # (N, 3, S, S)
    length = -(-spec.snippet.channels // 3)
    [starts] = place_clips("own", spec, max(1, len(frames) - length + 1), 1)
    # The pictures of each snippet, the last one repeated past the end.
    chosen = np.minimum(np.add.outer(starts, np.arange(length)), len(frames) - 1)
    return frames[torch.from_numpy(chosen)].flatten(1, 2)[:, : spec.snippet.channels]
