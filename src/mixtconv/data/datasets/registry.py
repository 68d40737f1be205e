"""The known datasets by name."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mixtconv._names import unknown_name
from mixtconv.data.listing import DataSource, VideoListing
from mixtconv.data.preparation.journal import read_journal

Lister = Callable[[Path, DataSource], VideoListing]


@dataclass(frozen=True)
class KnownDataset:
    """A dataset that is found in its own layout."""

    title: str
    """Its name in papers."""
    list_videos: Lister
    """Lists the videos below a folder."""


DATASETS: dict[str, KnownDataset] = {}
"""Name on the command line -> the dataset."""


def register(name: str, *, title: str) -> Callable[[Lister], Lister]:
    """Make a function the reader of a known dataset."""

    def keep(function: Lister) -> Lister:
        DATASETS[name] = KnownDataset(title, function)
        return function

    return keep


def list_dataset(source: DataSource) -> VideoListing:
    """List the videos of a known dataset.

    Raises:
        ValueError: an unknown name (with the near ones), a root that is no folder, or a layout that
            is not the dataset's: what was looked for, what was found, what to do.
    """
    assert source.root is not None
    if source.data not in DATASETS:
        raise unknown_name("dataset", source.data, DATASETS)
    root = Path(source.root)
    if not root.is_dir():
        raise ValueError(f"--root {source.root} is no folder; give the folder of {source.data}")
    listing = DATASETS[source.data].list_videos(root, source)
    journal = read_journal(root)
    return listing if journal is None else replace(listing, notes=(*listing.notes, *journal.notes))
