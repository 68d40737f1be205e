"""The videos that the user names for prediction: files, folders, patterns."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mixtconv._names import first_few
from mixtconv.video.folder import flow_twins, list_pictures, natural_order
from mixtconv.video.reader import is_video


def find_videos(sources: Sequence[str | Path]) -> list[Path]:
    """List the videos that files, folders and patterns name, each video once.

    A file is taken whatever its suffix. A folder is searched to any depth; one that holds pictures
    and no video file is itself one video (of two trees of optical flow, that below `u`). A pattern
    (`*`, `?`, `[...]`, `**`) is for names that do not exist as written, and takes videos and
    folders. Hidden files are left out. The order is that of the sources, and natural (`2.mp4`
    before `10.mp4`) within each.

    Raises:
        ValueError: a source gives no video; the message names it.
    """
    found: dict[Path, Path] = {}
    missing = []
    for source in sources:
        videos = _from_source(Path(source))
        if not videos:
            missing.append(repr(str(source)))
        for video in videos:
            found.setdefault(video.resolve(), video)
    if missing or not found:
        raise ValueError(
            f"no video found for {first_few(missing) or 'an empty list'}; give video files, "
            "folders that hold videos or pictures of frames, or patterns such as 'clips/*.mp4'"
        )
    return list(found.values())


def _from_source(source: Path) -> list[Path]:
    if source.is_dir():
        return _naturally(_in_folder(source, set()))
    if source.exists():
        return [source]
    videos: list[Path] = []
    for match in _naturally(_matches(source)):
        if match.is_dir():
            videos += _naturally(_in_folder(match, set()))
        elif is_video(match):
            videos.append(match)
    return _naturally(videos)


def _in_folder(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Videos in a folder to any depth; links are followed, each real folder once."""
    real = folder.resolve()
    if real in seen:
        return
    seen.add(real)
    has_files = False
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    for entry in entries:
        videos = _in_folder(entry, seen) if entry.is_dir() else filter(is_video, [entry])
        for video in videos:
            has_files |= not video.is_dir()
            yield video
    twins = flow_twins(folder)
    if not has_files and list_pictures(folder) and (twins is None or folder == twins[0]):
        yield folder


def _matches(pattern: Path) -> Iterator[Path]:
    """Existing paths that a pattern with wildcards matches, hidden ones only if it says so."""
    base = Path(pattern.anchor)
    for match in base.glob(str(pattern.relative_to(base))):
        if not any(part.startswith(".") and part not in pattern.parts for part in match.parts):
            yield match


def _naturally(paths: Iterator[Path] | Sequence[Path]) -> list[Path]:
    return [Path(name) for name in natural_order({str(path) for path in paths})]
