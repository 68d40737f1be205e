"""A saved folder in transformers: the pipeline gives the labels of `Recognizer`."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import mixtconv

transformers = pytest.importorskip("transformers")

VIDEO = np.random.default_rng(0).integers(0, 256, (9, 40, 48, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=["one", "several"])
def folder(request, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = mixtconv.create_model(
        "mstnet_test_resnet",
        classes=["walk", "wave", "jump"],
        num_frames=4,
        image_size=32,
        label_thresholds=(0.01,) * 3 if request.param == "several" else None,
    ).eval()
    path = tmp_path_factory.mktemp("shared") / request.param
    model.save_pretrained(path, license="apache-2.0")
    return path


def test_the_pipeline_gives_the_labels_of_the_recognizer(folder: Path, media, tmp_path) -> None:
    video = media.encode(tmp_path / "a.mp4", VIDEO)
    classify = transformers.pipeline(
        "video-classification", model=str(folder), trust_remote_code=True
    )
    labels = mixtconv.Recognizer(folder).predict(video, top_k=3)
    scores = {each.label: each.score for each in labels}
    found = classify(str(video), top_k=3)
    assert {each["label"]: each["score"] for each in found} == pytest.approx(scores, abs=1e-6)
    assert [each["label"] for each in found] == [each.label for each in labels]
    assert [each[0]["label"] for each in classify([str(video)] * 2, top_k=1)] == (
        [found[0]["label"]] * 2
    )
    with pytest.raises(ValueError, match="num_frames is 16; the model takes 4"):
        classify(str(video), num_frames=16)


def test_the_auto_classes_load_it_and_it_can_be_trained_on(folder: Path, tmp_path: Path) -> None:
    load = transformers.AutoModelForVideoClassification.from_pretrained
    model = load(folder, trust_remote_code=True)
    process = transformers.AutoVideoProcessor.from_pretrained(folder, trust_remote_code=True)
    clips = process([VIDEO, torch.from_numpy(VIDEO)], return_tensors="pt")["pixel_values"]
    assert clips.shape == (2, 4, 3, 32, 32)
    own = mixtconv.load_model(folder)
    several = own.spec.several_labels
    labels = torch.tensor([[1.0, 0, 1]] * 2) if several else torch.tensor([2, 0])
    result = model(pixel_values=clips, labels=labels)
    logits = own(own.normalize(clips))
    assert torch.equal(result.logits, logits)
    loss = F.binary_cross_entropy_with_logits if several else F.cross_entropy
    assert torch.equal(result.loss, loss(logits, labels))
    assert model.config.id2label == {0: "walk", 1: "wave", 2: "jump"}
    model.save_pretrained(tmp_path / "again")
    again = load(tmp_path / "again", trust_remote_code=True)
    assert torch.equal(again(clips).logits, logits)


def test_checkpoints_of_a_trainer_are_those_of_the_recognizer(folder: Path, tmp_path: Path) -> None:
    """`Trainer` loads what `save_pretrained` wrote by `load_state_dict(..., strict=False)`."""
    model = transformers.AutoModelForVideoClassification.from_pretrained(
        folder, trust_remote_code=True
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    after = {name: value.clone() for name, value in model.state_dict().items()}
    model.save_pretrained(tmp_path / "checkpoint")
    model.load_state_dict(before)
    missed = model.load_state_dict(
        load_file(tmp_path / "checkpoint" / "model.safetensors"), strict=False
    )
    assert not missed.missing_keys and not missed.unexpected_keys
    for name, value in model.state_dict().items():
        assert torch.equal(value, after[name]), name
    model.save_pretrained(tmp_path / "zeros", state_dict=before)
    saved = mixtconv.load_model(tmp_path / "zeros").state_dict()
    assert all(torch.equal(saved[name], value) for name, value in before.items())


def test_what_transformers_asks_for_is_done_or_refused(folder: Path, tmp_path: Path) -> None:
    load = transformers.AutoModelForVideoClassification.from_pretrained
    model = load(folder, trust_remote_code=True, dtype="bfloat16")
    assert model.dtype == torch.bfloat16
    with pytest.raises(ValueError, match="num_labels is 5 and the model has 3 classes"):
        load(folder, trust_remote_code=True, num_labels=5)
    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=True)
    fresh = transformers.AutoModelForVideoClassification.from_config(config, trust_remote_code=True)
    assert fresh.recognizer.spec == mixtconv.load_model(folder).spec
    config.id2label = {0: "x", 1: "y", 2: "z"}
    renamed = load(folder, config=config, trust_remote_code=True)
    renamed.save_pretrained(tmp_path / "renamed")
    assert mixtconv.load_model(tmp_path / "renamed").spec.classes == ("x", "y", "z")
    with pytest.raises(ValueError, match="a shared model needs a license"):
        renamed.push_to_hub("me/model")
