"""Connections: uvicorn's protocols, with limits for clients that make no progress.

The head of a request must come in time, what is sent to a client must be read in time, and a
WebSocket may not be flooded with frames that are no message.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Generator
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from wsproto import ConnectionType, WSConnection
from wsproto.events import CloseConnection, Event, Message, Ping, Pong
from wsproto.frame_protocol import CloseReason

logger = logging.getLogger(__name__)

HEAD_SECONDS = 10.0
"""Longest time from a connection, or from the first byte of a further request, to the end of the
head."""

CONTROL_FRAMES = 100
"""Pings and pongs that a client may send at once."""

CONTROL_FRAMES_A_SECOND = 10.0
"""How many more it may send every second."""

FRAMES_OF_A_MESSAGE = 2000
"""Frames that a client may send, of one message or of many, until the service takes a message."""


class _AbandonsClients(asyncio.Protocol):
    """Aborts a connection whose client does not read what it is sent.

    A transport of asyncio that is closed sends the rest of its buffer first, which takes for ever
    if nobody reads it, and uvicorn has no time limit for sending
    (https://github.com/Kludex/uvicorn/issues/157). A client that falls behind, so that writing is
    paused, and one whose connection is being closed have `read_seconds` to read. The state is
    looked at now and then, since a protocol is not told that its transport is being closed.
    """

    read_seconds = 60.0

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    _next_look: asyncio.TimerHandle | None = None
    _is_behind = False
    _stuck_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to look."""
        super().connection_made(transport)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to look."""
        self._stop_looking()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client falls behind."""
        self._is_behind = True
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client has read."""
        self._is_behind, self._stuck_since = False, None
        super().resume_writing()

    def _look(self) -> None:
        now = self.loop.time()
        if not self._is_behind and not self.transport.is_closing():
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now
        elif now - self._stuck_since >= self.read_seconds:
            logger.info("a client that does not read is let go")
            _abort(self.transport)
            return
        self._next_look = self.loop.call_later(min(1.0, self.read_seconds / 4), self._look)

    def _stop_looking(self) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None


def _abort(transport: asyncio.Transport) -> None:
    """End a connection at once; the system too forgets what has not been sent."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class HttpConnection(_AbandonsClients, H11Protocol):
    """HTTP/1.1 with a time limit for the head of a request.

    Uvicorn limits how long a connection is idle between requests only: a client that sends a byte a
    minute would hold one of the connections forever. Time limits are asked for in
    https://github.com/Kludex/uvicorn/issues/157, which was closed without one for the head; this
    class can go when there is one. It relies on `cycle` and `transport`, as of uvicorn 0.54.
    """

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer for the first head."""
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Process data; stop the timer at the end of a head, start it when another head begins."""
        before = self.cycle
        super().data_received(data)
        is_between = self.cycle is None or self.cycle.response_complete
        is_upgraded = self.transport.get_protocol() is not self  # a WebSocket has its own limits
        if is_upgraded:
            self._stop_looking()
        if self.cycle is not before or not is_between or is_upgraded:
            self._stop_timer()
        elif self._head_timer is None:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._close)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _close(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()


class LiveConnection(_AbandonsClients, WSProtocol):
    """A WebSocket that is closed when it is flooded with frames.

    Uvicorn answers every ping at once, also when the client does not read, and its idle clients
    would be kept busy for ever. It relies on `conn`, `queue` and `close_sent`, as of uvicorn 0.54.
    """

    conn: "_CountedFrames"

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the frames of the connection."""
        self.conn = _CountedFrames(self.loop, max_bytes=self.config.ws_max_size)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Process data, up to the frame that is one too many."""
        try:
            super().data_received(data)
        except _FloodError as flood:
            self._close(flood.code, str(flood))

    async def receive(self) -> Any:
        """The next message for the application."""
        message = await super().receive()
        self.conn.num_frames = 0
        return message

    def _close(self, code: int, reason: str) -> None:
        logger.info("a WebSocket is closed: %s", reason)
        if self.close_sent or self.transport.is_closing():
            _abort(self.transport)
            return
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(self.conn.send(CloseConnection(code=code, reason=reason)))
        self.transport.close()


class _FloodError(Exception):
    """A client has sent too much; `code` is that of the end of its WebSocket (RFC 6455)."""

    def __init__(self, code: CloseReason, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class _CountedFrames(WSConnection):
    """The server's side of a WebSocket, which raises `_FloodError` at a frame too many.

    Args:
        loop: has the time.
        max_bytes: largest message; some releases of uvicorn do not limit it here.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, max_bytes: int) -> None:
        super().__init__(ConnectionType.SERVER)
        self._loop, self._max_bytes = loop, max_bytes
        self._num_allowed, self._allowed_at = float(CONTROL_FRAMES), loop.time()
        self._num_bytes = 0  # of the message that is being received
        self.num_frames = 0

    def events(self) -> Generator[Event, None, None]:
        """What has been received."""
        for event in super().events():
            if isinstance(event, (Ping, Pong)):
                self._count_control_frame()
            elif isinstance(event, Message):
                self._count_part(event)
            yield event

    def _count_part(self, part: Message[Any]) -> None:
        self._num_bytes += len(part.data)
        if self._num_bytes > self._max_bytes:
            reason = f"a message has more than {self._max_bytes} bytes"
            raise _FloodError(CloseReason.MESSAGE_TOO_BIG, reason)
        if part.message_finished:
            self._num_bytes = 0
        self.num_frames += part.frame_finished
        if self.num_frames > FRAMES_OF_A_MESSAGE:
            reason = "too many frames in a message or ahead of the answers"
            raise _FloodError(CloseReason.POLICY_VIOLATION, reason)

    def _count_control_frame(self) -> None:
        now = self._loop.time()
        more = CONTROL_FRAMES_A_SECOND * (now - self._allowed_at)
        self._num_allowed = min(CONTROL_FRAMES, self._num_allowed + more) - 1
        self._allowed_at = now
        if self._num_allowed < 0:
            raise _FloodError(CloseReason.POLICY_VIOLATION, "too many pings or pongs")
