"""Features before the last layer agree with the scores that the last layer makes of them."""

from pathlib import Path

import pytest
import torch

from mixtconv import create_model
from mixtconv.data.datasets.catalog import load_labelled_videos
from mixtconv.data.protocol import Protocol
from mixtconv.evaluation.scoring import score_videos, video_features


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
    views = Protocol.parse(protocol)
    scores = score_videos(model, samples, protocol=views)
    for batch_size in (1, 5):
        result = video_features(model, samples, protocol=views, batch_size=batch_size)
        assert result.indices.tolist() == [0, 1, 2, *range(4, 12)]
        assert result.unreadable == scores.unreadable and len(result.unreadable) == 1
        with torch.no_grad():
            logits = model.head(result.features)
        assert torch.allclose(logits, scores.logits[result.indices], atol=1e-4)


def test_mirrored_views_are_left_out_and_snippets_are_taken(tiny_dataset: Path) -> None:
    names = sorted(folder.name for folder in (tiny_dataset / "val").iterdir())
    samples = load_labelled_videos(tiny_dataset, classes=names, split="val")
    model = create_model("tsn_test_resnet", classes=names, num_frames=4, image_size=32).eval()
    ten, five = (video_features(model, samples, protocol=Protocol(1, n)) for n in (10, 5))
    assert torch.allclose(ten.features, five.features, atol=1e-5)
    snippets = Protocol(4, 1, "snippets")
    scores = score_videos(model, samples, protocol=snippets)
    result = video_features(model, samples, protocol=snippets)
    with torch.no_grad():
        assert torch.allclose(model.head(result.features), scores.logits, atol=1e-4)
