"""Which classes a copy of a dataset has, in the order that the user asked for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mixtconv.data.datasets.class_names import differences, published_classes
from mixtconv.data.source import ClassOrder


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
