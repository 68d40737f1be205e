"""The model card of a shared model, filled from its spec and the notes of its training run."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from mixtconv.models.spec import ModelSpec

_TSM, _NON_LOCAL, _MIXTCONV = "1811.08383", "1711.07971", "2001.06769"
_ABLATION = ("ks3", "ks5", "ks7", "ks13", "ks135", "ks1357", "ks357dilated", "conv1d")

PAPERS: dict[str, tuple[str, ...]] = {
    "tsn": ("1608.00859",),
    "tsm": (_TSM,),
    "tsm_nl": (_TSM, _NON_LOCAL),
    **dict.fromkeys(("mstnet", *_ABLATION), (_MIXTCONV,)),
    "trn": ("1711.08496",),
    "trn_twostream": ("1711.08496", "1406.2199"),
    "i3d": ("1705.07750",),
    "i3d_nl": ("1705.07750", _NON_LOCAL),
    "i3d_nl_gcn": ("1806.01810",),
    "eco": ("1804.09066",),
}
"""Beginning of a recognizer's name -> the arXiv ids of the papers that its method is from."""

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
        notes: those of its model file: data, protocol, scores, ...
        license: identifier of the hub, such as `apache-2.0`; by default the card says that there is
            none.
        repo_id: `owner/name` of the repository that the model is shared in.

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
    sections = [
        f"# {spec.name}",
        _about(spec),
        _section("Training", _training_rows(notes)),
        _section("Scores", _score_rows(scores, notes)),
        _usage(repo_id),
        "## Classes\n\n" + ", ".join(f"`{name}`" for name in spec.classes),
        "## Licence\n\n" + (license if license else "None is given."),
    ]
    text = "\n\n".join(section for section in sections if section)
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}\n")


def shown_name(value: object) -> str:
    """The name of data or weights for other people: of a path only the last part.

    >>> shown_name("/home/me/clips"), shown_name("something_v2"), shown_name("hf:me/model")
    ('clips', 'something_v2', 'hf:me/model')
    """
    text = str(value)
    return text if text.startswith("hf:") else PurePath(text).name or text


def papers_of(name: str) -> tuple[str, ...]:
    """The arXiv ids of the papers that a recognizer's method is from; none if it is your own.

    >>> papers_of("tsm_resnet50"), papers_of("tsm_nl_resnet50")
    (('1811.08383',), ('1811.08383', '1711.07971'))
    """
    families = [family for family in PAPERS if name.startswith(f"{family}_")]
    return PAPERS[max(families, key=len)] if families else ()


def _about(spec: ModelSpec) -> str:
    rows = [
        ("clips", f"{spec.num_frames} frames of {spec.image_size} x {spec.image_size}"),
        ("sampling", spec.sampling),
        ("modality", spec.modality),
        ("classes", str(spec.num_classes)),
    ]
    if spec.sampling == "dense":
        rows.insert(2, ("frame stride", str(spec.frame_stride)))
    links = [f"[arXiv {paper}](https://arxiv.org/abs/{paper})" for paper in papers_of(spec.name)]
    method = f"; the method is from {' and '.join(links)}" if links else ""
    return f"Recognizes actions in video. Made with `mixtconv`{method}.\n\n{_table(rows)}"


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
