"""`mixtconv visualize`: files and numbers, exit statuses, one line for what cannot be used."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mixtconv import create_model
from mixtconv.cli.main import main
from mixtconv.models import save_model


@pytest.fixture(scope="module")
def model(tiny_dataset: Path, tmp_path_factory) -> str:
    names = sorted(folder.name for folder in (tiny_dataset / "val").iterdir())
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    untrained = create_model("mstnet_test_resnet", classes=names, num_frames=4, image_size=64)
    save_model(untrained, path)
    return str(path)


def test_every_subject_writes_its_picture_and_prints_numbers(
    model: str, tiny_dataset: Path, tmp_path: Path, capsys
) -> None:
    data, video = str(tiny_dataset), str(min(tiny_dataset.rglob("*.mp4")))
    here = ["--workers", "0", "--device", "cpu"]
    for words in (
        ["kernels", model, "--out", "k.svg"],
        ["tsne", model, data, *here, "--out", "t.html"],
        ["cam", model, video, "--device", "cpu", "--out", "c.mp4"],
        ["confusion", model, data, *here, "--out", "m.html"],
        ["predictions", model, data, *here, "--num-right", "1", "--out", "p.png"],
        ["sample", data, "--num-frames", "4", "--image-size", "32", "--out", "s.png"],
    ):
        out = tmp_path / words[-1]
        assert main(["visualize", *words[:-1], str(out), "--format", "json"]) == 0
        numbers = json.loads(capsys.readouterr().out)
        assert numbers["files"] == [str(out)] and numbers["unreadable"] == []
        assert out.stat().st_size > 1000
        assert len(numbers) > 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["kernels", "MODEL", "--out", "k.gif"], "written as .png or .svg"),
        (["kernels", "MODEL", "--out", "k.html"], "written as .png or .svg"),
        (["cam", "MODEL", "DATA/val", "--out", "c.mp4"], "written as .png or .svg"),
        (["tsne", "MODEL", "DATA", "--out", "t.mp4"], "written as .png, .svg or .html"),
        (["tsne", "MODEL", "DATA", "--perplexity", "0"], "--perplexity is 0"),
        (["tsne", "MODEL", "DATA", "--max-clips", "0"], "--max-clips is 0"),
        (["tsne", "MODEL", "MODEL", "DATA"], "is given twice"),
        (["kernels", "MODEL", "--out", "MODEL/k.png"], "model.safetensors is a file"),
        (["tsne", "MODEL", "DATA", "--batch-size", "0"], "--batch-size is 0"),
        (["confusion", "MODEL"], "not a scores file"),
        (["confusion", "nowhere"], "there is no scores file nowhere"),
        (["sample", "DATA", "--epoch=-1"], "--epoch is -1"),
        (["sample", "DATA", "--out", "folder"], "written as .png or .svg"),
        (["predictions", "MODEL", "DATA", "--num-wrong", "0", "--num-right", "0"], "not both 0"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(
    words: list[str], says: str, model: str, tiny_dataset: Path, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    known = {"MODEL": model, "DATA": str(tiny_dataset)}
    for name, place in known.items():
        words = [word.replace(name, place) for word in words]
    assert main(["visualize", *words]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_unreadable_video_is_named_and_the_picture_made(
    model: str, tiny_dataset: Path, tmp_path: Path, capsys
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"")
    good = str(min(tiny_dataset.rglob("*.mp4")))
    out = tmp_path / "c.png"
    assert main(["visualize", "cam", model, good, str(bad), "--out", str(out)]) == 1
    assert "bad.mp4" in capsys.readouterr().err and out.exists()


def test_no_display_is_needed(model: str, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "DISPLAY"}
    done = subprocess.run(
        [sys.executable, "-m", "mixtconv", "visualize", "kernels", model,
         "--out", str(tmp_path / "k.png")],
        env=environment | {"MPLBACKEND": "TkAgg"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "k.png").exists()


def test_subjects_are_listed(capsys) -> None:
    assert main(["visualize"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("kernels", "tsne", "cam", "confusion", "sample"))
