"""Jester (Materzynska et al., "The Jester Dataset", ICCV 2019 workshops).

As first distributed: `jester-v1-{train,validation,test,labels}.csv` and a folder of pictures
`%05d.jpg` a video in `20bn-jester-v1/`. Two other layouts are in use: the lists as
`labels/{train,validation,test,labels}.csv`, and `Train.csv`, `Validation.csv`, `Test.csv` with a
header and more columns (one of them, the shape, has a comma in quotes) beside the folders `Train/`,
`Validation/` and `Test/`, without a file of labels.

- Published weights count the labels in the order of the labels file. Where that is missing, the
  list in this package gives the order; the numbers in a column `label_id` are those of a sorted
  list and are not used.
- The test list has no labels (later copies have answers, which are not read either): scores are
  those on the validation list.
- "Turning Hand Clockwise" and "Counterclockwise" change places in a mirror, as the sides do.
"""

from pathlib import Path

from mixtconv.data.datasets.registry import register
from mixtconv.data.datasets.twentybn import NumberedDataset, list_numbered
from mixtconv.data.listing import VideoListing
from mixtconv.data.source import DataSource

_DATASET = NumberedDataset(
    "jester",
    "Jester",
    "jester-v1",
    ("20bn-jester-v1", "Train", "Validation"),
    published_sorted=False,
)


@register(_DATASET.name, title=_DATASET.title)
def list_jester(root: Path, source: DataSource) -> VideoListing:
    """List Jester; see `registry.list_dataset`."""
    return list_numbered(_DATASET, root, source)
