"""Exported models run by their engines, without torch: `EngineRecognizer` for videos,
`EngineStreamingRecognizer` for streams.

`torch_recognizers` has the same two for model files.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixtconv._types import Frame, Precision
from mixtconv.data.protocol import Protocol
from mixtconv.inference.engines.base import FRAME, LOGITS, VIDEO, Array, Engine, scale_pixels
from mixtconv.inference.engines.opening import open_engine
from mixtconv.inference.engines.past import PastOfStreams
from mixtconv.inference.predicting import VideoRecognizer
from mixtconv.inference.streams import StreamRecognizer
from mixtconv.models.motion import RecentPictures
from mixtconv.models.spec import PICTURES
from mixtconv.video.crops import center_crop_pictures
from mixtconv.video.views import PictureViewReader

EXPORTED_PROTOCOL = Protocol(num_clips=1, num_crops=1)
"""One clip and its centre crop, which a file is exported for."""


class EngineRecognizer(VideoRecognizer):
    """An exported model ready to predict on videos: one clip, its centre crop.

    Scores equal those of `Recognizer` except where Pillow and torch round a resized value
    differently, by one of 255 steps.

    Args:
        model: a file of `mixtconv export`, or one that is open.
        device: `auto`, or what its engine runs on: `cuda` of TensorRT, `cpu` of others, of Core ML
            `auto` alone.
        protocol: `1x1`.
        precision: `auto`, or what is fixed in its file: `32`, `16` of one exported with `--half`.
        num_threads: threads of the engine; by default its own choice.

    Raises:
        ValueError: whatever `open_engine` refuses, a streaming model, or a device, protocol or
            precision that exported models do not support.
    """

    def __init__(
        self,
        model: str | Path | Engine,
        *,
        device: str = "auto",
        protocol: str | Protocol = "1x1",
        precision: Precision = "auto",
        num_threads: int | None = None,
    ) -> None:
        protocol = Protocol.parse(protocol) if isinstance(protocol, str) else protocol
        if protocol != EXPORTED_PROTOCOL:
            raise ValueError(
                f"{model} is an exported model, which takes one clip and its middle (protocol "
                f"{EXPORTED_PROTOCOL}); protocol {protocol} needs the model file that it was made "
                "from"
            )
        self.engine = _open(model, device, precision, num_threads)
        spec = self.engine.description.spec
        if self.engine.description.is_streaming:
            raise ValueError(
                f"{model} takes one frame at a time: run it with mixtconv stream, or export it "
                "without --streaming"
            )
        notes = self.engine.description.notes
        super().__init__(spec, protocol, PictureViewReader(spec), notes=notes)

    @contextmanager
    def concurrent(self, num_videos: int) -> Iterator["EngineRecognizer"]:
        """See `VideoRecognizer.concurrent`."""
        with (
            super().concurrent(num_videos) as own,
            self.engine.concurrent(num_videos) as own.engine,
        ):
            yield own

    def batch_logits(self, views: Sequence[Array]) -> npt.NDArray[np.float32]:
        """Logits (B, K) of the clips of B videos, uint8 (1, T, 3, S, S) each."""
        clips = np.concatenate([np.asarray(video) for video in views])  # (B, T, 3, S, S)
        return self.engine.run({VIDEO: self.engine.normalized(clips)})[LOGITS]


class EngineStreamingRecognizer(StreamRecognizer):
    """An exported streaming model ready for streams; used as `StreamingRecognizer` is.

    Args:
        model: a file of `mixtconv export --streaming`, or one that is open.
        max_streams: streams at once; each takes the memory of a few frames of feature maps.
        device, precision: as for `EngineRecognizer`.
        num_threads: threads of the engine; by default its own choice.

    Raises:
        ValueError: whatever `open_engine` refuses, or a model of whole clips.
    """

    def __init__(
        self,
        model: str | Path | Engine,
        *,
        max_streams: int = 1,
        device: str = "auto",
        precision: Precision = "auto",
        num_threads: int | None = None,
    ) -> None:
        self.engine = _open(model, device, precision, num_threads)
        description = self.engine.description
        if description.states is None:
            raise ValueError(
                f"{model} takes whole clips: run it with mixtconv predict, or export a causal "
                "model with --streaming"
            )
        super().__init__(description.spec, max_streams, notes=description.notes)
        self._past = PastOfStreams(description.states, max_streams)
        # A file of normalised frames of motion leaves their median to whoever runs it
        is_left = (description.spec.modality, description.pixels) == ("motion", "normalized")
        num_frames = description.spec.num_frames
        self._recent = RecentPictures(max_streams, num_frames) if is_left else None

    def _logits(self, pictures: Sequence[Frame], slots: Sequence[int]) -> Array:
        size = self.spec.image_size
        crops = np.concatenate([center_crop_pictures(picture[None], size) for picture in pictures])
        frames = np.ascontiguousarray(crops.transpose(0, 3, 1, 2))  # (N, 3, S, S)
        rows, medians = list(slots), None
        if self._recent is not None:
            medians = self._recent.medians(scale_pixels(frames), rows, np)
        before = self._past.before(rows)
        results = self.engine.run({FRAME: self.engine.normalized(frames, medians), **before})
        self._past.after(results, rows)
        return results[LOGITS]

    def _reset(self, slot: int) -> None:
        self._past.forget(slot)
        if self._recent is not None:
            self._recent.forget(slot)


def _open(
    model: str | Path | Engine, device: str, precision: str, num_threads: int | None
) -> Engine:
    """The engine of a model, in settings and of a modality that exported models are run in."""
    engine = model
    if not isinstance(engine, Engine):
        engine = open_engine(engine, num_threads=num_threads)
    if device not in engine.devices:
        raise ValueError(
            f"--device is {device}; {model} is an exported model, which runs where its format is "
            f"for ({' or '.join(engine.devices)}): leave --device out"
        )
    computed = engine.description.precision
    if precision not in ("auto", computed):
        raise ValueError(
            f"--precision is {precision}; {model} is an exported model, whose arithmetic is in the "
            f"file ({computed}): leave --precision out"
        )
    modality = engine.description.spec.modality
    if modality not in PICTURES:
        raise ValueError(
            f"{model} takes {modality}; of exported models those of modality "
            f"{' and '.join(PICTURES)} are run here, for others give the model file that it was "
            "made from"
        )
    return engine
