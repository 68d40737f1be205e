"""`mixtconv evaluate MODEL DATA`."""

import math
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mixtconv._atomic_write import refuse_unwritable
from mixtconv._names import count_of, first_few
from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import progress
from mixtconv.data.class_sizes import size_notes
from mixtconv.data.listing import DataSource
from mixtconv.detection.settings import EventSwitch
from mixtconv.evaluation.settings import EvaluationSettings

if TYPE_CHECKING:
    from mixtconv.evaluation.evaluate import Evaluation


def evaluate(
    model: str,
    data: DataSource,
    reading: EvaluationSettings,
    finding: EventSwitch,
    *,
    scores: str | None = None,
    open_set: bool = False,
    page: str | None = None,
) -> Result:
    """Score a trained recognizer on labelled videos.

    An unreadable video is reported and counts as wrong; the exit status is then 1. With --events
    the events of recordings are found, and compared with the segments that are annotated.

    Args:
        model: Model file, the folder of one, or hf:owner/name of the Hugging Face hub.
        data: The videos.
        reading: Which of them, and how they are read.
        finding: Events of recordings, in place of the class of each video.
        scores: File for the scores of every video, as mixtconv fuse takes them; usually ends in
            .safetensors.
        open_set: Videos of classes that the model does not know are scored apart: how well they
            are told from those of its own (AUROC).
        page: File for a page of the events of each recording, beside what is annotated, with its
            video and the scores over time; ends in .html.
    """
    if page is not None:
        _check_page(page, finding)
    if finding.events:
        if scores is not None:
            raise ValueError("--scores holds one row a video, and --events finds events: give one")
        if open_set:
            raise ValueError("--open-set scores whole videos, and --events finds events: give one")
        return _events(model, data, reading, finding, page)
    from mixtconv.evaluation.evaluate import evaluate_model

    with progress("scoring videos") as show:
        result = evaluate_model(
            model, data, settings=reading, scores_path=scores, open_set=open_set, progress=show
        )
    split = reading.split
    chosen = f"split {split}" if split else "its val split, or all where it has no splits"
    notes = [f"scored {result.num_videos} videos of {result.data} ({chosen})"]
    if (apart := result.background) is not None:
        notes.append(
            f"background: {apart.recall:.2f} % of its clips recognised, {apart.missed:.2f} % of "
            f"the others taken for it; top-1 of the others among themselves "
            f"{apart.top1_without:.2f} %"
        )
    notes += [*_confidence(result), *size_notes(result.class_sizes)]
    if scores is not None:
        notes.append(f"scores of every video: {scores}")
    notes += [f"counted as wrong, cannot be read: {video}" for video in result.unreadable]
    several = result.several
    columns = ["top-1 %", "top-5 %", "mean class %"]
    if several is not None:
        columns = ["mAP %", "micro AP %", "macro F1 %", "micro F1 %"]
    table = Table(
        ["model", "videos", "unreadable", *columns],
        [[result.model, result.num_videos, len(result.unreadable),
          *astuple(several or result.accuracy)]],
        title=f"protocol {result.protocol_description}",
    )  # fmt: skip
    tables = [table] if several is None else [_labels(result), table]
    return Result(result.to_dict(), tables, notes, status=1 if result.unreadable else 0)


def _confidence(result: "Evaluation") -> list[str]:
    """How far the scores can be trusted, in sentences."""
    found = result.calibration
    notes = [f"calibration error {found.calibration_error:.2f} %"]
    if (rejected := result.rejection) is not None:
        notes.append(
            f"none of the classes: {rejected.rejected:.2f} % of the videos, "
            f"{rejected.right_rejected:.2f} % of those that would be right; top-1 of the others "
            f"{rejected.top1_of_kept:.2f} %"
        )
    if (others := result.open_set) is not None:
        also = "" if others.rejected is None else f", {others.rejected:.2f} % rejected"
        notes.append(
            f"{count_of(others.num_videos, 'video')} of {count_of(len(others.classes), 'class')} "
            f"that the model does not know ({first_few(others.classes)}): AUROC "
            f"{others.auroc:.2f} %, false positives at 95 % true ones {others.fpr95:.2f} %{also}"
        )
    return notes


def _labels(result: "Evaluation") -> Table:
    """The scores of each of several labels."""
    from mixtconv.evaluation.class_scores import LabelScore, class_scores

    rows: list[list[object]] = [
        [
            each.name,
            each.num_videos,
            *(math.nan if value is None else value for value in (each.average_precision, each.f1)),
            f"{each.threshold:.3f}",
        ]
        for each in class_scores(result.scores)
        if isinstance(each, LabelScore)
    ]
    return Table(["label", "videos", "AP %", "F1 %", "threshold"], rows)


def _events(
    model: str,
    data: DataSource,
    reading: EvaluationSettings,
    finding: EventSwitch,
    page: str | None,
) -> Result:
    from mixtconv.detection.evaluate import evaluate_events
    from mixtconv.visualization.number_text import number

    cell = partial(number, decimals=1)
    with progress("scoring seconds") as show:
        result = evaluate_events(model, data, reading=reading, options=finding, progress=show)
    metrics, unreadable = result.metrics, result.scored.unreadable
    detection = Table(
        ["class", "annotated", "found", *(f"AP@{tiou:g}" for tiou in metrics.detection_ap), "mean"],
        [
            [
                *(name, row.num_truths, row.num_detections),
                *map(cell, (*row.detection_ap.values(), row.average_detection_ap)),
            ]
            for name, row in [*metrics.classes.items(), ("all (mAP)", metrics)]
        ],
        title="detection: average precision by temporal IoU, in percent",
    )
    spotting = Table(
        ["", *(f"within {tolerance:g} s" for tolerance in metrics.spotting_ap)],
        [["mAP of starts, %", *map(cell, metrics.spotting_ap.values())]],
        title="spotting",
    )
    segments = Table(
        [
            *("precision", "recall", *(f"F1@{100 * at:g}" for at in metrics.f1)),
            *("edit", "frames", "frames of nothing"),
        ],
        [
            [
                *map(cell, (metrics.precision, metrics.recall, *metrics.f1.values())),
                *map(cell, (metrics.edit_score, metrics.frame_accuracy)),
                cell(metrics.background_accuracy),
            ]
        ],
        title="segments, in percent: precision and recall at a temporal IoU of 0.5",
    )
    notes = [f"{metrics.num_recordings} recordings of {result.data}"]
    notes += [f"nothing found in it, cannot be read: {each}" for each in unreadable]
    tables = [detection, spotting, segments]
    if page is not None:
        from mixtconv.detection.page import write_evaluation_page
        from mixtconv.visualization.event_page import PageTable

        shown = [PageTable(each.title, each.columns, each.rows) for each in tables]
        write_evaluation_page(result, page, tables=shown, notes=notes)
        notes.append(f"recordings with their events: {page}")
    return Result(result.to_dict(), tables, notes, status=1 if unreadable else 0)


def _check_page(page: str, finding: EventSwitch) -> None:
    """Refuse a page that cannot be written, before the videos are read."""
    if not finding.events:
        raise ValueError("--page shows events; give --events too")
    if Path(page).suffix.lower() != ".html":
        raise ValueError(f"--page is {page}; give a file that ends in .html")
    refuse_unwritable(Path(page))
