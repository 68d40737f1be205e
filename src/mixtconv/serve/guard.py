"""Checks that every request passes first: authentication and limits, as an ASGI middleware.

In this order: the host name (a page of another site could point its own name at this machine), the
origin, the token, the length of the address, the number of requests, the size, and the time it
takes to send. No part of a body is read before the first five.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mixtconv.serve.errors import ERRORS, ServiceError
from mixtconv.serve.metrics import Metrics
from mixtconv.serve.settings import LOOPBACK_NAMES, Limits

logger = logging.getLogger(__name__)

TOKEN_VARIABLE = "MIXTCONV_SERVE_TOKEN"
COOKIE = "mixtconv"

MIN_TOKEN_LENGTH = 16


def read_token(token_file: str | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The token of the service, from a file or else the environment; None if neither has one.

    There is no flag, which would show it to every user who can list processes.

    Raises:
        ValueError: it is empty, short or has characters that a header may not have.
        OSError: the file cannot be read.
    """
    if token_file is not None:
        token, place = Path(token_file).read_text(encoding="utf-8").strip(), f"in {token_file}"
    elif TOKEN_VARIABLE in environment:
        token, place = environment[TOKEN_VARIABLE].strip(), f"in {TOKEN_VARIABLE}"
    else:
        return None
    if len(token) < MIN_TOKEN_LENGTH or not token.isascii() or not token.isprintable():
        raise ValueError(
            f"the token {place} is not usable; give {MIN_TOKEN_LENGTH} or more ASCII characters, "
            "such as 'openssl rand -hex 32' prints"
        )
    return token


class TokenAuth:
    """Authentication by one token, or none.

    Programs send `Authorization: Bearer TOKEN`. A browser asks its user and sends the token as the
    password of any name; it then gets a cookie, since not every browser sends passwords with a
    WebSocket. The cookie is valid for this run of the service.

    >>> auth = TokenAuth("0123456789abcdef")
    >>> auth.allows({"authorization": "Bearer 0123456789abcdef"}), auth.allows({})
    (True, False)
    """

    def __init__(self, token: str | None) -> None:
        self._token = token
        run_key = secrets.token_bytes(32)
        self._cookie = hmac.new(run_key, (token or "").encode(), hashlib.sha256).hexdigest()

    def allows(self, headers: Mapping[str, str]) -> bool:
        """Whether a request with these headers (names in lower case) is authenticated."""
        if self._token is None:
            return True
        kind, _, value = headers.get("authorization", "").partition(" ")
        token = {"bearer": value.strip(), "basic": _password(value)}.get(kind.lower(), "")
        by_token = _equal(token, self._token)
        cookies = cookie_parser(headers.get("cookie", ""))
        by_cookie = _equal(cookies.get(COOKIE, ""), self._cookie)
        return by_token or by_cookie

    def cookie_for(self, headers: Mapping[str, str]) -> str | None:
        """The Set-Cookie for a browser that has just sent the password, else None."""
        if self._token is None or not headers.get("authorization", "").lower().startswith("basic "):
            return None
        return f"{COOKIE}={self._cookie}; Path=/; HttpOnly; SameSite=Strict"


def _equal(text: str, secret: str) -> bool:
    """Whether two texts are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(text.encode(), secret.encode())


def _password(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


OPEN_PATHS = ("/health/live", "/health/ready")
"""For supervisors of the service; they need no token."""

WORK_PREFIX = "/v1/"

MAX_ADDRESS_BYTES = 255
"""Longest path of an address, which is also the longest name that file systems take. Those of the
service are much shorter."""

MAX_OTHER_BYTES = 64_000
"""Largest body that is not a file."""

MULTIPART_BYTES = 64_000
"""What multipart encoding may add to a file."""

PAUSE_SECONDS = 10.0
"""Longest pause in a body."""

DRAIN_SECONDS = 5.0
"""How long the rest of a body that is too large is read: many clients read no answer before they
have sent all of it."""

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "media-src 'self' blob:; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
        "form-action 'self'"
    ),
}
"""The browser lets the pages load nothing from elsewhere and run no inline script or eval."""


class RequestLimits:
    """Refuses requests that are not allowed or exceed a limit, and counts all of them.

    Args:
        app: the application behind it.
        auth: authentication.
        limits: size, time and number of requests.
        metrics: counts requests.
        hosts: host names that requests may use, None for any.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        auth: TokenAuth,
        limits: Limits,
        metrics: Metrics,
        hosts: frozenset[str] | None,
    ) -> None:
        self._app, self._auth, self._limits = app, auth, limits
        self._metrics, self._hosts = metrics, hosts
        self._num_in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send, headers)
            return
        cookie = self._auth.cookie_for(headers)
        answer = _Sender(send, cookie, self._limits.send_seconds)
        started, is_work = time.monotonic(), scope["path"].startswith(WORK_PREFIX)
        try:
            self._check(scope, headers)
            if is_work and self._num_in_flight >= self._limits.max_requests:
                raise ServiceError("busy", "the service is overloaded; come back later", close=True)
            self._num_in_flight += is_work
            self._metrics.in_flight.set(self._num_in_flight)
            try:
                await self._app(scope, await self._limited(headers, receive), answer)
            finally:
                self._num_in_flight -= is_work
                self._metrics.in_flight.set(self._num_in_flight)
        except ClientDisconnect:
            logger.info("a client did not read its answer")
        except asyncio.CancelledError:  # the server has stopped waiting; the task ends here anyway
            if answer.status is None:
                error = ServiceError("busy", "the service is stopping", close=True)
                await error.response()(scope, receive, answer)
        except ServiceError as error:  # of this class: the app answers its own
            if answer.status is None:
                await error.response()(scope, receive, answer)
        finally:
            self._count(scope, answer.status or 500, time.monotonic() - started)

    def _check(self, scope: Scope, headers: Mapping[str, str]) -> None:
        host = headers.get("host", "")
        if self._hosts is not None and _host_name(host) not in self._hosts:
            raise ServiceError("wrong_host", "this service has another host name", close=True)
        origin = headers.get("origin")
        if origin is not None and origin not in _own_origins(host, headers):
            raise ServiceError(
                "forbidden", "pages of other sites may not send requests", close=True
            )
        path = scope["path"]
        if path not in OPEN_PATHS and not self._auth.allows(headers):
            raise ServiceError("unauthorized", "send the token of this service", close=True)
        if len(path.encode(errors="replace")) > MAX_ADDRESS_BYTES or not path.isprintable():
            raise ServiceError("not_found", ERRORS["not_found"].meaning, close=True)

    async def _websocket(
        self, scope: Scope, receive: Receive, send: Send, headers: Mapping[str, str]
    ) -> None:
        try:
            self._check(scope, headers)
        except ServiceError as error:
            logger.info("websocket refused: %s", error.code)
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": error.message})
            return
        await self._app(scope, receive, send)

    async def _limited(self, headers: Mapping[str, str], receive: Receive) -> Receive:
        """Receive with limits; a body whose Content-Length is too large is refused at once."""
        is_file = headers.get("content-type", "").lower().startswith("multipart/form-data")
        allowed = self._limits.max_upload_mb * 1e6 if is_file else MAX_OTHER_BYTES
        limit = allowed + MULTIPART_BYTES if is_file else allowed
        seconds, started = self._limits.send_seconds, time.monotonic()
        num_bytes, is_complete = 0, False

        async def refuse_large(*, drain: bool) -> NoReturn:
            nonlocal is_complete
            with anyio.move_on_after(DRAIN_SECONDS):
                while drain and not is_complete:
                    is_complete = not (await receive()).get("more_body", False)
            raise ServiceError(
                "too_large", f"the request is larger than {allowed / 1e6:g} MB", close=True
            )

        async def limited() -> Message:
            nonlocal num_bytes, is_complete
            if is_complete:
                return await receive()  # the disconnect, which has no deadline
            left = max(0.0, started + seconds - time.monotonic())
            try:
                with anyio.fail_after(min(left, PAUSE_SECONDS)):
                    message = await receive()
            except TimeoutError as error:
                reason = f"the request was not sent within {seconds:g} seconds"
                if left > PAUSE_SECONDS:
                    reason = f"nothing was sent for {PAUSE_SECONDS:g} seconds"
                raise ServiceError("too_slow", reason, close=True) from error
            is_complete = not message.get("more_body", False)
            num_bytes += len(message.get("body", b""))
            self._metrics.upload_bytes.inc(len(message.get("body", b"")))
            if num_bytes > limit:
                await refuse_large(drain=True)
            return message

        stated = headers.get("content-length", "")
        if stated.isdecimal() and int(stated) > limit:
            await refuse_large(drain="100-continue" not in headers.get("expect", "").lower())
        return limited

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None)
        name = route if route and scope["path"].startswith(("/v1/", "/health/")) else "other"
        self._metrics.requests.labels(name, str(status)).inc()
        self._metrics.request_seconds.labels(name).observe(seconds)
        if name != "other":
            logger.debug("%s %s %d %.0f ms", scope["method"], name, status, 1000 * seconds)


class _Sender:
    """Sends an answer with the headers that all answers share, and keeps its status."""

    def __init__(self, send: Send, cookie: str | None, seconds: float) -> None:
        self._send, self._cookie, self._seconds = send, cookie, seconds
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers.update(SECURITY_HEADERS)
            if self._cookie is not None and self.status < 400:
                headers.append("Set-Cookie", self._cookie)
        try:
            with anyio.fail_after(self._seconds):  # reading has the same limit as sending
                await self._send(message)
        except TimeoutError as error:
            raise ClientDisconnect from error


def _host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    name, _, port = host.lower().rpartition(":")
    return name if name and port.isdecimal() else host.lower()


def _own_origins(host: str, headers: Mapping[str, str]) -> set[str]:
    """Origins of the service's own pages: the schemes that they may have, and its host.

    The service speaks HTTP; behind a proxy its pages may have come by https. A proxy that does not
    say which (no page of another site can, without being asked first) is taken for one of either,
    unless the name is one of this machine.

    >>> sorted(_own_origins("a.example", {}))
    ['http://a.example', 'https://a.example']
    >>> _own_origins("a.example", {"x-forwarded-proto": "https"})
    {'https://a.example'}
    >>> _own_origins("localhost:8000", {})
    {'http://localhost:8000'}
    """
    told = headers.get("x-forwarded-proto", "").lower()
    if told in ("http", "https"):
        schemes = {told}
    else:
        schemes = {"http"} if _host_name(host) in LOOPBACK_NAMES else {"http", "https"}
    return {f"{scheme}://{host}" for scheme in schemes}
