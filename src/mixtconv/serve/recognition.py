"""From a file to labels: decoded in a process of its own, batched with other clients' videos."""

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixtconv._types import Frame
from mixtconv.data.parallel import usable_cores
from mixtconv.inference.predicting import VideoPrediction, VideoRecognizer, labels_of_logits
from mixtconv.inference.timeline import WindowPrediction
from mixtconv.serve.answers import VideoFacts
from mixtconv.serve.batching import Batcher
from mixtconv.serve.decoder_pool import DecoderPool
from mixtconv.serve.decoder_process import Job, WindowViews
from mixtconv.serve.errors import ServiceError
from mixtconv.serve.metrics import Metrics
from mixtconv.serve.settings import ServeSettings
from mixtconv.video.pictures import Clip
from mixtconv.video.windows import WindowPlan


@dataclass(frozen=True)
class FrameClip:
    """A clip whose frames are scored one by one."""

    pictures: list[Frame]
    """What the reader has kept of its T frames, (V, C, S, S) each."""


def num_workers(settings: ServeSettings) -> int:
    """Processes that decode."""
    return usable_cores() if settings.workers is None else settings.workers


class Recognition:
    """Recognizes files for many clients at once.

    Args:
        recognizer: model and protocol.
        settings: limits, batching and the number of decoders.
        metrics: counts decoding and batches.

    Raises:
        ValueError: the model takes optical flow, which video files do not hold.
    """

    def __init__(
        self, recognizer: VideoRecognizer, *, settings: ServeSettings, metrics: Metrics
    ) -> None:
        if recognizer.spec.modality in ("flow", "rgbflow"):
            raise ValueError(
                "the model takes optical flow, which videos do not hold; serve a model of modality "
                "rgb, rgbdiff or motion"
            )
        self.recognizer, self._settings, self._metrics = recognizer, settings, metrics
        self._windows_ahead = 2 * settings.batch_size
        workers = num_workers(settings)
        self.decoders = DecoderPool(
            recognizer.reader,
            settings,
            workers=workers,
            on_lost=lambda reason: metrics.lost_decoders.labels(reason).inc(),
        )
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decoding")
        self._num_decoding = 0
        self._batcher: Batcher[Frame | FrameClip, Any] = Batcher(
            self._run,
            batch_size=settings.batch_size,
            wait_seconds=settings.batch_wait_ms / 1000,
            max_waiting=settings.max_requests + workers * (self._windows_ahead + 1),
            others_come=lambda: self._num_decoding > 0,
            on_batch=metrics.saw_batch,
        )
        metrics.waiting.set_function(lambda: self._batcher.num_waiting)

    async def label(self, path: Path, *, top_k: int) -> tuple[VideoPrediction, VideoFacts, Clip]:
        """The labels of a video, what its file states, and the views that the model saw.

        If the task is cancelled, decoding ends too.

        Raises:
            ServiceError: the video is refused or cannot be read, or the service is overloaded.
        """
        job = Job(path, self._settings.decode_seconds)
        metadata, views = await self.in_thread(self._read_views, job)
        logits = await asyncio.wrap_future(self.submit(views.frames))
        answer = VideoPrediction.of_logits(str(path), logits, self.recognizer.spec, top_k)
        return answer, metadata, views

    async def timeline(
        self, path: Path, plan: WindowPlan, *, top_k: int
    ) -> tuple[list[WindowPrediction], VideoFacts]:
        """The labels of every window of a video, and what its file states; as `label`."""
        job = Job(path, self._settings.decode_seconds, plan, self._settings.max_windows)
        return await self.in_thread(self._read_windows, job, top_k)

    def close(self) -> None:
        """End the decoders and the threads."""
        self.decoders.close()
        self._threads.shutdown(cancel_futures=True)
        self._batcher.close()

    async def in_thread(self, work: Any, *arguments: Any) -> Any:
        """Run `work(*arguments, cancelled)`: one job per decoder, the others wait.

        The event `cancelled` is set if the task is cancelled, such as by `cancel_on_disconnect`.
        """
        loop, cancelled = asyncio.get_running_loop(), threading.Event()
        self._num_decoding += 1
        try:
            return await loop.run_in_executor(self._threads, work, *arguments, cancelled)
        finally:
            cancelled.set()
            self._num_decoding -= 1

    def _read_views(self, job: Job, cancelled: threading.Event) -> tuple[VideoFacts, Clip]:
        started = time.monotonic()
        metadata, views = self.decoders.read(job, cancelled=cancelled)
        assert isinstance(metadata, VideoFacts) and isinstance(views, Clip)
        self._metrics.decode_seconds.observe(time.monotonic() - started)
        return metadata, views

    def _read_windows(
        self, job: Job, top_k: int, cancelled: threading.Event
    ) -> tuple[list[WindowPrediction], VideoFacts]:
        spec = self.recognizer.spec
        with closing(self.decoders.read(job, cancelled=cancelled)) as answers:
            metadata = next(answers)
            assert isinstance(metadata, VideoFacts)
            done = [
                WindowPrediction(
                    start=window.start,
                    end=window.end,
                    first_frame=window.first_frame,
                    num_frames=window.num_frames,
                    predictions=tuple(labels_of_logits(logits, spec, top_k)),
                    is_whole=window.is_whole,
                    several=spec.several_labels,
                )
                for window, logits in self.scored_windows(answers)
            ]
        return done, metadata

    def scored_windows(self, answers: Iterator[Any]) -> Iterator[tuple[WindowViews, Any]]:
        """Windows as they are decoded, each with its logits (K,); some are ahead of the network."""
        ahead: deque[tuple[WindowViews, Future[Any]]] = deque()
        for window in answers:
            assert isinstance(window, WindowViews)
            ahead.append((window, self.submit(window.frames)))
            if len(ahead) > self._windows_ahead:
                first, logits = ahead.popleft()
                yield first, logits.result()
        for window, logits in ahead:
            yield window, logits.result()

    def _run(self, items: "list[Frame | FrameClip]") -> list[Any]:
        """Logits (K,) of views, or (T, K) of the frames of clips."""
        views = [item for item in items if not isinstance(item, FrameClip)]
        of_views = iter(self.recognizer.batch_logits(views) if views else ())
        recognizer: Any = self.recognizer  # that of model files for clips
        return [
            recognizer.frame_logits(item.pictures)
            if isinstance(item, FrameClip)
            else next(of_views)
            for item in items
        ]

    def submit(self, views: "Frame | FrameClip") -> "Future[Any]":
        """Have logits computed, in a batch with those of others.

        Raises:
            ServiceError: the service is overloaded.
        """
        try:
            return self._batcher.submit(views)
        except queue.Full as error:
            raise ServiceError("busy", "the service is overloaded; come back later") from error
