"""Late fusion: the weighted mean of the scores that several models gave the same videos.

"Temporal Segment Networks" (TSN, arXiv 1608.00859) fuses pictures and optical flow this way, before
softmax, with weights 1 and 1 or 1 and 1.5; the default of its code (`eval_scores.py`) is 1 for
each, as here. The code of TSM (arXiv 1811.08383) can average probabilities instead. Videos are
matched by name. A video that only some of the models could read gets the mean of these.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mixtconv._names import count_of, first_few
from mixtconv._types import ScoreKind
from mixtconv.evaluation.scores_file import (
    SavedScores,
    load_scores,
    refuse_scores_path,
    save_scores,
)


@dataclass(frozen=True)
class FusedInput:
    """One of the fused scores."""

    path: str
    """Its scores file."""
    weight: float
    """Its weight."""
    scores: SavedScores
    """Its scores, with the videos in the order of the first input."""


@dataclass(frozen=True)
class Fusion:
    """Scores of several models and their weighted mean."""

    inputs: tuple[FusedInput, ...]
    """The fused scores, in the order given."""
    fused: SavedScores
    """Their weighted mean."""
    out: str | None
    """The file of the mean, if any."""

    @property
    def protocols_differ(self) -> bool:
        """Whether the inputs were scored by different protocols."""
        return len({item.scores.protocol for item in self.inputs}) > 1

    @property
    def num_partly_read(self) -> int:
        """Number of videos that some inputs could read and others could not."""
        readable = torch.stack([item.scores.readable for item in self.inputs])  # (inputs, N)
        return int((readable.any(dim=0) & ~readable.all(dim=0)).sum())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `mixtconv fuse --format json` prints them."""
        return {
            "inputs": [
                {"scores": item.path, "weight": item.weight, **_figures(item.scores)}
                for item in self.inputs
            ],
            "fused": {"scores": self.out, "averaged": self.fused.kind, **_figures(self.fused)},
            "num_videos": len(self.fused.keys),
            "num_partly_read": self.num_partly_read,
        }


def fuse_files(
    paths: Sequence[str | Path],
    *,
    weights: Sequence[float] | None = None,
    average: ScoreKind | None = None,
    out: str | Path | None = None,
) -> Fusion:
    """Fuse scores files of the same videos.

    Args:
        paths: two files or more.
        weights: one for each file; by default 1.
        average: `logits` before softmax, as TSN, or `probabilities` after it; by default what the
            files hold.
        out: scores file to write the mean to.

    Raises:
        ValueError: files that cannot be read or do not fit each other, or weights that do not fit.
        OSError: `out` cannot be written.
    """
    names = [str(path) for path in paths]
    if len(names) < 2:
        raise ValueError(f"got {count_of(len(names), 'scores file')} to fuse; give two or more")
    resolved = [Path(name).resolve() for name in names]
    for index, path in enumerate(resolved):
        if path in resolved[:index]:
            raise ValueError(
                f"{names[resolved.index(path)]} and {names[index]} are the same file; name every "
                "scores file once, and give it a weight with --weights"
            )
    if out is not None:
        if Path(out).resolve() in resolved:
            raise ValueError(f"--out {out} is one of the files to fuse; name another file")
        refuse_scores_path(out)
    chosen = [1.0] * len(names) if weights is None else list(weights)
    fusion = fuse(dict(zip(names, map(load_scores, names), strict=True)), chosen, average=average)
    if out is None:
        return fusion
    save_scores(fusion.fused, out)
    return replace(fusion, out=str(out))


def fuse(
    scores: dict[str, SavedScores], weights: Sequence[float], *, average: ScoreKind | None = None
) -> Fusion:
    """Fuse scores of the same videos.

    Args:
        scores: name -> scores.
        weights: one for each.
        average: as for `fuse_files`.

    Raises:
        ValueError: scores that do not fit each other, or weights that do not fit.
    """
    if several := [name for name, each in scores.items() if each.several]:
        raise ValueError(
            f"{several[0]} holds several labels a video, and scores of one label are fused: train "
            "on one label a video"
        )
    if len(weights) != len(scores):
        raise ValueError(
            f"got {count_of(len(weights), 'weight')} for {count_of(len(scores), 'scores file')}; "
            "give one for each, such as 1,1.5"
        )
    for weight in weights:
        if not (math.isfinite(weight) and weight > 0):
            raise ValueError(f"a weight is {weight:g}; give numbers above 0")
    (first_name, first), *others = scores.items()
    aligned = [first, *(_aligned(first_name, first, name, other) for name, other in others)]
    kind = _kind(scores, average)
    by_softmax = kind == "probabilities"
    parts = [item.probabilities() if by_softmax else item.scores for item in aligned]
    values = torch.stack(parts).double()  # (inputs, N, K)
    readable = torch.stack([item.readable for item in aligned])  # (inputs, N)
    # An input has no weight in a video that it could not read; if none could, the mean is zero.
    shares = readable * torch.tensor(weights, dtype=torch.float64)[:, None]  # (inputs, N)
    total = shares.sum(dim=0).clamp(min=torch.finfo(torch.float64).tiny)  # (N,)
    mean = (shares[..., None] * values).sum(dim=0) / total[:, None]  # (N, K)
    unread = {first.keys[index] for index in (~readable.any(dim=0)).nonzero()[:, 0].tolist()}
    fused = SavedScores(
        classes=first.classes,
        keys=first.keys,
        labels=first.labels,
        scores=mean.float(),
        kind=kind,
        sources=tuple(
            replace(source, weight=weight * source.weight / sum(s.weight for s in item.sources))
            for item, weight in zip(aligned, weights, strict=True)
            for source in item.sources
        ),
        unreadable={key: why for key, why in first.unreadable.items() if key in unread},
    )
    inputs = map(FusedInput, scores, map(float, weights), aligned)
    return Fusion(tuple(inputs), fused, out=None)


def parse_weights(text: str) -> list[float]:
    """Parse the weights of the command line.

    Raises:
        ValueError: anything but numbers separated by commas.

    >>> parse_weights("1,1.5")
    [1.0, 1.5]
    """
    try:
        return [float(word) for word in text.split(",")]
    except ValueError as error:
        raise ValueError(f"--weights is {text!r}; give numbers such as 1,1.5") from error


def _kind(scores: dict[str, SavedScores], average: ScoreKind | None) -> ScoreKind:
    by_kind = {item.kind: name for name, item in scores.items()}
    if average is None and len(by_kind) > 1:
        raise ValueError(
            f"{by_kind['logits']} holds logits and {by_kind['probabilities']} probabilities; fuse "
            "them as probabilities with --average probabilities"
        )
    if average == "logits" and "probabilities" in by_kind:
        raise ValueError(
            f"{by_kind['probabilities']} holds probabilities, whose logits are unknown; "
            "fuse with --average probabilities"
        )
    return next(iter(by_kind)) if average is None else average


def _aligned(first_name: str, first: SavedScores, name: str, other: SavedScores) -> SavedScores:
    """The other scores with their videos in the order of the first.

    Raises:
        ValueError: different classes, videos or labels.
    """
    _check_classes(first_name, first, name, other)
    _check_videos(first_name, first, name, other)
    _check_videos(name, other, first_name, first)
    place = {key: index for index, key in enumerate(other.keys)}
    order = torch.tensor([place[key] for key in first.keys])
    labels = other.labels[order]
    wrong = (labels != first.labels).nonzero()[:, 0].tolist()
    if wrong:
        index = wrong[0]
        raise ValueError(
            f"{count_of(len(wrong), 'video')} of different classes in {name} and {first_name}: "
            f"{first.keys[index]} is {first.classes[labels[index]]!r} there and "
            f"{first.classes[first.labels[index]]!r} here; score the same data with both models"
        )
    return replace(other, keys=first.keys, labels=labels, scores=other.scores[order])


def _check_classes(first_name: str, first: SavedScores, name: str, other: SavedScores) -> None:
    if first.classes == other.classes:
        return
    unshared = sorted(set(first.classes) ^ set(other.classes))
    if not unshared:
        raise ValueError(
            f"{name} has the classes of {first_name} in another order; train both models with the "
            "same --class-order"
        )
    raise ValueError(
        f"{name} has {count_of(len(other.classes), 'class')} and {first_name} "
        f"{len(first.classes)}, of which only one of the two has {first_few(unshared)}; fuse "
        "models of the same classes"
    )


def _check_videos(name: str, scores: SavedScores, other_name: str, other: SavedScores) -> None:
    other_keys = set(other.keys)
    missing = [key for key in scores.keys if key not in other_keys]
    if missing:
        raise ValueError(
            f"{name} has {count_of(len(missing), 'video')} that {other_name} lacks: "
            f"{first_few(missing)} ({len(scores.keys)} videos against {len(other.keys)}, such as "
            f"{other.keys[0]}); score the same videos with both models"
        )


def _figures(scores: SavedScores) -> dict[str, Any]:
    return {
        "modality": scores.modality,
        "protocol": scores.protocol,
        "num_unreadable": len(scores.unreadable),
        **asdict(scores.accuracy()),
    }
