"""The known datasets by name; a file of this folder registers each."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mixtconv._names import unknown_name
from mixtconv.data.journal import read_journal
from mixtconv.data.listing import DataSource, VideoListing

Lister = Callable[[Path, DataSource], VideoListing]


@dataclass(frozen=True)
class KnownDataset:
    """A dataset that is read in the layout in which it is distributed."""

    title: str
    """Its name in papers."""
    list_videos: Lister
    """Lists the videos in a folder, see `list_dataset`."""


DATASETS: dict[str, KnownDataset] = {}
"""Name on the command line -> the dataset."""


def register(name: str, *, title: str) -> Callable[[Lister], Lister]:
    """Register a function as the lister of a known dataset."""

    def keep(function: Lister) -> Lister:
        DATASETS[name] = KnownDataset(title, function)
        return function

    return keep


def list_dataset(source: DataSource) -> VideoListing:
    """List the videos of a known dataset.

    Raises:
        ValueError: an unknown name, a root that is not a folder, or another layout than that of the
            dataset; the message says what was expected, what was found and what to do.
    """
    assert source.root is not None
    if source.data not in DATASETS:
        raise unknown_name("dataset", source.data, DATASETS)
    root = Path(source.root)
    if not root.is_dir():
        raise ValueError(f"--root {source.root} is not a folder; give that of {source.data}")
    listing = DATASETS[source.data].list_videos(root, source)
    journal = read_journal(root)
    return listing if journal is None else replace(listing, notes=(*listing.notes, *journal.notes))
