"""A pool of decoder processes: a file that crashes or hangs its decoder costs one request.

The service sends a decoder a job and waits as long as the job may take. A decoder that is late is
killed; one that died is noticed by its end of the pipe. Either way a new one takes its place. A
crash is put down to the file; what is killed by others is not, and the client may ask again.

Decoders are forked from a server process that has imported what they need and done nothing else: a
new one is ready in milliseconds and shares that memory. A process started from nothing takes
seconds and hundreds of megabytes.
"""

import logging
import queue
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from multiprocessing import forkserver, get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess

from mixtconv.serve.answers import VideoFacts
from mixtconv.serve.decoder_process import (
    Done,
    FrameViews,
    Job,
    Message,
    Ready,
    RefusedError,
    WindowViews,
    decode_jobs,
    receive_message,
)
from mixtconv.serve.errors import ServiceError
from mixtconv.serve.settings import Limits
from mixtconv.video.pictures import Clip
from mixtconv.video.views import ViewReader

logger = logging.getLogger(__name__)

START_SECONDS = 120.0
"""A process that is not ready by then is considered broken."""

CANCEL_SECONDS = 0.1
"""How often a job that is waited for is checked for having been cancelled."""

EXIT_SECONDS = 2.0
"""Longest wait for the exit status of a process whose end of the pipe is closed."""


def begin_start(*modules: str) -> None:
    """Start the server process, which imports while this one continues.

    Args:
        modules: what is imported besides, such as the module of the reader.
    """
    get_context("forkserver").set_forkserver_preload([decode_jobs.__module__, *modules])
    forkserver.ensure_running()


class _LostError(Exception):
    """The process is no longer usable; the message is the reason, one of `_LOST`."""


_LOST = {
    "crash": ("unreadable", "the decoder failed on the video"),
    "killed": ("busy", "the decoder was killed by another program; send the video again"),
    "timeout": ("decode_timeout", "decoding the video took longer than allowed"),
    "start": ("busy", "no decoder is ready; come back later"),
    "left": ("gone", "the job was cancelled"),
}
"""Why a decoder was lost -> code and message of the answer."""


class DecoderPool:
    """A fixed number of decoders, each of which works on one job at a time.

    Args:
        reader: reads the input of the model.
        limits: which videos are accepted, and the memory of each decoder.
        workers: number of decoders.
        on_lost: called with the reason (`crash`, `killed`, `timeout`, `left`) when one had to be
            replaced.
    """

    def __init__(
        self,
        reader: ViewReader,
        limits: Limits,
        *,
        workers: int,
        on_lost: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._on_lost = on_lost
        self._decoders = [_Decoder(reader, limits) for _ in range(workers)]
        self._idle: queue.SimpleQueue[_Decoder] = queue.SimpleQueue()
        for decoder in self._decoders:
            self._idle.put(decoder)

    @property
    def pids(self) -> list[int]:
        """Process ids of the decoders."""
        return [decoder.pid for decoder in self._decoders]

    @property
    def is_alive(self) -> bool:
        """Whether any decoder runs."""
        return any(decoder.is_alive for decoder in self._decoders)

    def wait_ready(self) -> None:
        """Return when every decoder waits for a job.

        Raises:
            ServiceError: one does not start.
        """
        for decoder in self._decoders:
            try:
                decoder.wait_ready()
            except _LostError as error:
                raise ServiceError("internal", "the decoders do not start") from error

    def read(
        self, job: Job, *, cancelled: threading.Event | None = None
    ) -> Generator[VideoFacts | Clip | WindowViews | FrameViews, None, None]:
        """The answers to a job as they arrive: the metadata, then views, or those of windows or
        frames.

        `job.seconds` counts the time spent waiting for answers. Closing the iterator early replaces
        the decoder, since it is in the middle of its work.

        Args:
            job: the video.
            cancelled: set by another thread when the result is no longer needed.

        Raises:
            ServiceError: the video is refused or cannot be read, its decoder was lost, or the job
                is cancelled.
        """
        num_yielded = 0
        for is_last in (False, True):
            try:
                with closing(self._attempt(job, cancelled or threading.Event())) as answers:
                    for answer in answers:
                        num_yielded += 1
                        yield answer
                return
            except _LostError as error:
                # The file may not be the cause: it gets one retry, unless an answer has been
                # passed on.
                if is_last or num_yielded or str(error) not in ("crash", "killed"):
                    raise ServiceError(*_LOST[str(error)]) from error

    def _attempt(
        self, job: Job, cancelled: threading.Event
    ) -> Generator[VideoFacts | Clip | WindowViews | FrameViews, None, None]:
        with self._decoder() as decoder:
            left = job.seconds
            expected: type[Message] = VideoFacts
            decoder.start_job(job)
            while True:
                started = time.monotonic()
                answer = decoder.receive(left, cancelled)
                left -= time.monotonic() - started
                if isinstance(answer, RefusedError):
                    decoder.is_busy = False
                    raise ServiceError(answer.code, answer.message)
                if isinstance(answer, Done):
                    decoder.is_busy = False
                    return
                if isinstance(answer, Ready) or not isinstance(answer, expected):
                    raise _LostError("crash")  # out of order: the process is taken over
                yield answer
                expected = job.answer

    def close(self) -> None:
        """End all decoders; none is replaced any more."""
        for decoder in self._decoders:
            decoder.close()

    @contextmanager
    def _decoder(self) -> Iterator["_Decoder"]:
        """A decoder that is ready; it is replaced if it is not done at the end of the block."""
        decoder = self._idle.get()
        lost: str | None = None
        try:
            if decoder.died_idle:
                self._replace(decoder, decoder.why_it_died())
            decoder.wait_ready()
            yield decoder
        except _LostError as error:
            lost = str(error)
            raise
        finally:
            if decoder.is_busy or not decoder.is_alive:
                self._replace(
                    decoder, lost or ("left" if decoder.is_busy else decoder.why_it_died())
                )
            self._idle.put(decoder)

    def _replace(self, decoder: "_Decoder", reason: str) -> None:
        logger.info("a decoder is replaced (%s)", reason)
        self._on_lost(reason)
        decoder.end()
        decoder.start()


_OF_DAMAGE = {signal.SIGABRT, signal.SIGALRM, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
_OF_DAMAGE |= {signal.SIGSEGV, signal.SIGSYS, signal.SIGTRAP}
"""Signals that a file can cause; SIGALRM ends a decoder that takes far too long. All others are
sent by other programs, or by the system when it is out of memory."""

_LOST_STATUS = 255
"""Exit status as `multiprocessing` gives it if the server process, which knows it, is gone too."""


class _Decoder:
    """One process and the connection to it."""

    _process: ForkServerProcess | None
    _connection: Connection

    def __init__(self, reader: ViewReader, limits: Limits) -> None:
        self._reader, self._limits = reader, limits
        self._lock = threading.Lock()
        self._closed = False
        self.start()

    def start(self) -> None:
        """Start the process, without waiting until it is ready; on failure there is none."""
        self.is_busy = self._ready = False
        self._process = None
        with self._lock:
            if self._closed:
                return
            context = get_context("forkserver")
            process = None
            try:
                begin_start(type(self._reader).__module__)
                self._connection, theirs = context.Pipe()
                with closing(theirs):
                    process = context.Process(
                        target=decode_jobs, args=(theirs, self._reader, self._limits), daemon=True
                    )
                    process.start()
            except (OSError, EOFError):  # no descriptor, no memory or no server process
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
        """Whether it ended without a job: then its end of the pipe is closed."""
        return not self.is_alive or (self._ready and self._connection.poll(0))

    def wait_ready(self) -> None:
        """Return when it waits for a job."""
        if self._process is None:
            raise _LostError("start")
        if not self._ready:
            try:
                self.receive(START_SECONDS, threading.Event())
            except _LostError as error:
                raise _LostError("start") from error
            self._ready = True

    def start_job(self, job: Job) -> None:
        """Send it a job."""
        self.is_busy = True
        try:
            self._connection.send(job)
        except OSError as error:
            raise _LostError(self.why_it_died()) from error

    def receive(self, seconds: float, cancelled: threading.Event) -> Message:
        """Its next message, if it arrives within some seconds."""
        assert self._process is not None
        was_late = threading.Event()

        def kill_late() -> None:
            was_late.set()
            process.kill()

        process = self._process
        watchdog = threading.Timer(max(seconds, 1), kill_late)  # it may stop in a message
        end = time.monotonic() + seconds
        try:
            while not self._connection.poll(max(0, min(CANCEL_SECONDS, end - time.monotonic()))):
                if cancelled.is_set():
                    raise _LostError("left")
                if time.monotonic() >= end:
                    raise _LostError("timeout")
            watchdog.start()
            return receive_message(self._connection)
        except (EOFError, OSError) as error:
            raise _LostError("timeout" if was_late.is_set() else self.why_it_died()) from error
        except ValueError as error:  # it sent nonsense
            raise _LostError("crash") from error
        finally:
            watchdog.cancel()

    def why_it_died(self) -> str:
        """The reason, one of `_LOST`, for which a decoder ended by itself or was ended."""
        if self._process is None:
            return "start"
        self._process.join(EXIT_SECONDS)
        status = self._process.exitcode or 0
        by_signal = status < 0 and -status not in _OF_DAMAGE
        return "killed" if by_signal or status == _LOST_STATUS else "crash"

    def end(self) -> None:
        """Kill it and drop the connection."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()

    def close(self) -> None:
        """Kill it, without another one taking its place."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()
                self._process.join()
