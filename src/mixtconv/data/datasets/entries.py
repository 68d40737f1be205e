"""From the entries of a dataset's lists to videos, and to what is wrong with them."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mixtconv._names import count_of, first_few, unknown_name
from mixtconv.data.datasets.class_order import OrderedClasses
from mixtconv.data.listing import (
    ListedFault,
    ListedVideo,
    ListFaultKind,
    ListPlace,
    Split,
    VideoListing,
)


@dataclass(frozen=True, slots=True)
class ListEntry:
    """One video as a list gives it."""

    key: str
    """Its name in the dataset."""
    class_name: str
    """Its label."""
    split: Split
    """The split that the list is of."""
    place: ListPlace
    """File and line that say so."""

    def fault(self, kind: ListFaultKind, reason: str) -> ListedFault:
        """A fault of this entry."""
        return ListedFault(self.key, reason, kind, self.class_name, self.split, self.place)


@dataclass
class Reading:
    """What was read from the lists of a dataset."""

    entries: list[ListEntry] = field(default_factory=list)
    """The entries in the order of the lists."""
    faults: list[ListedFault] = field(default_factory=list)
    """Lines that say no video or no label."""
    notes: list[str] = field(default_factory=list)
    """Sentences that the user should read."""

    def malformed(self, place: ListPlace, reason: str, *, split: Split | None = None) -> None:
        """Keep a line that cannot be used."""
        reason = f"{reason}; correct or remove it"
        self.faults.append(ListedFault(str(place), reason, "malformed", None, split, place))

    def mislabelled(self, entry: ListEntry, reason: str) -> None:
        """Keep a video whose label cannot be."""
        self.faults.append(entry.fault("mislabelled", f"{entry.place}: {reason}"))


@dataclass(frozen=True)
class FoundVideos:
    """The videos of a dataset, and what is wrong with others."""

    videos: tuple[ListedVideo, ...]
    """Those that are there."""
    faults: tuple[ListedFault, ...]
    """Labels that cannot be, and videos that are not there."""
    absent: tuple[ListedFault, ...]
    """Videos that are not there, where that is to be expected."""
    notes: tuple[str, ...]
    """Sentences that the user should read."""

    def listing(
        self, root: Path, classes: OrderedClasses, *, lists: Sequence[Path]
    ) -> VideoListing:
        """The listing of the dataset below `root` that lists these videos in these files."""
        return VideoListing(
            root,
            self.videos,
            notes=(*self.notes, *classes.notes),
            classes=classes.names,
            faults=self.faults,
            absent=self.absent,
            lists=tuple(lists),
        )


def find_videos(
    reading: Reading,
    find: Callable[[str], Path | None],
    *,
    classes: Collection[str],
    looked_in: Sequence[Path],
    may_lack_videos: bool = False,
) -> FoundVideos:
    """Find the video of every entry, and hold the entries against each other and the classes.

    Args:
        reading: the entries; its faults are those of the result, too.
        find: gives the video of a key, None if it is not there.
        classes: the labels allowed.
        looked_in: the folders in which `find` looks, for the message.
        may_lack_videos: whether videos that are not there are `absent` and no faults.

    Raises:
        ValueError: not one video is there.
    """
    videos: list[ListedVideo] = []
    faults, missing = list(reading.faults), []
    reasons: dict[str, str] = {}
    seen: dict[str, ListEntry] = {}
    repeated = 0
    for entry in reading.entries:
        earlier = seen.setdefault(entry.key, entry)
        if earlier is not entry:
            reason = _conflict(entry, earlier)
            repeated += reason is None
            if reason is not None:
                faults.append(entry.fault("mislabelled", reason))
            continue
        if entry.class_name not in classes:
            if entry.class_name not in reasons:  # the near names take long to find
                reasons[entry.class_name] = str(unknown_name("class", entry.class_name, classes))
            reason = f"{entry.place}: {reasons[entry.class_name]}"
            faults.append(entry.fault("mislabelled", reason))
            continue
        path = find(entry.key)
        if path is None:
            missing.append(entry.fault("missing", f"not there; {entry.place} lists it"))
        else:
            videos.append(ListedVideo(path, entry.class_name, entry.split, entry.key, entry.place))
    if missing and not videos:
        raise ValueError(_none_there(missing, looked_in))
    notes = tuple(reading.notes)
    if repeated:
        notes += (f"{count_of(repeated, 'line')} repeated an earlier one and counted once",)
    if may_lack_videos:
        return FoundVideos(tuple(videos), tuple(faults), tuple(missing), notes)
    return FoundVideos(tuple(videos), (*faults, *missing), (), notes)


def _conflict(entry: ListEntry, earlier: ListEntry) -> str | None:
    """What two entries of one video say against each other."""
    for name, word in (("class_name", "class"), ("split", "split")):
        now, before = getattr(entry, name), getattr(earlier, name)
        if now != before:
            return f"in {word} {now!r} at {entry.place} and in {before!r} at {earlier.place}"
    return None


def _none_there(missing: Sequence[ListedFault], looked_in: Sequence[Path]) -> str:
    named = first_few([fault.video for fault in missing])
    folders = first_few(looked_in, count=4) or "no folder of videos, none was found"
    return (
        f"none of the {len(missing)} videos of the lists is there ({named}); looked in {folders}; "
        "put the videos beside the lists as they are distributed, or give the folder that holds "
        "both"
    )
