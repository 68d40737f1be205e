"""What the report's tables need beyond the results: the best score, protocols and settings.

Settings that differ between the models come first; those that no model was given are not listed, as
their default follows from the model.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mixtconv._names import NOT_MEASURED
from mixtconv.visualization.number_text import joined, number
from mixtconv.visualization.results import ModelResult, Report


def best_score(values: Iterable[float]) -> str | None:
    """The best score as the table writes it; None where it is not better than another.

    >>> best_score([62.51, 70.0, float("nan")]), best_score([62.51, 62.49])
    ('70.0', None)
    """
    texts = {number(value, decimals=1) for value in values} - {NOT_MEASURED}
    return max(texts, key=float) if len(texts) > 1 else None


def score_columns(report: Report) -> dict[str, str]:
    """The scores of the table of models: field of `ModelResult` -> title."""
    if report.several:
        return {"mean_average_precision": "mAP (%)", "macro_f1": "Macro F1 (%)"}
    return {"top1": "Top-1 (%)", "top5": "Top-5 (%)"}


def protocol_columns(report: Report) -> dict[str, str]:
    """The scores of the table of protocols: field of `ProtocolScore` -> title."""
    if report.several:
        return {
            "mean_average_precision": "mAP",
            "micro_average_precision": "Micro AP",
            "macro_f1": "Macro F1",
        }
    return {"top1": "Top-1", "top5": "Top-5", "mean_class_accuracy": "Mean of classes"}


def calibration_errors(results: Sequence[ModelResult]) -> str:
    """The calibration errors that are known, each with its model where there are several."""
    known = [result for result in results if not math.isnan(result.calibration_error)]
    name = len(results) > 1
    return joined(
        [
            f"{r.name} {r.calibration_error:.1f} %" if name else f"{r.calibration_error:.1f} %"
            for r in known
        ]
    )


def protocols(results: Sequence[ModelResult]) -> list[str]:
    """The protocols by which scores were measured, each with its models."""
    by_text: dict[str, list[str]] = {}
    for result in results:
        if result.protocol:
            by_text.setdefault(result.protocol, []).append(result.name)
    if len(by_text) == 1 and len(next(iter(by_text.values()))) == len(results):
        return list(by_text)
    return [f"{joined(names)}: {text}" for text, names in by_text.items()]


@dataclass(frozen=True)
class SettingsView:
    """Settings by name, as a user types them."""

    names: list[str]
    """Of the models whose settings are known."""
    different: list[tuple[str, list[str]]]
    """With a value for each of these models."""
    common: list[tuple[str, str]]


def settings_section(report: Report) -> SettingsView:
    """Split settings into different and common ones; models without any are left out."""
    known = [result for result in report.results if result.settings]
    different = []
    common = [(name, _text(value)) for name, value in report.settings.items()]
    for name in dict.fromkeys(name for result in known for name in result.settings):
        if all(result.settings.get(name) is None for result in known):
            continue
        values = [
            _text(result.settings[name]) if name in result.settings else NOT_MEASURED
            for result in known
        ]
        if len(set(values)) > 1:
            different.append((name, values))
        else:
            common.append((name, values[0]))
    return SettingsView([result.name for result in known], different, common)


def _text(value: object) -> str:
    """A setting as a user types it.

    >>> _text(True), _text(None), _text([1.0, 0.875])
    ('true', 'by default', '[1.0, 0.875]')
    """
    if value is None:
        return "by default"
    return str(value).lower() if isinstance(value, bool) else str(value)
