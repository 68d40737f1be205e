"""`mixtconv report`: a page of runs, its numbers, exit statuses, one line for wrong input."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from safetensors import safe_open
from safetensors.torch import save_file

from mixtconv import create_model
from mixtconv.cli.main import main
from mixtconv.models import load_model, save_model
from mixtconv.training.fit import train
from mixtconv.training.plan import training_catalog
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


def test_runs_are_shown_side_by_side(runs: Path, tmp_path: Path, capsys) -> None:
    page = tmp_path / "new" / "page.html"
    command = ["report", str(runs / "tsn"), str(runs / "mstnet"), "--more-protocols", "[2x1]"]
    where = ["--out", str(page), "--workers", "0", "--device", "cpu", "--format", "json"]
    assert main([*command, *where]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [run["name"] for run in printed["runs"]] == ["tsn", "mstnet"]
    assert printed["events"] == []  # of clips, not of recordings
    text = page.read_text()
    words = _words(text)
    for run in printed["runs"]:
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
    command = ["report", str(alone), str(bare), str(runs / "tsn"), "--data", str(tiny_dataset)]
    assert main([*command, "--out", page, *HERE, "--format", "json"]) == 0
    out, err = capsys.readouterr()
    names = [run["name"] for run in json.loads(out)["runs"]]
    assert names == ["mine", "bare", "tsn"]
    words = _words(Path(page).read_text())
    for remark in (
        "mine: a model file alone: its settings and learning curves are not known",
        f"bare: no metrics.json in {bare}: its learning curves are not known",
        f"bare: no config.yaml in {bare}: its settings are not known",
    ):
        assert remark in err and remark in words
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
    command = ["report", str(runs / "tsn"), "--data", str(data), "--out", str(page), *HERE]
    assert main(command) == 1
    assert "bad.mp4" in capsys.readouterr().err
    words = _words(page.read_text())
    assert "1 of 5 videos cannot be read; they count as wrong" in words and "bad.mp4" in words
    assert "Of 5 clips of" in words  # as many as the score is about


def _write_faulty(kind: str, runs: Path, folder: Path) -> None:
    """Write a run that has one fault, named for it."""
    place = folder / kind.lower()
    if kind in ("OTHER", "TURNED"):
        names = load_model(runs / "tsn").spec.classes if kind == "TURNED" else ("run", "jump")
        save_model(
            create_model("tsn_test_resnet", classes=names[::-1]), place / "model.safetensors"
        )
    elif kind in ("BROKEN", "GONE", "TWISTED", "DIVERGED"):
        shutil.copytree(runs / "tsn", place)
    if kind == "BROKEN":
        (place / "metrics.json").write_text('{"epochs": [{"epoch": 1}]}')
    if kind == "TWISTED":
        (place / "config.yaml").write_text("[1, 2]")
    if kind == "GONE":
        config = yaml.safe_load((place / "config.yaml").read_text())
        (place / "config.yaml").write_text(yaml.safe_dump(config | {"data": "nowhere/at/all"}))
    if kind == "DIVERGED":
        with safe_open(place / "model.safetensors", framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
        tensors["head.weight"].fill_(float("nan"))
        save_file(tensors, place / "model.safetensors", metadata=metadata)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["RUNS/tsn", "RUNS/tsn"], "is given twice"),
        (["RUNS/nothing"], "there is no model file"),
        (["RUNS/tsn", "--out", "page.png"], "written as .html"),
        (["RUNS/tsn", "RUNS/mstnet/../tsn/model.safetensors"], "is given twice"),
        (["RUNS/tsn", "--root", "x"], "give its name as --data"),
        (["RUNS/tsn", "--official-split", "2"], "give its name as --data"),
        (["RUNS/tsn", "--out", "RUNS/tsn/config.yaml/page.html"], "config.yaml is a file"),
        (["RUNS/mstnet", "--more-protocols", "[25x10]"], "looks across"),
        (["RUNS/tsn", "GONE"], "were trained with different videos (tsn with"),
        (["GONE"], "which gone was trained with, is not there"),
        (["TWISTED"], "must give settings by name"),
        (["RUNS/tsn", "DIVERGED"], "diverged/model.safetensors holds weights that are not finite"),
        (["RUNS/tsn", "--data", "nowhere"], "nowhere"),
        (["RUNS/tsn", "--more-protocols", "[1x2]"], "1, 3, 5 or 10 crops"),
        (["RUNS/tsn", "--num-examples", "-1"], "--num-examples is -1"),
        (["RUNS/tsn", "OTHER"], "a report compares models of the same classes"),
        (["RUNS/tsn", "TURNED"], "have their classes in another order"),
        (["BROKEN"], "does not hold the record of a run"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(
    words: list[str], says: str, runs: Path, tmp_path: Path, capsys
) -> None:
    _write_faulty(words[-1], runs, tmp_path)
    words = [word.replace("RUNS", str(runs)) for word in words]
    words = [str(tmp_path / word.lower()) if word.isupper() else word for word in words]
    where = [] if "--out" in words else ["--out", str(tmp_path / "page.html")]
    assert main(["report", *words, *where, *HERE]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert says in error and not (tmp_path / "page.html").exists()


def test_runs_of_one_name_are_told_apart(runs: Path, tmp_path: Path, capsys) -> None:
    for place in ("a", "b"):
        shutil.copytree(runs / "tsn", tmp_path / place / "run")
    command = [
        "report",
        str(tmp_path / "a" / "run"),
        str(tmp_path / "b" / "run" / "model.safetensors"),
    ]
    assert main([*command, "--out", str(tmp_path / "p.html"), *HERE, "--format", "json"]) == 0
    names = [run["name"] for run in json.loads(capsys.readouterr().out)["runs"]]
    assert names == ["a/run", "b/run"]
    alone = shutil.copy(runs / "tsn" / "model.safetensors", tmp_path / "a" / "run.safetensors")
    command = ["report", str(tmp_path / "a" / "run"), str(alone)]
    assert main([*command, "--out", str(tmp_path / "p.html"), *HERE, "--format", "json"]) == 0
    names = [run["name"] for run in json.loads(capsys.readouterr().out)["runs"]]
    assert names == ["run", "run.safetensors"]


def test_what_a_run_was_trained_on_is_not_scored_unless_asked_for(
    tiny_dataset: Path, tmp_path: Path, capsys
) -> None:
    """A folder without val/, of which the run held out some videos."""
    data = tmp_path / "clips"
    for video in sorted(tiny_dataset.rglob("*.mp4")):
        target = data / video.parent.name / f"{video.parent.parent.name}_{video.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video, target)
    settings = TrainingSettings(
        data=str(data), out=str(tmp_path / "run"), model="tsn_test_resnet", weights="none",
        num_frames=4, image_size=32, epochs=1, batch_size=4, val_fraction=0.5, workers=0,
        device="cpu",
    )  # fmt: skip
    train(settings)
    held_out = len(training_catalog(settings).val)
    every = len(list(data.rglob("*.mp4")))
    page = tmp_path / "page.html"
    for words, number, says in (
        ([], held_out, "those held out for validation"),
        (["--split", "all"], every, "including any that a model was trained on"),
        (["--data", str(data)], every, "including any that a model was trained on"),
    ):
        command = ["report", str(tmp_path / "run"), *words, "--out", str(page), *HERE]
        assert main([*command, "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out)["num_videos"] == number
        assert f"scored on {number} videos" in (text := _words(page.read_text())) and says in text
    assert held_out < every
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    elsewhere = config | {"data": str(data / ".." / "clips")}  # the same folder in other words
    (tmp_path / "other" / "config.yaml").write_text(yaml.safe_dump(elsewhere))
    assert main(["report", *command[1:2], str(tmp_path / "other"), "--out", str(page), *HERE]) == 0
    train(replace(settings, out=str(tmp_path / "less"), val_fraction=0.2))
    capsys.readouterr()
    assert main(["report", *command[1:2], str(tmp_path / "less"), "--out", str(page), *HERE]) == 2
    assert "hold out different videos of the data" in capsys.readouterr().err


def test_without_scikit_learn_the_page_does_without_maps(
    runs: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    for name in ("decomposition", "manifold", "neighbors"):
        monkeypatch.setitem(sys.modules, f"sklearn.{name}", None)
    page = tmp_path / "page.html"
    assert main(["report", str(runs / "tsn"), "--out", str(page), *HERE[:4]]) == 0
    assert "no maps: t-SNE needs scikit-learn" in capsys.readouterr().err
    assert "No maps: t-SNE needs scikit-learn" in _words(page.read_text())


def test_protocols_that_are_the_same_are_scored_once(runs: Path, tmp_path: Path, capsys) -> None:
    command = [
        "report",
        str(runs / "tsn"),
        "--protocol",
        "10x3",
        "--more-protocols",
        "[tsm-10x3,1x1]",
    ]
    assert main([*command, "--out", str(tmp_path / "p.html"), *HERE, "--format", "json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert [score["protocol"] for score in run["scores"]] == ["10x3", "1x1"]
