"""Exporting a recognizer to another engine; the file is kept only if it agrees with PyTorch."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixtconv._atomic_write import hidden_folder, put_in_place, refuse_unwritable
from mixtconv.exporting.agreement import (
    FRAMES_OF_A_STREAM,
    TOLERANCE,
    Agreement,
    compare,
    frames_to_compare,
)
from mixtconv.exporting.int8 import Calibration, Int8Result, num_bytes, quantize
from mixtconv.exporting.network import clip_network, streaming_network
from mixtconv.exporting.writing import TARGETS, Target, TargetName, as_program
from mixtconv.inference.engines.base import Pixels
from mixtconv.inference.engines.opening import open_engine
from mixtconv.models import VideoClassifier


@dataclass(frozen=True)
class Exported:
    """An exported file, which is kept only if it agrees with PyTorch."""

    target: TargetName
    path: Path
    """The file; an `.xml` has a `.bin` beside it."""
    num_bytes: int
    """Size, of both files if there are two."""
    is_streaming: bool
    pixels: Pixels
    agreement: Agreement
    """Of the float32 file with PyTorch."""
    int8: Int8Result | None = None
    """The comparison with int8, if requested."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        agreement = self.agreement
        return {
            "target": self.target,
            "path": str(self.path) if agreement.holds else None,
            "bytes": self.num_bytes,
            "streaming": self.is_streaming,
            "pixels": self.pixels,
            "difference": agreement.difference,
            "allowed_difference": agreement.allowed,
            "largest_logit": agreement.largest_logit,
            "int8": None if self.int8 is None else self.int8.to_dict(),
        }


def export_model(
    model: VideoClassifier,
    path: str | Path,
    *,
    target: TargetName,
    streaming: bool = False,
    pixels: Pixels = "normalized",
    videos: Sequence[str | Path] = (),
    tolerance: float = TOLERANCE,
    calibration: Calibration | None = None,
) -> Exported:
    """Write a recognizer for an engine; an earlier file is replaced only by one that agrees.

    Args:
        model: the recognizer; it is not changed.
        path: file to write, with the suffix of the target.
        target: `onnx`, `openvino`, `torch`, `litert` or `executorch`.
        streaming: one frame at a time with the past as state, of a causal model; else whole clips.
        pixels: the values that the file takes.
        videos: files, folders and patterns whose frames it is compared on; by default rendered
            clips of the synthetic dataset.
        tolerance: largest difference that is allowed, relative to the largest logit.
        calibration: labelled videos to quantize it to int8 with; None keeps float32.

    Returns:
        The export; nothing was written if its `agreement` does not hold.

    Raises:
        ValueError: another suffix, a package that is not installed, a model that cannot be
            exported or looks ahead, videos that cannot be read.

    >>> from tempfile import TemporaryDirectory
    >>> from mixtconv import create_model
    >>> model = create_model("mstnet_test_resnet", num_classes=5, num_frames=2, image_size=32)
    >>> with TemporaryDirectory() as folder:
    ...     exported = export_model(model, Path(folder, "model.pt2"), target="torch")
    >>> exported.agreement.holds
    True
    """
    form, path = TARGETS[target], Path(path)
    _check(model, form, path, target, tolerance)
    if calibration is not None:
        calibration.refuse_unsupported(target, model, streaming)
    form.refuse_missing_packages()
    refuse_unwritable(path)
    model = copy.deepcopy(model).eval().cpu()
    length = max(FRAMES_OF_A_STREAM, 2 * model.num_frames) if streaming else model.num_frames
    clips = frames_to_compare(model.spec, videos, length)
    if streaming:
        portable = streaming_network(model, layout=form.stream, pixels=pixels)
    else:
        portable = clip_network(model, layout=form.layout, pixels=pixels)
    program = as_program(portable, batch=form.batch)
    with hidden_folder(path) as folder:
        written = folder / path.name
        form.write(program, portable, written)
        agreement = compare(model, open_engine(written), clips, tolerance=tolerance)
        int8 = None
        if agreement.holds and calibration is not None:
            int8 = quantize(written, target, model, calibration)
        size = num_bytes(written)
        if agreement.holds:
            put_in_place(folder, path)
    return Exported(target, path, size, streaming, pixels, agreement, int8)


def _check(model: VideoClassifier, form: Target, path: Path, target: str, tolerance: float) -> None:
    if path.suffix != form.suffix:
        raise ValueError(
            f"--out is {path}; a file of {target} ends in {form.suffix}: give "
            f"{path.with_suffix(form.suffix)}"
        )
    if not 0 < tolerance < 1:
        raise ValueError(f"--tolerance is {tolerance}; give a part above 0 and below 1, as 1e-4")
    if model.optimized:
        raise ValueError(
            "a recognizer from optimize_for_inference cannot be exported; export the one that it "
            "was made from"
        )
