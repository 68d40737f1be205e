"""What the labels of a list are: names of classes, or their numbers from 0; one for the whole list.

Where classes are named by numbers, a list of numbers could be read in both ways, and a wrong one
would give wrong scores without a sign. So no line is read for itself.
"""

import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from mixtconv._names import composed, first_few, unknown_name
from mixtconv.data.list_columns import OFF_AND_ON, LabelKind, ListColumns, is_number
from mixtconv.data.listing import LabelMode
from mixtconv.data.several_labels import SEPARATOR, SEVERAL_COLUMN, says_several, split_labels
from mixtconv.data.text_tables import SEVERAL, TableRow

_SAY = "say which with a header: path,class_name or path,class_index"


@dataclass(frozen=True)
class LabelReading:
    """How each label of a list is read."""

    kind: LabelKind
    """Whether labels are names of classes or their numbers."""
    classes: tuple[str, ...] | None
    """The class names allowed; None if every label is the name of a class."""
    notes: tuple[str, ...] = ()
    """Sentences that the user should read."""
    several: bool = False
    """Whether a cell may hold several labels, or none."""
    columns: tuple[tuple[str, int], ...] = ()
    """Names and places of columns of 0 and 1, in place of a column of labels."""

    @property
    def own_classes(self) -> tuple[str, ...] | None:
        """The classes that columns are named for, in their order."""
        return tuple(name for name, _ in self.columns) or None

    def class_names(self, cell: str, cells: Sequence[str]) -> tuple[str, ...]:
        """The classes of a row of a list of several labels, sorted.

        Args:
            cell: its label.
            cells: all of it.

        Raises:
            ValueError: a label that is none of the classes, or neither 0 nor 1.
        """
        names = split_labels(cell)
        if self.columns:
            for name, place in self.columns:
                if cells[place].lower() not in OFF_AND_ON:
                    raise ValueError(
                        f"column {name} is {cells[place]!r}; give 0 or 1, or leave the column out "
                        "if it is no class"
                    )
            names = tuple(
                name for name, place in self.columns if cells[place].lower() in ("1", "1.0", "true")
            )
        return tuple(sorted({self.class_name(name) for name in names}))

    def class_name(self, label: str) -> str:
        """The class of a label.

        Raises:
            ValueError: it is none of the classes.

        >>> LabelReading("number", ("1", "2", "3")).class_name("1")
        '2'
        """
        if self.classes is None or (self.kind == "name" and label in self.classes):
            return label
        if self.kind == "name":
            raise unknown_name("class", label, self.classes)
        number = _number(label, self.classes)
        if number is None:
            what = f"label {label}" if is_number(label) else f"label {label!r}"
            raise ValueError(f"{what} is none of 0 to {len(self.classes) - 1}")
        return self.classes[number]


def read_list_labels(
    path: Path,
    rows: Sequence[TableRow],
    columns: ListColumns,
    classes: Sequence[str] | None,
    *,
    mode: LabelMode | None,
    has_header: bool,
) -> LabelReading:
    """Decide whether the rows of a list have one label each or several, and how these are read.

    Several where there are columns of 0 and 1, or a column `labels`, or where, below a header, a
    label holds `a|b`; without a header a bar belongs to the name, unless the user says otherwise.

    Args:
        path: the list.
        rows: below its header.
        columns: from its header.
        classes: the only class names allowed; without them every label is a name.
        mode: what the user says, or the model that is scored.
        has_header: whether the list has one.

    Raises:
        ValueError: as `read_labels`, or columns of 0 and 1 where each video has one label.
    """
    if columns.classes:
        if mode == "one":
            raise ValueError(
                f"{path}: it has a column of 0 and 1 for each class, for several labels a video, "
                "and one label is asked for: give a column of labels, or a model (or --labels) of "
                "several"
            )
        names = {name for name, _ in columns.classes}
        if barred := [name for name in names if SEPARATOR in name]:
            raise ValueError(
                f"{path}: the column {min(barred)!r} has a bar in its name, which stands between "
                "several labels: rename it"
            )
        reading = read_labels(path, names, columns, classes)
        return replace(reading, several=True, columns=columns.classes)
    at = columns.places["label"]
    cells = {composed(row.cells[at]) for row in rows if len(row.cells) > at} - {""}
    is_named = columns.label_name.casefold() == SEVERAL_COLUMN
    is_found = mode is None and has_header and (is_named or any(map(says_several, cells)))
    if not is_found and mode != "several":
        return read_labels(path, cells, columns, classes)
    labels: set[str] = set()
    for cell in cells:
        with suppress(ValueError):  # said by line
            labels |= set(split_labels(cell))
    reading = read_labels(path, labels, columns, classes)
    notes = reading.notes
    if is_found and not is_named:
        example = min(cell for cell in cells if says_several(cell)).removeprefix(SEVERAL)
        notes += (f"several labels a video, as {example} (--labels one takes it for a name)",)
    return replace(reading, several=True, notes=notes)


def read_labels(
    path: Path, labels: Collection[str], columns: ListColumns, classes: Sequence[str] | None
) -> LabelReading:
    """Decide how the labels of a list are read.

    Where the header does not say it, they are names if all are, numbers if all can be, and refused
    if both is possible and differs. If neither fits all labels, the reading that fits more of them
    counts, and the others are faults.

    Args:
        path: the list.
        labels: all labels in it.
        columns: from its header.
        classes: the only class names allowed; without them every label is a name.

    Raises:
        ValueError: the labels can be read in two ways, or are counted from 1.
    """
    labels = sorted(set(labels))
    if classes is None:
        return _read_unknown(path, labels, columns)
    classes = tuple(classes)
    kind = columns.label_kind or _guess(path, labels, classes)
    notes: tuple[str, ...] = ()
    if kind == "number":
        _refuse_one_based(path, labels, len(classes))
        example = next((label for label in labels if _number(label, classes) is not None), None)
        if example is not None:
            name = LabelReading("number", classes).class_name(example)
            notes = (f"labels are numbers of classes, from 0: {example} is {name!r}",)
    elif labels and all(map(is_number, labels)):
        notes = ("labels are names of classes, though they are numbers",)
    return LabelReading(kind, classes, notes)


def _read_unknown(path: Path, labels: Sequence[str], columns: ListColumns) -> LabelReading:
    """The reading where no classes are known: every label is the name of a class."""
    if columns.label_kind == "number":
        classes = _numbered_classes(path, labels, columns.label_name)
        note = f"{columns.label_name} names no classes: they are called by their number"
        return LabelReading("number", classes, (note,))
    if not labels or not all(map(_looks_numeric, labels)):
        return LabelReading("name", None)
    by_value = sorted(labels, key=float)
    span = f"{by_value[0]} to {by_value[-1]}" if len(labels) > 1 else by_value[0]
    notes = [f"labels are numbers, {span}: taken as names of classes"]
    for first, second in pairwise(by_value):
        if float(first) == float(second):
            notes.append(f"{first!r} and {second!r} are two classes")
    return LabelReading("name", None, tuple(notes))


def _numbered_classes(path: Path, labels: Sequence[str], column: str) -> tuple[str, ...]:
    """The classes of a list that gives nothing but their numbers: 0, 1, 2, ... as names.

    Raises:
        ValueError: not every number from 0 on is there.
    """
    numbers = {int(label) for label in labels if is_number(label) and len(label) < 9}
    gaps = sorted(set(range(max(numbers, default=0) + 1)) - numbers)
    if gaps:
        raise ValueError(
            f"{path}: {column} has no {first_few(gaps)}, but counts classes from 0: call the "
            "column class_name if its numbers are names"
        )
    return tuple(map(str, sorted(numbers)))


def _guess(path: Path, labels: Sequence[str], classes: Sequence[str]) -> LabelKind:
    """The reading that fits the labels."""
    names = set(classes).intersection(labels)
    numbers = {label: number for label in labels
               if (number := _number(label, classes)) is not None}  # fmt: skip
    if names == set(numbers):
        differing = [label for label, number in numbers.items() if classes[number] != label]
        if differing:
            label = differing[0]
            raise ValueError(
                f"{path}: labels can be read as names of classes and as their numbers from 0: "
                f"{label} is the class {label!r} or {classes[numbers[label]]!r}; {_SAY}"
            )
        is_all_numbers = len(labels) > 0 and all(map(is_number, labels))
        return "number" if is_all_numbers and not names else "name"
    if len(names) == len(numbers):
        name, other = min(names.difference(numbers)), min(set(numbers) - names)
        raise ValueError(
            f"{path}: labels mix names of classes, such as {name!r}, and numbers, such as "
            f"{other}; write names alone, or numbers from 0 alone"
        )
    return "name" if len(names) > len(numbers) else "number"


def _number(label: str, classes: Sequence[str]) -> int | None:
    """A label as the number of a class; None if it is none."""
    number = int(label) if re.fullmatch("[0-9]{1,9}", label) else -1
    return number if 0 <= number < len(classes) else None


def _refuse_one_based(path: Path, labels: Sequence[str], num_classes: int) -> None:
    numbers = [int(label) for label in labels if is_number(label) and len(label) < 9]
    if len(numbers) > 1 and (min(numbers), max(numbers)) == (1, num_classes):
        raise ValueError(
            f"{path}: labels run from 1 to {num_classes} for {num_classes} classes, but "
            "labels count from 0: subtract 1 from each, or write class names"
        )


def _looks_numeric(label: str) -> bool:
    """Whether a spreadsheet would take a label for a number.

    >>> _looks_numeric("010"), _looks_numeric("2.0"), _looks_numeric("yes")
    (True, True, False)
    """
    return re.fullmatch(r"[-+]?[0-9]+(\.[0-9]*)?", label) is not None
