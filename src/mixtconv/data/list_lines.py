"""The lines of one list of videos: each names a video, or is a fault that says what is wrong."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from mixtconv._names import composed, count_of
from mixtconv.data.label_reading import LabelReading
from mixtconv.data.list_columns import ListColumns
from mixtconv.data.listing import (
    SPLIT_NAMES,
    Fault,
    FaultKind,
    ListedVideo,
    ListPlace,
    both_hold,
    contradiction,
    listed_key,
)
from mixtconv.data.several_labels import SEPARATOR, with_labels
from mixtconv.data.text_tables import SEVERAL, TableRow, not_text
from mixtconv.video.find import (
    composed_names,
    exists,
    is_video,
    left_out,
    other_spellings,
    real_path,
)
from mixtconv.video.segment import Span, parse_span

_MAY_BE_EMPTY = ("group",)


class _LineError(ValueError):
    """A line that cannot be used."""

    def __init__(self, kind: FaultKind, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass
class LineReader:
    """Reads the lines of one list and collects the videos and the faults."""

    file: Path
    columns: ListColumns
    labels: LabelReading
    videos: dict[tuple[Path, Span | None], ListedVideo] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    real_path: Callable[[Path], Path] = field(default_factory=lambda: cache(real_path))
    names_in: Callable[[Path], Mapping[str, Sequence[str]]] = field(
        default_factory=lambda: cache(composed_names)
    )
    found: dict[str, Path] = field(default_factory=dict)
    repeated: int = 0

    def read(self, row: TableRow) -> None:
        place = ListPlace(self.file.name, row.line, row.unit)
        values: dict[str, str] = {}
        try:
            values |= self._values(row.cells)
            self._add(self._video(values, row.cells, place))
        except _LineError as error:
            video, label = values.get("path", str(place)), values.get("label")
            split = SPLIT_NAMES.get(values.get("split", "").lower())
            fault = Fault(error.kind, video, str(error), label=label, split=split, place=place)
            fault = replace(fault, group=values.get("group", ""))
            if error.kind == "missing":  # which is a video all the same, of the same split
                span = self._span(row.cells)
                fault = replace(fault, key=_key(values, span), span=span)
            self.faults.append(fault)

    def _values(self, cells: tuple[str, ...]) -> dict[str, str]:
        width = self.columns.width
        while len(cells) > width and not cells[-1]:  # spreadsheets pad lines
            cells = cells[:-1]
        if len(cells) != width:
            raise _LineError(
                "malformed",
                f"{count_of(len(cells), 'column')}, not {width} (quote a name with a comma)",
            )
        values: dict[str, str] = {name: cells[at] for name, at in self.columns.places.items()}
        for name, value in values.items():
            if not (name == "label" and self.labels.several):
                _refuse_several(name, value)
            if name not in ("path", "key") and not _is_utf8(value):
                raise not_text(self.file, f"{value!r} is none; save it in UTF-8")
        may_be_empty = (*_MAY_BE_EMPTY, "label") if self.labels.several else _MAY_BE_EMPTY
        empty = next((n for n in values if not values[n] and n not in may_be_empty), None)
        if empty is not None:
            raise _LineError("malformed", f"an empty {empty}")
        if "split" in values and not is_split([values["split"]]):
            allowed = ", ".join(SPLIT_NAMES)
            raise _LineError("malformed", f"split {values['split']!r} is none of {allowed}")
        return values

    def _video(self, values: dict[str, str], cells: Sequence[str], place: ListPlace) -> ListedVideo:
        split = SPLIT_NAMES[values["split"].lower()] if "split" in values else None
        names: tuple[str, ...] | None = None
        try:
            if self.labels.several:
                names = self.labels.class_names(values.get("label", ""), cells)
                values["label"] = SEPARATOR.join(names)
            else:
                values["label"] = self.labels.class_name(composed(values["label"]))
        except ValueError as error:
            raise _LineError("mislabelled", str(error)) from error
        span = self._span(cells)
        text = values["path"]
        if text not in self.found:  # else an earlier segment's
            self.found[text] = self._find(text)
        group = values.get("group", "")
        path, key = self.found[text], _key(values, span)
        return ListedVideo(path, values["label"], split, key, place, group, span, names)

    def _span(self, cells: Sequence[str]) -> Span | None:
        """The segment of a line, by the first columns that are not empty; None of a whole video."""
        for columns in self.columns.segments:
            start, end = (cells[place] for place in columns.places)
            if not start and not end:
                continue
            for border, name in zip((start, end), columns.names, strict=True):
                _refuse_several(name, border)
                if not border:
                    reason = f"an empty {name} (leave both empty for all of it)"
                    raise _LineError("malformed", reason)
            try:
                return parse_span(start, end, columns.unit)
            except ValueError as error:
                raise _LineError("malformed", str(error)) from error
        return None

    def leave_out(self) -> tuple[str, ...]:
        """Take away folders of pictures that belong to another video.

        Returns:
            Sentences that say so. Where class or split contradict the video's, that is a fault.
        """
        videos = {v.path: (real, v) for real, v in self.videos.items() if v.span is None}
        belonging, notes = left_out(list(videos))
        for path, owner in belonging.items():
            real, video = videos[path]
            del self.videos[real]
            if (conflict := contradiction(video, videos[owner][1])) is not None:
                word, here, there = conflict
                reason = f"pictures of {owner.name}, in {word} {here} here and the video in {there}"
                self.faults.append(
                    Fault("mislabelled", video.key, reason, str(path), video.class_name,
                          video.split, video.place)
                )  # fmt: skip
        return notes

    def _find(self, text: str) -> Path:
        folder = self.file.parent
        paths = [folder / text, folder / text.replace("\\", "/")]
        found = [path for path in paths if exists(path)]
        if not found:
            found = other_spellings(paths[1], self.names_in)
            if len(found) > 1:
                names = " or ".join(repr(str(path.relative_to(folder))) for path in found)
                reason = f"{text!r} may be {names}, alike but for how accents are encoded"
                raise _LineError("missing", f"{reason}; rename one")
        for path in found:
            if path.is_file() or is_video(path):
                return path
            kind = "a folder without pictures" if path.is_dir() else "neither file nor folder"
            raise _LineError("missing", f"{text!r} is {kind}")
        if not _is_utf8(text):
            raise not_text(self.file, f"there is no file {str(folder / text)!r}; save it in UTF-8")
        raise _LineError("missing", f"no file {str(folder / text)!r}")

    def _add(self, video: ListedVideo) -> None:
        real = self.real_path(video.path.parent) / video.path.name
        if real.is_symlink():
            real = self.real_path(real)
        earlier = self.videos.setdefault((real, video.span), video)
        if earlier is video:
            return
        if video.labels is not None and earlier.labels is not None:
            joined = with_labels(earlier, {*video.labels, *earlier.labels})
            self.videos[real, video.span] = joined
            video = replace(video, class_name=joined.class_name)
            self.repeated -= joined.labels != earlier.labels  # it says something new
            earlier = joined
        assert earlier.place is not None
        if (conflict := contradiction(video, earlier)) is not None:
            word, here, before = conflict
            raise _LineError(
                "mislabelled",
                f"{video.video.name} is in {word} {here} here and in {before} on line "
                f"{earlier.place.line}{both_hold(word, video)}",
            )
        self.repeated += 1


def _refuse_several(name: str, value: str) -> None:
    """Refuse what a JSON list has in place of one value."""
    if SEVERAL in value:
        what = value.removeprefix(SEVERAL)
        raise _LineError("malformed", f"{name} is {what[:60]!r}; give one text")


def _key(values: Mapping[str, str], span: Span | None) -> str:
    """What the split rule hashes of a line: the path in it, of a prepared video the original's."""
    return listed_key(values.get("key", values["path"]), span)


def is_split(cells: Sequence[str]) -> bool:
    return len(cells) > 0 and cells[0].lower() in SPLIT_NAMES


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
