"""`mixtconv report`: a page of runs, its numbers, exit statuses, one line for wrong input."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mixtconv import create_model
from mixtconv.cli.main import main
from mixtconv.models import save_model
from mixtconv.training.fit import train
from mixtconv.training.settings import TrainingSettings

HERE = ["--workers", "0", "--device", "cpu", "--max-clips", "0"]


@pytest.fixture(scope="module")
def runs(tiny_dataset: Path, tmp_path_factory) -> Path:
    """Two finished runs, `tsn` and `mstnet`, with different learning rates."""
    folder = tmp_path_factory.mktemp("runs")
    for family, lr in (("tsn", 1e-3), ("mstnet", 2e-3)):
        train(
            TrainingSettings(
                data=str(tiny_dataset), out=str(folder / family), model=f"{family}_test_resnet",
                weights="none", num_frames=4, image_size=32, epochs=2, batch_size=4, lr=lr,
                workers=0, device="cpu",
            )
        )  # fmt: skip
    return folder


def _words(text: str) -> str:
    body = re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def test_runs_stand_beside_each_other(runs: Path, tmp_path: Path, capsys) -> None:
    page = tmp_path / "new" / "page.html"
    told = ["report", str(runs / "tsn"), str(runs / "mstnet"), "--more-protocols", "[2x1]"]
    where = ["--out", str(page), "--workers", "0", "--device", "cpu", "--format", "json"]
    assert main([*told, *where]) == 0
    told_numbers = json.loads(capsys.readouterr().out)
    assert [run["name"] for run in told_numbers["runs"]] == ["tsn", "mstnet"]
    text = page.read_text()
    words = _words(text)
    for run in told_numbers["runs"]:
        record = json.loads((runs / run["name"] / "metrics.json").read_text())
        assert [score["protocol"] for score in run["scores"]] == ["1x1", "2x1"]
        assert run["scores"][0]["top1"] == pytest.approx(record["best"]["top1"])
        assert run["epochs"] == 2 and run["params"] > 100_000
        for epoch in record["epochs"]:
            assert f"{run['name']} {epoch['epoch']} {epoch['train_loss']:.3f}" in words
        assert 0 <= run["neighbourhood_accuracy"] <= 100
    assert "Scores by protocol" in words and "2x1: 2 clips of 4 frames" in words
    assert "lr 0.001 0.002" in words  # of what differs
    assert re.search(r"image size 32 (?!32)", words)  # of what is alike, once
    assert text.count("Map of the features of") == 2
    assert text.count('class="example"') == 4  # all videos
    assert "Kernels of mstnet" in words and "Kernels of tsn" not in words
    for link in re.findall(r'(?:src|href)="([^"]*)"', text):
        assert link.startswith(("data:", "#"))


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium on the PATH")
def test_a_browser_opens_it_without_errors(runs: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert main(["report", str(runs / "mstnet"), "--out", str(page), *HERE[:4]]) == 0
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
             f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]  # fmt: skip
    done = subprocess.run(
        ["chromium", *flags, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    # its own policy forbids every request, and the browser says in the console what it refused
    assert "default-src 'none'" in done.stdout
    assert "CONSOLE" not in done.stderr, done.stderr
    assert "Map of the features of mstnet" in done.stdout


def test_a_model_without_logs_is_reported_with_what_is_missing(
    runs: Path, tiny_dataset: Path, tmp_path: Path, capsys
) -> None:
    alone = shutil.copy(runs / "mstnet" / "model.safetensors", tmp_path / "mine.safetensors")
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(alone, bare / "model.safetensors")
    page = str(tmp_path / "page.html")
    assert main(["report", str(alone), "--out", page, *HERE]) == 2
    assert "give --data" in capsys.readouterr().err
    told = ["report", str(alone), str(bare), str(runs / "tsn"), "--data", str(tiny_dataset)]
    assert main([*told, "--out", page, *HERE, "--format", "json"]) == 0
    out, err = capsys.readouterr()
    names = [run["name"] for run in json.loads(out)["runs"]]
    assert names == ["mine", "bare", "tsn"]
    words = _words(Path(page).read_text())
    for name in ("mine", "bare"):
        remark = f"{name}: no metrics.json in"
        assert remark in err and remark in words
        assert f"{name}: no config.yaml in" in words
    assert "What is missing" in words and "tsn: no" not in words


def test_an_unfinished_run_says_so(runs: Path, tmp_path: Path, capsys) -> None:
    run = shutil.copytree(runs / "tsn", tmp_path / "half")
    record = json.loads((run / "metrics.json").read_text())
    record["epochs"] = record["epochs"][:1]
    (run / "metrics.json").write_text(json.dumps(record))
    assert main(["report", str(run), "--out", str(tmp_path / "p.html"), *HERE]) == 0
    assert "half: it was trained for 1 of 2 epochs" in capsys.readouterr().err


def test_an_unreadable_video_is_named_and_counts_as_wrong(
    runs: Path, tiny_dataset: Path, tmp_path: Path, capsys
) -> None:
    data = shutil.copytree(tiny_dataset, tmp_path / "data")
    (min((data / "val").iterdir()) / "bad.mp4").write_bytes(b"")
    page = tmp_path / "p.html"
    told = ["report", str(runs / "tsn"), "--data", str(data), "--out", str(page), *HERE]
    assert main(told) == 1
    assert "bad.mp4" in capsys.readouterr().err
    assert "1 of 5 videos cannot be read and count as wrong: bad.mp4" in _words(page.read_text())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["RUNS/tsn", "RUNS/tsn"], "is given twice"),
        (["RUNS/nothing"], "there is no model file"),
        (["RUNS/tsn", "--out", "page.png"], "written as .html"),
        (["RUNS/tsn", "--root", "x"], "give its name as --data"),
        (["RUNS/tsn", "--data", "nowhere"], "nowhere"),
        (["RUNS/tsn", "--more-protocols", "[1x2]"], "1, 3, 5 or 10 crops"),
        (["RUNS/tsn", "--num-examples", "-1"], "--num-examples is -1"),
        (["RUNS/tsn", "OTHER"], "a report compares models of the same classes"),
        (["BROKEN"], "does not hold the record of a run"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(
    words: list[str], says: str, runs: Path, tmp_path: Path, capsys
) -> None:
    save_model(
        create_model("tsn_test_resnet", classes=["jump", "run"]), tmp_path / "model.safetensors"
    )
    broken = shutil.copytree(runs / "tsn", tmp_path / "broken")
    (broken / "metrics.json").write_text('{"epochs": [{"epoch": 1}]}')
    places = {"RUNS": str(runs), "OTHER": str(tmp_path), "BROKEN": str(broken)}
    for name, place in places.items():
        words = [word.replace(name, place) for word in words]
    where = [] if "--out" in words else ["--out", str(tmp_path / "page.html")]
    assert main(["report", *words, *where, *HERE]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert says in error and not (tmp_path / "page.html").exists()


def test_runs_of_one_name_are_told_apart(runs: Path, tmp_path: Path, capsys) -> None:
    for place in ("a", "b"):
        shutil.copytree(runs / "tsn", tmp_path / place / "run")
    told = [
        "report",
        str(tmp_path / "a" / "run"),
        str(tmp_path / "b" / "run" / "model.safetensors"),
    ]
    assert main([*told, "--out", str(tmp_path / "p.html"), *HERE, "--format", "json"]) == 0
    names = [run["name"] for run in json.loads(capsys.readouterr().out)["runs"]]
    assert names == ["a/run", "b/run"]
