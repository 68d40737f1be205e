"""The server: uvicorn on a socket of ours, ended in good order by SIGTERM or Ctrl-C."""

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

from mixtconv.serve.live import MOST_MESSAGE_BYTES
from mixtconv.serve.settings import Limits
from mixtconv.serve.slow_headers import PromptH11Protocol

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
