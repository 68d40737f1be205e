"""`mixtconv fuse SCORES...`."""

from dataclasses import astuple

from mixtconv._types import ScoreKind
from mixtconv.cli.commands import Result, Table


def fuse(
    scores: list[str],
    *,
    weights: str | None = None,
    average: ScoreKind | None = None,
    out: str | None = None,
) -> Result:
    """Fuse the scores of several models, such as one of RGB and one of optical flow.

    Args:
        scores: Files that mixtconv evaluate --scores wrote, of the same videos.
        weights: A weight for each file, such as 1,1.5; default 1 for each.
        average: Average logits (before softmax, as TSN) or probabilities; default what the files
            hold.
        out: File for the scores of the fusion.
    """
    from mixtconv.evaluation.fusion import fuse_files, parse_weights

    chosen = None if weights is None else parse_weights(weights)
    result = fuse_files(scores, weights=chosen, average=average, out=out)
    notes = []
    if result.protocols_differ:
        notes.append(f"the scores were made by different protocols: {result.fused.protocol}")
    if result.num_partly_read:
        notes.append(f"videos that only some models could read: {result.num_partly_read}")
    named = [(item.path, f"{item.weight:g}", item.scores) for item in result.inputs]
    table = Table(
        ["scores", "weight", "modality", "protocol", "top-1 %", "top-5 %", "mean class %"],
        [
            [name, weight, item.modality, item.protocol, *astuple(item.accuracy())]
            for name, weight, item in [*named, (out or "fusion", "", result.fused)]
        ],
        title=f"{len(result.fused.keys)} videos, weighted mean of {result.fused.kind}",
    )
    return Result(result.to_dict(), [table], notes)
