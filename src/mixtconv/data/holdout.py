"""Which videos are held out for validation where the data do not say."""

import hashlib
import unicodedata
from collections.abc import Iterable


def hold_out(names: Iterable[str], fraction: float) -> frozenset[str]:
    """Choose about `fraction` of the names by a hash of each name.

    A name is chosen or not by itself alone, so adding or removing others moves none, and neither
    the machine nor the order matters. One exception: of two names or more at least one is chosen
    and one is not; where the hash would not have it so, the lowest or the highest hash gives way.

    >>> sorted(hold_out(["a.mp4", "b.mp4", "c.mp4"], 0.3))
    ['c.mp4']
    """
    places = {name: _place(name) for name in names}
    chosen = {name for name, place in places.items() if place < fraction}
    if len(places) < 2:
        return frozenset()
    if not chosen:
        chosen = {min(places, key=places.__getitem__)}
    if len(chosen) == len(places):
        chosen.remove(max(places, key=places.__getitem__))
    return frozenset(chosen)


def _place(name: str) -> float:
    """A number in [0, 1) from a name; file systems differ in how they compose accents."""
    text = unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") / 2**64
