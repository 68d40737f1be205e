"""`mixtconv train DATA`, `mixtconv train --recipe NAME --root ROOT`."""

from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import is_interactive, progress
from mixtconv.training.settings import TrainingSettings


def train_videos(settings: TrainingSettings) -> Result:
    """Train a recognizer on videos, by a recipe or with settings of your own.

    Args:
        settings: Data, model and recipe.
    """
    from mixtconv.training.recipes import load_recipe

    if settings.recipe is not None:
        load_recipe(settings.recipe).check(settings)
    from mixtconv.training.fit import train as fit
    from mixtconv.training.run_folder import plain_row

    with progress("looking at the videos") as check_progress:
        result = fit(settings, progress_bar=is_interactive(), check_progress=check_progress)
    model, kept = str(result.files.model), result.best
    kind = settings.keep if settings.val_fraction else "last"
    columns = ["model", f"{kind} epoch", "top-1 %", "top-5 %", "mean class %"]
    scores: list[object] = [kept.top1, kept.top5, kept.mean_class_accuracy]
    if kept.mean_average_precision is not None:
        columns[2:] = ["mAP %", "macro F1 %"]
        scores = [kept.mean_average_precision, kept.macro_f1]
    elif settings.val_fraction == 0:
        scores = ["not held out"] * 3
    return Result(
        {"model": model, "metrics": str(result.files.metrics), "best": plain_row(kept)},
        [Table(columns, [[model, kept.epoch, *scores]])],
    )


# jsonargparse looks the name of a function up in the whole package, where `train` loads torch.
train = train_videos
