"""The videos that the user names as data, and the known datasets as they are distributed.

- `scanning.py`: a folder, a list or a known dataset -> its videos with class names;
- `catalog.py`: those of a run or of an evaluation, with labels and splits;
- `division.py`: which of them train and which are held out;
- `registry.py`: the known datasets by name; one file per dataset or family: `kinetics400.py`,
  `something_v2.py`, `twentybn.py` (Jester, Something-Something v1), `ucf_hmdb.py`;
- what these share: `layout.py` (where lists and videos are), `lists.py` (from lines to videos and
  faults), `classes.py` (class names, with the published ones in `class_names/`).

These import `data/listing.py` and other files of `data/`, none of which imports from here.
"""

from mixtconv.data.datasets import kinetics400, something_v2, twentybn, ucf_hmdb
from mixtconv.data.datasets.classes import published_classes
from mixtconv.data.datasets.registry import DATASETS, KnownDataset, list_dataset

__all__ = [
    "DATASETS",
    "KnownDataset",
    "kinetics400",
    "list_dataset",
    "published_classes",
    "something_v2",
    "twentybn",
    "ucf_hmdb",
]
