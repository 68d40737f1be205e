"""`mixtconv import FILE --model NAME --out FILE`."""

from typing import Any, Literal

from mixtconv.cli.commands import Result, Table


def import_(
    file: str,
    *,
    model: str,
    out: str,
    classes: str | None = None,
    num_frames: int | None = None,
    image_size: int | None = None,
    sampling: Literal["segment", "dense"] = "segment",
    frame_stride: int = 8,
    shift_fraction: float = 0.125,
    adapter_scale: float | None = None,
    trunk: str | None = None,
    whole_file: bool = False,
) -> Result:
    """Make a model file from published weights.

    Formats: temporal-shift-module and TSN-style checkpoints, MixTConv, mmaction2 (TSN and TSM),
    ST-Adapter, AIM, and ImageNet weights of torchvision and timm. Flags give what the file does not
    hold.

    Args:
        file: Torch file or safetensors; no code in it is run.
        model: The recognizer that the file holds, such as tsm_resnet50.
        out: Model file to write, usually .safetensors.
        classes: Text file with one class name a line in the order of the logits, or the name of a
            known dataset (something_v1, something_v2, jester, ucf101, hmdb51, kinetics400); default
            0, 1, ...
        num_frames: Frames of the clips in training; default 8, of AIM as in the file.
        image_size: Height and width of the frames in training, in pixels; default 224, of a whole
            transformer as in the file.
        sampling: One frame from each of equal segments of the video, or a window at a fixed stride.
        frame_stride: Frames from one to the next in dense sampling.
        shift_fraction: Fraction of the channels that a shift moves in each direction.
        adapter_scale: Factor of AIM's adapters beside the MLP, which no file says; published are 1
            for Something-Something and 0.5 else.
        trunk: Weights of the backbone for a file of the trained part alone, as of ST-Adapter;
            default OpenAI's CLIP, from timm's cache or downloaded.
        whole_file: Write all weights, also where those of a frozen trunk can be found again.
    """
    from pathlib import Path

    from mixtconv.data.datasets.classes import datasets_with, read_classes
    from mixtconv.models import save_model
    from mixtconv.models.importing.convert import import_weights

    clips = {"num_frames": num_frames, "image_size": image_size}
    imported = import_weights(
        file,
        model,
        classes=read_classes(classes) if classes is not None else None,
        adapter_scale=adapter_scale,
        trunk=trunk,
        sampling=sampling,
        frame_stride=frame_stride,
        shift_fraction=shift_fraction,
        **{name: value for name, value in clips.items() if value is not None},
    )
    origin = {"imported_from": Path(file).name, "format": imported.format}
    if adapter_scale is not None:
        origin["adapter_scale"] = str(adapter_scale)
    save_model(imported.model, out, notes=origin, trunk="whole" if whole_file else "auto")
    report = {"file": file, "out": out, **imported.to_dict()}
    notes = []
    if classes is None:
        known = datasets_with(report["num_classes"])
        hint = f" (--classes {' or '.join(known)} has as many)" if known else ""
        notes.append(f"the {report['num_classes']} classes have no names but their numbers{hint}")
    if imported.unused:
        notes.append(f"not used: {', '.join(imported.unused)}")
    return Result(report, _tables(report), notes)


def _tables(report: dict[str, Any]) -> list[Table]:
    settings = ("num_classes", "modality", "stages", "block_step", "num_frames", "image_size")
    rows = [["format", report["format"], "the file"], ["model", report["model"], "--model"]]
    of_adapters = [name for name in report["inferred"] if name not in settings and name in report]
    for name in (*settings, "sampling", *of_adapters):
        origin = "the file" if name in report["inferred"] else "flag or default"
        value = "all" if report[name] is None else str(report[name])
        rows.append([name, value, origin])
    if report["trunk"] is not None:
        rows.append(["trunk", report["trunk"], "not the file"])
    known = Table(["setting", "value", "known from"], rows, title=report["out"])
    rows = [["used", str(report["keys_used"]), ""]]
    for name in ("unused", "not_in_file", "other_entries"):
        keys = report[name]
        if keys:
            shown = ", ".join(keys[:5]) + (", ..." if len(keys) > 5 else "")
            rows.append([name.replace("_", " "), str(len(keys)), shown])
    return [known, Table(["keys of the file", "number", ""], rows)]
