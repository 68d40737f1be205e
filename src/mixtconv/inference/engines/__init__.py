"""Exported models and what runs them, with NumPy arrays in and out.

- `base`: `Engine`, and the `Description` that every exported file carries.
- `opening`: suffix -> engine, and `open_engine`.
- `onnx` (ONNX Runtime), `openvino`, `torch` (torch.export), `litert`, `executorch`: one engine
  each; `torch` and `executorch` need torch.
- `one_by_one`: of engines whose files are for one clip at a time, as those of the last two.
"""
