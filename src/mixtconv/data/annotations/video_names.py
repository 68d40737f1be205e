"""Names of videos in annotation files: addresses in the web, of files and of annotation servers."""

import re
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from mixtconv.video.find import VIDEO_SUFFIXES

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_FILE_ADDRESS = re.compile(r"file:/*(?P<rest>.*)", re.DOTALL)
_DRIVE = re.compile(r"[A-Za-z]:[/\\]")
_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")


def is_video_name(text: str) -> bool:
    """Whether a name ends as that of a video file.

    >>> is_video_name("a/b.MP4"), is_video_name("b.wav")
    (True, False)
    """
    return PurePosixPath(text.replace("\\", "/")).suffix.lower() in VIDEO_SUFFIXES


def without_address(text: str) -> str:
    """The path in an address in the web, without its server and query; another text as it is.

    >>> without_address("https://videos.org/a/b%20c.mp4?key=1"), without_address("what? 1#2.mp4")
    ('a/b c.mp4', 'what? 1#2.mp4')
    """
    if not _ADDRESS.match(text) or text.startswith("file:"):
        return text
    try:
        return unquote(urlsplit(text).path).lstrip("/") or text
    except ValueError:  # a server's name that is none
        return text


def file_path(text: str) -> str:
    """The path in the address of a file (`file:///...`), or relative to an annotation file.

    >>> file_path("file:///C:/a%20b.mp4"), file_path("file:///home/a.mp4"), file_path("./a.mp4")
    ('C:/a b.mp4', '/home/a.mp4', 'a.mp4')
    """
    match = _FILE_ADDRESS.fullmatch(text)
    if match is None:
        return without_address(text).removeprefix("./")
    rest = unquote(match["rest"])
    if _DRIVE.match(rest):
        return rest
    return rest.removeprefix("./") if rest.startswith(".") else "/" + rest


def served_names(text: str) -> tuple[str, ...]:
    """The names of a video that Label Studio serves: its own, then the one on the server's disk.

    An upload has eight digits of its own in front; a local file is in the query.

    >>> served_names("/data/upload/3/0f5c89ab-walk.mp4")
    ('walk.mp4', '0f5c89ab-walk.mp4')
    >>> served_names("/data/local-files/?d=cam%201/walk.mp4")
    ('cam 1/walk.mp4',)
    """
    path, _, query = text.partition("?")
    if path.rstrip("/").endswith("/data/local-files") and (inner := parse_qs(query).get("d")):
        return (inner[0],)
    name = without_address(text)
    if "/data/upload/" in path:
        stored = unquote(PurePosixPath(path).name)
        return tuple(dict.fromkeys((_UPLOADED.sub("", stored, count=1), stored)))
    return (name,)
