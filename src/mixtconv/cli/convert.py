"""`mixtconv convert MODEL --causal --out FILE`."""

import logging

from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import progress
from mixtconv.evaluation.settings import EvaluationSettings

logger = logging.getLogger(__name__)


def convert(
    model: str,
    reading: EvaluationSettings,
    *,
    out: str,
    causal: bool = False,
    data: str | None = None,
) -> Result:
    """Convert a centred model to a causal one, for streams; it must then be fine-tuned.

    Args:
        model: Centred model: a file, the folder of one, or hf:owner/name of the Hugging Face hub.
        reading: Which videos of --data are scored, and how they are read.
        out: Model file to write.
        causal: The conversion: taps of later frames move to the current frame. Required.
        data: Labelled videos to score before and after, a folder or a CSV.
    """
    from mixtconv.evaluation.evaluate import evaluate_model
    from mixtconv.models.systems.causal import convert_file

    if not causal:
        raise ValueError("give the kind of model to convert to: --causal")
    convert_file(model, out)
    logger.warning(
        "%s is causal and must be fine-tuned: mixtconv train DATA --causal --weights %s", out, out
    )
    scores = {}
    with progress("scoring before and after") as show:
        for name, scored in (("before", model), ("after", out)) if data is not None else ():
            scores[name] = evaluate_model(scored, data or "", settings=reading, progress=show)
    content = {"out": out, **{name: score.to_dict() for name, score in scores.items()}}
    if not scores:
        return Result(content, [])
    rows = [
        [name, score.model, score.num_videos, score.accuracy.top1, score.accuracy.top5]
        for name, score in scores.items()
    ]
    lost = scores["before"].accuracy.top1 - scores["after"].accuracy.top1
    return Result(
        content,
        [Table(["", "model", "videos", "top-1 %", "top-5 %"], rows)],
        [f"the conversion lost {lost:.2f} points of top-1"],
    )
