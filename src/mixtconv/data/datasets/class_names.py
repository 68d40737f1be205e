"""The classes of the known datasets as published, in the order of published weights."""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from mixtconv._names import unknown_name
from mixtconv.data.listing import count_of, first_few

PUBLISHED = ("something_v1", "something_v2", "jester", "ucf101", "hmdb51", "kinetics400")
"""Datasets whose list of classes comes with the package."""


@cache
def published_classes(name: str) -> tuple[str, ...]:
    """The class names of a known dataset, in the order of the labels of published weights.

    >>> published_classes("jester")[:2], len(published_classes("something_v2"))
    (('Swiping Left', 'Swiping Right'), 174)

    Raises:
        ValueError: a dataset whose classes are not known.
    """
    if name not in PUBLISHED:
        raise unknown_name("dataset", name, PUBLISHED)
    path = files("mixtconv.data.datasets") / "class_names" / f"{name}.txt"
    return tuple(path.read_text(encoding="utf-8").splitlines())


def differences(name: str, classes: Sequence[str]) -> tuple[str, ...]:
    """What the user should know of classes that are not those of published weights, at most one.

    Args:
        name: a known dataset.
        classes: the classes of a copy, in what is called the published order.
    """
    known = published_classes(name)
    if tuple(classes) == known:
        return ()
    unknown = [cls for cls in classes if cls not in set(known)]
    missing = len(set(known) - set(classes))
    parts = []
    if missing:
        parts.append(f"{missing} of the {len(known)} published classes are not in it")
    if unknown:
        named = first_few([repr(cls) for cls in unknown])
        parts.append(f"{count_of(len(unknown), 'class')} not among the published: {named}")
    if not parts:
        parts.append("they stand in another order")
    return (f"the classes are not those of published {name} weights: {'; '.join(parts)}",)
