"""Labels and embeddings of many videos as files, and lists in Parquet."""

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch

from mixtconv.cli.main import main
from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.data.datasets.scanning import list_videos
from mixtconv.inference.embeddings import load_embeddings
from mixtconv.inference.predicting import Prediction, VideoPrediction
from mixtconv.inference.prediction_tables import write_predictions
from mixtconv.inference.torch_recognizers import Recognizer
from mixtconv.models import create_model, load_model, save_model


@pytest.fixture(scope="module")
def model(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    names = load_catalog(tiny_dataset).classes
    model = create_model("mstnet_test_resnet", classes=names, num_frames=4, image_size=32)
    torch.nn.init.normal_(model.head.weight)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(model, path)
    return path


def test_tables_of_labels_hold_the_same(
    model: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "damaged.mp4").write_bytes(b"no video")
    files = [tmp_path / f"labels{suffix}" for suffix in (".csv", ".parquet", ".json", ".jsonl")]
    words = ["predict", str(model), str(tiny_dataset / "val"), str(tmp_path / "damaged.mp4")]
    out = ",".join(map(str, files))
    assert main([*words, "--top-k", "2", "--out", out, "--format", "json"]) == 1
    answers = json.loads(capsys.readouterr().out)
    assert json.loads(files[2].read_text()) == answers
    assert [json.loads(line) for line in files[3].read_text().splitlines()] == answers
    with files[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = pyarrow.parquet.read_table(files[1]).to_pylist()
    for row, cells, answer in zip(table, rows, answers, strict=True):
        assert (
            list(row) == list(cells) == ["video", "label", "score", "label_2", "score_2", "error"]
        )
        found = answer["predictions"] or [{"label": None, "score": None}] * 2
        assert (row["label"], row["score"]) == (found[0]["label"], found[0]["score"])
        assert (row["label_2"], row["score_2"]) == (found[1]["label"], found[1]["score"])
        assert row["error"] == answer.get("error") and cells["error"] == answer.get("error", "")
        assert cells["label"] == (row["label"] or "")
    assert rows[-1]["video"] == "damaged.mp4"  # from the folder of the table
    assert rows[0]["video"] == answers[0]["source"]


def test_a_table_of_labels_is_a_list_to_train_on(
    model: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    files = [tmp_path / "labels.csv", tmp_path / "labels.parquet"]
    out = ",".join(map(str, files))
    videos = str(tiny_dataset / "train")
    assert main(["predict", str(model), videos, "--out", out, "--format", "json"]) == 0
    expected = {
        path: Recognizer(model).predict(path)[0].label
        for path in (tiny_dataset / "train").rglob("*.mp4")
    }
    for file in files:
        assert {each.path: each.class_name for each in list_videos(file).videos} == expected


def test_several_labels_are_joined(
    model: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    several = load_model(model)
    several.spec = replace(several.spec, label_thresholds=(0.4,) * 4)
    save_model(several, tmp_path / "several.safetensors")
    words = ["predict", str(tmp_path / "several.safetensors"), str(tiny_dataset / "val")]
    table = tmp_path / "labels.csv"
    assert main([*words, "--out", str(table), "--format", "json"]) == 0
    answers = json.loads(capsys.readouterr().out)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["labels"].split("|") if row["labels"] else [] for row in rows] == [
        [each["label"] for each in answer["predictions"]] for answer in answers
    ]
    assert any("|" in row["labels"] for row in rows)


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_the_nearest_video_of_a_video_is_itself(
    model: Path,
    tiny_dataset: Path,
    tmp_path: Path,
    suffix: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / f"vectors{suffix}"
    (tmp_path / "damaged.mp4").write_bytes(b"no video")
    folder = str(tiny_dataset / "train")
    words = ["embed", str(model), folder, str(tmp_path / "damaged.mp4"), "--out", str(file)]
    assert main([*words, "--format", "json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["videos"], len(said["unreadable"])) == (12, 1)
    known = load_embeddings(file)
    np.testing.assert_allclose(np.linalg.norm(known.vectors, axis=1), 1, rtol=1e-5)
    assert main(["search", str(file), folder, "--top-k", "3", "--format", "json"]) == 0
    for answer in json.loads(capsys.readouterr().out):
        vector = known.vectors[known.videos.index(answer["source"])]
        plain = sorted(
            (-float(vector @ row), name)
            for row, name in zip(known.vectors, known.videos, strict=True)
        )[:3]
        assert answer["nearest"][0]["video"] == answer["source"]
        found = [each["similarity"] for each in answer["nearest"]]
        assert found == pytest.approx([-value for value, _ in plain], abs=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict", "M", "D", "--out", "a.txt"], "of labels of videos one of .csv, .json"),
        (["embed", "M", "D", "--out", "a.csv"], "end in .parquet or .npz"),
        (["embed", "model.onnx", "D", "--out", "a.npz"], "gives no features"),
        (["search", "gone.npz", "D"], "there is no such file; mixtconv embed writes one"),
        (["search", "B", "D"], "holds no embeddings, or is damaged"),
        (["check", "P"], "is not a Parquet file"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    words: list[str],
    message: str,
    model: Path,
    tiny_dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.npz").write_bytes(b"nothing")
    Path("bad.parquet").write_bytes(b"nothing")
    places = {"M": str(model), "D": str(tiny_dataset), "B": "bad.npz", "P": "bad.parquet"}
    assert main([places.get(word, word) for word in words]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line


def test_parquet_without_pyarrow_is_refused_before_the_work(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    for command, other in (("predict", ".csv and .jsonl need nothing"), ("embed", ".npz needs")):
        words = [command, str(model), "gone.mp4", "--out", str(tmp_path / "a.parquet")]
        assert main(words) == 2
        told = capsys.readouterr().err
        assert "needs pyarrow, which is not installed: pip install pyarrow\n" in told
        assert other in told


def test_columns_of_a_parquet_file_have_one_type_whatever_they_hold(tmp_path: Path) -> None:
    one, other = tmp_path / "one.parquet", tmp_path / "other.parquet"
    write_predictions([VideoPrediction("a.mp4", (Prediction("wave", 0.5),))], one)
    write_predictions([VideoPrediction("b.mp4", (), error="damaged")], other)
    tables = [pyarrow.parquet.read_table(path) for path in (one, other)]
    assert tables[0].schema.types == tables[1].schema.types
    joined = pyarrow.concat_tables(tables).to_pylist()
    assert [row["score"] for row in joined] == [0.5, None]
    assert [row["error"] for row in joined] == [None, "damaged"]
