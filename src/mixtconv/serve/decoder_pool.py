"""Decoding in processes of their own: a file that crashes or hangs a decoder costs one request.

The service asks a decoder and waits as long as the job may take. One that is late is killed; one
that died is noticed by its end of the pipe. Either way a new one is started in its place.

Decoders come from a server of processes that has imported what they need and done nothing else: a
new one is there in milliseconds and shares that memory, which a process started from nothing takes
seconds and hundreds of megabytes for.
"""

import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver, get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtconv.serve.decoder_process import DecoderSettings, Job, decode_jobs

logger = logging.getLogger(__name__)

START_SECONDS = 120.0
"""A process that is not ready by then is taken for broken."""

_MOST_HEADER_BYTES = 10**6
_MOST_VIEW_BYTES = 2**30


def begin_start(*modules: str) -> None:
    """Let the server of processes begin to import, while this one does other things.

    Args:
        modules: what is imported besides, such as that of the reader.
    """
    get_context("forkserver").set_forkserver_preload([decode_jobs.__module__, *modules])
    forkserver.ensure_running()


class DecodingError(Exception):
    """A job without result; `code` is one of `faults.FAULTS`, the text is for the client."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _LostError(Exception):
    """The process does not answer any more."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Answer:
    """One answer of a decoder."""

    header: dict[str, Any]
    """Its `kind` and facts."""
    views: npt.NDArray[np.uint8] | None = None
    """uint8 (V, T, C, S, S)."""


class DecoderPool:
    """A number of decoders, each of which works on one job at a time.

    Args:
        settings: what they are told.
        workers: how many.
        on_lost: called with the reason (`crash`, `timeout`, `left`) when one had to be replaced.
    """

    def __init__(
        self,
        settings: DecoderSettings,
        *,
        workers: int,
        on_lost: Callable[[str], None] = lambda reason: None,
    ) -> None:
        if workers < 1:
            raise ValueError(f"--workers is {workers}; give 1 or more")
        self._on_lost = on_lost
        self._decoders = [_Decoder(settings) for _ in range(workers)]
        self._idle: queue.SimpleQueue[_Decoder] = queue.SimpleQueue()
        for decoder in self._decoders:
            self._idle.put(decoder)

    @property
    def pids(self) -> list[int]:
        """The processes."""
        return [decoder.pid for decoder in self._decoders]

    @property
    def is_alive(self) -> bool:
        """Whether any of them runs."""
        return any(decoder.is_alive for decoder in self._decoders)

    def wait_ready(self) -> None:
        """Return when every decoder waits for a job.

        Raises:
            DecodingError: one does not start.
        """
        for decoder in self._decoders:
            try:
                decoder.wait_ready()
            except _LostError as error:
                raise DecodingError("internal", "the decoders do not start") from error

    def read(self, job: Job) -> Generator[Answer, None, None]:
        """The answers to a job, each as soon as it is there; for one thread a job.

        `job.seconds` is counted while an answer is waited for. Closing the iterator early ends the
        decoder, which is in the midst of its work.

        Raises:
            DecodingError: the video is refused or cannot be read, or its decoder was lost on it.
        """
        num_given = 0
        for is_last in (False, True):
            try:
                with closing(self._attempt(job)) as answers:
                    for answer in answers:
                        num_given += 1
                        yield answer
                return
            except _LostError as error:
                # A decoder that somebody killed just before had no quarrel with the file: one more
                # may try, if nothing has been given yet.
                if is_last or num_given or error.reason != "crash":
                    raise DecodingError(*_LOST[error.reason]) from error

    def _attempt(self, job: Job) -> Generator[Answer, None, None]:
        with self._decoder() as decoder:
            left = job.seconds
            decoder.give(job)
            while True:
                asked = time.monotonic()
                answer = decoder.answer(left)
                left -= time.monotonic() - asked
                if answer.header["kind"] == "refused":
                    decoder.is_busy = False
                    raise DecodingError(answer.header["code"], answer.header["message"])
                if answer.header["kind"] == "done":
                    decoder.is_busy = False
                    return
                yield answer

    def close(self) -> None:
        """End all decoders for good."""
        for decoder in self._decoders:
            decoder.close()

    @contextmanager
    def _decoder(self) -> Iterator["_Decoder"]:
        """A decoder that is ready; it is replaced if it is not done at the end of the block."""
        decoder = self._idle.get()
        lost: str | None = None
        try:
            if decoder.died_idle:  # killed from outside
                self._replace(decoder, "crash")
            decoder.wait_ready()
            yield decoder
        except _LostError as error:
            lost = error.reason
            raise
        finally:
            if decoder.is_busy or not decoder.is_alive:
                self._replace(decoder, lost or ("left" if decoder.is_busy else "crash"))
            self._idle.put(decoder)

    def _replace(self, decoder: "_Decoder", reason: str) -> None:
        logger.info("a decoder is replaced (%s)", reason)
        self._on_lost(reason)
        decoder.end()
        decoder.start()


_LOST = {
    "crash": ("unreadable", "the decoder failed on the video"),
    "timeout": ("decode_timeout", "decoding the video took longer than allowed"),
    "start": ("busy", "no decoder is ready; come back later"),
}
"""Why a decoder was lost -> code and message of the answer."""


class _Decoder:
    """One process and the connection to it."""

    _process: ForkServerProcess | None
    _connection: Connection

    def __init__(self, settings: DecoderSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._closed = False
        self.start()

    def start(self) -> None:
        """Start the process, without waiting until it is ready; if it cannot be, none is alive."""
        self.is_busy = self._ready = False
        self._process = None
        with self._lock:
            if self._closed:
                return
            context = get_context("forkserver")
            process = None
            try:
                begin_start(type(self._settings.reader).__module__)
                self._connection, theirs = context.Pipe()
                with closing(theirs):
                    process = context.Process(
                        target=decode_jobs, args=(theirs, self._settings), daemon=True
                    )
                    process.start()
            except (OSError, EOFError):  # no descriptor, no memory or no server of processes
                logger.exception("a decoder cannot be started")
                return
            self._process = process

    @property
    def pid(self) -> int:
        return (self._process and self._process.pid) or 0

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.is_alive()

    @property
    def died_idle(self) -> bool:
        """Whether it ended while it had nothing to do: then its end of the pipe is closed."""
        return not self.is_alive or (self._ready and self._connection.poll(0))

    def wait_ready(self) -> None:
        """Return when it waits for a job."""
        if self._process is None:
            raise _LostError("start")
        if not self._ready:
            try:
                self.answer(START_SECONDS)
            except _LostError as error:
                raise _LostError("start") from error
            self._ready = True

    def give(self, job: Job) -> None:
        """Let it work on a job."""
        self.is_busy = True
        try:
            self._connection.send(job)
        except OSError as error:
            raise _LostError("crash") from error

    def answer(self, seconds: float) -> Answer:
        """Its next answer."""
        assert self._process is not None
        watchdog = threading.Timer(max(seconds, 1), self._process.kill)  # it may stop in mid-answer
        try:
            if not self._connection.poll(max(seconds, 0)):
                raise _LostError("timeout")
            watchdog.start()
            header = json.loads(self._connection.recv_bytes(_MOST_HEADER_BYTES))
            if "shape" not in header:
                return Answer(header)
            values = bytearray(self._connection.recv_bytes(_MOST_VIEW_BYTES))
            views = np.frombuffer(values, dtype=np.uint8).reshape(header["shape"])
        except (EOFError, OSError, ValueError) as error:  # it died, or sends what is no answer
            raise _LostError("crash") from error
        finally:
            watchdog.cancel()
        return Answer(header, views)

    def end(self) -> None:
        """Kill it; what it works on is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()

    def close(self) -> None:
        """Kill it, and let no other take its place."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()
                self._process.join()
