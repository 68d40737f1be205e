"""Quantizing an exported file to int8 after training, and measuring what that costs and saves.

ONNX Runtime's static quantization, or NNCF for OpenVINO, calibrates the ranges of all feature maps
on some videos. The accuracy before and after is measured on others if the data have splits, and so
are file size and time per clip.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from mixtconv._optional import import_needed
from mixtconv._types import Progress
from mixtconv.data.datasets.catalog import choose_videos, load_labelled_videos
from mixtconv.data.datasets.scanning import list_videos
from mixtconv.data.listing import DataSource, VideoSample, one_label
from mixtconv.data.protocol import Protocol
from mixtconv.data.views import TensorViewReader
from mixtconv.exporting.agreement import engine_input
from mixtconv.inference.engines.base import LOGITS, VIDEO, Array, Engine
from mixtconv.inference.engines.opening import files_of, open_engine
from mixtconv.inference.engines.openvino import kept_signal_stack
from mixtconv.models import VideoClassifier
from mixtconv.models.spec import METADATA_KEY, TargetName
from mixtconv.video.pictures import UnreadableVideoError

ROUNDS = 10
"""Timed runs of each file, interleaved."""


@dataclass(frozen=True)
class Calibration:
    """Labelled videos for quantizing a file to int8."""

    data: str | Path | DataSource
    """A folder or a CSV, as for training. Its `train` split calibrates the ranges, its `val` split
    measures the accuracy; without splits, all videos serve both."""
    num_videos: int = 64
    """Videos that calibrate the ranges, spread evenly over all."""
    progress: Progress = lambda *numbers: None
    """Called with the number of scored videos and of all of them."""

    def __post_init__(self) -> None:
        if self.num_videos < 1:
            raise ValueError(f"--calibration-videos is {self.num_videos}; give 1 or more")

    def refuse_unsupported(
        self, target: TargetName, model: VideoClassifier, streaming: bool
    ) -> None:
        """Raise ValueError if int8 is not supported, before long work."""
        if target not in _QUANTIZE:
            raise ValueError(
                f"--to {target} has no int8 here; give --to {' or '.join(_QUANTIZE)} with --int8"
            )
        if streaming:
            raise ValueError(
                "--int8 is for whole clips, whose accuracy can be measured; leave --streaming out"
            )
        package, _ = _QUANTIZE[target]
        import_needed(package, why=f"int8 of --to {target} needs")
        if model.spec.several_labels:
            raise ValueError(
                "int8 is compared by top-1 of one label a video, and the model gives several: "
                "leave --int8 out"
            )
        load_labelled_videos(self.data, classes=model.spec.classes)  # which logs what is to be read
        self.samples(model)

    def samples(self, model: VideoClassifier) -> tuple[list[VideoSample], list[VideoSample]]:
        """The videos that calibrate the ranges, and those that measure the accuracy."""
        classes = model.spec.classes
        listing = list_videos(self.data, classes=classes)
        scored = choose_videos(listing, classes=classes)
        candidates = choose_videos(listing, classes=classes, split="all")
        if len(scored) < len(candidates):  # there are splits
            candidates = choose_videos(listing, classes=classes, split="train")
        step = max(1, len(candidates) // self.num_videos)
        return list(candidates[::step][: self.num_videos]), list(scored)


@dataclass(frozen=True)
class Int8Result:
    """A float32 file compared with the int8 one that was made from it."""

    num_calibration_videos: int
    """Videos that calibrated the ranges."""
    num_scored_videos: int
    """Videos that measured the accuracies."""
    num_unreadable: int
    """Unreadable ones among both; scored ones count as wrong."""
    top1_before: float
    """Per cent, of the float32 file."""
    top1_after: float
    """Per cent, of the int8 file."""
    bytes_before: int
    bytes_after: int
    milliseconds_before: float
    """Per clip."""
    milliseconds_after: float

    @property
    def drop(self) -> float:
        """Percentage points of top-1 that int8 loses."""
        return self.top1_before - self.top1_after

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "top1_drop": self.drop}


def quantize(
    path: Path, target: TargetName, model: VideoClassifier, calibration: Calibration
) -> Int8Result:
    """Replace a file by its int8 form, and compare the two.

    Args:
        path: a float32 file of whole clips, in a folder of its own.
        target: its format.
        model: the recognizer that it was exported from.
        calibration: the videos.

    Raises:
        ValueError: none of the calibration videos can be read.
    """
    calibrating, scored = calibration.samples(model)
    before = open_engine(path)
    inputs = [clip for _, clip in _clips(calibrating, before, model)]
    if not inputs:
        raise ValueError(f"{calibration.data}: not one of its videos can be read to calibrate with")
    # Beside the float32 file, which both measurements still need.
    (path.parent / "int8").mkdir()
    quantized = path.parent / "int8" / path.name
    _, quantize_file = _QUANTIZE[target]
    quantize_file(path, quantized, inputs, replace(before.description, quantized=True).to_json())
    after = open_engine(quantized)
    correct, num_read = _correct(scored, [before, after], model, calibration.progress)
    seconds = _seconds([before, after], inputs[0])
    bytes_before, bytes_after = num_bytes(path), num_bytes(quantized)
    # Then it takes the float32 file's name, its `.bin` that of the float32 one.
    for part in files_of(quantized):
        part.replace(path.with_suffix(part.suffix))
    quantized.parent.rmdir()
    top1 = [100 * count / len(scored) for count in correct]
    return Int8Result(
        num_calibration_videos=len(inputs),
        num_scored_videos=len(scored),
        num_unreadable=len(calibrating) - len(inputs) + len(scored) - num_read,
        top1_before=top1[0],
        top1_after=top1[1],
        bytes_before=bytes_before,
        bytes_after=bytes_after,
        milliseconds_before=1e3 * seconds[0],
        milliseconds_after=1e3 * seconds[1],
    )


def _clips(
    samples: list[VideoSample], engine: Engine, model: VideoClassifier
) -> Iterator[tuple[VideoSample, Array]]:
    """The readable videos, each with the file's input of its one clip."""
    for sample in samples:
        try:
            clip = TensorViewReader(model.spec, Protocol(1, 1)).read(sample.video).frames
        except UnreadableVideoError:
            continue
        yield sample, engine_input(engine, model, clip)


def _correct(
    samples: list[VideoSample], engines: list[Engine], model: VideoClassifier, progress: Progress
) -> tuple[list[int], int]:
    """The number of videos that each file classifies correctly, and of those that were readable."""
    correct, num_read = [0] * len(engines), 0
    for num_read, (sample, clip) in enumerate(_clips(samples, engines[0], model), 1):
        label = one_label(sample.label, "the comparison of int8")
        for index, engine in enumerate(engines):
            correct[index] += int(engine.run({VIDEO: clip})[LOGITS].argmax() == label)
        progress(num_read, len(samples))
    return correct, num_read


def _seconds(engines: list[Engine], clip: Array) -> list[float]:
    """Median time of a clip in each file, runs interleaved."""
    seconds: list[list[float]] = [[] for _ in engines]
    for _ in range(ROUNDS):
        for index, engine in enumerate(engines):
            start = time.perf_counter()
            engine.run({VIDEO: clip})
            seconds[index].append(time.perf_counter() - start)
    return [median(runs) for runs in seconds]


def _quantize_onnx(source: Path, result: Path, inputs: list[Array], description: str) -> None:
    import onnx  # noqa: PLC0415
    from onnxruntime import quantization  # noqa: PLC0415
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

    remaining = iter(inputs)

    class Reader(quantization.CalibrationDataReader):
        def get_next(self) -> dict[str, Array] | None:
            clip = next(remaining, None)
            return None if clip is None else {VIDEO: clip}

    # Shape inference and graph optimization, which ONNX Runtime expects before quantization.
    prepared = result.parent / "prepared"
    prepared.mkdir()
    quant_pre_process(str(source), str(prepared / result.name), skip_symbolic_shape=True)
    quantization.quantize_static(
        str(prepared / result.name),
        str(result),
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        # With the activations between them, which would else be computed on values of float32.
        op_types_to_quantize=["Conv", "Gemm", "MatMul", "Add", "MaxPool", "Relu", "Clip"],
    )
    shutil.rmtree(prepared)
    model = onnx.load(str(result))
    onnx.helper.set_model_props(model, {METADATA_KEY: description})
    onnx.save(model, str(result))


def _quantize_openvino(source: Path, result: Path, inputs: list[Array], description: str) -> None:
    import nncf  # noqa: PLC0415
    import openvino  # noqa: PLC0415
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet  # noqa: PLC0415

    model = openvino.Core().read_model(source)
    # NNCF would quantize what prepares the pixels as well, of which a median of rounded pictures
    # would be no saving. Ranges are those of all clips; by default they are the mean of the clips'
    # own, and brighter clips lose what is above it.
    prepares = nncf.IgnoredScope(names=_before_weights(model), validate=False)
    whole = nncf.AdvancedQuantizationParameters(
        activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
    )
    with kept_signal_stack():
        quantized = nncf.quantize(
            model,
            nncf.Dataset(inputs),
            subset_size=len(inputs),
            ignored_scope=prepares,
            advanced_parameters=whole,
        )
    quantized.set_rt_info(description, [METADATA_KEY])
    openvino.save_model(quantized, str(result), compress_to_fp16=False)


def _before_weights(model: Any) -> list[str]:
    """Names of the operations of an OpenVINO model that no layer with weights comes before."""
    after, before = set(), []
    for operation in model.get_ordered_ops():
        name, kind = operation.get_friendly_name(), operation.get_type_name()
        sources = (port.get_source_output().get_node() for port in operation.inputs())
        if kind in _WEIGHTED or any(source.get_friendly_name() in after for source in sources):
            after.add(name)
        elif kind not in ("Parameter", "Constant"):
            before.append(name)
    return before


_WEIGHTED = ("Convolution", "GroupConvolution", "MatMul")
"""Types of OpenVINO's operations with weights."""


def num_bytes(path: Path) -> int:
    """Size of a file, and of what is beside it; of a folder, of the files in it."""
    return sum(part.stat().st_size for part in files_of(path))


_QUANTIZE: dict[TargetName, tuple[str, Callable[[Path, Path, list[Array], str], None]]] = {
    "onnx": ("onnxruntime", _quantize_onnx),
    "openvino": ("nncf", _quantize_openvino),
}
"""File format -> the package that quantizes it, and the function that does so with some clips and
writes a description into the result."""
