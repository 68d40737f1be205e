"""Something-Something v1 (Goyal et al., "something something", arXiv 1706.04261).

As distributed: `something-something-v1-{train,validation,test,labels}.csv` and a folder of
pictures `%05d.jpg` a video in `20bn-something-something-v1/`.

- The labels file is in no order. Published weights (those of TSM and of what came after) count the
  labels sorted, which is the order `published` here; `distributed` is that of the file.
- The test list has no labels and is not read: scores are those on the validation list.
"""

from pathlib import Path

from mixtconv.data.datasets.registry import register
from mixtconv.data.datasets.twentybn import NumberedDataset, list_numbered
from mixtconv.data.listing import VideoListing
from mixtconv.data.source import DataSource

_DATASET = NumberedDataset(
    "something_v1",
    "Something-Something v1",
    "something-something-v1",
    ("20bn-something-something-v1",),
    published_sorted=True,
)


@register(_DATASET.name, title=_DATASET.title)
def list_something_v1(root: Path, source: DataSource) -> VideoListing:
    """List Something-Something v1; see `registry.list_dataset`."""
    return list_numbered(_DATASET, root, source)
