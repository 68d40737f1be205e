"""The videos of annotation files, found on the disk: segments with their classes and splits."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path, PurePosixPath

from mixtconv._names import composed, count_of, first_few, unknown_name
from mixtconv.data.annotations.segment import AnnotatedSegment, Annotations
from mixtconv.data.groups import by_recordings
from mixtconv.data.listing import (
    SPLIT_NAMES,
    Fault,
    FaultKind,
    ListedVideo,
    VideoListing,
    both_hold,
    contradiction,
    listed_key,
)
from mixtconv.data.several_labels import with_labels
from mixtconv.video.find import is_hidden, is_one_video, is_video, real_path
from mixtconv.video.segment import Span


def list_annotations(
    path: Path,
    annotations: Annotations,
    *,
    classes: Sequence[str] | None = None,
    several: bool = False,
) -> VideoListing:
    """List the segments of annotation files.

    Args:
        path: the file, or the folder of several; videos are looked for in its folder and below.
        annotations: what it says.
        classes: the only class names allowed.
        several: whether a stretch may have several labels.

    Returns:
        The segments in the order of the files, and as `faults` those that cannot be used: a video
        that is not found, an unknown class, times that are no stretch, one stretch under two
        classes, a recording in two splits.

    Raises:
        ValueError: nothing is labelled.
    """
    finder = _Finder(path if path.is_dir() else path.parent)
    labelled = [segment for segment in annotations.segments if segment.label]
    if not labelled:
        raise ValueError(
            f"{path}: no labelled stretch in it ({annotations.title}); label some, or give another "
            "file"
        )
    videos: dict[tuple[Path, Span | None], ListedVideo] = {}
    faults: list[Fault] = []
    real = cache(real_path)
    repeated = 0
    for segment in labelled:
        try:
            video = _listed(segment, finder, classes)
            known = real(video.path), video.span
            earlier = videos.setdefault(known, video)
            repeated += earlier is not video and video.class_name in earlier.class_names
            if several:
                labels = {*earlier.class_names, *video.class_names}
                earlier = videos[known] = with_labels(earlier, labels)
                video = replace(video, class_name=earlier.class_name)
            if (conflict := contradiction(video, earlier)) is not None:
                word, here, before = conflict
                reason = f"{video.video.name} is in {word} {here} here and in {before} at "
                reason += f"{earlier.place}{both_hold(word, video)}"
                raise _Unusable("mislabelled", reason)
        except _Unusable as error:
            split = SPLIT_NAMES.get(segment.split or "")
            fault = Fault(error.kind, segment.video, str(error), label=segment.label, split=split,
                          place=segment.place, group=segment.group)  # fmt: skip
            if error.kind == "missing":  # which is a video all the same, of the same split
                span = _span(segment)
                fault = replace(fault, key=listed_key(segment.video, span), span=span)
            faults.append(fault)
    notes = [*annotations.notes, *_notes(annotations, repeated)]
    listing = VideoListing(path, tuple(videos.values()), notes=tuple(notes), faults=tuple(faults))
    return by_recordings(listing)


class _Unusable(ValueError):  # noqa: N818, as it is no error of the program
    """A segment that cannot be used."""

    def __init__(self, kind: FaultKind, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def _listed(
    segment: AnnotatedSegment, finder: "_Finder", classes: Sequence[str] | None
) -> ListedVideo:
    if classes is not None and segment.label not in classes:
        raise _Unusable("mislabelled", str(unknown_name("class", segment.label, classes)))
    span = _span(segment)
    return ListedVideo(
        finder.find(segment),
        segment.label,
        None if segment.split is None else SPLIT_NAMES[segment.split],
        listed_key(segment.video, span),
        segment.place,
        segment.group,
        span,
    )


def _span(segment: AnnotatedSegment) -> Span | None:
    if segment.start is None or segment.end is None:
        return None
    try:
        return Span(segment.start, segment.end, in_frames=segment.unit == "frames")
    except ValueError as error:
        raise _Unusable("malformed", str(error)) from error


def _notes(annotations: Annotations, repeated: int) -> Iterator[str]:
    empty = [segment.video for segment in annotations.segments if not segment.label]
    if empty:
        yield f"{count_of(len(empty), 'recording')} without a segment: {first_few(empty)}"
    if repeated:
        yield f"{count_of(repeated, 'segment')} repeated an earlier one and counted once"


class _Finder:
    """Finds the videos that annotation files name.

    A tool knows the path of a video on its own machine, or its name alone: so a video is looked for
    at its path, from the folder of the annotations, and then by its name in all of that folder, at
    last without its suffix, which data sets leave out.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: dict[tuple[str, ...], Path] = {}

    def find(self, segment: AnnotatedSegment) -> Path:
        """The video of a segment.

        Raises:
            _Unusable: there is none, or there are several of its name.
        """
        names = tuple(
            name.replace("\\", "/") for name in (segment.video, *segment.other_names) if name
        )
        if names not in self._found:
            self._found[names] = self._find(names)
        return self._found[names]

    def _find(self, names: Sequence[str]) -> Path:
        for name in names:
            path = self._folder / name
            if is_video(path) and path.exists():
                return path
        lasts = [composed(PurePosixPath(name).name) for name in names]
        for index, keys in (
            (self._by_name, lasts),
            (self._by_stem, lasts),
            (self._by_stem, [PurePosixPath(last).stem for last in lasts]),
        ):
            for key in keys:
                if len(paths := index.get(key, [])) > 1:
                    places = first_few([str(path.relative_to(self._folder)) for path in paths])
                    raise _Unusable("missing", f"{names[0]!r} may be {places}; rename one")
                if paths:
                    return paths[0]
        raise _Unusable(
            "missing", f"no video {names[0]!r} in {self._folder}; put it there, under that name"
        )

    @cached_property
    def _videos(self) -> list[Path]:
        found: list[Path] = []
        waiting = [self._folder]
        while waiting:
            for entry in sorted(waiting.pop(0).iterdir()):
                if is_hidden(entry.name):
                    continue
                if entry.is_dir() and not is_one_video(entry):
                    waiting.append(entry)
                elif is_video(entry):
                    found.append(entry)
        return found

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        return _indexed(self._videos, "name")

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        return _indexed(self._videos, "stem")


def _indexed(videos: Sequence[Path], part: str) -> dict[str, list[Path]]:
    index: dict[str, list[Path]] = defaultdict(list)
    for path in videos:
        index[composed(getattr(path, part))].append(path)
    return index
