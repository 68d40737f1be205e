"""What is on several sides of a split and should be on one: copies, groups, clips that look alike.

Where the data hold nothing out, the sides are those that training would draw, by the default of
--val-fraction.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixtconv._names import count_of, first_few
from mixtconv.data.checking.copies import same_content
from mixtconv.data.checking.near_duplicates import near_duplicates
from mixtconv.data.datasets.division import draw_split, has_held_out
from mixtconv.data.groups import divided_groups, division_note
from mixtconv.data.listing import BY_RECORDINGS, Fault, ListedVideo, Split, VideoListing
from mixtconv.video.segment import Span
from mixtconv.video.thumbnails import Thumbnails


@dataclass(frozen=True)
class Sides:
    """The side of every video of a listing."""

    listing: VideoListing
    split_of: Mapping[Path, Split]
    """Path -> split."""
    is_drawn: bool
    """Whether training draws the split, since the data hold nothing out."""

    def words(self, video: ListedVideo) -> str:
        """The side of a video, for the user."""
        split = repr(self.split_of[video.path])
        return f"the split {split} that training draws" if self.is_drawn else f"split {split}"


def sides_of(listing: VideoListing) -> Sides:
    """The side of every video: what the data say, else what training would draw."""
    if has_held_out(listing):
        given = {video.path: video.split or "train" for video in listing.videos}
        return Sides(listing, given, False)
    held = draw_split(listing)
    drawn: dict[Path, Split] = {
        video.path: "val" if video.path in held else "train" for video in listing.videos
    }
    return Sides(listing, drawn, True)


def held_out_sizes(sides: Sides) -> Counter[str]:
    """Videos of each class that a recognizer is validated on: of `val`, else of `test`."""
    held = "val" if "val" in sides.split_of.values() else "test"
    videos = sides.listing.videos
    held_out = [video for video in videos if sides.split_of[video.path] == held]
    return Counter(name for video in held_out for name in video.class_names)


def group_faults(listing: VideoListing) -> Iterator[Fault]:
    """A fault for each group that the user tells and the split of the data cuts through.

    The lists of a known dataset are as published; what they cut through is in `group_notes`.
    """
    if _has_published_groups(listing):
        return
    for group in divided_groups(listing.videos):
        video = list(group.videos.values())[-1][0]
        reason = f"group {group.name!r} is on several sides: {group.sizes}"
        yield _fault(video, "leak", reason)


def group_notes(listing: VideoListing) -> tuple[str, ...]:
    """A sentence about the recordings that the lists of a known dataset cut through, if any."""
    return division_note(listing.videos) if _has_published_groups(listing) else ()


def _has_published_groups(listing: VideoListing) -> bool:
    return listing.grouped_by == BY_RECORDINGS


def find_copies(sides: Sides) -> tuple[list[list[Path]], list[Fault], tuple[str, ...]]:
    """Videos with the same bytes.

    Returns:
        The paths of each content that there is more than once; a fault for each copy that is in
        another class or on another side than the first of its content; a note about the others.
    """
    by_path = recordings(sides.listing)
    labels: dict[Path, dict[Span | None, ListedVideo]] = {path: {} for path in by_path}
    for video in sides.listing.videos:
        labels[video.path][video.span] = video
    # What is one file through symbolic links is reported by its contradictions in the listing.
    by_file = {path.resolve(): path for path in reversed(by_path)}
    contents = same_content(reversed(by_file.values()))
    faults, harmless = [], []
    for paths in contents:
        first, *others = sorted(
            (by_path[path] for path in paths), key=lambda video: _order(sides, video)
        )
        for video in others:
            is_link = video.path.is_file() and video.path.samefile(first.path)
            same = f"the same {'file' if is_link else 'bytes'} as {first.path}"
            there = labels[first.path]
            contradicting = [
                own
                for span, own in labels[video.path].items()
                if span in there and own.class_name != there[span].class_name
            ]
            for own in contradicting:
                reason = f"{same}, there in class {there[own.span].class_name!r}"
                faults.append(_fault(own, "mislabelled", reason))
            if sides.split_of[video.path] != sides.split_of[first.path]:
                where = f"here in {sides.words(video)}, there in {sides.split_of[first.path]!r}"
                faults.append(_fault(video, "leak", f"{same}, {where}"))
            elif not contradicting:
                harmless.append(f"{video.key} of {first.key}")
    if not harmless:
        return contents, faults, ()
    copies = count_of(len(harmless), "copy")
    return contents, faults, (f"{copies} in the same class and split: {first_few(harmless)}",)


def recordings(listing: VideoListing) -> dict[Path, ListedVideo]:
    """Each file or folder of a listing as one video, whatever segments of it are listed.

    It has the place of the first one, and all of their classes.
    """
    by_path: dict[Path, list[ListedVideo]] = {}
    for video in listing.videos:
        by_path.setdefault(video.path, []).append(video)
    return {path: _whole(videos) for path, videos in by_path.items()}


def _whole(videos: Sequence[ListedVideo]) -> ListedVideo:
    if all(video.span is None for video in videos):
        return videos[-1]
    classes = ", ".join(sorted({video.class_name for video in videos}))
    return replace(videos[0], key=videos[0].recording_key, span=None, class_name=classes)


def _order(sides: Sides, video: ListedVideo) -> int:
    return ("train", "val", "test").index(sides.split_of[video.path])


def _fault(video: ListedVideo, kind: Any, reason: str) -> Fault:
    return Fault(
        *(kind, video.key, reason, str(video.path)),
        label=video.class_name,
        split=video.split,
        place=video.place,
    )


@dataclass(frozen=True)
class LookAlike:
    """A held-out video that nearly coincides with one of another side."""

    video: ListedVideo
    split: Split
    other: ListedVideo
    other_split: Split
    num_frames: int
    """Frames of the other video that coincide with frames of this one, about."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {
            "video": self.video.key,
            "path": str(self.video.path),
            "split": self.split,
            "label": self.video.class_name,
            "other": self.other.key,
            "other_path": str(self.other.path),
            "other_split": self.other_split,
            "other_label": self.other.class_name,
            "num_frames": self.num_frames,
        }


def find_look_alikes(
    sides: Sides, thumbnails: Mapping[Path, Thumbnails], copies: list[list[Path]]
) -> tuple[LookAlike, ...]:
    """Videos that nearly coincide with one of another side, without copies of the same bytes.

    Args:
        sides: of the videos.
        thumbnails: of those that could be read.
        copies: paths of videos with the same bytes.
    """
    content = {path: number for number, paths in enumerate(copies) for path in paths}
    by_path = recordings(sides.listing)
    by_split: dict[Split, list[Path]] = {"train": [], "val": [], "test": []}
    for path in by_path:
        by_split[sides.split_of[path]].append(path)
    earlier: list[Path] = []
    found = []
    for paths in by_split.values():
        for pair in near_duplicates(thumbnails, earlier, paths):
            is_copy = content.get(pair.first, -1) == content.get(pair.second, -2)
            if not is_copy and pair.first.resolve() != pair.second.resolve():
                video, other = by_path[pair.second], by_path[pair.first]
                found.append(
                    LookAlike(
                        *(video, sides.split_of[video.path]),
                        *(other, sides.split_of[other.path]),
                        pair.num_frames,
                    )
                )
        earlier += paths
    return tuple(found)
