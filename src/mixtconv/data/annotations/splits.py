"""Splits as annotation files name them."""

from pathlib import Path

from mixtconv.data.listing import SPLIT_NAMES, ListPlace


def read_split(text: str, place: ListPlace | Path) -> str | None:
    """The split that a word names; None for no word, or for `default`, which CVAT gives.

    Raises:
        ValueError: the word names none.

    >>> read_split("Validation", Path("a.json")), read_split("", Path("a.json"))
    ('val', None)
    """
    word = text.strip().lower()
    if word in ("", "default"):
        return None
    if word not in SPLIT_NAMES:
        raise ValueError(f"{place}: split {text!r} is none of {', '.join(SPLIT_NAMES)}")
    return SPLIT_NAMES[word]
