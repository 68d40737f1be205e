"""Exported models and what runs them, with NumPy arrays in and out.

- `base`: `Engine`, and the `Description` that every exported file carries.
- `opening`: suffix -> engine, and `open_engine`.
- `onnx` (ONNX Runtime), `openvino`, `torch` (torch.export): one engine each; only the last needs
  torch.
"""
