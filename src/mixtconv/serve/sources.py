"""What a request may name instead of sending it: files below allowed folders, allowed URLs."""

import posixpath
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from mixtconv.serve.faults import ServiceError

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
