"""`mixtconv profile MODEL...`."""

from typing import TYPE_CHECKING

from mixtconv.benchmarks.settings import ProfileSettings
from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import progress

if TYPE_CHECKING:
    from mixtconv.benchmarks.profile import ModelProfile


def profile(models: list[str], settings: ProfileSettings) -> Result:
    """Measure what models cost: parameters, multiply-accumulates by stage, time and memory.

    Args:
        models: Names of recognizers such as mstnet_resnet50, or model files.
        settings: Clips, device and rounds.
    """
    from mixtconv.benchmarks.profile import profile_models

    with progress("measuring") as show:
        report = profile_models(models, settings, progress=show)
    columns = ["model", "clip", "batch", "M", "G", "less attention"]
    costs = Table(
        [*columns, "median ms", "quartile", "quartile", "clips/s", "peak MiB"],
        [
            [
                each.timing.name,
                each.clip,
                each.batch_size,
                each.cost.params / 1e6,
                each.cost.macs / 1e9,
                each.cost.macs_without_attention / 1e9,
                1e3 * each.timing.median_seconds,
                1e3 * each.timing.low_seconds,
                1e3 * each.timing.high_seconds,
                each.clips_per_second,
                each.peak_bytes / 2**20,
            ]
            for each in report.profiles
        ],
        title="M parameters, G multiply-accumulates of a clip; time and memory of a batch",
    )
    return Result(
        report.to_dict(),
        [
            Table(["measured on", ""], list(report.environment.to_dict().items())),
            *map(_stages_table, report.profiles),
            costs,
        ],
    )


def _stages_table(each: "ModelProfile") -> Table:
    total = max(each.cost.macs, 1)
    return Table(
        ["stage", "M", "G", "% of G"],
        [
            [stage.name, stage.params / 1e6, stage.macs / 1e9, 100 * stage.macs / total]
            for stage in each.stages
        ],
        title=each.timing.name,
    )
