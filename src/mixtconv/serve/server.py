"""Connections that send no request: closed, so that they cannot take all places.

Uvicorn times how long a kept connection is silent between requests, but not how long a client takes
for the head of one: a byte a minute would hold a place for ever.

The server: uvicorn on a socket of ours, ended in good order by SIGTERM or Ctrl-C.

The whole service, from what the command line says to its end.
"""

import asyncio
import ipaddress
import logging
import math
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from mixtconv._types import Precision
from mixtconv.data.parallel import usable_cores
from mixtconv.serve.app import make_app
from mixtconv.serve.guard import TOKEN_VARIABLE, read_token
from mixtconv.serve.live import MOST_MESSAGE_BYTES
from mixtconv.serve.service import open_service
from mixtconv.serve.settings import Batching, Binding, Limits
from mixtconv.serve.sources import AllowedSources

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


logger = logging.getLogger(__name__)

MOST_CONNECTIONS = 512
"""Open at once; one more is told to come back."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; nobody is answered before the server runs.

    Raises:
        OSError: the address is in use, or not one of this machine.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    return socket.create_server(address[:2], family=family, backlog=256)


def is_loopback(listening: socket.socket) -> bool:
    """Whether only this machine can reach a socket."""
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback


def address_of(listening: socket.socket) -> str:
    """The URL of a socket."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def make_server(app: ASGIApp, limits: Limits) -> uvicorn.Server:
    """A server; `run(sockets=[...])` answers until it is told to stop, by a signal or by setting
    its `should_exit`. Requests in flight then have `limits.stop_seconds` to finish."""
    config = uvicorn.Config(
        app,
        http=PromptH11Protocol,
        ws="wsproto",
        ws_max_size=MOST_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # a message would be whole before its size is looked at
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=math.ceil(limits.stop_seconds),
    )
    return _Server(config)


class _Server(uvicorn.Server):
    """Uvicorn, but a signal that stopped it in good order does not then kill the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():  # others hear no signals
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run_service(
    model: str,
    *,
    binding: Binding,
    batching: Batching,
    limits: Limits,
    protocol: str = "1x1",
    workers: int | None = None,
    device: str = "auto",
    precision: Precision = "auto",
) -> None:
    """Serve a model until told to stop.

    Raises:
        ValueError: a setting, a token or a model that cannot be used.
        OSError: the address is in use.
    """
    token, sources = read_token(binding.token_file), AllowedSources.parse(binding.allow)
    with listen(binding.host, binding.port) as listening:
        is_private = is_loopback(listening)
        if not is_private and token is None:
            logger.warning(
                "everybody who reaches %s may use the service: give --token-file or set %s",
                address_of(listening),
                TOKEN_VARIABLE,
            )
        with open_service(
            model,
            limits=limits,
            batching=batching,
            workers=usable_cores() if workers is None else workers,
            sources=sources,
            allow_private=binding.allow_private,
            device=device,
            protocol=protocol,
            precision=precision,
        ) as service:
            app = make_app(
                service,
                token=token,
                hosts=binding.names(is_private=is_private),
                page=not binding.no_page,
            )
            logger.info("serving at %s (Ctrl-C ends it)", address_of(listening))
            make_server(app, limits).run(sockets=[listening])
    logger.info("stopped")
