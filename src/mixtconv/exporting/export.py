"""Exporting a recognizer to another engine; the file is kept only if it agrees with PyTorch."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mixtconv._atomic_write import hidden_folder, put_in_place, refuse_unwritable
from mixtconv.exporting.agreement import (
    FRAMES_OF_A_STREAM,
    HALF_TOLERANCE,
    TOLERANCE,
    Agreement,
    compare,
    frames_to_compare,
)
from mixtconv.exporting.int8 import Calibration, Int8Result, num_bytes, quantize
from mixtconv.exporting.network import clip_network, streaming_network
from mixtconv.exporting.writing import TARGETS, Target
from mixtconv.inference.engines.base import Pixels
from mixtconv.models import VideoClassifier
from mixtconv.models.spec import EXPORTED_FOLDERS, TargetName


@dataclass(frozen=True)
class Exported:
    """An exported file, which is kept only if it agrees with PyTorch."""

    target: TargetName | Literal["web"]
    path: Path
    """The file; an `.xml` has a `.bin` beside it, an `.engine` a `.json`; an `.mlpackage` is a
    folder, and so is a page."""
    num_bytes: int
    """Size, of all files if there are several."""
    is_streaming: bool
    pixels: Pixels
    agreement: Agreement
    """With PyTorch, before any int8."""
    int8: Int8Result | None = None
    """The comparison with int8, if requested."""
    half: bool = False
    """Whether it computes in float16."""
    stand_in: str | None = None
    """What computed in the comparison in place of the file's engine, where that does not run."""

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
            "half": self.half,
            "compared_by": self.stand_in,
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
    half: bool = False,
    tolerance: float | None = None,
    calibration: Calibration | None = None,
) -> Exported:
    """Write a recognizer for an engine; an earlier file is replaced only by one that agrees.

    Args:
        model: the recognizer; it is not changed.
        path: file to write, with the suffix of the target.
        target: one of `TARGETS`, such as `onnx`.
        streaming: one frame at a time with the past as state, of a causal model; else whole clips.
        pixels: the values that the file takes.
        videos: files, folders and patterns whose frames it is compared on; by default rendered
            clips of the synthetic dataset.
        half: compute in float16; of `coreml` and `tensorrt`.
        tolerance: largest difference that is allowed, relative to the largest logit; by default
            1e-4, or 1e-2 where the file computes or keeps its past in float16.
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
    if half and not form.has_half:
        able = " or ".join(name for name, each in TARGETS.items() if each.has_half)
        raise ValueError(f"--to {target} has no --half; give --to {able} with it, or leave it out")
    if calibration is not None:
        calibration.refuse_unsupported(target, model, streaming)
    form.refuse_missing_packages()
    refuse_unwritable(path, folder=path.suffix in EXPORTED_FOLDERS)
    _refuse_another_folder(path)
    model = copy.deepcopy(model).eval().cpu()
    length = max(FRAMES_OF_A_STREAM, 2 * model.num_frames) if streaming else model.num_frames
    clips = frames_to_compare(model.spec, videos, length)
    if streaming:
        portable = streaming_network(model, layout=form.stream, pixels=pixels)
    else:
        portable = clip_network(model, layout=form.layout, pixels=pixels)
    portable = replace(portable, description=replace(portable.description, half=half))
    if tolerance is None:
        is_half = half or (form.has_rounded_past and portable.description.states)
        tolerance = HALF_TOLERANCE if is_half else TOLERANCE
    program = form.program(portable)
    with hidden_folder(path) as folder:
        written = folder / path.name
        form.write(program, portable, written)
        engine = form.open(written)
        agreement = compare(model, engine, clips, tolerance=tolerance)
        int8 = None
        if agreement.holds and calibration is not None:
            int8 = quantize(written, target, model, calibration)
        size, stand_in = num_bytes(written), engine.stand_in
        del engine  # which may hold its file open
        if agreement.holds:
            put_in_place(folder, path)
    return Exported(target, path, size, streaming, pixels, agreement, int8, half, stand_in)


def _refuse_another_folder(path: Path) -> None:
    """Raise ValueError if a folder would be replaced that is no package."""
    if path.is_dir() and any(path.iterdir()) and not (path / "Manifest.json").is_file():
        raise ValueError(
            f"--out is {path}, a folder that is no package of Core ML; give another name, or that "
            "of an earlier package, which is replaced"
        )


def _check(
    model: VideoClassifier, form: Target, path: Path, target: str, tolerance: float | None
) -> None:
    if path.suffix != form.suffix:
        raise ValueError(
            f"--out is {path}; a file of {target} ends in {form.suffix}: give "
            f"{path.with_suffix(form.suffix)}"
        )
    if tolerance is not None and not 0 < tolerance < 1:
        raise ValueError(f"--tolerance is {tolerance}; give a part above 0 and below 1, as 1e-4")
    if model.optimized:
        raise ValueError(
            "a recognizer from optimize_for_inference cannot be exported; export the one that it "
            "was made from"
        )
