"""The classes of the known datasets as published, in the order of published weights.

Which classes a copy of a dataset has, in the order that the user asked for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from mixtconv._names import count_of, first_few, unknown_name
from mixtconv.data.listing import ClassOrder

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


@dataclass(frozen=True)
class OrderedClasses:
    """The classes of a copy of a dataset."""

    names: tuple[str, ...]
    """The classes in the order of labels."""
    notes: tuple[str, ...] = ()
    """Sentences that the user should read."""


def from_labels_file(
    name: str, labels: Sequence[str], order: ClassOrder, *, published_sorted: bool = False
) -> OrderedClasses:
    """The classes where a file of labels is there.

    Args:
        name: the dataset.
        labels: the names in the order of the file.
        order: the order asked for.
        published_sorted: whether published weights have them sorted, not in the file's order.
    """
    names = tuple(dict.fromkeys(labels))
    published = tuple(sorted(names)) if published_sorted else names
    orders = {"published": published, "distributed": names, "alphabetical": tuple(sorted(names))}
    return OrderedClasses(orders[order], differences(name, published))


def from_lists(
    name: str, labels: Iterable[str], order: ClassOrder, *, labels_file: str | None = None
) -> OrderedClasses:
    """The classes where no file of labels is there: those that the lists name.

    Where more than half of them are published ones, the others are taken for mistakes and left out.

    Args:
        name: the dataset.
        labels: the labels in the lists.
        order: the order asked for.
        labels_file: the name of the file of labels, if the dataset is distributed with one.

    Raises:
        ValueError: the order of the file of labels was asked for, and published weights do not tell
            it.
    """
    found = set(labels)
    known = [cls for cls in published_classes(name) if cls in found]
    published = tuple(known) if 2 * len(known) > len(found) else tuple(sorted(found))
    if order == "distributed" and name == "something_v1":
        raise ValueError(
            f"--class-order distributed is the order of {labels_file}, which is not there; put it "
            "beside the other lists, or choose published or alphabetical"
        )
    notes = differences(name, published)
    if labels_file is not None:
        notes = (f"no {labels_file}: the classes are the labels in the other lists", *notes)
    names = tuple(sorted(published)) if order == "alphabetical" else published
    return OrderedClasses(names, notes)
