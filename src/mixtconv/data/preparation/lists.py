"""The lists of a known dataset, copied beside its prepared videos, so that both are read alike."""

from pathlib import Path

from mixtconv._atomic_write import write_atomically
from mixtconv.data.listing import VideoListing


def copy_lists(out: Path, listing: VideoListing) -> None:
    """Copy the lists of a dataset to where they are in the original, byte for byte.

    Args:
        out: the folder of the prepared videos.
        listing: the videos of the dataset; of other data nothing is copied.
    """
    for path in listing.lists:
        content = path.read_bytes()
        target = out / path.relative_to(listing.source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_file() or target.read_bytes() != content:
            write_atomically(target, content)
