"""Fetching a file from an allowed URL: no farther, no larger and no longer than allowed.

Every step of a redirect is checked like the first. The host's name is looked up once, its addresses
are checked and one of them is connected to, so that a name cannot lead to another place a moment
later. Proxies of the environment are not used.

What a request may name instead of sending it: files below allowed folders, allowed URLs.
"""

import ipaddress
import posixpath
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

import anyio
import httpcore2

from mixtconv.serve.errors import ServiceError

_PORTS = {"http": 80, "https": 443}

_REFUSED = "the source is not allowed here"
"""One answer for all, so that nobody learns what else there is."""


@dataclass(frozen=True)
class AllowedSources:
    """Folders and beginnings of URLs."""

    folders: tuple[Path, ...] = ()
    """Below them files may be read."""
    urls: tuple[SplitResult, ...] = ()
    """Scheme, host and port must be equal, and the path begin with this one."""

    @classmethod
    def parse(cls, allow: str | None) -> "AllowedSources":
        """Read `--allow`: folders and URLs with commas between them.

        Raises:
            ValueError: neither a folder that exists nor a URL of http or https without a query.

        >>> [url.geturl() for url in AllowedSources.parse("https://example.org/clips/").urls]
        ['https://example.org/clips/']
        """
        folders: list[Path] = []
        urls: list[SplitResult] = []
        for entry in (part.strip() for part in (allow or "").split(",") if part.strip()):
            if "://" in entry:
                url = _split(entry)
                if url is None or url.query:
                    raise ValueError(
                        f"--allow has {entry!r}; give the beginning of a URL such as "
                        "https://media.example.org/clips/"
                    )
                urls.append(url)
            elif Path(entry).is_dir():
                folders.append(Path(entry).resolve())
            else:
                raise ValueError(f"--allow has {entry!r}, which is no folder; give one that exists")
        return cls(tuple(folders), tuple(urls))

    def check_file(self, source: str) -> Path:
        """The file that a source names, with all links followed.

        Raises:
            ServiceError: it is not below an allowed folder, or is no file.
        """
        path = Path(source)
        if "\0" in source or not path.is_absolute() or ".." in path.parts:
            raise ServiceError("forbidden", _REFUSED)
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise ServiceError("forbidden", _REFUSED) from error
        if not any(real.is_relative_to(folder) for folder in self.folders) or not real.is_file():
            raise ServiceError("forbidden", _REFUSED)
        return real

    def check_url(self, source: str) -> str:
        """The URL that a source is, if it is allowed.

        Raises:
            ServiceError: it is not.

        >>> allowed = AllowedSources.parse("https://example.org/clips/")
        >>> allowed.check_url("https://example.org/clips/a.mp4")
        'https://example.org/clips/a.mp4'
        """
        url = _split(source)
        if url is None or not any(_begins(url, allowed) for allowed in self.urls):
            raise ServiceError("forbidden", _REFUSED)
        return source


def _split(text: str) -> SplitResult | None:
    """A URL in its parts; None where it is none that the service would fetch."""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return None
    plain = text.isascii() and text.isprintable() and " " not in text and "\\" not in text
    named = url.username is not None or url.password is not None or bool(url.fragment)
    if not plain or named or url.scheme not in _PORTS or not url.hostname or port == 0:
        return None
    return url


def _begins(url: SplitResult, allowed: SplitResult) -> bool:
    if _origin(url) != _origin(allowed):
        return False
    path = unquote(url.path or "/")
    if "\\" in path or "\0" in path or "%" in path:  # written twice over: what it is, who knows
        return False
    parts = posixpath.normpath(path)
    start = unquote(allowed.path or "/").rstrip("/")
    return ".." not in path.split("/") and (parts == start or parts.startswith(start + "/"))


def _origin(url: SplitResult) -> tuple[str, str | None, int]:
    return url.scheme, url.hostname, url.port or _PORTS[url.scheme]


MOST_REDIRECTS = 3
STEP_SECONDS = 10.0
"""Longest wait for a connection or the next piece."""


class _PrivateAddressError(Exception):
    """The host lies where it must not."""


class _CheckedNetwork(httpcore2.AnyIOBackend):
    """Connects to addresses that are allowed, whatever the name."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private

    async def connect_tcp(
        self, host: str, port: int, *arguments: Any, **options: Any
    ) -> httpcore2.AsyncNetworkStream:
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
            async with httpcore2.AsyncConnectionPool(network_backend=network) as pool:
                for _ in range(MOST_REDIRECTS + 1):
                    following = await _fetch_step(pool, allowed.check_url(url), path, max_bytes)
                    if following is None:
                        return
                    url = urljoin(url, following)
    except (TimeoutError, httpcore2.TimeoutException) as error:
        raise ServiceError("decode_timeout", "fetching the source took too long") from error
    except _PrivateAddressError as error:
        raise ServiceError("forbidden", "the source lies in a private network") from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
        raise ServiceError("source_failed", "the source cannot be reached") from error
    raise ServiceError("source_failed", "the source leads on too often")


async def _fetch_step(
    pool: httpcore2.AsyncConnectionPool, url: str, path: Path, max_bytes: int
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
