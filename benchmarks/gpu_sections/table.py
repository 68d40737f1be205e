"""Goals and Markdown tables from a recorded run, without torch."""

from collections.abc import Iterator, Sequence
from typing import Any

FRACTION_OF_COPY = 0.95
TIMES_TSN = 1.02

_OPERATION_PRECISION = {"bf16": "bf16", "tf32": "float32", "float32": "float32"}
_COPIES = {"inference": 1.0, "training": 3.5}
"""Passes over the clips as multiples of a copy's two tensors: at inference one is read and one
written; in training twice, since the backward pass filters again, and three with gradients."""


def goals(record: dict[str, Any]) -> list[dict[str, Any]]:
    """What was wanted and measured; `met` is None where a run measures nothing.

    `least` is what a pass at the speed of copying would come to beside the same network: the goal
    is out of reach of any separate pass where it is above it.
    """
    found = [*_operation_goals(record), *_recognizer_goals(record)]
    if record["measures_nothing"]:
        found = [goal | {"met": None} for goal in found]
    return found


def _rows(record: dict[str, Any], section: str) -> list[dict[str, Any]]:
    return record["sections"].get(section, {"rows": []})["rows"]


def _operation_goals(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for row in _rows(record, "operation"):
        if row["site"] == "all":
            for direction, fraction in row["fraction_of_copy"].items():
                yield {
                    "what": f"operation, {direction}, {row['precision']}, {row['layout']}: "
                    "fraction of copy bandwidth",
                    "wanted": f"at least {FRACTION_OF_COPY}",
                    "got": fraction,
                    "met": fraction >= FRACTION_OF_COPY,
                }


def _recognizer_goals(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for section, treatment in (
        ("inference", "optimised"),
        ("training", "channels-last"),
        ("compiled", None),
    ):
        rows = _rows(record, section)
        for row in rows:
            is_meant = row["recognizer"] == "MSTNet" and treatment in (None, row["treatment"])
            if is_meant and row["beside"] == "TSN":  # which may have failed
                size = [f"{row['clips']} clips"] if "clips" in row else []
                words = [row["treatment"], row["launch"], row["precision"], *size]
                goal = {
                    "what": f"{section}, {', '.join(words)}: times TSN",
                    "wanted": f"at most {TIMES_TSN}",
                    "got": row["times_baseline"],
                    "met": row["times_baseline"] <= TIMES_TSN,
                }
                least = _least(record, section, row, rows)
                yield goal if least is None else goal | {"least": least}


def _least(
    record: dict[str, Any], section: str, row: dict[str, Any], rows: Sequence[dict[str, Any]]
) -> float | None:
    """The ratio to TSN if the operation ran at the speed of copying; None where not measured."""
    if section not in _COPIES:
        return None
    same = ("treatment", "launch", "precision", "clips")
    tsn = next(
        each
        for each in rows
        if each["recognizer"] == row["beside"] and all(each[key] == row[key] for key in same)
    )
    for copied in _rows(record, "operation"):
        if (copied["site"], copied["layout"], copied["precision"]) == (
            "all",
            "channels-last",
            _OPERATION_PRECISION[row["precision"]],
        ):
            copies = _COPIES[section] * row["clips"] / copied["clips"]
            return 1 + copies * copied["milliseconds"]["copy"] / tsn["milliseconds"]
    return None


# tables


def tables(record: dict[str, Any]) -> str:
    """The tables of a run in Markdown, with what was not measured and what failed."""
    parts = [_about(record)]
    if record["measures_nothing"]:
        parts.append("**Proves the script, measures nothing: small sizes, or no GPU.**")
    for name, section in record["sections"].items():
        parts.append(f"### {name[0].upper()}{name[1:]}")
        if section["rows"]:
            parts.append("\n".join(_TABLES.get(name, _recognizers)(section["rows"])))
        for each in section["skipped"]:
            parts.append(f"Skipped: {each['what']} ({each['reason']}).")
        for each in section["errors"]:
            parts.append(f"Failed: {each['what']} ({each['error']}).")
    if record["goals"]:
        parts += ["### Goals", "\n".join(_goals(record["goals"]))]
    return "\n\n".join(parts)


def _about(record: dict[str, Any]) -> str:
    about = record["environment"]
    names = ("device", "driver", "torch", "triton", "cuda", "cudnn", "timm", "mixtconv", "kernel")
    known = [f"{name} {about[name]}" for name in names if about.get(name) is not None]
    return "`benchmarks/gpu.py`: " + ", ".join(known)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(map(str, row)) + " |"


def _correctness(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    kinds = list(dict.fromkeys((row["check"], row["precision"]) for row in rows))
    lines = []
    for check, precision in kinds:
        same = [row for row in rows if (row["check"], row["precision"]) == (check, precision)]
        worst = [max(row["of_bound"].values()) for row in same if "of_bound" in row]
        off = [row["off"] for row in same if "off" in row]
        figure = f"{max(worst):.2f} of the bound" if worst else ""
        figure = f"off by {max(off):.1e}" if off else figure
        right = "right" if all(row["ok"] for row in same) else "**wrong**"
        lines.append((check, precision, len(same), figure, right))
    yield from _table(("check", "precision", "layouts", "error", "result"), lines)


def _operation(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    head = (
        *("precision", "layout", "site", "places", "copy, GB/s"),
        *("forward, of copy", "forward and backward, of copy", "published, times as long"),
    )
    yield from _table(
        head,
        [
            (
                *(row["precision"], row["layout"], row["site"], row["places"]),
                f"{row['copy_gigabytes_per_second']:.0f}",
                *(f"{100 * each:.1f} %" for each in row["fraction_of_copy"].values()),
                " and ".join(f"{each:.1f}" for each in row["published_takes_times"].values()),
            )
            for row in rows
        ],
    )


def _recognizers(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """One line a recognizer and treatment, with both ways of launching."""
    keys = ("what", "precision", "clips", "treatment", "recognizer", "peak_bytes")
    lines: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for row in rows:
        lines.setdefault(tuple(row.get(key) for key in keys), {})[row["launch"]] = row
    launches = list(dict.fromkeys(row["launch"] for row in rows))
    used = [key for place, key in enumerate(keys) if any(line[place] is not None for line in lines)]
    head = [key.replace("peak_bytes", "peak, MiB") for key in used]
    for launch in launches:
        head += [f"{launch}, ms", _beside(rows)]
    body = []
    for line, by_launch in lines.items():
        values = dict(zip(keys, line, strict=True))
        if values["peak_bytes"] is not None:
            values["peak_bytes"] = round(values["peak_bytes"] / 2**20)
        cells = ["" if values[key] is None else values[key] for key in used]
        for launch in launches:
            row = by_launch.get(launch)
            cells += ["", ""] if row is None else _figures(row, rows)
        body.append(cells)
    yield from _table(head, body)


def _streams(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield from _table(
        ("streams", "precision", "recognizer", "ms a frame", _beside(rows)),
        [
            (row["streams"], row["precision"], row["recognizer"], *_figures(row, rows))
            for row in rows
        ],
    )


def _beside(rows: Sequence[dict[str, Any]]) -> str:
    """The heading of times: their baseline, if all have the same; else each says its own."""
    names = {row["beside"] for row in rows}
    return f"times {names.pop()}" if len(names) == 1 else "times another"


def _figures(row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> list[str]:
    of = "" if len({each["beside"] for each in rows}) == 1 else f" {row['beside']}"
    return [f"{row['milliseconds']:.3g}", f"{row['times_baseline']:.3f}{of}"]


def _goals(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    words = {True: "yes", False: "no", None: "not measured"}
    yield from _table(
        ("goal", "wanted", "got", "met", "at the speed of copying"),
        [
            (
                *(goal["what"], goal["wanted"], f"{goal['got']:.3f}", words[goal["met"]]),
                f"{goal['least']:.3f}" if "least" in goal else "",
            )
            for goal in found
        ],
    )


_TABLES = {"correctness": _correctness, "operation": _operation, "streams": _streams}
