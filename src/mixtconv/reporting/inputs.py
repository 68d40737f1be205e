"""The inputs of a report: runs with distinct names, and the videos that all are scored on."""

import os
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from mixtconv.data.listing import DataSource
from mixtconv.models import read_metadata
from mixtconv.models.location import HUB_PREFIX, MODEL_FILE
from mixtconv.reporting.settings import ReportData
from mixtconv.training.run_folder import TrainedRun, read_run


def find_runs(runs: Sequence[str | Path]) -> tuple[dict[str, TrainedRun], list[str]]:
    """Read runs, and name them for the page.

    Returns:
        The runs by name, and the classes that they have in common.

    Raises:
        ValueError: no model there, files that cannot be read, a run given twice, or models with
            different classes.
    """
    trained = [read_run(run) for run in runs]
    files = [run.model.resolve() for run in trained]
    for run, file in zip(runs, files, strict=True):
        if files.count(file) > 1:
            raise ValueError(f"{run} is given twice; give each run once")
    named = dict(zip(_names(runs), trained, strict=True))
    return named, _common_classes(named)


def _names(runs: Sequence[str | Path]) -> list[str]:
    """Names of runs: the last parts of their paths, as many as make them distinct."""
    paths = [_parts(run) for run in runs]
    without_suffix = [(*path[:-1], path[-1].removesuffix(".safetensors")) for path in paths]
    if len(set(without_suffix)) == len(set(paths)):  # a folder may have the name of a file
        paths = without_suffix
    count = 1
    while len({path[-count:] for path in paths}) < len(set(paths)):
        count += 1
    return ["/".join(path[-count:]) for path in paths]


def _parts(run: str | Path) -> tuple[str, ...]:
    """The path of a run's folder, or of a model file that is not named as a run's."""
    if str(run).startswith(HUB_PREFIX):
        return Path(run).parts
    path = Path(os.path.abspath(run))  # noqa: PTH100 (a link keeps its name)
    return path.parent.parts if path.name == MODEL_FILE else path.parts


def _common_classes(runs: dict[str, TrainedRun]) -> list[str]:
    """The classes of the models.

    Raises:
        ValueError: models with different classes, or in a different order.
    """
    by_run = {name: read_metadata(run.model)["spec"]["classes"] for name, run in runs.items()}
    (first, classes), *others = by_run.items()
    for other, other_classes in others:
        if set(other_classes) != set(classes):
            name = min(set(other_classes) ^ set(classes))
            has, lacks = (first, other) if name in classes else (other, first)
            raise ValueError(
                f"{has} knows a class {name!r} and {lacks} does not; a report compares models of "
                "the same classes"
            )
        if other_classes != classes:
            raise ValueError(
                f"{first} and {other} have their classes in another order; a report compares "
                "models with the same order"
            )
    return classes


def find_data(runs: dict[str, TrainedRun], data: ReportData) -> DataSource:
    """The videos that the user names, or those that all runs were trained with.

    Raises:
        ValueError: the videos of the runs are unknown, different or no longer there.
    """
    if data.data is not None:
        return _source(data)
    if data != ReportData():
        raise ValueError(
            "--root, --official-split, --class-order and --group belong to other data than that of "
            "the runs; give its name as --data"
        )
    sources = {
        name: _source(run.settings) for name, run in runs.items() if run.settings is not None
    }
    if not sources:
        raise ValueError(
            f"no config.yaml is beside {next(iter(runs.values())).model}, so the videos that it "
            "was trained with are not known; give --data"
        )
    if len({_located(source) for source in sources.values()}) > 1:
        named = ", ".join(f"{name} with {_described(source)}" for name, source in sources.items())
        raise ValueError(f"the runs were trained with different videos ({named}); give --data")
    name, source = next(iter(sources.items()))
    if not Path(source.root or source.data).exists():
        raise ValueError(
            f"{source.root or source.data}, which {name} was trained with, is not there (looked "
            f"for {Path(source.root or source.data).absolute()}); give --data"
        )
    return source


def _source(settings: DataSource) -> DataSource:
    """The data alone, of settings that derive from them."""
    return DataSource(**{field.name: getattr(settings, field.name) for field in fields(DataSource)})


def _described(source: DataSource) -> str:
    groups = "" if source.group is None else f", groups {source.group}"
    if source.root is None:
        return f"{source.data}{groups}"
    return (
        f"split {source.official_split} of {source.data} in {source.root}, classes as "
        f"{source.class_order}{groups}"
    )


def _located(source: DataSource) -> DataSource:
    """The data with the absolute path of their folder or file."""
    if source.root is None:
        return replace(source, data=str(Path(source.data).resolve()))
    return replace(source, root=str(Path(source.root).resolve()))
