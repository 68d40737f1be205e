"""Exported models and what runs them: ONNX Runtime, OpenVINO, torch.export; none needs torch but
the last."""
