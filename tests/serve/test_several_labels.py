"""A model of several labels as a service: the labels that hold, whatever top_k, perhaps none."""

from dataclasses import replace
from pathlib import Path

import pytest

from mixtconv.inference.torch_recognizers import Recognizer
from mixtconv.models import load_model, save_model
from mixtconv.serve.service import open_service


@pytest.mark.parametrize("least", [0.0, 1.0])
def test_labels_that_hold_are_answered(
    least: float, service, running, causal_file: Path, clip: Path, tmp_path: Path
) -> None:
    model = load_model(causal_file)
    model.spec = replace(model.spec, label_thresholds=(least, least, 1.0))
    path = tmp_path / "several.safetensors"
    save_model(model, path, notes={})
    expected = Recognizer(path, device="cpu").predict(clip)
    assert len(expected) == (2 if least == 0 else 0)
    with open_service(str(path), service.settings) as opened, running(opened) as server:
        assert server.client.get("/v1/model").json()["several_labels"] is True
        answer = server.predict(clip, top_k=1).json()["predictions"]
        assert [each["label"] for each in answer] == [each.label for each in expected]
        assert [each["score"] for each in answer] == pytest.approx(
            [each.score for each in expected], abs=1e-5
        )
        timeline = server.timeline(clip, window="1s", merge=True).json()
        assert [len(window["predictions"]) for window in timeline["windows"]] == [
            len(expected)
        ] * len(timeline["windows"])
        assert {each["label"] for each in timeline["segments"]} == {each.label for each in expected}
        assert len(timeline["segments"]) == len(expected)  # merged, each from start to end
