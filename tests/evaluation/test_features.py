"""Features before the last layer agree with the scores that the last layer makes of them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mixtconv import create_model
from mixtconv.data.datasets.catalog import load_labelled_videos
from mixtconv.data.protocol import PROTOCOLS, Protocol
from mixtconv.evaluation.scoring import score_videos, video_features
from mixtconv.evaluation.settings import EvaluationSettings


@pytest.mark.parametrize("protocol", ["1x1", "2x3"])
def test_the_last_layer_makes_the_scores_of_them(
    tiny_dataset: Path, tmp_path: Path, protocol: str
) -> None:
    names = sorted(folder.name for folder in (tiny_dataset / "val").iterdir())
    samples = list(load_labelled_videos(tiny_dataset, classes=names, split="train"))
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"")
    samples[3] = type(samples[3])(bad, samples[3].label)
    model = create_model("mstnet_test_resnet", classes=names, num_frames=4, image_size=32).eval()
    settings = EvaluationSettings(protocol=protocol, workers=0)
    scores = score_videos(model, samples, settings)
    for batch_size in (1, 5):
        result = video_features(model, samples, replace(settings, batch_size=batch_size))
        assert result.indices.tolist() == [0, 1, 2, *range(4, 12)]
        assert result.unreadable == scores.unreadable and len(result.unreadable) == 1
        with torch.no_grad():
            logits = model.head(result.features)
        assert torch.allclose(logits, scores.logits[result.indices], atol=1e-4)


def test_mirrored_views_are_left_out_and_snippets_are_taken(
    tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROTOCOLS, "snippets", Protocol(4, 1, "snippets"))
    names = sorted(folder.name for folder in (tiny_dataset / "val").iterdir())
    samples = load_labelled_videos(tiny_dataset, classes=names, split="val")
    model = create_model("tsn_test_resnet", classes=names, num_frames=4, image_size=32).eval()
    ten, five, snippets = (
        EvaluationSettings(protocol=name, workers=0) for name in ("1x10", "1x5", "snippets")
    )
    with_mirrored, upright = (video_features(model, samples, views) for views in (ten, five))
    assert torch.allclose(with_mirrored.features, upright.features, atol=1e-5)
    scores = score_videos(model, samples, snippets)
    result = video_features(model, samples, snippets)
    with torch.no_grad():
        assert torch.allclose(model.head(result.features), scores.logits, atol=1e-4)
