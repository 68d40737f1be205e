"""The page of a shared model, filled from its description and from what training noted."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from mixtconv.models.spec import ModelSpec

PAPERS = {
    "tsn": "1608.00859",
    "tsm": "1811.08383",
}
"""Family -> the paper that it is from, on arXiv; else MixTConv's."""

MIXTCONV_PAPER = "2001.06769"

_SCORES = {"top1": "top-1", "top5": "top-5", "mean_class_accuracy": "mean over the classes"}


def make_model_card(
    spec: ModelSpec,
    notes: Mapping[str, Any],
    *,
    license: str | None = None,  # noqa: A002, the hub's word
    repo_id: str | None = None,
) -> ModelCard:
    """Write the card of a model: what it is, how it was trained and scored, how to use it.

    Args:
        spec: the model.
        notes: what its file notes of the run: data, protocol, scores, ...
        license: identifier of the hub, such as `apache-2.0`; without, the card says that none is
            given.
        repo_id: `owner/name` where it is shared.

    >>> card = make_model_card(ModelSpec("tsm_resnet50", ("a", "b")), {}, license="mit")
    >>> card.data.license, card.data.pipeline_tag
    ('mit', 'video-classification')
    """
    scores = [(title, notes[key]) for key, title in _SCORES.items() if notes.get(key) is not None]
    data = ModelCardData(
        license=license,
        library_name="mixtconv",
        pipeline_tag="video-classification",
        tags=["action-recognition", "video-classification", spec.name.partition("_")[0]],
        model_name=spec.name,
        eval_results=_results(notes) if scores else None,
    )
    parts = [
        f"# {spec.name}",
        _about(spec),
        _section("Training", _training_rows(notes)),
        _section("Scores", _score_rows(scores, notes)),
        _usage(repo_id),
        "## Classes\n\n" + ", ".join(f"`{name}`" for name in spec.classes),
        "## Licence\n\n" + (license if license else "None is given."),
    ]
    text = "\n\n".join(part for part in parts if part)
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}\n")


def shown_name(value: object) -> str:
    """Data or weights as others may see them: of a path the last part alone.

    >>> shown_name("/home/me/clips"), shown_name("something_v2"), shown_name("hf:me/model")
    ('clips', 'something_v2', 'hf:me/model')
    """
    text = str(value)
    return text if text.startswith("hf:") else PurePath(text).name or text


def _about(spec: ModelSpec) -> str:
    paper = PAPERS.get(spec.name.partition("_")[0], MIXTCONV_PAPER)
    rows = [
        ("clips", f"{spec.num_frames} frames of {spec.image_size} x {spec.image_size}"),
        ("sampling", spec.sampling),
        ("modality", spec.modality),
        ("classes", str(spec.num_classes)),
    ]
    if spec.sampling == "dense":
        rows.insert(2, ("frame stride", str(spec.frame_stride)))
    return (
        "Recognizes actions in video. Made with `mixtconv`; the method is of "
        f"[arXiv {paper}](https://arxiv.org/abs/{paper}).\n\n{_table(rows)}"
    )


def _training_rows(notes: Mapping[str, Any]) -> list[tuple[str, str]]:
    named = {"data": "data", "initial_weights": "started from", "imported_from": "imported from"}
    plain = {
        "num_train": "training videos",
        "num_val": "validation videos",
        "epoch": "epochs to these weights",
        "format": "format of the import",
    }
    rows = [(title, shown_name(notes[key])) for key, title in named.items() if key in notes]
    return rows + [(title, str(notes[key])) for key, title in plain.items() if key in notes]


def _score_rows(scores: list[tuple[str, float]], notes: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not scores:
        return []
    protocol = ("protocol", str(notes.get("protocol", "not noted")))
    return [protocol, *((title, f"{value:.2f} %") for title, value in scores)]


def _results(notes: Mapping[str, Any]) -> list[EvalResult]:
    data = shown_name(notes.get("data", "unknown"))
    metrics = {"top1": "accuracy", "top5": "top-5-accuracy"}
    return [
        EvalResult(
            task_type="video-classification",
            dataset_type=data,
            dataset_name=data,
            metric_type=metric,
            metric_name=f"{_SCORES[key]}, protocol {notes.get('protocol', 'not noted')}",
            metric_value=round(float(notes[key]), 2),
        )
        for key, metric in metrics.items()
        if notes.get(key) is not None
    ]


def _usage(repo_id: str | None) -> str:
    source = f"hf:{repo_id}" if repo_id else "FOLDER"
    return (
        "## Use\n\n"
        f"```\nmixtconv predict {source} clip.mp4\n```\n\n"
        "```python\nimport mixtconv\n\n"
        f'recognizer = mixtconv.Recognizer("{source}")\n'
        'print(recognizer.predict("clip.mp4"))\n```'
    )


def _section(title: str, rows: list[tuple[str, str]]) -> str:
    return f"## {title}\n\n{_table(rows)}" if rows else ""


def _table(rows: list[tuple[str, str]]) -> str:
    lines = [f"| {name} | {value.replace('|', chr(92) + '|')} |" for name, value in rows]
    return "\n".join(["| | |", "|---|---|", *lines])
