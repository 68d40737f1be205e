"""Backbones, insertion of temporal operations, the named recognizers, model files.

- `spec`: what a recognizer is, without torch; `classifier`: the recognizer; `motion`: median
  pictures; `backbone`: timm's networks, `small_resnet` one more; `systems/`: recognizers by name
  and from files, other systems of the comparison
- `structure/`: what a 2D network computes, and places in it; `wrappers/`: what is put there;
  `insertion`: temporal operations put there by name
- `feature_head`: small heads on the feature map of a backbone, its `trunk`
- `frozen_trunk`: what is trained on a frozen 2D network, `input_free`: whose layers keep little,
  `trunk_file`: found again
- `file`, `location`, `sharing`, `model_card`, `checkpoint_file`: model files, where they are found,
  the hub; files of weights by others, which `importing/` makes into recognizers
- `optimize`, `graph_fusion`, `fused_conv`, `folded_filter`, `device`: fast inference
- `streaming`: recognizers frame by frame

Names are imported on first use: an exported model needs `spec` only, which does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # each name under an alias, which makes it public
    from mixtconv.models.classifier import VideoClassifier as VideoClassifier
    from mixtconv.models.file import read_metadata as read_metadata
    from mixtconv.models.file import save_model as save_model
    from mixtconv.models.insertion import insert_temporal as insert_temporal
    from mixtconv.models.insertion import set_num_frames as set_num_frames
    from mixtconv.models.optimize import optimize_for_inference as optimize_for_inference
    from mixtconv.models.spec import ModelSpec as ModelSpec
    from mixtconv.models.streaming import StreamingClassifier as StreamingClassifier
    from mixtconv.models.streaming import StreamState as StreamState
    from mixtconv.models.systems.causal import make_causal as make_causal
    from mixtconv.models.systems.factory import FAMILIES as FAMILIES
    from mixtconv.models.systems.factory import create_model as create_model
    from mixtconv.models.systems.factory import list_models as list_models
    from mixtconv.models.systems.factory import load_model as load_model
    from mixtconv.models.systems.region_graph import detect_boxes as detect_boxes
    from mixtconv.models.wrappers.non_local import insert_non_local as insert_non_local

_HOMES = {
    "create_model": "mixtconv.models.systems.factory",
    "detect_boxes": "mixtconv.models.systems.region_graph",
    "FAMILIES": "mixtconv.models.systems.factory",
    "insert_non_local": "mixtconv.models.wrappers.non_local",
    "insert_temporal": "mixtconv.models.insertion",
    "list_models": "mixtconv.models.systems.factory",
    "load_model": "mixtconv.models.systems.factory",
    "make_causal": "mixtconv.models.systems.causal",
    "ModelSpec": "mixtconv.models.spec",
    "optimize_for_inference": "mixtconv.models.optimize",
    "read_metadata": "mixtconv.models.file",
    "save_model": "mixtconv.models.file",
    "set_num_frames": "mixtconv.models.insertion",
    "StreamingClassifier": "mixtconv.models.streaming",
    "StreamState": "mixtconv.models.streaming",
    "VideoClassifier": "mixtconv.models.classifier",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mixtconv.models' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
