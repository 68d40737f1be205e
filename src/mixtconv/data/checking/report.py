"""What a check found: one row a fault, the same for the table and for JSON.

Labels that contradict each other, where no list of classes says which are right.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from mixtconv._names import unknown_name
from mixtconv.data.checking.video import CheckedVideo, VideoFaultKind
from mixtconv.data.listing import ListedFault, ListedVideo, ListFaultKind, VideoListing

FaultKind = ListFaultKind | VideoFaultKind
"""What can be wrong with an entry of a list, or with a video."""

FAULT_KINDS: tuple[FaultKind, ...] = (*get_args(ListFaultKind), *get_args(VideoFaultKind))
"""All kinds, in the order in which they are reported."""


@dataclass(frozen=True)
class FoundFault:
    """One thing that is wrong with the data."""

    kind: FaultKind
    """What sort of fault it is."""
    video: str
    """The video's name in the data, or the line that names none."""
    path: str | None
    """The file or folder, where there is one."""
    split: str | None
    """The split that it is in; None where the data name none."""
    label: str | None
    """Its class."""
    reason: str
    """What was found, in words."""
    file: str | None
    """The list that names it; None in a folder of class folders."""
    line: int | None
    """Its line there, or the number of its entry in JSON, from 1."""


@dataclass(frozen=True)
class CheckReport:
    """All that a check found."""

    source: Path
    """The folder or the CSV, or the folder of a known dataset."""
    num_videos: int
    """Videos that the data name and that are there."""
    num_frames: int
    """Their readable frames."""
    faults: tuple[FoundFault, ...]
    """What is wrong, by kind, within a kind in the order of the data."""
    absent: tuple[FoundFault, ...]
    """Videos that are not there, where that is to be expected (Kinetics); no faults."""
    unused: tuple[Path, ...]
    """Files and folders in the data that are none of its videos; no faults."""
    notes: tuple[str, ...]
    """Sentences that the user should read."""

    @property
    def counts(self) -> dict[str, int]:
        """Number of faults by kind; kinds that are not found are left out."""
        found = Counter(fault.kind for fault in self.faults)
        return {kind: found[kind] for kind in FAULT_KINDS if found[kind]}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """The faults for people: names of columns, and one row a fault; empty columns left out."""
        columns: dict[str, list[str]] = {
            "fault": [fault.kind for fault in self.faults],
            "video": [self._below_source(fault) for fault in self.faults],
            "split": [fault.split or "" for fault in self.faults],
            "label": [fault.label or "" for fault in self.faults],
            "reason": [fault.reason for fault in self.faults],
            "listed in": [f"{f.file}:{f.line}" if f.file else "" for f in self.faults],
        }
        filled = {name: cells for name, cells in columns.items() if any(cells)}
        return list(filled), [list(row) for row in zip(*filled.values(), strict=True)]

    def _below_source(self, fault: FoundFault) -> str:
        """The path of a video as short as it is clear."""
        if fault.path is None:
            return fault.video
        folder = self.source.parent if self.source.is_file() else self.source
        path = Path(fault.path)
        return str(path.relative_to(folder)) if path.is_relative_to(folder) else fault.path

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {
            "data": str(self.source),
            "num_videos": self.num_videos,
            "num_frames": self.num_frames,
            "num_faults": len(self.faults),
            "counts": self.counts,
            "faults": [asdict(fault) for fault in self.faults],
            "absent": [asdict(fault) for fault in self.absent],
            "unused": [str(path) for path in self.unused],
            "notes": list(self.notes),
        }


def sum_up(listing: VideoListing, checked: Mapping[Path, CheckedVideo]) -> CheckReport:
    """Put together what is wrong with the entries of a listing and with its videos.

    Args:
        listing: from `catalog.look_through`.
        checked: what `video.check_video` found of every video of it, by path.
    """
    found = [_of_entry(fault) for fault in listing.faults]
    found += [_of_video(video, "mislabelled", reason) for video, reason in label_faults(listing)]
    found += [
        _of_video(video, fault.kind, fault.reason)
        for video in listing.videos
        for fault in checked[video.path].faults
    ]
    found.sort(key=lambda fault: FAULT_KINDS.index(fault.kind))
    return CheckReport(
        source=listing.source,
        num_videos=len(listing.videos),
        num_frames=sum(video.num_frames for video in checked.values()),
        faults=tuple(found),
        absent=tuple(map(_of_entry, listing.absent)),
        unused=listing.ignored,
        notes=listing.notes,
    )


def _of_entry(fault: ListedFault) -> FoundFault:
    place = fault.place
    return FoundFault(
        kind=fault.kind,
        video=fault.video,
        path=None,
        split=fault.split,
        label=fault.class_name,
        reason=fault.reason,
        file=None if place is None else place.file,
        line=None if place is None else place.line,
    )


def _of_video(video: ListedVideo, kind: FaultKind, reason: str) -> FoundFault:
    place = video.place
    return FoundFault(
        kind=kind,
        video=video.key,
        path=str(video.path),
        split=video.split,
        label=video.class_name,
        reason=reason,
        file=None if place is None else place.file,
        line=None if place is None else place.line,
    )


def label_faults(listing: VideoListing) -> Iterator[tuple[ListedVideo, str]]:
    """Give the videos whose label or split cannot be, each with the reason.

    One file under two labels or in two splits (through links), and the first video of every class
    that is scored and not trained on. What the lists of a known dataset say against each other is
    among the faults of the listing.

    >>> from mixtconv.data.listing import ListedVideo, VideoListing
    >>> labels = [("run", "train"), ("jump", "train"), ("jmp", "val")]
    >>> videos = [ListedVideo(Path(name), name, split, name) for name, split in labels]
    >>> [reason for _, reason in label_faults(VideoListing(Path("data"), tuple(videos)))]
    ["no such class to train on: unknown class 'jmp'; did you mean 'jump'?"]
    """
    if listing.classes is None:
        yield from _untrained_classes(listing)
    yield from _one_file_twice(listing)


def _untrained_classes(listing: VideoListing) -> Iterator[tuple[ListedVideo, str]]:
    trained = {video.class_name for video in listing.videos if video.split == "train"}
    seen: set[str] = set()
    for video in listing.videos:
        name = video.class_name
        if trained and video.split is not None and name not in trained | seen:
            seen.add(name)
            yield video, f"no such class to train on: {unknown_name('class', name, trained)}"


def _one_file_twice(listing: VideoListing) -> Iterator[tuple[ListedVideo, str]]:
    folders: dict[Path, Path] = {}
    first: dict[Path, ListedVideo] = {}
    for video in listing.videos:
        folder = video.path.parent
        if folder not in folders:
            folders[folder] = folder.resolve()
        real = (
            video.path.resolve() if video.path.is_symlink() else folders[folder] / video.path.name
        )
        earlier = first.setdefault(real, video)
        for name, word in (("class_name", "class"), ("split", "split")):
            now, before = getattr(video, name), getattr(earlier, name)
            if now != before:
                yield video, f"the same file as {earlier.path}, there in {word} {before!r}"
                break
