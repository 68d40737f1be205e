"""Live streams: each has a WebSocket and a slot of the streaming recognizer.

A message of the client is one frame: width and height as two little-endian 16-bit numbers, then
the RGB pixels row by row. Raw pixels need no decoder, which could be attacked. The answer is JSON;
a client sends its newest frame when it has the answer to the last, so that it never falls behind.
Frames of several streams are batched, also with those of files in which events are found.
"""

import asyncio
import logging
import queue
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from mixtconv._types import Frame
from mixtconv.detection.scorers import refuse_windows, scored_rate
from mixtconv.detection.settings import ScoreTimes
from mixtconv.detection.streams import StreamEvents
from mixtconv.events.settings import EventSettings
from mixtconv.inference.streams import FrameLabels, Stream, StreamRecognizer
from mixtconv.serve.batching import Batcher
from mixtconv.serve.errors import ServiceError
from mixtconv.serve.metrics import Metrics
from mixtconv.serve.settings import ServeSettings
from mixtconv.video.reader import DEFAULT_RATE

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_SIZE = struct.Struct("<HH")

MAX_SIDE = 1280
"""Pixels; the page sends much smaller frames, since the input of models has a few hundred."""

MAX_RATIO = 8
"""Long side by short side: frames are resized by their short side, so that one of 1280x1 would
become hundreds of megabytes."""

MAX_MESSAGE_BYTES = _SIZE.size + 3 * MAX_SIDE**2

_REFUSED = 1008
_CLOSE_CODES = {"busy": 1013, "invalid": 1003, "too_slow": 1001}
"""Code of an error -> close code of RFC 6455 and its registry; of others `_REFUSED`."""


class LiveRecognition:
    """Recognizes the streams of many clients.

    Args:
        recognizer: with a slot for each stream.
        settings: number of streams, idle time and batching.
        metrics: counts streams and frames.
    """

    def __init__(
        self,
        recognizer: StreamRecognizer,
        *,
        settings: ServeSettings,
        metrics: Metrics,
    ) -> None:
        self._recognizer, self._settings, self._metrics = recognizer, settings, metrics
        self._lock = threading.Lock()  # a recognizer is for one thread at a time
        self._num_open = self._num_files = 0
        self._batcher: Batcher[tuple[Stream, Frame], FrameLabels] = Batcher(
            self._run,
            batch_size=settings.batch_size,
            wait_seconds=settings.batch_wait_ms / 1000,
            max_waiting=recognizer.max_streams,
            others_come=lambda: self._num_open + self._num_files > self._batcher.num_waiting,
        )

    def stream_events(self, times: ScoreTimes, settings: EventSettings) -> StreamEvents:
        """Finds the events of one client.

        Raises:
            ValueError: the rate of frames is not known, or times are those of windows.
        """
        refuse_windows(times, "a stream")
        spec = self._recognizer.spec
        return StreamEvents(spec, settings, scored_rate(spec, times, float(DEFAULT_RATE)))

    async def serve(
        self, socket: WebSocket, *, top_k: int, events: StreamEvents | None = None
    ) -> None:
        """Answer the frames of one client until it disconnects, makes an error or is idle.

        Args:
            socket: to the client.
            top_k: number of labels in each answer.
            events: finds events, whose messages are then in the answers too.
        """
        if self._num_open >= self._settings.max_streams:
            message = f"all {self._settings.max_streams} live streams are in use; come back later"
            await refuse(socket, "busy", message)
            return
        refusal: ServiceError | None = None
        self._num_open += 1
        self._metrics.live_streams.inc()
        stream: Stream | None = None
        try:
            stream = await asyncio.to_thread(self._locked, self._recognizer.start)
            await self._answer_frames(socket, stream, top_k, events)
        except WebSocketDisconnect:
            logger.debug("a live client has disconnected")
        except ServiceError as error:
            refusal = error
        finally:
            try:
                # frees the slot, after a frame of the stream that is being recognized
                if stream is not None:
                    await asyncio.to_thread(self._locked, stream.end)
            finally:
                self._num_open -= 1
                self._metrics.live_streams.dec()
        if refusal is not None:  # after the slot is free: the client may not read
            await refuse(socket, refusal.code, refusal.message)

    async def _answer_frames(
        self, socket: WebSocket, stream: Stream, top_k: int, events: StreamEvents | None
    ) -> None:
        """Answer until the client disconnects.

        Raises:
            WebSocketDisconnect: it has.
            ServiceError: it makes an error, sends nothing or does not read.
        """
        seconds = self._settings.idle_seconds
        first: float | None = None
        while True:
            try:
                message = await asyncio.wait_for(socket.receive_bytes(), seconds)
            except (asyncio.TimeoutError, TimeoutError) as error:
                reason = f"there was no frame for {seconds:g} seconds"
                raise ServiceError("too_slow", reason) from error
            except KeyError as error:  # a message of text
                raise ServiceError("invalid", "a frame is a binary message") from error
            arrived = time.monotonic()
            first = arrived if first is None else first
            try:
                frame = read_frame(message)
                labels = await asyncio.wrap_future(self._submit(stream, frame))
            except ValueError as error:
                raise ServiceError("invalid", str(error)) from error
            self._metrics.live_frames.inc()
            shown = None if self._recognizer.spec.several_labels else top_k  # all hold at once
            best = [asdict(each) for each in labels.predictions[:shown]]
            answer: dict[str, Any] = {"frame": labels.frame, "predictions": best}
            if events is not None:
                answer["seconds"] = round(arrived - first, 4)
                said = events.push(answer["seconds"], labels.logits)
                answer["events"] = [each.to_dict() for each in said]
            try:
                await asyncio.wait_for(socket.send_json(answer), seconds)
            except (asyncio.TimeoutError, TimeoutError) as error:
                reason = f"the answers were not read for {seconds:g} seconds"
                raise ServiceError("too_slow", reason) from error

    @contextmanager
    def file_stream(self) -> Iterator[Callable[[Frame], FrameLabels]]:
        """A stream for the frames of a file, one by one, from the thread that has them decoded.

        Files have slots of their own, one a decoder. Frames are batched with those of live streams.
        """
        with self._lock:
            stream = self._recognizer.start()
            self._num_files += 1
        try:
            yield lambda frame: self._submit(stream, frame).result()
        finally:
            with self._lock:
                stream.end()
                self._num_files -= 1

    def _submit(self, stream: Stream, frame: Frame) -> "Future[FrameLabels]":
        try:
            return self._batcher.submit((stream, frame))
        except queue.Full as error:
            raise ServiceError("busy", "the service is stopping") from error

    def close(self) -> None:
        """End the thread."""
        self._batcher.close()

    def _locked(self, work: Callable[[], Result]) -> Result:
        with self._lock:
            return work()

    def _run(self, items: list[tuple[Stream, Frame]]) -> list[FrameLabels]:
        with self._lock:
            labels = self._recognizer.push(dict(items), top_k=len(self._recognizer.classes))
        return [labels[stream] for stream, _ in items]


async def refuse(socket: WebSocket, code: str, message: str) -> None:
    """Send the reason why a stream ends, and close it, unless the client has disconnected."""
    content: dict[str, Any] = {"error": {"code": code, "message": message}}
    with suppress(WebSocketDisconnect):
        await socket.send_json(content)
        await socket.close(_CLOSE_CODES.get(code, _REFUSED))


def read_frame(message: bytes) -> Frame:
    """The frame of a message, (H, W, 3).

    Raises:
        ValueError: the message is not a frame.

    >>> read_frame(_SIZE.pack(3, 2) + bytes(18)).shape
    (2, 3, 3)
    """
    if len(message) < _SIZE.size:
        raise ValueError("the message is shorter than the width and height of a frame")
    width, height = _SIZE.unpack_from(message)
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise ValueError(f"the frame is {width}x{height}; give 1 to {MAX_SIDE} pixels a side")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise ValueError(
            f"the frame is {width}x{height}; one side may be {MAX_RATIO} times the other"
        )
    if len(message) != _SIZE.size + 3 * width * height:
        raise ValueError(
            f"the message has {len(message)} bytes; a frame of {width}x{height} has "
            f"{_SIZE.size + 3 * width * height}"
        )
    pixels = np.frombuffer(message, dtype=np.uint8, offset=_SIZE.size)
    return pixels.reshape(height, width, 3).copy()
