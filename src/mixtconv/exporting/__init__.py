"""Recognizers as files of other engines: ONNX, OpenVINO, torch.export."""
