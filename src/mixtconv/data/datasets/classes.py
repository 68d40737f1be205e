"""Class names: the published ones of the known datasets, and those of a copy in a chosen order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from mixtconv._names import composed, count_of, first_few, unknown_name
from mixtconv.data.listing import ClassOrder

PUBLISHED = ("something_v1", "something_v2", "jester", "ucf101", "hmdb51", "kinetics400")
"""Datasets whose class names are in the package, in the order of published weights."""


@cache
def published_classes(name: str) -> tuple[str, ...]:
    """The class names of a known dataset, in the order of the labels of published weights.

    >>> published_classes("jester")[:2], len(published_classes("something_v2"))
    (('Swiping Left', 'Swiping Right'), 174)

    Raises:
        ValueError: the name of another dataset.
    """
    if name not in PUBLISHED:
        raise unknown_name("dataset", name, PUBLISHED)
    path = files("mixtconv.data.datasets") / "class_names" / f"{name}.txt"
    return tuple(path.read_text(encoding="utf-8").splitlines())


def read_classes(source: str) -> tuple[str, ...]:
    """Class names from a text file with one per line, or of a known dataset.

    >>> len(read_classes("hmdb51"))
    51

    Raises:
        ValueError: neither a file nor a known dataset, a file that is not text, an empty line, or a
            repeated name.
    """
    path = Path(source)
    if not path.is_file():
        if source in PUBLISHED:
            return published_classes(source)
        raise ValueError(
            f"classes are {source!r}, which is not a file; give a text file with one name per "
            f"line, or one of {', '.join(PUBLISHED)}"
        )
    try:
        names = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: {error}") from error
    names = [composed(name.strip()) for name in names]
    if not names or "" in names:
        place = f"line {names.index('') + 1} is empty" if names else "it is empty"
        raise ValueError(f"{path}: {place}; write one class name per line")
    for number, name in enumerate(names, start=1):
        if names.index(name) + 1 < number:
            raise ValueError(f"{path}, line {number}: {name!r} is there for the second time")
    return tuple(names)


def datasets_with(num_classes: int) -> list[str]:
    """The known datasets with this number of classes.

    >>> datasets_with(174)
    ['something_v1', 'something_v2']
    """
    return [name for name in PUBLISHED if len(published_classes(name)) == num_classes]


def differences(name: str, classes: Sequence[str]) -> tuple[str, ...]:
    """A note on how the classes differ from those of published weights; empty if they do not.

    Args:
        name: a known dataset.
        classes: the classes of a copy, in the published order.
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
        names = first_few([repr(cls) for cls in unknown])
        parts.append(f"{count_of(len(unknown), 'class')} not among the published: {names}")
    if not parts:
        parts.append("they are in another order")
    return (f"the classes are not those of published {name} weights: {'; '.join(parts)}",)


@dataclass(frozen=True)
class OrderedClasses:
    """The classes of a copy of a dataset."""

    names: tuple[str, ...]
    """The classes in the order of labels."""
    notes: tuple[str, ...] = ()
    """Sentences that the user should read."""


def order_classes(
    name: str,
    order: ClassOrder,
    *,
    labels: Sequence[str] | None,
    listed: Iterable[str],
    labels_file: str | None = None,
    published_sorted: bool = False,
) -> OrderedClasses:
    """The classes of a copy of a dataset: those of its file of labels, else those of its lists.

    If more than half of those in the lists are published ones, the others count as mistakes and are
    left out.

    Args:
        name: the dataset.
        order: the wanted order.
        labels: the names in the order of the file of labels; None if the copy has none.
        listed: the labels in the lists.
        labels_file: the name of the file of labels, if the dataset is distributed with one.
        published_sorted: whether published weights count them sorted, not in the file's order.

    Raises:
        ValueError: the order of the file of labels is wanted, it is missing, and the published
            order differs.
    """
    if labels is not None:
        names = tuple(dict.fromkeys(labels))
        published = tuple(sorted(names)) if published_sorted else names
        notes = differences(name, published)
    else:
        if order == "distributed" and published_sorted:
            raise ValueError(
                f"--class-order distributed is the order of {labels_file}, which is missing; put "
                "it beside the other lists, or choose published or alphabetical"
            )
        present = set(listed)
        known = [cls for cls in published_classes(name) if cls in present]
        names = published = tuple(known if 2 * len(known) > len(present) else sorted(present))
        notes = differences(name, published)
        if labels_file is not None:
            notes = (f"no {labels_file}: the classes are the labels in the other lists", *notes)
    orders = {"published": published, "distributed": names, "alphabetical": tuple(sorted(names))}
    return OrderedClasses(orders[order], notes)
