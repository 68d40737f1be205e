"""Videos in class folders: `ROOT/<class>/*`, or `ROOT/train/<class>/*` beside `val/` or `test/`.

A video is a file with a video's suffix or a folder of pictures. Where `ROOT` holds two trees of
optical flow, `u` and `v`, its videos are those of `ROOT/u`. Folders are not searched deeper
than that: a video elsewhere is named as ignored and not taken under a class that nobody meant.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mixtconv._names import first_few
from mixtconv.data.flow_names import has_flow_trees
from mixtconv.data.frame_folder import list_pictures, natural_order
from mixtconv.data.listing import SPLIT_NAMES, ListedVideo, Split, VideoListing
from mixtconv.data.picture_reader import VIDEO_SUFFIXES, is_video
from mixtconv.data.preparation.journal import Journal, read_journal

_LAYOUTS = "expected {root}/<class>/<video> or {root}/train/<class>/<video>"


def list_folder(root: str | Path) -> VideoListing:
    """List the videos of a folder of class folders.

    `ROOT` is taken as split where it holds a folder `train`, or nothing but folders named for
    splits (`train`, `val`, `valid`, `validation`, `test`, in any case). A folder `train` that
    holds videos itself, beside folders of other names, is a class.

    Raises:
        ValueError: no class folder holds a video; the message says where videos were seen.
    """
    root = Path(root)
    journal = read_journal(root)
    top = root / "u" if has_flow_trees(root) else root
    splits = _split_folders(top)
    videos: list[ListedVideo] = []
    ignored: list[Path] = []
    if splits:
        ignored += [entry for entry in _entries(top) if entry not in splits.values()]
    for split, folder in splits.items() or [(None, top)]:
        for entry in _entries(folder):
            taken, left = _class_videos(entry) if entry.is_dir() else ([], [])
            ignored += left if taken else [entry]
            videos += [
                ListedVideo(video, entry.name, split, f"{entry.name}/{video.name}")
                for video in taken
            ]
    if not videos:
        raise ValueError(_no_videos(root, ignored))
    if journal is None:
        return VideoListing(root, tuple(videos), tuple(ignored))
    return VideoListing(root, _with_keys(videos, root, journal), tuple(ignored), journal.notes)


def _with_keys(
    videos: Sequence[ListedVideo], root: Path, journal: Journal
) -> tuple[ListedVideo, ...]:
    """Prepared videos with the keys of their originals, so that the same ones are held out."""
    made = [journal.videos.get(video.path.relative_to(root).as_posix()) for video in videos]
    return tuple(
        video if origin is None else replace(video, key=origin.key)
        for video, origin in zip(videos, made, strict=True)
    )


def _split_folders(root: Path) -> dict[Split, Path]:
    """The folder of each split, the first of `SPLIT_NAMES`; empty if `root` holds classes."""
    folders = {entry.name.lower(): entry for entry in _entries(root) if entry.is_dir()}
    only_splits = set(folders) <= set(SPLIT_NAMES)
    if not only_splits and ("train" not in folders or _class_videos(folders["train"])[0]):
        return {}
    splits: dict[Split, Path] = {}
    for name, split in SPLIT_NAMES.items():
        if name in folders:
            splits.setdefault(split, folders[name])
    return splits


def _class_videos(folder: Path) -> tuple[list[Path], list[Path]]:
    """The videos directly in a class folder, and what else is there.

    A folder with pictures and no video files is itself a video, so it has none.
    """
    entries = _entries(folder)
    videos = [entry for entry in entries if is_video(entry)]
    if all(video.is_dir() for video in videos) and list_pictures(folder):
        return [], entries
    taken = set(videos)
    return videos, [entry for entry in entries if entry not in taken]


def _entries(folder: Path) -> list[Path]:
    names = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
    return [folder / name for name in natural_order(names)]


def _no_videos(root: Path, ignored: Sequence[Path]) -> str:
    layouts = _LAYOUTS.format(root=root)
    loose = [entry for entry in ignored if is_video(entry)]
    if loose:
        names = first_few([entry.relative_to(root) for entry in loose])
        return (
            f"{root}: its videos ({names}) do not lie in class folders; {layouts}: put each into "
            "a folder named for its class, or give a CSV with the columns path,label"
        )
    deeper = next(filter(is_video, root.rglob("*")), None)
    if deeper is not None:
        return (
            f"{root}: no videos in class folders, but there is {deeper.relative_to(root)} deeper; "
            f"{layouts}: give the folder that holds the class folders"
        )
    suffixes = " ".join(VIDEO_SUFFIXES)
    return (
        f"{root}: no videos in it; {layouts}, where a video is a folder of pictures or a file "
        f"ending in one of {suffixes}"
    )
