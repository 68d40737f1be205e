"""Connections that send no request: closed, so that they cannot take all places.

Uvicorn times how long a kept connection is silent between requests, but not how long a client takes
for the head of one: a byte a minute would hold a place for ever.
"""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""Longest time from a connection, or from the first byte behind a request, to a whole head."""


class PromptH11Protocol(H11Protocol):
    """HTTP/1.1 for clients that say what they want."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Take what came, and see whether a head is whole or has begun."""
        before = self.cycle
        super().data_received(data)
        is_between = self.cycle is None or self.cycle.response_complete
        is_upgraded = self.transport.get_protocol() is not self  # a WebSocket has its own limits
        if self.cycle is not before or not is_between or is_upgraded:
            self._forget_head()
        elif self._head_timer is None:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._forget_head()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._close_silent)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _close_silent(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()
