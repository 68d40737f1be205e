"""`mixtconv tune-events MODEL DATA`."""

from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import progress
from mixtconv.data.listing import DataSource
from mixtconv.detection.settings import EventOptions
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.events.settings import TuningMeasure


def tune_events(
    model: str,
    data: DataSource,
    reading: EvaluationSettings,
    options: EventOptions,
    *,
    measure: TuningMeasure = "f1",
    out: str | None = None,
) -> Result:
    """Choose how events are found, on annotated recordings, and store it in the model file.

    Thresholds, smoothing, lag, least length and bridged gaps are chosen; what is given is where the
    search begins, and the rest is kept as given. predict, stream, serve and evaluate then find
    events so. Tune on recordings that the model was not trained on: by default those of the split
    val.

    Args:
        model: Model file, or the folder of one.
        data: Recordings with segments, a list or annotation files.
        reading: Which of them, and how they are read.
        options: Where the search begins, and what is not searched.
        measure: What is maximised: f1 (F1 of segments at an overlap of 0.5, false and missed
            events alike) or map (mAP at a temporal IoU of 0.5, which asks for low thresholds).
        out: Model file to write; default MODEL itself, whose weights stay as they are.
    """
    from mixtconv.detection.tune import tune_model

    with progress("scoring seconds") as show:
        result = tune_model(
            model,
            data,
            out=out,
            measure=measure,
            reading=reading,
            options=options,
            progress=show,
        )
    tuning, times = result.tuning, result.stored.times
    settings = tuning.settings
    rules = {"all classes": settings, **settings.class_rules}
    rows = [
        [name, rule.enter, rule.leave_threshold, rule.min_seconds, rule.bridge_seconds]
        for name, rule in rules.items()
    ]
    word = {"f1": "F1@50", "map": "mAP@0.5"}[measure]
    by = f"windows of {times.window}, every {times.stride}"
    if times.fps is not None:
        by = f"{times.fps:g} frames a second"
    table = Table(
        ["class", "enter", "leave", "least seconds", "bridged seconds"],
        rows,
        title=f"{word} {tuning.score:.1f} % (before {tuning.start_score:.1f} %); scores of {by}, "
        f"averaged over {settings.smoothing_seconds:g} s, {settings.lag_seconds:g} s late",
    )
    notes = [*tuning.notes, f"tuned on {len(result.scored.recordings)} recordings: {result.out}"]
    notes += [f"nothing found in it, cannot be read: {each}" for each in result.scored.unreadable]
    return Result(result.to_dict(), [table], notes, status=1 if result.scored.unreadable else 0)
