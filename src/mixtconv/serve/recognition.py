"""From a file to labels: decoded in a process of its own, through the network with others."""

import asyncio
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixtconv._types import Frame
from mixtconv.inference.predicting import Prediction, VideoRecognizer, ranked
from mixtconv.inference.timeline import WindowPrediction
from mixtconv.serve.batching import Batcher, QueueFullError
from mixtconv.serve.decoder_pool import Answer, DecoderPool, DecodingError
from mixtconv.serve.decoder_process import DecoderSettings, Job, VideoLimits
from mixtconv.serve.errors import ServiceError
from mixtconv.serve.metrics import Metrics
from mixtconv.serve.settings import Batching, Limits
from mixtconv.video.windows import WindowPlan


@dataclass(frozen=True)
class Labelled:
    """The labels of a video and what they were made of."""

    predictions: list[Prediction]
    """The best classes."""
    num_frames: int
    """Frames of the video."""
    facts: dict[str, Any]
    """What the file says of itself, see `probing.Probed`."""
    frames: Frame
    """uint8 (T, 3, S, S): the first view, of a snippet its first picture."""
    indices: list[int]
    """Their numbers in the video."""


@dataclass(frozen=True)
class Timed:
    """The labels along a video."""

    windows: list[WindowPrediction]
    """In order."""
    facts: dict[str, Any]
    """What the file says of itself."""


class Recognition:
    """Recognizes files for many at once.

    Args:
        recognizer: model and protocol.
        limits: what is taken on.
        batching: what passes the network together.
        workers: decoders.
        metrics: what is counted.

    Raises:
        ValueError: a model of optical flow, which videos do not hold.
    """

    def __init__(
        self,
        recognizer: VideoRecognizer,
        *,
        limits: Limits,
        batching: Batching,
        workers: int,
        metrics: Metrics,
    ) -> None:
        if recognizer.spec.modality in ("flow", "rgbflow"):
            raise ValueError(
                "the model takes optical flow, which videos do not hold; serve a model of modality "
                "rgb or rgbdiff"
            )
        self.recognizer, self._limits, self._metrics = recognizer, limits, metrics
        self._windows_ahead = 2 * batching.batch_size
        settings = DecoderSettings(
            reader=recognizer.reader,
            limits=VideoLimits(limits.max_video_seconds, limits.max_pixels),
            memory_bytes=limits.decode_memory_bytes,
        )
        self.decoders = DecoderPool(
            settings,
            workers=workers,
            on_lost=lambda reason: metrics.lost_decoders.labels(reason).inc(),
        )
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decoding")
        self._num_decoding = 0
        self._batcher: Batcher[Frame, Any] = Batcher(
            recognizer.batch_logits,
            batch_size=batching.batch_size,
            wait_seconds=batching.batch_wait_ms / 1000,
            max_waiting=limits.max_requests + workers * (self._windows_ahead + 1),
            others_come=lambda: self._num_decoding > 0,
            on_batch=metrics.saw_batch,
        )
        metrics.watch_waiting(lambda: self._batcher.num_waiting)

    @property
    def is_ready(self) -> bool:
        """Whether a decoder runs."""
        return self.decoders.is_alive

    async def label(self, path: Path, *, top_k: int) -> Labelled:
        """The labels of a video.

        Raises:
            ServiceError: the video is refused or cannot be read, or there is too much to do.
        """
        job = Job(path, self._limits.decode_seconds)
        facts, answer = await self._in_thread(self._read_views, job)
        assert answer.views is not None
        logits = await asyncio.wrap_future(self._submit(answer.views))
        num_frames = answer.views.shape[1]
        return Labelled(
            predictions=ranked(logits, self.recognizer.classes, top_k),
            num_frames=answer.header["num_frames"],
            facts=facts,
            frames=answer.views[0, :, :3],
            indices=answer.header["indices"][:num_frames],
        )

    async def timeline(self, path: Path, plan: WindowPlan, *, top_k: int) -> Timed:
        """The labels of every window of a video; as `label`."""
        job = Job(path, self._limits.decode_seconds, plan, self._limits.max_windows)
        gone = threading.Event()
        try:
            return await self._in_thread(self._read_windows, job, top_k, gone)
        finally:
            gone.set()

    def close(self) -> None:
        """End the decoders and the threads."""
        self.decoders.close()
        self._threads.shutdown(cancel_futures=True)
        self._batcher.close()

    async def _in_thread(self, work: Any, *arguments: Any) -> Any:
        """Decode, one job a decoder at a time; the others wait."""
        loop = asyncio.get_running_loop()
        self._num_decoding += 1
        try:
            return await loop.run_in_executor(self._threads, work, *arguments)
        except DecodingError as error:
            raise ServiceError(error.code, str(error)) from error
        finally:
            self._num_decoding -= 1

    def _read_views(self, job: Job) -> tuple[dict[str, Any], Answer]:
        started = time.monotonic()
        video, views = list(self.decoders.read(job))
        self._metrics.decode_seconds.observe(time.monotonic() - started)
        return video.header, views

    def _read_windows(self, job: Job, top_k: int, gone: threading.Event) -> Timed:
        facts: dict[str, Any] = {}
        done: list[WindowPrediction] = []
        ahead: deque[tuple[dict[str, Any], Future[Any]]] = deque()

        def finish_first() -> None:
            header, logits = ahead.popleft()
            done.append(self._window(header, logits.result(), top_k))

        with closing(self.decoders.read(job)) as answers:
            for answer in answers:
                if gone.is_set():
                    break
                if answer.views is None:
                    facts = answer.header
                    continue
                ahead.append((answer.header, self._submit(answer.views)))
                if len(ahead) > self._windows_ahead:
                    finish_first()
        while ahead:
            finish_first()
        return Timed(done, facts)

    def _window(self, header: dict[str, Any], logits: Any, top_k: int) -> WindowPrediction:
        return WindowPrediction(
            start=header["start"],
            end=header["end"],
            first_frame=header["first_frame"],
            num_frames=header["num_frames"],
            predictions=tuple(ranked(logits, self.recognizer.classes, top_k)),
            is_whole=header["whole"],
        )

    def _submit(self, views: Frame) -> "Future[Any]":
        try:
            return self._batcher.submit(views)
        except QueueFullError as error:
            raise ServiceError("busy", "there is too much to do; come back later") from error
