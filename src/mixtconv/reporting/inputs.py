"""What a report is made of: runs by the names that tell them apart, and the videos for all."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mixtconv.data.listing import DataSource
from mixtconv.models import read_metadata
from mixtconv.models.location import HUB_PREFIX, MODEL_FILE
from mixtconv.reporting.settings import ReportData
from mixtconv.training.run_folder import TrainedRun, read_run


def find_runs(runs: Sequence[str | Path]) -> tuple[dict[str, TrainedRun], list[str]]:
    """The runs by the names that are shown, and the classes of all of them.

    Raises:
        ValueError: no model there, files that cannot be read, a run given twice, or other classes.
    """
    trained = [read_run(run) for run in runs]
    _check_different(runs, trained)
    named = dict(zip(_names(runs), trained, strict=True))
    return named, _common_classes(named)


def _names(runs: Sequence[str | Path]) -> list[str]:
    """What runs are called: the last parts of their paths, as many as tell them apart."""
    parts = [_parts(run) for run in runs]
    without = [(*own[:-1], own[-1].removesuffix(".safetensors")) for own in parts]
    if len(set(without)) == len(set(parts)):  # unless a folder beside a file is called the same
        parts = without
    count = 1
    while len({own[-count:] for own in parts}) < len(set(parts)):
        count += 1
    return ["/".join(own[-count:]) for own in parts]


def _parts(run: str | Path) -> tuple[str, ...]:
    """The path of a run's folder, or of a model file that is called otherwise than a run's."""
    if str(run).startswith(HUB_PREFIX):
        return Path(run).parts
    path = Path(os.path.abspath(run))  # noqa: PTH100, a link keeps the name that it was given
    return path.parent.parts if path.name == MODEL_FILE else path.parts


def _check_different(runs: Sequence[str | Path], found: Sequence[TrainedRun]) -> None:
    files = [run.model.resolve() for run in found]
    for run, file in zip(runs, files, strict=True):
        if files.count(file) > 1:
            raise ValueError(f"{run} is given twice; give each run once")


def _common_classes(runs: dict[str, TrainedRun]) -> list[str]:
    """The classes of the models.

    Raises:
        ValueError: they have others, or number them otherwise.
    """
    known = {name: read_metadata(run.model)["spec"]["classes"] for name, run in runs.items()}
    (first, classes), *others = known.items()
    for other, theirs in others:
        if set(theirs) != set(classes):
            name = min(set(theirs) ^ set(classes))
            knows, lacks = (first, other) if name in classes else (other, first)
            raise ValueError(
                f"{knows} knows a class {name!r} and {lacks} does not; a report compares models of "
                "the same classes"
            )
        if theirs != classes:
            raise ValueError(
                f"{first} and {other} have their classes in another order; a report compares "
                "models that number them alike"
            )
    return classes


def find_data(runs: dict[str, TrainedRun], data: ReportData) -> DataSource:
    """The videos that are asked for, or those that all runs were trained with.

    Raises:
        ValueError: the runs were trained with none, with different ones or with some that are gone.
    """
    if data.data is not None:
        return DataSource(data.data, data.root, data.official_split, data.class_order)
    if data != ReportData():
        raise ValueError(
            "--root, --official-split and --class-order belong to a known dataset; give its name "
            "as --data"
        )
    sources = {
        name: DataSource(own.data, own.root, own.official_split, own.class_order)
        for name, run in runs.items()
        if (own := run.settings) is not None
    }
    if not sources:
        raise ValueError(
            f"no config.yaml lies beside {next(iter(runs.values())).model}, so the videos that it "
            "was trained with are not known; give --data"
        )
    if len({_located(source) for source in sources.values()}) > 1:
        named = ", ".join(f"{name} with {_described(source)}" for name, source in sources.items())
        raise ValueError(f"the runs were trained with other videos ({named}); give --data")
    name, source = next(iter(sources.items()))
    if not Path(source.root or source.data).exists():
        raise ValueError(
            f"{source.root or source.data}, which {name} was trained with, is not there (looked "
            f"for {Path(source.root or source.data).absolute()}); give --data"
        )
    return source


def _described(source: DataSource) -> str:
    if source.root is None:
        return source.data
    return (
        f"split {source.official_split} of {source.data} in {source.root}, classes as "
        f"{source.class_order}"
    )


def _located(source: DataSource) -> DataSource:
    """The data with the whole path of their folder or file, however it was written."""
    if source.root is None:
        return replace(source, data=str(Path(source.data).resolve()))
    return replace(source, root=str(Path(source.root).resolve()))
