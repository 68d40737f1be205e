"""The report's settings: those that differ between the models beside each other, then the rest.

What no model was told is not listed, as its default follows from the model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixtconv.visualization.number_text import NOT_MEASURED
from mixtconv.visualization.report_data import ModelResult, Report


@dataclass(frozen=True)
class SettingRow:
    name: str
    values: list[str]


@dataclass(frozen=True)
class SettingsView:
    names: list[str]
    """Of the models whose settings are known."""
    different: list[SettingRow]
    common: list[SettingRow]
    """With one value each."""


def settings_section(report: Report) -> SettingsView:
    """Tell what differs from what is alike; a model without settings takes no part."""
    known = [result for result in report.results if result.settings]
    rows = [SettingRow(name, _values(known, name)) for name in _all_names(known)]
    different = [row for row in rows if len(set(row.values)) > 1]
    common = [SettingRow(row.name, row.values[:1]) for row in rows if len(set(row.values)) == 1]
    shared = [SettingRow(name, [_text(value)]) for name, value in report.settings.items()]
    return SettingsView([result.name for result in known], different, shared + common)


def _all_names(results: Sequence[ModelResult]) -> list[str]:
    """Names of settings that anyone was told, in the order of the models that have them."""
    told = {
        name for result in results for name, value in result.settings.items() if value is not None
    }
    names = dict.fromkeys(name for result in results for name in result.settings)
    return [name for name in names if name in told]


def _values(results: Sequence[ModelResult], name: str) -> list[str]:
    return [_of(result.settings, name) for result in results]


def _of(settings: Mapping[str, object], name: str) -> str:
    return _text(settings[name]) if name in settings else NOT_MEASURED


def _text(value: object) -> str:
    """A setting as a user types it.

    >>> _text(True), _text(None), _text([1.0, 0.875])
    ('true', 'by default', '[1.0, 0.875]')
    """
    if value is None:
        return "by default"
    return str(value).lower() if isinstance(value, bool) else str(value)
