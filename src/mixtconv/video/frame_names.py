"""Which pictures of a folder are the frames of its video, and in which order, by their names alone.

Frames have names that differ in their numbers only (`img_00001.jpg`, `img_00002.jpg`). Pictures
beside them under other names (`thumb.jpg`, `00001_mask.png`) are no frames. If one number of the
names varies, it counts frames or tells their times:

- a count may start anywhere but must have no gap;
- whole numbers are times (milliseconds, nanoseconds, every 10th frame) where from most pictures to
  the next it is 5 or more; times are an order, in which nothing is missing;
- decimals (`1526.25`, `frame_12.5s`) are times, unless the part before the point is the same in all
  and that behind it counts (`shot1.0001`).

If several numbers vary (dates, parts), or no naming prevails, names are an order as well.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import median_low
from typing import NamedTuple

_NUMBER = re.compile(r"(\d+(?:\.\d+)?)")
_LETTERS = re.compile(r"[^\W\d_]+")

AUXILIARY = frozenset(
    (
        "cover",
        "depth",
        "folder",
        "mask",
        "masks",
        "poster",
        "posters",
        "preview",
        "previews",
        "screenshot",
        "screenshots",
        "seg",
        "thumb",
        "thumbnail",
        "thumbnails",
        "thumbs",
    )
)
"""Words in names of pictures that belong to a video and are not its frames."""

_LEAST_PERIOD = 5
"""Least usual distance of numbers that are times."""


class FrameNames(NamedTuple):
    """The names of a folder's pictures, those of frames apart."""

    frames: tuple[str, ...]
    """Frames in their order."""
    others: tuple[str, ...] = ()
    """Pictures that are no frames, by their names."""
    numbers: tuple[int, ...] | None = None
    """The number of each frame, of whole numbers; None where names are only an order."""
    rival: str | None = None
    """A name of a second kind with the same numbers, where none of the two prevails."""


class _Name(NamedTuple):
    """A name and its numbers; names of one kind have the same text between them."""

    text: str
    numbers: tuple[str, ...]


def choose_frames(names: Sequence[str]) -> FrameNames:
    """Tell the frames among the names of pictures, given in natural order.

    Pictures with one of the words of `AUXILIARY` are no frames if there are others. Of these, the
    frames are the most that have one naming, and the others none if they are few: without a number,
    or at most a tenth.

    >>> choose_frames(["1.jpg", "2.jpg", "2_mask.png", "folder.jpg"])
    FrameNames(frames=('1.jpg', '2.jpg'), others=('2_mask.png', 'folder.jpg'), numbers=(1, 2),
               rival=None)
    >>> choose_frames(["rgb_1.jpg", "rgb_2.jpg", "ir_1.jpg", "ir_2.jpg"]).rival
    'ir_1.jpg'
    """
    if not names:
        return FrameNames(())
    kinds: dict[tuple[str, ...], list[_Name]] = {}
    for name in names:
        kind, numbers = _parts(name)
        kinds.setdefault(kind, []).append(_Name(name, numbers))
    plain = [alike for kind, alike in kinds.items() if not _is_auxiliary(kind)]
    plain = plain or list(kinds.values())
    most = max(plain, key=len)
    if len(plain) > 1 and not _prevails(most, plain):
        chosen = {name.text for alike in plain for name in alike}
        frames = FrameNames(
            tuple(name for name in names if name in chosen), rival=_rival(most, plain)
        )
    else:
        frames = _in_order(most)
    if len(frames.frames) == len(names):
        return frames
    chosen = set(frames.frames)
    return frames._replace(others=tuple(name for name in names if name not in chosen))


def is_auxiliary(name: str) -> bool:
    """Whether a picture's name has one of the words of `AUXILIARY`."""
    return _is_auxiliary(_parts(name)[0])


def _parts(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is between the numbers of a name, in one case, and the numbers."""
    parts = _NUMBER.split(name.rpartition(".")[0])
    return tuple(map(str.casefold, parts[::2])), tuple(parts[1::2])


def _is_auxiliary(kind: tuple[str, ...]) -> bool:
    return any(not AUXILIARY.isdisjoint(_LETTERS.findall(part)) for part in kind)


def _prevails(most: Sequence[_Name], kinds: Iterable[Sequence[_Name]]) -> bool:
    """Whether the names of one kind are so many that the others are none of frames."""
    if not most[0].numbers or len(most) == 1:
        return False
    others = [names for names in kinds if names is not most]
    numbered = sum(len(names) for names in others if names[0].numbers)
    return len(most) > sum(map(len, others)) and numbered <= max(1, len(most) // 10)


def _rival(most: Sequence[_Name], kinds: Iterable[Sequence[_Name]]) -> str | None:
    """A name of another kind that has several pictures, some with the numbers of the first."""
    numbers = {name.numbers for name in most}
    for names in kinds:
        is_sequence = names is not most and len(names) > 1 and len(names[0].numbers) > 0
        if is_sequence and not numbers.isdisjoint(name.numbers for name in names):
            return names[0].text
    return None


def _in_order(frames: Sequence[_Name]) -> FrameNames:
    """Frames of one naming in the order of the one number that varies."""
    texts = tuple(name.text for name in frames)
    columns = list(zip(*(name.numbers for name in frames), strict=True))
    varying = [column for column in columns if len(set(column)) > 1] or columns[-1:]
    if len(varying) != 1:
        return FrameNames(texts)
    (column,) = varying
    if not any("." in number for number in column):
        numbers = [int(number) for number in column]
        order = sorted(range(len(numbers)), key=numbers.__getitem__)
        return FrameNames(tuple(texts[i] for i in order), numbers=tuple(numbers[i] for i in order))
    return _decimals(texts, column)


def _decimals(texts: Sequence[str], column: Sequence[str]) -> FrameNames:
    """Frames whose varying number has a point, in order."""
    split = [number.partition(".") for number in column]
    wholes, fractions = [int(whole) for whole, _, _ in split], [part for _, _, part in split]
    counts = [int(part or 0) for part in fractions]
    # 1.9 and then 1.10 are two counts: no program writes a zero at the end of some decimals only.
    is_count = len({len(part) for part in fractions if part}) > 1 and any(
        part.endswith("0") and part != "0" for part in fractions
    )
    if is_count:
        order = sorted(range(len(texts)), key=lambda i: (wholes[i], counts[i]))
    else:
        order = sorted(range(len(texts)), key=lambda i: (wholes[i], fractions[i]))
    ordered = tuple(counts[i] for i in order)
    if len(set(wholes)) > 1 or "" in fractions or _usual_step(ordered) > 1:
        return FrameNames(tuple(texts[i] for i in order))
    return FrameNames(tuple(texts[i] for i in order), numbers=ordered)


def are_times(numbers: Sequence[int]) -> bool:
    """Whether sorted numbers are so far apart that they are times, and no count with gaps.

    >>> are_times([1699999999123, 1699999999156, 1699999999189]), are_times([1, 2, 5, 6, 8, 90])
    (True, False)
    """
    return _usual_step(numbers) >= _LEAST_PERIOD


def _usual_step(numbers: Sequence[int]) -> int:
    return median_low([after - n for n, after in pairwise(numbers)] or [1])
