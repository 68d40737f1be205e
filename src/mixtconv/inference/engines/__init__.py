"""Exported models and what runs them, with NumPy arrays in and out.

- `base`: `Engine`, and the `Description` that every exported file carries.
- `opening`: suffix -> engine, and `open_engine`.
- `onnx` (ONNX Runtime), `openvino`, `torch` (torch.export), `coreml` (on macOS), `tensorrt` (on an
  NVIDIA GPU): one engine each; only `torch` and `tensorrt` need torch.
- `one_by_one`: engines whose files are for one clip or stream.
"""
