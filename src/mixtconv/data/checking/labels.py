"""Labels that contradict each other, where no list of classes says which are right."""

from collections.abc import Iterator
from pathlib import Path

from mixtconv._names import unknown_name
from mixtconv.data.listing import ListedVideo, VideoListing


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
