"""Who may ask: one token, as a bearer, as the password of a browser, or not at all."""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

TOKEN_VARIABLE = "MIXTCONV_SERVE_TOKEN"
COOKIE = "mixtconv"

FEWEST_CHARACTERS = 16


def read_token(token_file: str | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The token of the service, from a file or else the environment; None where there is none.

    A flag would show it to everybody who can list processes.

    Raises:
        ValueError: it is empty, short or has other characters than a header may have.
        OSError: the file cannot be read.
    """
    if token_file is not None:
        token, place = Path(token_file).read_text(encoding="utf-8").strip(), f"in {token_file}"
    elif TOKEN_VARIABLE in environment:
        token, place = environment[TOKEN_VARIABLE].strip(), f"in {TOKEN_VARIABLE}"
    else:
        return None
    if len(token) < FEWEST_CHARACTERS or not token.isascii() or not token.isprintable():
        raise ValueError(
            f"the token {place} is not usable; give {FEWEST_CHARACTERS} or more ASCII characters, "
            "such as 'openssl rand -hex 32' prints"
        )
    return token


class Gate:
    """Knows the token, and says who may pass.

    Programs send `Authorization: Bearer TOKEN`. A browser asks its user and sends the token as the
    password of any name; it is then given a cookie, since not every browser sends passwords with a
    WebSocket. The cookie holds for this run of the service.

    >>> gate = Gate("0123456789abcdef")
    >>> gate.lets_in({"authorization": "Bearer 0123456789abcdef"}), gate.lets_in({})
    (True, False)
    """

    def __init__(self, token: str | None) -> None:
        self._token = token
        run = secrets.token_bytes(32)
        self._pass = hmac.new(run, (token or "").encode(), hashlib.sha256).hexdigest()

    def lets_in(self, headers: Mapping[str, str]) -> bool:
        """Whether a request with these headers (names in lower case) may pass."""
        if self._token is None:
            return True
        kind, _, value = headers.get("authorization", "").partition(" ")
        given = {"bearer": value.strip(), "basic": _password(value)}.get(kind.lower(), "")
        by_token = _same(given, self._token)
        by_cookie = _same(_cookie(headers.get("cookie", "")), self._pass)
        return by_token or by_cookie

    def cookie_for(self, headers: Mapping[str, str]) -> str | None:
        """The Set-Cookie for a browser that has just given the password, else None."""
        if self._token is None or not headers.get("authorization", "").lower().startswith("basic "):
            return None
        return f"{COOKIE}={self._pass}; Path=/; HttpOnly; SameSite=Strict"


def _same(given: str, wanted: str) -> bool:
    """Whether two texts are equal, in a time that does not tell how far they are."""
    return hmac.compare_digest(given.encode(), wanted.encode())


def _password(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def _cookie(header: str) -> str:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value
