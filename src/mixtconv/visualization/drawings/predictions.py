"""Clips that a model gets wrong and right, with their frames, the most confident first."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mixtconv._types import Progress
from mixtconv.data.listing import DataSource
from mixtconv.data.protocol import Protocol
from mixtconv.data.views import TensorViewReader
from mixtconv.evaluation.evaluate import evaluate_model
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.models import ModelSpec, read_metadata
from mixtconv.video.segment import Video, recording_of
from mixtconv.visualization.drawing import Drawing
from mixtconv.visualization.frame_sheet import FrameRow, frame_sheet, shown_frames
from mixtconv.visualization.number_text import percent


@dataclass(frozen=True)
class RankedPrediction:
    """The prediction for one labelled video."""

    index: int
    """Index of the video."""
    label: int
    """Its class."""
    predicted: int
    """The predicted class."""
    score: float
    """Probability of the predicted class."""
    true_score: float
    """Probability of the video's class."""

    @property
    def is_right(self) -> bool:
        return self.label == self.predicted


def rank_predictions(
    probabilities: Tensor, labels: Tensor, readable: Tensor | None = None
) -> list[RankedPrediction]:
    """All predictions, the most confident first; videos that could not be read are left out.

    Args:
        probabilities: (N, K).
        labels: int64 (N,).
        readable: bool (N,), by default all.

    >>> ranked = rank_predictions(torch.tensor([[0.6, 0.4], [0.1, 0.9]]), torch.tensor([0, 0]))
    >>> [(item.index, item.is_right, round(item.score, 1)) for item in ranked]
    [(1, False, 0.9), (0, True, 0.6)]
    """
    best = probabilities.max(dim=1)
    of_label = probabilities.gather(1, labels[:, None])[:, 0]
    return [
        RankedPrediction(
            index,
            int(labels[index]),
            int(best.indices[index]),
            float(best.values[index]),
            float(of_label[index]),
        )
        for index in torch.argsort(best.values, descending=True, stable=True).tolist()
        if readable is None or readable[index]
    ]


def draw_predictions(
    model: str | Path,
    data: str | Path | DataSource,
    *,
    reading: EvaluationSettings | None = None,
    num_wrong: int = 6,
    num_right: int = 4,
    progress: Progress | None = None,
) -> Drawing:
    """Draw predictions with the frames that the model saw: first wrong ones, then right ones.

    Args:
        model: a model file.
        data: labelled videos, as for `evaluate_model`.
        reading: which videos, and how they are read.
        num_wrong, num_right: at most so many of each.
        progress: called with the videos done and all of them.

    Raises:
        ValueError: a model or data that cannot be used, or none of the videos can be read.
    """
    if num_wrong < 0 or num_right < 0 or num_wrong + num_right == 0:
        raise ValueError(
            f"--num-wrong is {num_wrong} and --num-right {num_right}; give 0 or more, not both 0"
        )
    if ModelSpec.from_dict(read_metadata(model)["spec"]).several_labels:
        raise ValueError(
            f"{model} gives a video several labels, and right and wrong predictions are of one: "
            "mixtconv visualize confusion shows which labels are given beside which"
        )
    result = evaluate_model(model, data, settings=reading, progress=progress)
    samples, scores = result.samples, result.scores
    spec = ModelSpec.from_dict(read_metadata(model)["spec"])
    ranked = rank_predictions(scores.probabilities(), scores.labels, scores.readable)
    wrong = [item for item in ranked if not item.is_right]
    right = [item for item in ranked if item.is_right]
    shown = wrong[:num_wrong] + right[:num_right]
    if not ranked:
        first = result.unreadable[0]
        raise ValueError(f"none of the videos can be read: {first}")
    if not shown:
        kind, count = ("wrong", num_wrong) if num_wrong else ("right", num_right)
        raise ValueError(f"none of the {len(ranked)} predictions is {kind}, of which {count} are "
                         "asked for")  # fmt: skip
    listed = [
        {
            "path": str(samples[item.index].video),
            "label": spec.classes[item.label],
            "predicted": spec.classes[item.predicted],
            "score": item.score,
            "label_score": item.true_score,
            "right": item.is_right,
        }
        for item in shown
    ]
    rows = [_row(item, samples[item.index].video, spec) for item in shown]
    return Drawing(
        title=f"Predictions of {spec.name}",
        description=(
            "Videos with the frames of one clip, wrong predictions before right ones, the most "
            "confident first."
        ),
        figure=frame_sheet(rows),
        numbers={
            "model": str(model),
            "num_wrong": len(wrong),
            "num_right": len(right),
            "shown": listed,
        },
        columns=("", "true class", "predicted", "score", "score of the true class", "video"),
        rows=tuple(
            (
                "right" if item["right"] else "wrong",
                item["label"],
                item["predicted"],
                f"{item['score']:.3f}",
                f"{item['label_score']:.3f}",
                item["path"],
            )
            for item in listed
        ),
        notes=(f"{len(wrong)} of {len(ranked)} predictions are wrong",),
        unreadable=result.unreadable,
    )


def _row(item: RankedPrediction, video: Video, spec: ModelSpec) -> FrameRow:
    true, predicted = spec.classes[item.label], spec.classes[item.predicted]
    verdict = (
        f"right: {true}, {percent(100 * item.score)}"
        if item.is_right
        else f"wrong: {predicted}, {percent(100 * item.score)}"
    )
    truth = [] if item.is_right else [f"is {true}, {percent(100 * item.true_score)}"]
    (clip,) = TensorViewReader(spec, Protocol()).read(video).frames
    caption = (verdict, *truth, "/".join((*recording_of(video).parts[-2:-1], video.name)))
    return FrameRow(shown_frames(clip.numpy(), spec), caption)
