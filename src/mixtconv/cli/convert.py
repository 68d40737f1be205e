"""`mixtconv convert MODEL --causal --out FILE`."""

import logging
from pathlib import Path
from typing import Literal

from mixtconv.cli.console import Format, print_json, print_table, progress

logger = logging.getLogger(__name__)


def convert(
    model: str,
    *,
    out: str,
    causal: bool = False,
    data: str | None = None,
    split: Literal["val", "train", "test", "all"] | None = None,
    protocol: str = "1x1",
    batch_size: int = 8,
    workers: int | None = None,
    device: str = "auto",
    precision: Literal["auto", "32", "bf16", "16"] = "auto",
    format: Format = "table",
) -> int:
    """Make a causal model, for streams, of a centred one; it must then be fine-tuned.

    Args:
        model: Model file with a centred model.
        out: Model file to write.
        causal: The conversion: taps of later frames move to the frame itself. Required.
        data: Labelled videos to score before and after, a folder or a CSV.
        split: Videos to score, as in mixtconv evaluate.
        protocol: Views of every video, clips x crops, such as 1x1, 2x3 or 10x3.
        batch_size: Views that pass the network together.
        workers: Processes that read videos; default one a core, at most 8.
        device: auto, cpu, cuda, cuda:0 or mps.
        precision: Arithmetic: auto is bf16 on GPUs that have it and 32 elsewhere.
        format: How the result is printed, table or json.
    """
    from mixtconv.evaluation.evaluate import evaluate_model
    from mixtconv.models import load_model, read_metadata, save_model
    from mixtconv.models.causal import make_causal

    if not causal:
        raise ValueError("say what to convert to: --causal")
    if Path(out).exists() and Path(out).samefile(model):
        raise ValueError(f"--out is the model itself, {out}; give another file")
    kept = ("val_fraction",)  # the score is that of the centred model
    notes = {key: value for key, value in read_metadata(model)["notes"].items() if key in kept}
    save_model(make_causal(load_model(model)), out, notes={**notes, "made_causal_from": model})
    logger.warning(
        "%s is causal and must be fine-tuned: mixtconv train DATA --causal --weights %s", out, out
    )
    scores = {}
    with progress("scoring before and after") as show:
        for name, path in (("before", model), ("after", out)) if data is not None else ():
            scores[name] = evaluate_model(
                path,
                data or "",
                split=split,
                protocol=protocol,
                batch_size=batch_size,
                workers=workers,
                device=device,
                precision=precision,
                progress=show,
            )
    if format == "json":
        print_json({"out": out, **{name: score.to_dict() for name, score in scores.items()}})
    elif scores:
        rows = [
            [name, score.model, score.num_videos, score.accuracy.top1, score.accuracy.top5]
            for name, score in scores.items()
        ]
        lost = scores["before"].accuracy.top1 - scores["after"].accuracy.top1
        print_table(["", "model", "videos", "top-1 %", "top-5 %"], rows)
        logger.info("the conversion lost %.2f points of top-1", lost)
    return 0
