"""Videos that a request names instead of sending them: allowed files, and URLs that are fetched.

Fetching is limited in size and time and protected against server-side request forgery. Every
redirect is checked like the first URL. The host name is resolved once, its addresses are checked
and one of them is connected to, so that a second lookup cannot lead elsewhere (DNS rebinding).
Proxies of the environment are not used.
"""

import ipaddress
import posixpath
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

import anyio
import httpcore2

from mixtconv.serve.errors import ServiceError
from mixtconv.serve.settings import Limits

_PORTS = {"http": 80, "https": 443}

_REFUSED = "the source is not allowed here"
"""The same answer for every reason, so that it does not tell which files exist."""


@dataclass(frozen=True)
class AllowedSources:
    """Folders and beginnings of URLs."""

    folders: tuple[Path, ...] = ()
    """Files in them, at any depth, may be read."""
    urls: tuple[SplitResult, ...] = ()
    """Scheme, host and port must be equal, and the path begin with this one."""
    allow_private: bool = False
    """Whether URLs may lead to addresses of private networks and of this machine."""

    @classmethod
    def parse(cls, allow: str | None, *, allow_private: bool = False) -> "AllowedSources":
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
        return cls(tuple(folders), tuple(urls), allow_private)

    def check_file(self, source: str) -> Path:
        """The file that a source names, with all symbolic links resolved.

        Raises:
            ServiceError: it is not in an allowed folder, or is no file.
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
        """The source itself, if it is an allowed URL.

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
    """The parts of a URL; None if it is not one that the service fetches."""
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
    if "\\" in path or "\0" in path or "%" in path:  # encoded twice: ambiguous
        return False
    parts = posixpath.normpath(path)
    start = unquote(allowed.path or "/").rstrip("/")
    return ".." not in path.split("/") and (parts == start or parts.startswith(start + "/"))


def _origin(url: SplitResult) -> tuple[str, str | None, int]:
    return url.scheme, url.hostname, url.port or _PORTS[url.scheme]


MAX_REDIRECTS = 3
STEP_SECONDS = 10.0
"""Longest wait for a connection or the next part."""


class _CheckedNetwork(httpcore2.AnyIOBackend):
    """Connects to allowed addresses only, whatever the host name."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private

    async def connect_tcp(
        self, host: str, port: int, *arguments: Any, **options: Any
    ) -> httpcore2.AsyncNetworkStream:
        """Resolve the host, check all of its addresses and connect to the first."""
        try:
            found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError as error:  # a part of the name is empty or too long
            raise OSError(f"no host can be named {host}") from error
        addresses = [str(entry[4][0]) for entry in found]
        if not self._allow_private and not all(map(is_public, addresses)):
            raise ServiceError("forbidden", "the source is in a private network")
        return await super().connect_tcp(addresses[0], port, *arguments, **options)


def is_public(address: str) -> bool:
    """Whether an address is public: not of this machine, a private network or multicast.

    An IPv6 address that stands for an IPv4 address, to which a gateway may pass what is sent there,
    is public if both are.

    >>> is_public("9.9.9.9"), is_public("169.254.169.254"), is_public("::ffff:10.0.0.1")
    (True, False, False)
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if parsed.version == 4:
        return _is_public(parsed)
    if any(parsed in network for network in _PRIVATE_6):
        return False
    stands_for = [
        ipaddress.IPv4Address((int(parsed) >> shift ^ inverted) & 0xFFFFFFFF)
        for network, shift, inverted in _EMBEDDING
        if parsed in network
    ]
    is_mapped = parsed.ipv4_mapped is not None  # the same address, written for IPv6
    return (is_mapped or _is_public(parsed)) and all(map(_is_public, stands_for))


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_global and not address.is_multicast


_PRIVATE_6 = tuple(map(ipaddress.IPv6Network, ("fec0::/10", "64:ff9b:1::/48")))
"""Site-local addresses, and gateways to IPv4 of one network: Python before 3.12.4 calls them
global."""

_EMBEDDING = tuple(
    (ipaddress.IPv6Network(network), shift, inverted)
    for network, shift, inverted in (
        ("::/96", 0, 0),  # IPv4-compatible
        ("::ffff:0:0/96", 0, 0),  # mapped
        ("::ffff:0:0:0/96", 0, 0),  # translated, RFC 2765
        ("64:ff9b::/96", 0, 0),  # NAT64, RFC 6052
        ("2002::/16", 80, 0),  # 6to4, RFC 3056
        ("2001::/32", 64, 0),  # Teredo, RFC 4380: its server
        ("2001::/32", 0, 0xFFFFFFFF),  # and its client
    )
)
"""Networks whose addresses stand for an IPv4 address, how many bits are to the right of it, and the
bits of it that are inverted."""


async def fetch(
    url: str,
    path: Path,
    *,
    allowed: AllowedSources,
    limits: Limits,
) -> None:
    """Download a URL to a file.

    Raises:
        ServiceError: it is not allowed, too large, too slow, or not available.
    """
    network = _CheckedNetwork(allow_private=allowed.allow_private)
    try:
        with anyio.fail_after(limits.send_seconds):
            async with httpcore2.AsyncConnectionPool(network_backend=network) as pool:
                for _ in range(MAX_REDIRECTS + 1):
                    location = await _fetch_step(pool, allowed.check_url(url), path, limits)
                    if location is None:
                        return
                    url = _redirected(url, location)
    except (TimeoutError, httpcore2.TimeoutException) as error:
        raise ServiceError("decode_timeout", "fetching the source took too long") from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
        raise ServiceError("source_failed", "the source cannot be reached") from error
    raise ServiceError("source_failed", "the source has too many redirects")


def _redirected(url: str, location: str) -> str:
    """The URL to which another one redirects, absolute."""
    try:
        return urljoin(url, location)
    except ValueError as error:  # such as a bracket that is not closed
        raise ServiceError("source_failed", "the source redirects to what is no URL") from error


async def _fetch_step(
    pool: httpcore2.AsyncConnectionPool, url: str, path: Path, limits: Limits
) -> str | None:
    """Fetch one URL; returns the location of a redirect, else None."""
    timeouts = dict.fromkeys(("connect", "read", "write", "pool"), STEP_SECONDS)
    asked = [("Accept-Encoding", "identity"), ("User-Agent", "mixtconv")]
    async with pool.stream("GET", url, headers=asked, extensions={"timeout": timeouts}) as answer:
        headers = {name.lower(): value.decode("latin-1") for name, value in answer.headers}
        if answer.status in (301, 302, 303, 307, 308):
            return headers.get(b"location", "")
        if answer.status != 200:
            raise ServiceError("source_failed", f"the source answers with status {answer.status}")
        stated = headers.get(b"content-length", "")
        size = int(stated) if stated.isdecimal() else 0
        file = await anyio.open_file(path, "r+b")
        async with file:
            async for part in answer.aiter_stream():
                size = max(size, await file.tell() + len(part))
                if size > limits.max_upload_mb * 1e6:
                    raise ServiceError(
                        "too_large", f"the source is larger than {limits.max_upload_mb:g} MB"
                    )
                await file.write(part)
    return None
