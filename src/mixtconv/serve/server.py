"""The server: uvicorn on a socket of its own, shut down gracefully by SIGTERM or Ctrl-C."""

import ipaddress
import logging
import math
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from mixtconv.serve.app import make_app
from mixtconv.serve.connections import HttpConnection, LiveConnection
from mixtconv.serve.guard import TOKEN_VARIABLE, read_token
from mixtconv.serve.live import MAX_MESSAGE_BYTES
from mixtconv.serve.service import open_service
from mixtconv.serve.settings import Limits, ServeSettings

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 512
"""Open connections; one more is answered with 503."""


def run_service(model: str, settings: ServeSettings) -> None:
    """Serve a model until SIGTERM or Ctrl-C.

    Raises:
        ValueError: a setting, a token or a model that cannot be used.
        OSError: the address is in use.
    """
    token = read_token(settings.token_file)
    with listen(settings.host, settings.port) as listening:
        is_private = is_loopback(listening)
        if not is_private and token is None:
            logger.warning(
                "everybody who reaches %s may use the service: give --token-file or set %s",
                address_of(listening),
                TOKEN_VARIABLE,
            )
        with open_service(model, settings) as service:
            app = make_app(service, token=token, hosts=settings.names(is_private=is_private))
            server = make_server(app, settings)
            logger.info("serving at %s (Ctrl-C ends it)", address_of(listening))
            with _signals_stop_server_only():
                server.run(sockets=[listening])
    logger.info("stopped")


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; connections wait until the server runs.

    Raises:
        OSError: the address is in use, or not one of this machine.
    """
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = addresses[0]
    return socket.create_server(address[:2], family=family, backlog=256)


def is_loopback(listening: socket.socket) -> bool:
    """Whether only this machine can reach a socket."""
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback


def address_of(listening: socket.socket) -> str:
    """The URL of a socket."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def make_server(app: ASGIApp, limits: Limits) -> uvicorn.Server:
    """A server; `run(sockets=[...])` answers until a signal, or until its `should_exit` is set.
    Requests in flight then have `limits.stop_seconds` to finish."""

    class Http(HttpConnection):
        read_seconds = limits.send_seconds  # reading has the same limit as sending

    class Live(LiveConnection):
        read_seconds = limits.send_seconds

    config = uvicorn.Config(
        app,
        http=Http,
        # "auto" takes the `websockets` implementation before 0.50, which is deprecated
        # (https://github.com/Kludex/uvicorn/pull/2985). "websockets-sansio" passes our tests with
        # 0.54; it can replace wsproto once 0.52.1 is required, which completes its closing
        # handshake and adds write flow control (https://github.com/Kludex/uvicorn/pull/3056).
        ws=Live,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # a message would be unpacked before its size is checked
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=math.ceil(limits.stop_seconds),
    )
    return uvicorn.Server(config)


@contextmanager
def _signals_stop_server_only() -> Iterator[None]:
    """Let the signals that stop the server not end the process as well.

    Since 0.29 uvicorn raises them again when it has stopped, for the handlers that were installed
    before it (https://github.com/Kludex/uvicorn/pull/1600). A graceful stop is no failure: the exit
    status is 0. This can go when uvicorn has a setting for it.
    """
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: None) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
