"""`mixtconv profile MODEL...`."""

from typing import TYPE_CHECKING

from mixtconv.benchmarks.settings import ProfileSettings
from mixtconv.cli.console import Format, print_json, print_table, progress

if TYPE_CHECKING:
    from mixtconv.benchmarks.profile import ModelProfile, ProfileReport


def profile(models: list[str], settings: ProfileSettings, *, format: Format = "table") -> int:
    """Measure what models cost: parameters, multiply-accumulates by stage, time and memory.

    Args:
        models: Names of recognizers such as mstnet_resnet50, or model files.
        settings: Clips, device and rounds.
        format: How the result is printed, table or json.
    """
    from mixtconv.benchmarks.profile import profile_models

    with progress("measuring") as show:
        report = profile_models(models, settings, progress=show)
    if format == "json":
        print_json(report.to_dict())
    else:
        _print_tables(report)
    return 0


def _print_tables(report: "ProfileReport") -> None:
    print_table(["measured on", ""], list(report.environment.to_dict().items()))
    for each in report.profiles:
        _print_stages(each)
    columns = ["model", "clip", "batch", "M", "G", "less attention"]
    print_table(
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


def _print_stages(each: "ModelProfile") -> None:
    total = max(each.cost.macs, 1)
    print_table(
        ["stage", "M", "G", "% of G"],
        [
            [stage.name, stage.params / 1e6, stage.macs / 1e9, 100 * stage.macs / total]
            for stage in each.stages
        ],
        title=each.timing.name,
    )
