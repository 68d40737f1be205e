"""Backbones, insertion of temporal operations, the named recognisers, model files."""

from mixtconv.models import bn_inception  # registers the backbone with timm
from mixtconv.models.causal import make_causal
from mixtconv.models.classifier import VideoClassifier
from mixtconv.models.factory import FAMILIES, create_model, list_models
from mixtconv.models.file import load_model, read_metadata, save_model
from mixtconv.models.insertion import insert_temporal, set_num_frames
from mixtconv.models.non_local import insert_non_local
from mixtconv.models.optimize import optimize_for_inference
from mixtconv.models.region_boxes import detect_boxes
from mixtconv.models.spec import ModelSpec
from mixtconv.models.streaming import StreamingClassifier, StreamState

__all__ = [
    "FAMILIES",
    "ModelSpec",
    "StreamState",
    "StreamingClassifier",
    "VideoClassifier",
    "bn_inception",
    "create_model",
    "detect_boxes",
    "insert_non_local",
    "insert_temporal",
    "list_models",
    "load_model",
    "make_causal",
    "optimize_for_inference",
    "read_metadata",
    "save_model",
    "set_num_frames",
]
