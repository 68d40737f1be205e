"""How exported models are named; `inference/engines` runs them, and no model file is one."""

from pathlib import Path

EXPORTED_SUFFIXES = (".onnx", ".xml", ".pt2")
"""Of ONNX Runtime, OpenVINO and torch.export."""


def is_exported(model: object) -> bool:
    """Whether a model is named as an exported file is, by its suffix.

    >>> is_exported("model.onnx"), is_exported("model.safetensors")
    (True, False)
    """
    return isinstance(model, str | Path) and Path(model).suffix.lower() in EXPORTED_SUFFIXES
