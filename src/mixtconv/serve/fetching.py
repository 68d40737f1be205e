"""Fetching a file from an allowed URL: no farther, no larger and no longer than allowed.

Every step of a redirect is checked like the first. The host's name is looked up once, its addresses
are checked and one of them is connected to, so that a name cannot lead to another place a moment
later. Proxies of the environment are not used.
"""

import ipaddress
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import anyio
import httpcore

from mixtconv.serve.faults import ServiceError
from mixtconv.serve.sources import AllowedSources

MOST_REDIRECTS = 3
STEP_SECONDS = 10.0
"""Longest wait for a connection or the next piece."""


class _PrivateAddressError(Exception):
    """The host lies where it must not."""


class _CheckedNetwork(httpcore.AnyIOBackend):
    """Connects to addresses that are allowed, whatever the name."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private

    async def connect_tcp(
        self, host: str, port: int, *arguments: Any, **options: Any
    ) -> httpcore.AsyncNetworkStream:
        """Look the host up, check all of its addresses and connect to the first."""
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(entry[4][0]) for entry in found]
        if not self._allow_private and not all(map(is_public, addresses)):
            raise _PrivateAddressError
        return await super().connect_tcp(addresses[0], port, *arguments, **options)


def is_public(address: str) -> bool:
    """Whether an address belongs to the internet: not this machine, its network or multicast.

    >>> is_public("9.9.9.9"), is_public("169.254.169.254"), is_public("::ffff:10.0.0.1")
    (True, False, False)
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    if mapped is not None:
        parsed = mapped
    return parsed.is_global and not parsed.is_multicast


async def fetch(
    url: str,
    path: Path,
    *,
    allowed: AllowedSources,
    allow_private: bool,
    max_bytes: int,
    seconds: float,
) -> None:
    """Write what is at a URL to a file.

    Raises:
        ServiceError: it is not allowed, too large, takes too long, or is not there.
    """
    network = _CheckedNetwork(allow_private=allow_private)
    try:
        with anyio.fail_after(seconds):
            async with httpcore.AsyncConnectionPool(network_backend=network) as pool:
                for _ in range(MOST_REDIRECTS + 1):
                    following = await _fetch_step(pool, allowed.check_url(url), path, max_bytes)
                    if following is None:
                        return
                    url = urljoin(url, following)
    except (TimeoutError, httpcore.TimeoutException) as error:
        raise ServiceError("decode_timeout", "fetching the source took too long") from error
    except _PrivateAddressError as error:
        raise ServiceError("forbidden", "the source lies in a private network") from error
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        raise ServiceError("source_failed", "the source cannot be reached") from error
    raise ServiceError("source_failed", "the source leads on too often")


async def _fetch_step(
    pool: httpcore.AsyncConnectionPool, url: str, path: Path, max_bytes: int
) -> str | None:
    """Fetch one URL; where it leads on, give the next."""
    timeouts = dict.fromkeys(("connect", "read", "write", "pool"), STEP_SECONDS)
    headers = [("Accept-Encoding", "identity"), ("User-Agent", "mixtconv")]
    async with pool.stream("GET", url, headers=headers, extensions={"timeout": timeouts}) as answer:
        if answer.status in (301, 302, 303, 307, 308):
            return _header(answer.headers, b"location")
        if answer.status != 200:
            raise ServiceError("source_failed", f"the source answers with status {answer.status}")
        stated = _header(answer.headers, b"content-length")
        size = int(stated) if stated.isdecimal() else 0
        file = await anyio.open_file(path, "r+b")
        async with file:
            async for piece in answer.aiter_stream():
                size = max(size, await file.tell() + len(piece))
                if size > max_bytes:
                    raise ServiceError(
                        "too_large", f"the source is larger than {max_bytes / 1e6:g} MB"
                    )
                await file.write(piece)
    return None


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), "")
