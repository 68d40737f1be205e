"""The report of a check: one row per fault, the same for the table and for JSON.

Labels that contradict each other are found here too, where no list of classes decides.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from mixtconv._names import count_of, first_few, unknown_name
from mixtconv.data.checking.segments import segment_faults, unlabelled_recordings
from mixtconv.data.checking.sides import (
    LookAlike,
    Sides,
    find_copies,
    find_look_alikes,
    group_faults,
    group_notes,
    held_out_sizes,
    recordings,
)
from mixtconv.data.checking.video import CheckedVideo
from mixtconv.data.class_sizes import size_notes
from mixtconv.data.listing import (
    FAULT_KINDS,
    Fault,
    ListedVideo,
    VideoListing,
    contradiction,
)
from mixtconv.video.segment import Span

MOST_SHOWN = 20
"""Lines of the table of videos that nearly coincide."""


@dataclass(frozen=True)
class CheckReport:
    """Everything that a check found."""

    source: Path
    """The folder or the CSV, or the folder of a known dataset."""
    num_videos: int
    """Videos that the data name and that exist."""
    num_frames: int
    """Their readable frames."""
    faults: tuple[Fault, ...]
    """The faults by kind, within a kind in the order of the data."""
    absent: tuple[Fault, ...]
    """Videos that do not exist, where that is expected (Kinetics); not faults."""
    unused: tuple[Path, ...]
    """Files and folders in the data that are not used; not faults."""
    notes: tuple[str, ...]
    """Sentences that the user should read."""
    hdr: tuple[Path, ...] = ()
    """Videos with HDR frames, which are read as SDR; not faults."""
    interlaced: tuple[Path, ...] = ()
    """Videos with interlaced frames, of which one field is read; not faults."""
    look_alikes: tuple[LookAlike, ...] = ()
    """Videos on both sides of the split that nearly coincide; not faults, as they may differ."""
    is_split_drawn: bool = False
    """Whether the split is the one that training draws, since the data hold nothing out."""

    @property
    def counts(self) -> dict[str, int]:
        """Number of faults by kind; kinds without faults are left out."""
        counts = Counter(fault.kind for fault in self.faults)
        return {kind: counts[kind] for kind in FAULT_KINDS if counts[kind]}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """The faults as names of columns and one row per fault; empty columns are left out."""
        columns: dict[str, list[str]] = {
            "fault": [fault.kind for fault in self.faults],
            "video": [self._below_source(fault) for fault in self.faults],
            "split": [fault.split or "" for fault in self.faults],
            "label": [fault.label or "" for fault in self.faults],
            "reason": [fault.reason for fault in self.faults],
            "listed in": [str(f.place) if f.place else "" for f in self.faults],
        }
        filled = {name: cells for name, cells in columns.items() if any(cells)}
        return list(filled), [list(row) for row in zip(*filled.values(), strict=True)]

    def table_of_look_alikes(self) -> tuple[list[str], list[list[object]]]:
        """The first videos that nearly coincide, in the same form as the faults."""
        columns = ["nearly the same", "split", "as", "split", "frames"]
        return columns, [
            [
                *(self._relative(pair.video.path), pair.split),
                *(self._relative(pair.other.path), pair.other_split, pair.num_frames),
            ]
            for pair in self.look_alikes[:MOST_SHOWN]
        ]

    def _below_source(self, fault: Fault) -> str:
        """The path of a video relative to the data, if it is in them."""
        return fault.video if fault.path is None else self._relative(Path(fault.path))

    def _relative(self, path: Path) -> str:
        folder = self.source.parent if self.source.is_file() else self.source
        return str(path.relative_to(folder) if path.is_relative_to(folder) else path)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {
            "data": str(self.source),
            "num_videos": self.num_videos,
            "num_frames": self.num_frames,
            "num_faults": len(self.faults),
            "counts": self.counts,
            "faults": [fault.to_dict() for fault in self.faults],
            "absent": [fault.to_dict() for fault in self.absent],
            "unused": [str(path) for path in self.unused],
            "notes": list(self.notes),
            "hdr": [str(path) for path in self.hdr],
            "interlaced": [str(path) for path in self.interlaced],
            "num_near_duplicates": len(self.look_alikes),
            "near_duplicates": [pair.to_dict() for pair in self.look_alikes],
            "split_drawn": self.is_split_drawn,
        }


def sum_up(
    listing: VideoListing, checked: Mapping[Path, CheckedVideo], *, sides: Sides
) -> CheckReport:
    """Combine the faults in the entries of a listing, in its labels and splits, and in its videos.

    Args:
        listing: from `catalog.scan_videos`.
        checked: the result of `video.check_video` for each of its videos, by path.
        sides: of the videos.
    """
    copies, copy_faults, copy_notes = find_copies(sides)
    faults = [*listing.faults, *label_faults(listing), *copy_faults, *group_faults(listing)]
    videos = recordings(listing).values()
    for video in videos:
        faults += [_at(video, fault) for fault in checked[video.path].faults]
    faults += segment_faults(listing, checked)
    faults.sort(key=lambda fault: FAULT_KINDS.index(fault.kind))
    thumbnails = {
        path: video.thumbnails for path, video in checked.items() if video.thumbnails is not None
    }
    look_alikes = find_look_alikes(sides, thumbnails, copies)
    notes = [*listing.notes, *size_notes(held_out_sizes(sides)), *group_notes(listing)]
    notes += [*copy_notes, *unlabelled_recordings(listing)]
    hdr = [video for video in videos if checked[video.path].is_hdr]
    interlaced = [video for video in videos if checked[video.path].is_interlaced]
    for found, what in ((hdr, "HDR, read as SDR"), (interlaced, "interlaced, read by one field")):
        if found:
            names = first_few([video.key for video in found])
            notes.append(f"{len(found)} of {len(videos)} videos are {what}: {names}")
    if look_alikes:
        pairs = f"{count_of(len(look_alikes), 'pair')} of videos on both sides of the split"
        drawn = " that training draws" if sides.is_drawn else ""
        notes.append(
            f"{pairs}{drawn} nearly coincide: cut from one recording, or encoded again? --group "
            "keeps them on one side"
        )
    return CheckReport(
        source=listing.source,
        num_videos=len(listing.videos),
        num_frames=sum(video.num_frames for video in checked.values()),
        faults=tuple(faults),
        absent=listing.absent,
        unused=listing.ignored,
        notes=tuple(notes),
        hdr=tuple(video.path for video in hdr),
        interlaced=tuple(video.path for video in interlaced),
        look_alikes=look_alikes,
        is_split_drawn=sides.is_drawn,
    )


def _at(video: ListedVideo, fault: Fault) -> Fault:
    """The fault of a video with its name, label, split and place in the data."""
    return replace(
        fault, video=video.key, label=video.class_name, split=video.split, place=video.place
    )


def label_faults(listing: VideoListing) -> Iterator[Fault]:
    """The faults of labels and splits that contradict each other.

    These are one file under two labels or in two splits (through links), and the first video of
    every class that is scored but not trained on. Contradictions in the lists of a known dataset
    are among the faults of the listing already.

    >>> from mixtconv.data.listing import ListedVideo, VideoListing
    >>> labels = [("run", "train"), ("jump", "train"), ("jmp", "val")]
    >>> videos = [ListedVideo(Path(name), name, split, name) for name, split in labels]
    >>> [fault.reason for fault in label_faults(VideoListing(Path("data"), tuple(videos)))]
    ["no such class to train on: unknown class 'jmp'; did you mean 'jump'?"]
    """
    if listing.classes is None:
        yield from _untrained_classes(listing)
    yield from _one_file_twice(listing)


def _untrained_classes(listing: VideoListing) -> Iterator[Fault]:
    train = [video for video in listing.videos if video.split == "train"]
    trained = {name for video in train for name in video.class_names}
    reported: set[str] = set()
    for video in listing.videos:
        for name in video.class_names:
            if trained and video.split is not None and name not in trained | reported:
                reported.add(name)
                hint = unknown_name("class", name, trained)
                yield _mislabelled(video, f"no such class to train on: {hint}")


def _one_file_twice(listing: VideoListing) -> Iterator[Fault]:
    # Folders are resolved once: it takes long on a file system of a network.
    real_folder = cache(Path.resolve)
    first: dict[tuple[Path, Span | None], ListedVideo] = {}
    for video in listing.videos:
        path = video.path
        real = path.resolve() if path.is_symlink() else real_folder(path.parent) / path.name
        earlier = first.setdefault((real, video.span), video)
        if (conflict := contradiction(video, earlier)) is not None:
            word, _, before = conflict
            reason = f"the same file as {earlier.path}, there in {word} {before}"
            yield _mislabelled(video, reason)


def _mislabelled(video: ListedVideo, reason: str) -> Fault:
    return _at(video, Fault("mislabelled", video.key, reason, path=str(video.path)))
