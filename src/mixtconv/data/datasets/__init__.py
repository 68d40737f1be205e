"""The datasets of the field, in the layouts in which they are distributed."""

from mixtconv.data.datasets import (
    hmdb51,
    jester,
    kinetics400,
    something_v1,
    something_v2,
    ucf101,
)
from mixtconv.data.datasets.class_names import published_classes
from mixtconv.data.datasets.registry import DATASETS, KnownDataset, list_dataset

__all__ = [
    "DATASETS",
    "KnownDataset",
    "hmdb51",
    "jester",
    "kinetics400",
    "list_dataset",
    "published_classes",
    "something_v1",
    "something_v2",
    "ucf101",
]
