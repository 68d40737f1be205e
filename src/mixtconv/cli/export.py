"""`mixtconv export MODEL --to TARGET --out FILE`."""

from typing import TYPE_CHECKING, Literal

from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import progress
from mixtconv.models.spec import TargetName

if TYPE_CHECKING:
    from mixtconv.exporting.export import Exported


def export(
    model: str,
    *,
    to: Literal[TargetName, "web"],
    out: str,
    streaming: bool = False,
    pixels: Literal["normalized", "uint8", "float255"] | None = None,
    video: str | None = None,
    half: bool = False,
    tolerance: float | None = None,
    int8: str | None = None,
    calibration_videos: int = 64,
    runtime: str | None = None,
) -> Result:
    """Write a model for another engine, after running it there and comparing it with PyTorch.

    If the logits differ by more than rounding, nothing is written and the exit status is 1.

    Args:
        model: Model file, the folder of one, or hf:owner/name of the Hugging Face hub.
        to: onnx, openvino (.xml, and a .bin next to it), torch (a program of torch.export), litert
            or executorch (both for one clip or stream at a time), coreml (.mlpackage, a folder),
            tensorrt (.engine, and a .engine.json next to it; on its GPU) or web (a page for
            browsers, which runs the model itself).
        out: File to write, in .onnx, .xml, .pt2, .tflite, .pte, .mlpackage or .engine; of web a
            folder.
        streaming: Export one step of a causal model: a frame, with the past frames as inputs and
            outputs; else whole clips.
        pixels: Input of the file: normalized (the default), or with the normalisation in the file,
            uint8 or float255 (float32 of 0 to 255); of web it is always uint8.
        video: File, folder or pattern of videos for the comparison; default rendered clips.
        half: Compute in float16; of coreml and tensorrt.
        tolerance: Largest allowed difference of a logit, as a fraction of the largest logit;
            default 1e-4, or 1e-2 where the file computes or keeps its past in float16.
        int8: Quantise to int8, calibrated on these labelled videos (a folder or a CSV); the loss of
            accuracy is measured on their val split, or on all if there are no splits.
        calibration_videos: Number of videos that int8 is calibrated on.
        runtime: Of web, the folder dist of the npm package onnxruntime-web; default that of
            node_modules here or in a folder above.
    """
    from mixtconv.exporting.browser import export_page
    from mixtconv.exporting.export import export_model
    from mixtconv.exporting.int8 import Calibration
    from mixtconv.models import load_model

    if to == "web" and pixels not in (None, "uint8"):
        raise ValueError(f"--pixels is {pixels}; a page gives uint8: leave it out")
    if to == "web" and half:
        raise ValueError("--half is of --to coreml and tensorrt, and --to is web: leave it out")
    if to != "web" and runtime is not None:
        raise ValueError(f"--runtime is of --to web, and --to is {to}: leave it out")
    with progress("scoring float32 and int8") as show:
        network = load_model(model)
        calibration = None if int8 is None else Calibration(int8, calibration_videos, show)
        videos = () if video is None else (video,)
        if to == "web":
            exported = export_page(
                network,
                out,
                runtime=runtime,
                streaming=streaming,
                videos=videos,
                tolerance=tolerance,
                calibration=calibration,
            )
        else:
            exported = export_model(
                network,
                out,
                target=to,
                streaming=streaming,
                pixels=pixels or "normalized",
                videos=videos,
                half=half,
                tolerance=tolerance,
                calibration=calibration,
            )
    notes = []
    if (quantised := exported.int8) is not None:
        notes.append(f"int8 lost {quantised.drop:.2f} points of top-1")
        if number := quantised.num_unreadable:
            notes.append(f"{number} videos could not be read; scored ones are wrong")
    agreement = exported.agreement
    if exported.stand_in is not None:
        notes.append(f"compared by {exported.stand_in}")
    if not agreement.holds:
        notes.append(
            f"not written: its logits differ from PyTorch's by {agreement.difference:.2g}, allowed "
            f"is {agreement.allowed:.2g}"
        )
    return Result(exported.to_dict(), _tables(exported), notes, status=0 if agreement.holds else 1)


def _tables(exported: "Exported") -> list[Table]:
    agreement, int8 = exported.agreement, exported.int8
    compared = Table(
        ["file", "MiB", "largest difference", "allowed", "largest logit"],
        [
            [
                str(exported.path) if agreement.holds else "not written",
                exported.num_bytes / 2**20,
                f"{agreement.difference:.2g}",
                f"{agreement.allowed:.2g}",
                f"{agreement.largest_logit:.3g}",
            ]
        ],
        title=f"{'float16 ' if exported.half else ''}compared with PyTorch in float32",
    )
    if int8 is None:
        return [compared]
    quantised = Table(
        ["", "top-1 %", "MiB", "ms a clip"],
        [
            ["float32", int8.top1_before, int8.bytes_before / 2**20, int8.milliseconds_before],
            ["int8", int8.top1_after, int8.bytes_after / 2**20, int8.milliseconds_after],
        ],
        title=f"int8 by {int8.num_calibration_videos} videos, scored on {int8.num_scored_videos}",
    )
    return [compared, quantised]
