"""`mixtconv prepare`: what it prints, how it ends, and that training takes what it wrote."""

import json
import shutil
from pathlib import Path

import pytest

from mixtconv.cli.main import main

SMALL = ["--short-side", "16", "--crf", "40", "--workers", "1"]


@pytest.fixture
def data(tiny_dataset: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for split in ("train", "val"):
        for source in sorted((tiny_dataset / split).iterdir()):
            (folder / split / source.name).mkdir(parents=True)
            shutil.copyfile(source / "00000.mp4", folder / split / source.name / "0.mp4")
    return folder


def test_json_goes_to_standard_output_alone(data: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    command = ["prepare", str(data), "--out", str(out), *SMALL, "--format", "json"]
    assert main(command) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["data"], first["num_prepared"], first["num_kept"]) == (str(out), 8, 0)
    assert first["unreadable"] == [] and first["notes"] == []
    assert first["bytes_before"] > 0 and first["bytes_after"] > 0
    bad = min((data / "train").iterdir()) / "0.mp4"
    bad.write_text("words")
    (data / "train" / "loose.txt").write_text("not taken")
    assert main(command) == 1
    captured = capsys.readouterr()
    second = json.loads(captured.out)
    assert (second["num_prepared"], second["num_kept"]) == (0, 7)
    (entry,) = second["unreadable"]
    assert entry["path"] == str(bad) and "not a video" in entry["reason"]
    assert "loose.txt" in captured.err


def test_a_table_names_what_cannot_be_read(data: Path, tmp_path: Path, capsys) -> None:
    (min((data / "val").iterdir()) / "1.avi").write_bytes(b"")
    assert main(["prepare", str(data), "--out", str(tmp_path / "out"), *SMALL]) == 1
    captured = capsys.readouterr()
    assert "1.avi" in captured.out and "0 bytes" in captured.out
    assert str(tmp_path / "out") in captured.out
    assert captured.err == ""


def test_training_takes_what_was_prepared(data: Path, tmp_path: Path, capsys) -> None:
    assert main(["prepare", str(data), "--out", str(tmp_path / "out"), *SMALL]) == 0
    for name, folder in (("raw", data), ("prepared", tmp_path / "out")):
        words = ["--model", "tsn_test_resnet", "--weights", "none", "--num-frames", "2"]
        words += ["--image-size", "16", "--epochs", "1", "--batch-size", "4", "--workers", "0"]
        words += ["--device", "cpu", "--out", str(tmp_path / name), "--format", "json"]
        capsys.readouterr()
        assert main(["train", str(folder), *words]) == 0
        record = json.loads((tmp_path / name / "metrics.json").read_text())
        assert (record["num_train"], record["num_val"]) == (4, 4)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere", "--out", "out"], "neither a folder nor a file"),
        (["data", "--out", "data/out"], "is in data"),
        (["data", "--out", "out", "--short-side", "33"], "--short-side is 33; give an even number"),
        (["data", "--out", "out", "--keyframe-distance", "0"], "--keyframe-distance is 0"),
        (["data", "--out", "out", "--workers", "0"], "--workers is 0; give 1 or more"),
        (["data"], "missing: --out"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    words: list[str], says: str, data: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(data.parent)
    assert main(["prepare", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert says in captured.err
    assert [entry.name for entry in data.parent.iterdir()] == ["data"]
