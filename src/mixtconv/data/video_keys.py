"""Names by which a video is the same one as a file, as pictures and as optical flow."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from mixtconv.data.listing import ListedVideo
from mixtconv.data.picture_reader import VIDEO_SUFFIXES


def video_keys(videos: Sequence[ListedVideo]) -> tuple[str, ...]:
    """Give each of some videos a name of its own.

    It is the name inside the data, without a video's suffix, since a folder of pictures has none.
    Where several videos come to the same name, theirs keep the suffix, then get the split in front,
    then a number behind.

    >>> from pathlib import Path
    >>> names = ["jump/a.mp4", "jump/b.mp4", "jump/b.avi"]
    >>> video_keys([ListedVideo(Path(name), "jump", None, name) for name in names])
    ('jump/a', 'jump/b.mp4', 'jump/b.avi')
    """
    numbers: Counter[str] = Counter()
    numbered = []
    for video in videos:
        name = _with_split(video)
        numbers[name] += 1
        numbered.append(f"{name}#{numbers[name]}")
    keys = [_without_suffix(video.key) for video in videos]
    for longer in ([video.key for video in videos], [_with_split(v) for v in videos], numbered):
        times = Counter(keys)
        keys = [key if times[key] == 1 else more for key, more in zip(keys, longer, strict=True)]
    return tuple(keys)


def _without_suffix(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in VIDEO_SUFFIXES else name


def _with_split(video: ListedVideo) -> str:
    return f"{video.split}/{video.key}" if video.split else video.key
