"""The datasets of the field, in the layouts in which they are distributed."""

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
