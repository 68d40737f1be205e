"""The model card of a shared model, filled from its spec and the notes of its training run.

`model_card.md.j2` is the card.
"""

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, StrictUndefined

from mixtconv.models.spec import ModelSpec

_TSM, _NON_LOCAL, _MIXTCONV = "1811.08383", "1711.07971", "2001.06769"
_ST_ADAPTER, _ZEROI2V = "2206.13559", "2310.01324"
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
    "stadapter": (_ST_ADAPTER,),
    "aim": ("2302.03024",),
    "zeroi2v": (_ZEROI2V,),
    "adapter": (_MIXTCONV, _ST_ADAPTER),
    "mstvit": (_MIXTCONV, _ZEROI2V),
}
"""Beginning of a recognizer's name -> the arXiv ids of the papers that its method is from."""

_SCORES = {
    "top1": "top-1",
    "top5": "top-5",
    "mean_class_accuracy": "mean over the classes",
    "mean_average_precision": "mean average precision of several labels",
    "macro_f1": "F1, averaged over the labels",
}
_METRICS = {"top1": "accuracy", "top5": "top-5-accuracy"}
"""Note of a model file -> the hub's name of the metric."""
_NAMES = {"data": "data", "initial_weights": "started from", "imported_from": "imported from"}
_TRAINING = {
    **_NAMES,
    "num_train": "training videos",
    "num_val": "validation videos",
    "epoch": "epochs to these weights",
    "teachers": "learned also from",
    "format": "format of the import",
}
"""Note of a model file -> its title in the card; of `_NAMES` the last part of a path is shown."""
_TEMPLATE = Path(__file__).with_name("model_card.md.j2")


def make_model_card(
    spec: ModelSpec,
    notes: Mapping[str, Any],
    *,
    license: str | None = None,  # noqa: A002, the hub's word
    repo_id: str | None = None,
    trunk: object = None,
) -> ModelCard:
    """Write the card of a model: what it is, how it was trained and scored, how to use it.

    Args:
        spec: the model.
        notes: those of its model file: data, protocol, scores, ...
        license: identifier of the hub, such as `apache-2.0`; by default the card says that there is
            none.
        repo_id: `owner/name` of the repository that the model is shared in.
        trunk: where the weights of its trunk come from, if the file has the trained part alone.

    >>> card = make_model_card(ModelSpec("tsm_resnet50", ("a", "b")), {}, license="mit")
    >>> card.data.license, card.data.pipeline_tag
    ('mit', 'video-classification')
    """
    scores = {key: float(notes[key]) for key in _SCORES if notes.get(key) is not None}
    protocol = str(notes.get("protocol", "not noted"))
    shown = {
        key: shown_name(value) if key in _NAMES else value
        for key, value in notes.items()
        if key != "teachers"
    }
    if teachers := notes.get("teachers"):
        shown["teachers"] = ", ".join(shown_name(each["model"]) for each in teachers)
    dataset = shown.get("data", "unknown")
    results = [
        EvalResult(
            task_type="video-classification",
            dataset_type=dataset,
            dataset_name=dataset,
            metric_type=metric,
            metric_name=f"{_SCORES[key]}, protocol {protocol}",
            metric_value=round(scores[key], 2),
        )
        for key, metric in _METRICS.items()
        if key in scores
    ]
    data = ModelCardData(
        license=license,
        library_name="mixtconv",
        pipeline_tag="video-classification",
        tags=["action-recognition", "video-classification", spec.name.partition("_")[0]],
        model_name=spec.name,
        eval_results=results or None,
    )
    environment = Environment(
        trim_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined, autoescape=False
    )
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    text = template.render(
        spec=spec,
        data=data,
        papers=papers_of(spec.name),
        trunk=trunk,
        training=[(title, shown[key]) for key, title in _TRAINING.items() if key in shown],
        protocol=protocol,
        scores=[(_SCORES[key], f"{value:.2f} %") for key, value in scores.items()],
        source=f"hf:{repo_id}" if repo_id else "FOLDER",
    )
    return ModelCard(text)


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
