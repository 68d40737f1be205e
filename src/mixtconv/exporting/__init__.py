"""Recognizers as files of other engines: ONNX, OpenVINO, torch.export, Core ML, TensorRT; and pages
for browsers.

`export` is the entry: it makes a `network` of plain torch, writes it in a format of `writing`, and
keeps the file if `agreement` finds the logits of PyTorch. `clip_graph` rewrites a network of frames
for an engine in the layouts of `clip_layout`; `int8` quantizes the file and measures the effect.
`mil_program` computes a package of Core ML where there is no Core ML.
`browser` writes a page around a file: its scripts are in `browser_page/`.
"""
