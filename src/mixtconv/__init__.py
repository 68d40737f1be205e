"""Action recognition in video at the cost of a 2D network.

>>> import mixtconv, torch
>>> model = mixtconv.create_model("mstnet_resnet18", num_classes=174, num_frames=8)
>>> model(torch.zeros(1, 8, 3, 64, 64)).shape
torch.Size([1, 174])
"""

from typing import TYPE_CHECKING, Any

from mixtconv._version import __version__

if TYPE_CHECKING:  # each name under an alias, which makes it public
    from mixtconv.data.clip_dataset import ClipDataset as ClipDataset
    from mixtconv.data.datasets.catalog import load_catalog as load_catalog
    from mixtconv.exporting.export import export_model as export_model
    from mixtconv.inference.loading import load_recognizer as load_recognizer
    from mixtconv.inference.torch_recognizers import Recognizer as Recognizer
    from mixtconv.inference.torch_recognizers import StreamingRecognizer as StreamingRecognizer
    from mixtconv.models import create_model as create_model
    from mixtconv.models import detect_boxes as detect_boxes
    from mixtconv.models import insert_non_local as insert_non_local
    from mixtconv.models import insert_temporal as insert_temporal
    from mixtconv.models import list_models as list_models
    from mixtconv.models import load_model as load_model
    from mixtconv.models import optimize_for_inference as optimize_for_inference
    from mixtconv.models import save_model as save_model
    from mixtconv.ops import MixTConv as MixTConv
    from mixtconv.ops import TemporalConv as TemporalConv
    from mixtconv.ops import TemporalShift as TemporalShift
    from mixtconv.training.fit import train as train
    from mixtconv.training.settings import TrainingSettings as TrainingSettings
    from mixtconv.video.in_memory import VideoFrames as VideoFrames

_HOMES = {
    "ClipDataset": "mixtconv.data.clip_dataset",
    "MixTConv": "mixtconv.ops",
    "TemporalConv": "mixtconv.ops",
    "TemporalShift": "mixtconv.ops",
    "create_model": "mixtconv.models",
    "detect_boxes": "mixtconv.models",
    "export_model": "mixtconv.exporting.export",
    "insert_non_local": "mixtconv.models",
    "insert_temporal": "mixtconv.models",
    "list_models": "mixtconv.models",
    "load_catalog": "mixtconv.data.datasets.catalog",
    "load_model": "mixtconv.models",
    "load_recognizer": "mixtconv.inference.loading",
    "optimize_for_inference": "mixtconv.models",
    "save_model": "mixtconv.models",
    "train": "mixtconv.training.fit",
    "Recognizer": "mixtconv.inference.torch_recognizers",
    "StreamingRecognizer": "mixtconv.inference.torch_recognizers",
    "TrainingSettings": "mixtconv.training.settings",
    "VideoFrames": "mixtconv.video.in_memory",
}

__all__ = list(_HOMES)
__all__ += ["__version__"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: torch takes seconds, `--help` must not."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mixtconv' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
