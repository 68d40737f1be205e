"""`mixtconv stream` and `mixtconv convert`: what they print, and how they end."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mixtconv.cli.main import main
from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.models import create_model, load_model, read_metadata, save_model
from mixtconv.video import sources as source_module


@pytest.fixture(scope="module")
def models(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    paths = {}
    for kind in ("centred", "causal"):
        torch.manual_seed(0)
        model = create_model(
            "mstnet_test_resnet",
            classes=load_catalog(tiny_dataset).classes,
            num_frames=4,
            image_size=32,
            causal=kind == "causal",
        )
        paths[kind] = str(folder / f"{kind}.safetensors")
        save_model(model, paths[kind], notes={"top1": 99.0, "val_fraction": 0.3})
    return paths


def test_json_has_a_line_for_every_frame(models, tmp_path, media, capsys):
    video = media.encode(tmp_path / "clip.mp4", media.moving_frames(30))
    words = ["stream", models["causal"], str(video), "--format", "json"]
    assert main([*words, "--top-k", "2"]) == 0
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert [line["frame"] for line in lines] == list(range(30))
    assert lines[25]["seconds"] == pytest.approx(1)
    assert all(len(line["predictions"]) == 2 and line["dropped"] == 0 for line in lines)
    assert "30 frames recognized, 0 dropped" in captured.err
    assert "--fps" in captured.err  # what rate fits the training
    assert main([*words, "--fps", "5"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["frame"] for line in lines] == list(range(0, 30, 5))


def test_for_people_there_is_a_line_a_second_and_at_each_change(models, tmp_path, media, capsys):
    video = media.encode(tmp_path / "clip.mp4", np.zeros((60, 64, 96, 3), np.uint8))
    assert main(["stream", models["causal"], str(video)]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert "label" in header and len(lines) == 3


def test_ctrl_c_ends_cleanly_with_the_counts(models, monkeypatch, capsys):
    class Interrupted(io.BytesIO):
        def read(self, size=-1):
            if self.tell() >= 3 * size:
                raise KeyboardInterrupt
            return super().read(size)

    stdin = SimpleNamespace(buffer=Interrupted(bytes(5 * 40 * 40 * 3)))
    monkeypatch.setattr(source_module.sys, "stdin", stdin)
    words = ["stream", models["causal"], "-", "--input-size", "40x40", "--format", "json"]
    assert main(words) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 3
    assert "3 frames recognized, 0 dropped" in captured.err


def test_a_source_that_breaks_off_ends_with_1_and_what_was_seen(models, monkeypatch, capsys):
    stdin = SimpleNamespace(buffer=io.BytesIO(bytes(2 * 40 * 40 * 3 + 7)))
    monkeypatch.setattr(source_module.sys, "stdin", stdin)
    words = ["stream", models["causal"], "-", "--input-size", "40x40", "--format", "json"]
    assert main(words) == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    assert "in the middle of frame 2" in captured.err
    assert "2 frames recognized" in captured.err


@pytest.mark.parametrize(
    ("model", "source", "says"),
    [
        ("centred", "camera:0", "mixtconv convert MODEL --causal --out FILE"),
        ("causal", "camera:77", "camera:77 cannot be opened"),
        ("causal", "nowhere.mp4", "there is no such file"),
        ("causal", "rtsp://127.0.0.1:9/x", "cannot be opened"),
        ("causal", "-", "--input-size is None"),
    ],
)
def test_what_cannot_be_used_ends_with_2_and_one_line(models, model, source, says, capsys):
    assert main(["stream", models[model], source]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.strip().splitlines()) == 1
    assert says in captured.err


def test_convert_makes_a_causal_model_and_says_what_it_lost(
    models, tiny_dataset, tmp_path, media, capsys
):
    out = str(tmp_path / "causal.safetensors")
    words = ["convert", models["centred"], "--causal", "--out", out]
    assert main([*words, "--data", str(tiny_dataset), "--workers", "0", "--format", "json"]) == 0
    captured = capsys.readouterr()
    printed = json.loads(captured.out)
    assert printed["before"]["num_videos"] == printed["after"]["num_videos"] == 4
    assert "must be fine-tuned" in captured.err and f"--weights {out}" in captured.err
    assert load_model(out).spec.causal
    notes = read_metadata(out)["notes"]
    assert notes == {"val_fraction": 0.3, "made_causal_from": models["centred"]}
    assert main([*words, "--data", str(tiny_dataset), "--workers", "0"]) == 0
    captured = capsys.readouterr()
    assert "before" in captured.out and "points of top-1" in captured.err
    video = media.encode(tmp_path / "clip.mp4", media.moving_frames(3))
    assert main(["stream", out, str(video)]) == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["causal", "--causal", "--out", "x"], "is causal already"),
        (["centred", "--out", "x"], "give the kind of model to convert to: --causal"),
    ],
)
def test_what_cannot_be_converted_ends_with_2(models, words, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["convert", models[words[0]], *words[1:]]) == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    same = models["centred"]
    assert main(["convert", same, "--causal", "--out", same]) == 2
    assert "the model itself" in capsys.readouterr().err
