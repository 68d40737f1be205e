"""The demonstration, start to end, with a handful of videos."""

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from mixtconv.reporting import demo
from mixtconv.reporting.demo import DemoScale, run_demo


def _no_bar(name: str) -> AbstractContextManager:
    return nullcontext(lambda done, total: None)


def test_three_models_are_trained_scored_and_reported(tmp_path: Path, monkeypatch) -> None:
    tiny = DemoScale(
        class_pairs=1, train_clips=2, val_clips=2, image_size=32, epochs=1, batch_size=4, lr=4e-3
    )
    monkeypatch.setattr(demo, "QUICK", tiny)
    out = tmp_path / "demo"
    result = run_demo(out, quick=True, workers=1, device="cpu", progress=_no_bar)
    assert [model.model.partition("_")[0] for model in result.models] == ["tsn", "tsm", "mstnet"]
    summary = json.loads(result.results.read_text())
    assert summary["num_classes"] == 2 and summary["quick"]
    page = result.report.read_text()
    for model, family in zip(result.models, ("tsn", "tsm", "mstnet"), strict=True):
        best = json.loads((out / family / "metrics.json").read_text())["best"]
        assert model.top1 == best["top1"]
    for words in ("TSN", "TSM", "MSTNet", "reverse in time", "training videos of a class"):
        assert words in page
    assert page.count("Map of the features of") == 3
    with pytest.raises(ValueError, match="is not empty"):
        run_demo(out, quick=True, progress=_no_bar)
