"""The classes of the known datasets as published, in the order of published weights."""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from mixtconv._names import count_of, first_few, unknown_name

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


def read_classes(source: str) -> tuple[str, ...]:
    """Class names from a text file with one a line, or of a known dataset.

    >>> len(read_classes("hmdb51"))
    51

    Raises:
        ValueError: neither a file nor a known dataset, a file that is no text, an empty line, or a
            name that stands there twice.
    """
    path = Path(source)
    if not path.is_file():
        if source in PUBLISHED:
            return published_classes(source)
        raise ValueError(
            f"classes are {source!r}, which is no file; give a text file with one name a line, or "
            f"one of {', '.join(PUBLISHED)}"
        )
    try:
        names = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: {error}") from error
    names = [name.strip() for name in names]
    if not names or "" in names:
        place = f"line {names.index('') + 1} is empty" if names else "it is empty"
        raise ValueError(f"{path}: {place}; write one class name a line")
    for number, name in enumerate(names, start=1):
        if names.index(name) + 1 < number:
            raise ValueError(f"{path}, line {number}: {name!r} stands there for the second time")
    return tuple(names)


def datasets_with(num_classes: int) -> list[str]:
    """The known datasets that have so many classes.

    >>> datasets_with(174)
    ['something_v1', 'something_v2']
    """
    return [name for name in PUBLISHED if len(published_classes(name)) == num_classes]


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
