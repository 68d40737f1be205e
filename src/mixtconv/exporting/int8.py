"""Int8 arithmetic: an exported file quantised after training, and what that costs and saves.

ONNX Runtime's static quantisation or NNCF for OpenVINO learn the ranges of all feature maps from
some videos; other labelled videos, where the data have splits, say what became of the accuracy.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from mixtconv._types import Progress
from mixtconv.data.datasets.catalog import load_labelled_videos
from mixtconv.data.listing import DataSource, VideoSample
from mixtconv.data.protocol import Protocol
from mixtconv.data.views import TensorViewReader
from mixtconv.exporting.agreement import engine_input
from mixtconv.exporting.writing import TargetName
from mixtconv.inference.engines.base import (
    LOGITS,
    VIDEO,
    Array,
    Description,
    Engine,
    import_engine,
    open_engine,
)
from mixtconv.inference.engines.openvino import kept_signal_stack
from mixtconv.models import VideoClassifier
from mixtconv.models.spec import METADATA_KEY
from mixtconv.video.pictures import UnreadableVideoError

ROUNDS = 10
"""Times that both files run for their speed, in turn."""


@dataclass(frozen=True)
class Calibration:
    """Labelled videos to make a file int8 by."""

    data: str | Path | DataSource
    """A folder or a CSV, as for training. The ranges are learnt from its `train` split and the
    accuracy is measured on its `val` split; where it has no splits, all videos serve both."""
    num_videos: int = 64
    """Videos that the ranges are learnt from, spread over all."""
    progress: Progress = lambda *numbers: None
    """Called with the videos that were scored and all of them."""

    def __post_init__(self) -> None:
        if self.num_videos < 1:
            raise ValueError(f"--calibration-videos is {self.num_videos}; give 1 or more")

    def refuse_what_cannot_be(
        self, target: TargetName, model: VideoClassifier, streaming: bool
    ) -> None:
        """Raise ValueError where there is no int8, before long work."""
        if target not in _QUANTIZE:
            raise ValueError(
                f"--to {target} has no int8 here; give --to {' or '.join(_QUANTIZE)} with --int8"
            )
        if streaming:
            raise ValueError(
                "--int8 is for whole clips, whose accuracy can be measured; leave --streaming out"
            )
        for package in _PACKAGES[target]:
            import_engine(package, f"an int8 file of {target}")
        self.samples(model)

    def samples(self, model: VideoClassifier) -> tuple[list[VideoSample], list[VideoSample]]:
        """Videos to learn the ranges from, and labelled ones to measure the accuracy on."""
        classes = model.spec.classes
        scored = load_labelled_videos(self.data, classes=classes)
        everything = load_labelled_videos(self.data, classes=classes, split="all")
        if len(scored) < len(everything):
            everything = load_labelled_videos(self.data, classes=classes, split="train")
        step = max(1, len(everything) // self.num_videos)
        return list(everything[::step][: self.num_videos]), list(scored)


@dataclass(frozen=True)
class Int8Result:
    """A float32 file beside the int8 one that was made of it."""

    num_calibration_videos: int
    """Videos that the ranges were learnt from."""
    num_scored_videos: int
    """Videos of the accuracies."""
    num_unreadable: int
    """Of all of them, those that could not be read; of the scored ones they count as wrong."""
    top1_before: float
    """Per cent."""
    top1_after: float
    """Per cent."""
    bytes_before: int
    bytes_after: int
    milliseconds_before: float
    """Of one clip."""
    milliseconds_after: float

    @property
    def drop(self) -> float:
        """Points of top-1 that were lost."""
        return self.top1_before - self.top1_after

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {**asdict(self), "top1_drop": self.drop}


def quantize(
    path: Path, target: TargetName, model: VideoClassifier, calibration: Calibration
) -> Int8Result:
    """Make a file int8, in place, and measure what that did.

    Args:
        path: a float32 file of whole clips, in a folder of its own.
        target: what it is for.
        model: what it was made from.
        calibration: the videos.

    Raises:
        ValueError: not one video for the ranges can be read.
    """
    learnt_from, scored = calibration.samples(model)
    before = open_engine(path)
    inputs = [clip for _, clip in _clips(learnt_from, before, model)]
    if not inputs:
        raise ValueError(f"{calibration.data}: not one of its videos can be read to calibrate with")
    quantized = path.with_name(f"int8-{path.name}")
    _QUANTIZE[target](path, quantized, inputs)
    after = open_engine(quantized)
    correct, num_read = _correct(scored, [before, after], model, calibration.progress)
    seconds = _seconds([before, after], inputs[0])
    sizes = [_size(each) for each in (path, quantized)]
    for part in _parts(quantized):
        shutil.move(part, path.with_suffix(part.suffix))
    top1 = [100 * each / len(scored) for each in correct]
    return Int8Result(
        num_calibration_videos=len(inputs),
        num_scored_videos=len(scored),
        num_unreadable=len(learnt_from) - len(inputs) + len(scored) - num_read,
        top1_before=top1[0],
        top1_after=top1[1],
        bytes_before=sizes[0],
        bytes_after=sizes[1],
        milliseconds_before=1e3 * seconds[0],
        milliseconds_after=1e3 * seconds[1],
    )


def _clips(
    samples: list[VideoSample], engine: Engine, model: VideoClassifier
) -> Iterator[tuple[VideoSample, Array]]:
    """The videos that can be read, each as the file's input of one clip."""
    for sample in samples:
        try:
            clip = TensorViewReader(model.spec, Protocol(1, 1)).read(sample.path).frames
        except UnreadableVideoError:
            continue
        yield sample, engine_input(engine, model, clip)


def _correct(
    samples: list[VideoSample], engines: list[Engine], model: VideoClassifier, progress: Progress
) -> tuple[list[int], int]:
    """Of each file how many videos it is right about, and how many could be read."""
    correct, num_read = [0] * len(engines), 0
    for num_read, (sample, clip) in enumerate(_clips(samples, engines[0], model), 1):
        for index, engine in enumerate(engines):
            correct[index] += int(engine.run({VIDEO: clip})[LOGITS].argmax() == sample.label)
        progress(num_read, len(samples))
    return correct, num_read


def _seconds(engines: list[Engine], clip: Array) -> list[float]:
    """Median time of a clip in each file, in turn."""
    taken: list[list[float]] = [[] for _ in engines]
    for _ in range(ROUNDS):
        for index, engine in enumerate(engines):
            start = time.perf_counter()
            engine.run({VIDEO: clip})
            taken[index].append(time.perf_counter() - start)
    return [median(each) for each in taken]


def _quantize_onnx(source: Path, result: Path, inputs: list[Array]) -> None:
    import onnx  # noqa: PLC0415
    from onnxruntime import quantization  # noqa: PLC0415
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(inputs)

        def get_next(self) -> dict[str, Array] | None:
            clip = next(self._left, None)
            return None if clip is None else {VIDEO: clip}

    prepared = result.with_name(f"prepared-{result.name}")
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    quantization.quantize_static(
        str(prepared),
        str(result),
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        op_types_to_quantize=["Conv", "Gemm", "MatMul", "Add", "MaxPool"],
    )
    prepared.unlink()
    about = {each.key: each.value for each in onnx.load(str(source)).metadata_props}
    model = onnx.load(str(result))
    onnx.helper.set_model_props(model, {METADATA_KEY: _as_int8(about[METADATA_KEY], source)})
    onnx.save(model, str(result))


def _quantize_openvino(source: Path, result: Path, inputs: list[Array]) -> None:
    import nncf  # noqa: PLC0415
    import openvino  # noqa: PLC0415

    model = openvino.Core().read_model(source)
    about = model.get_rt_info([METADATA_KEY]).astype(str)
    with kept_signal_stack():
        quantized = nncf.quantize(model, nncf.Dataset(inputs), subset_size=len(inputs))
    quantized.set_rt_info(_as_int8(about, source), [METADATA_KEY])
    openvino.save_model(quantized, str(result), compress_to_fp16=False)


def _as_int8(about: str, path: Path) -> str:
    """What a file says of itself, once it is int8."""
    return replace(Description.from_json(about, path), quantized=True).to_json()


def _parts(path: Path) -> list[Path]:
    """A file, and what lies beside it."""
    return [part for part in (path, path.with_suffix(".bin")) if part.exists()]


def _size(path: Path) -> int:
    return sum(part.stat().st_size for part in _parts(path))


_QUANTIZE: dict[TargetName, Callable[[Path, Path, list[Array]], None]] = {
    "onnx": _quantize_onnx,
    "openvino": _quantize_openvino,
}
_PACKAGES: dict[TargetName, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxruntime"),
    "openvino": ("openvino", "nncf"),
}
