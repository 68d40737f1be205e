"""`mixtconv convert MODEL --causal --out FILE`."""

import logging
from pathlib import Path
from typing import Literal

from mixtconv.cli.console import Format, print_json, print_table, progress

logger = logging.getLogger(__name__)

_KEPT_NOTES = ("data", "val_fraction", "flip_pairs")
"""What a file says of its training that holds for the causal model too; the score does not."""


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
        model: Centred model: a file, the folder of one, or hf:owner/name of the Hugging Face hub.
        out: Model file to write.
        causal: The conversion: taps of later frames move to the frame itself. Required.
        data: Labelled videos to score before and after, a folder or a CSV.
        split: Videos to score, as in mixtconv evaluate.
        protocol: Views of every video: clips x crops, such as 1x1, 2x3, 1x10 or 10x3, or
            nonlocal-10x3.
        batch_size: Views that pass the network together.
        workers: Processes that read videos; default one a core, at most 8.
        device: auto, cpu, cuda, cuda:0 or mps.
        precision: Arithmetic: auto is bf16 on GPUs that have it and 32 elsewhere.
        format: How the result is printed, table or json.
    """
    from mixtconv.evaluation.evaluate import evaluate_model
    from mixtconv.models import load_model, save_model
    from mixtconv.models.causal import make_causal
    from mixtconv.models.location import find_model_file

    if not causal:
        raise ValueError("say what to convert to: --causal")
    path = find_model_file(model)
    if Path(out).exists() and Path(out).samefile(path):
        raise ValueError(f"--out is the model itself, {out}; give another file")
    centred = load_model(path)
    kept = {name: centred.notes[name] for name in _KEPT_NOTES if name in centred.notes}
    save_model(make_causal(centred), out, notes={**kept, "made_causal_from": model})
    logger.warning(
        "%s is causal and must be fine-tuned: mixtconv train DATA --causal --weights %s", out, out
    )
    scores = {}
    with progress("scoring before and after") as show:
        for name, scored in (("before", model), ("after", out)) if data is not None else ():
            scores[name] = evaluate_model(
                scored,
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
