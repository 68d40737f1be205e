"""Folders of videos to prepare, and what is in those that were prepared."""

import shutil

from PIL import Image


def put(clips, root, *names):
    """Videos of the given names below a folder; without a suffix, folders of pictures."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix:
            shutil.copyfile(clips[path.suffix], path)
        else:
            path.mkdir()
            for number in range(5):
                Image.new("RGB", (48, 40), (number, 9, 9)).save(path / f"{number}.png")
    return root


def names_in(folder):
    """Files in a folder that are not hidden, to any depth."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return sorted(str(f.relative_to(folder)) for f in files if not f.name.startswith("."))


def contents(folder):
    return {name: (folder / name).read_bytes() for name in names_in(folder)}


def states(folder):
    """What is known of every file without opening it."""
    return {
        file: (file.stat().st_ino, file.stat().st_size, file.stat().st_mtime_ns)
        for file in folder.rglob("*")
        if file.is_file()
    }


def unfinished(folder):
    return list(folder.rglob(".*.part"))


def summary(report):
    return report.num_prepared, report.num_kept, [video.path.name for video in report.unreadable]
