"""Action recognition in video at the cost of a 2D network.

>>> import mixtconv, torch
>>> model = mixtconv.create_model("mstnet_resnet18", num_classes=174, num_frames=8)
>>> model(torch.zeros(1, 8, 3, 64, 64)).shape
torch.Size([1, 174])
"""

from typing import TYPE_CHECKING, Any

from mixtconv._version import __version__

if TYPE_CHECKING:
    from mixtconv.exporting.export import export_model
    from mixtconv.inference.loading import load_recognizer
    from mixtconv.inference.torch_recognizers import Recognizer, StreamingRecognizer
    from mixtconv.models import (
        create_model,
        detect_boxes,
        insert_non_local,
        insert_temporal,
        list_models,
        load_model,
        optimize_for_inference,
        save_model,
    )
    from mixtconv.ops import MixTConv, TemporalConv, TemporalShift

_HOMES = {
    "MixTConv": "mixtconv.ops",
    "TemporalConv": "mixtconv.ops",
    "TemporalShift": "mixtconv.ops",
    "create_model": "mixtconv.models",
    "detect_boxes": "mixtconv.models",
    "export_model": "mixtconv.exporting.export",
    "insert_non_local": "mixtconv.models",
    "insert_temporal": "mixtconv.models",
    "list_models": "mixtconv.models",
    "load_model": "mixtconv.models",
    "load_recognizer": "mixtconv.inference.loading",
    "optimize_for_inference": "mixtconv.models",
    "save_model": "mixtconv.models",
    "Recognizer": "mixtconv.inference.torch_recognizers",
    "StreamingRecognizer": "mixtconv.inference.torch_recognizers",
}

__all__ = [
    "MixTConv",
    "Recognizer",
    "StreamingRecognizer",
    "TemporalConv",
    "TemporalShift",
    "__version__",
    "create_model",
    "detect_boxes",
    "export_model",
    "insert_non_local",
    "insert_temporal",
    "list_models",
    "load_model",
    "load_recognizer",
    "optimize_for_inference",
    "save_model",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: torch takes seconds, `--help` must not."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mixtconv' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
