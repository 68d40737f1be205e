"""Training on clips of recordings whose frames have labels of their own."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.data.transforms import center_crop
from mixtconv.evaluation.scoring import ScoredFrames, join_frames
from mixtconv.models import create_model, load_model, read_metadata
from mixtconv.training.fit import train
from mixtconv.training.loss import ClipLoss, label_counts
from mixtconv.training.plan import fingerprint, plan_run
from mixtconv.video.pictures import Unreadable

LABELS = ["Moving something up", "Moving something down"]
CLIP = {"num_frames": 4, "frame_stride": 6}


@pytest.fixture(scope="module")
def data(tiny_recordings: Path) -> Path:
    return tiny_recordings


@pytest.fixture
def settings(data, tiny_settings):
    return tiny_settings(data=str(data), frame_labels=True, epochs=1, modality="rgb", **CLIP)


def test_a_run_scores_frames_and_its_model_file_knows_their_rate(settings, data, media) -> None:
    """The scores of validation are computed here from the pictures of the held-out recordings."""
    result = train(settings)
    notes = read_metadata(result.files.model)["notes"]
    assert notes["frame_labels"] is True
    assert notes["events"] == {"times": {"fps": 4.0}}
    model = load_model(result.files.model).eval()
    assert model.spec.classes == (*sorted(LABELS), "background")
    spans: dict[Path, list[tuple[int, float, float]]] = {}
    for sample in load_catalog(data).val:
        span = sample.label, float(sample.span.start), float(sample.span.end)
        spans.setdefault(sample.path, []).append(span)
    assert len(spans) == 2
    hits, total = 0, 0
    for path, stretches in spans.items():
        pictures = media.decode_all(path)
        for start in range(0, len(pictures) // 24 * 24, 24):  # a second, of four frames
            numbers = [start + 6 * n for n in range(4)]
            clip = np.stack([pictures[number] for number in numbers]).transpose(0, 3, 1, 2)
            [frames] = center_crop(torch.from_numpy(np.ascontiguousarray(clip)), 32)
            with torch.inference_mode():
                best = model.forward_frames(model.normalize(frames[None]))[0].argmax(dim=1).tolist()
            for number, label in zip(numbers, best, strict=True):
                held = sorted(k for k, begin, end in stretches if begin <= number / 24 < end) or [2]
                hits += label == held[0]
                total += 1
    assert result.best.top1 == pytest.approx(100 * hits / total)


def test_a_run_that_was_stopped_ends_with_the_same_weights(settings, tmp_path) -> None:
    whole = train(replace(settings, epochs=2, out=str(tmp_path / "whole")))
    part = replace(settings, epochs=2, out=str(tmp_path / "part"))
    stopped = train(replace(part, minutes=1e-9))
    assert len(stopped.epochs) == 1 and stopped.epochs[0].part < 1
    resumed = train(replace(part, resume=True))
    for key, value in load_model(whole.files.model).state_dict().items():
        assert torch.equal(load_model(resumed.files.model).state_dict()[key], value), key


def test_the_loss_is_the_mean_cross_entropy_of_frames(settings) -> None:
    torch.manual_seed(0)
    model = create_model(
        "mstnet_test_resnet", num_classes=3, num_frames=4, image_size=32, dropout=0.0
    ).eval()
    clips = torch.randint(0, 256, (2, 4, 3, 32, 32), dtype=torch.uint8)
    targets = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]]).expand(2, 4, 3)
    loss = ClipLoss(settings, (), model.spec)(model, clips, targets)
    logits = model.forward_frames(model.normalize(clips)).detach()
    expected = [
        sum(-float(share * logit) for share, logit in zip(t, row.log_softmax(0), strict=True))
        for clip, truth in zip(logits, targets, strict=True)
        for row, t in zip(clip, truth, strict=True)
    ]
    assert float(loss) == pytest.approx(float(np.mean(expected)), rel=1e-5)
    assert F.cross_entropy(logits[0], targets[0]) > 0


def test_weights_go_by_the_square_root_of_the_seconds_of_each_class(settings) -> None:
    samples = plan_run(settings).catalog.train
    spec = create_model("mstnet_test_resnet", classes=[*sorted(LABELS), "background"]).spec
    step, seconds = 1 / 240, np.zeros(3)
    for recording in {id(each.annotated): each.annotated for each in samples}.values():
        for moment in np.arange(0, float(recording.seconds), step) + step / 2:
            held = {e.label for e in recording.stretches if e.start <= moment < e.end} or {2}
            seconds[list(held)] += step
    np.testing.assert_allclose(label_counts(samples, spec), seconds, atol=0.1)
    weights = ClipLoss(replace(settings, balance="weights"), samples, spec).of_logits.keywords[
        "weights"
    ]
    ratios = weights.numpy() * np.sqrt(seconds)
    np.testing.assert_allclose(ratios, ratios[0], rtol=0.02)
    assert (weights.numpy() * seconds).sum() / seconds.sum() == pytest.approx(1, rel=0.02)


def test_a_part_that_cannot_be_read_counts_as_wrong(settings) -> None:
    samples = plan_run(settings).catalog.val[:3]
    logits = torch.eye(3)[None].expand(1, 3, 3)
    read = ScoredFrames(torch.tensor([1]), logits, torch.tensor([[0, 1, 1]]), {})
    lost = Unreadable(samples[0].video, "damaged")
    nothing = torch.empty(0).long(), torch.empty(0, 3, 3), torch.empty(0, 3).long()
    others = ScoredFrames(*nothing, {0: lost, 2: lost})
    scores = join_frames([others, read], samples, 3)
    assert scores.labels.tolist() == [samples[0].label, 0, 1, 1, samples[2].label]
    assert sorted(scores.unreadable) == [0, 4]
    assert scores.accuracy().top1 == pytest.approx(100 * 2 / 5)


def test_another_annotation_is_another_run(settings, data, tmp_path) -> None:
    moved = tmp_path / "moved.csv"
    head, first, *rest = data.read_text().splitlines()
    path, label, start, end, split = first.split(",")
    changed = f"{path},{label},{start},{float(end) + 0.125},{split}"
    lines = [line.replace("recordings/", f"{data.parent}/recordings/") for line in (changed, *rest)]
    moved.write_text("\n".join([head, *lines]))
    prints = {
        fingerprint(plan_run(replace(settings, data=str(each))).catalog) for each in (data, moved)
    }
    assert len(prints) == 2


def test_rare_actions_are_drawn_as_often_as_nothing(settings) -> None:
    from mixtconv.training.data import epoch_sampler

    plan = plan_run(replace(settings, balance="sampler"))
    labels = [sample.label for sample in plan.catalog.train]
    assert labels.count(2) > len(labels) / 3  # most of the time is nothing
    drawn = [labels[key.number] for key in epoch_sampler(plan.catalog.train, plan.settings)]
    counts = [drawn.count(label) for label in sorted(set(labels))]
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixup": 0.2}, "--mixup is 0.2, and with --frame-labels"),
        ({"train": "head"}, "--train is head, and with --frame-labels"),
        ({"background": 1.0}, "--background is 1.0, and with --frame-labels"),
        ({"sampling": "segment"}, "--sampling is segment.*give dense, or leave it out"),
        ({"protocol": "2x3"}, "--protocol is 2x3.*give 1x1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        replace(settings, **changes)


def test_whole_videos_and_models_of_whole_clips_are_refused(settings, tiny_dataset) -> None:
    with pytest.raises(ValueError, match="is one clip as a whole: give a list"):
        plan_run(replace(settings, data=str(tiny_dataset)))
    with pytest.raises(ValueError, match="needs a model that scores each frame, and trn"):
        train(replace(settings, model="trn_test_resnet"))


def test_it_is_said_what_an_epoch_is(settings, caplog) -> None:
    with caplog.at_level(logging.INFO):
        plan = plan_run(settings)
    assert (
        f"2 recordings in {len(plan.catalog.train)} clips of 1 s, 4 frames a second" in caplog.text
    )
    assert json.dumps(plan.event_note) == '{"times": {"fps": 4.0}}'
