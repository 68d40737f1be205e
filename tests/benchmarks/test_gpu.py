"""`benchmarks/gpu.py`: all of it once in Triton's interpreter, and how it takes faults."""

import importlib
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("gpu")


@pytest.fixture
def section(script: ModuleType) -> Callable[[str], ModuleType]:
    return lambda name: importlib.import_module(f"gpu_sections.{name}")


@pytest.mark.skipif(torch.cuda.is_available(), reason="the script measures on a GPU")
def test_the_whole_script_runs_in_the_interpreter(script, tmp_path, capsys):
    """In a new process, since Triton reads the variable when it is imported."""
    pytest.importorskip("triton")
    out = tmp_path / "gpu.json"
    command = [sys.executable, str(FOLDER / "gpu.py"), "--small", "--out", str(out)]
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    assert list(record["sections"]) == list(script.SHARES)
    for name, part in record["sections"].items():
        assert part["rows"], name
        assert not part["errors"] and not part["skipped"], name
    checks = record["sections"]["correctness"]["rows"]
    assert all(row["ok"] for row in checks)
    of_bound = [part for row in checks for part in row.get("of_bound", {}).values()]
    assert 0 < max(of_bound) <= 1
    assert {row["precision"] for row in checks} == {"float32", "float16", "bfloat16", "bf16"}
    assert record["measures_nothing"]
    assert {goal["met"] for goal in record["goals"]} == {None}
    assert {"device", "torch", "triton", "kernel", "cudnn"} <= record["environment"].keys()

    assert script.main(["--table", str(out)]) == 0
    tables = capsys.readouterr().out
    assert tables == done.stdout
    for words in ("measures nothing", "### Correctness", "### Goals", "MSTNet as published"):
        assert words in tables


# faults


@pytest.fixture
def measure(script, tmp_path, monkeypatch):
    """Runs the script with other work in its processes; gives its status and what it wrote."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")

    def run(work, *words):
        monkeypatch.setattr(script, "_work", work)
        out = tmp_path / "gpu.json"
        context = multiprocessing.get_context("fork")
        status = script.main(["--out", str(out), *words], context=context)
        return status, json.loads(out.read_text()) if out.exists() else None

    return run


ONLY = ("--only", "operation", "training", "streams")


def all_is_well(connection, name):
    connection.send(("start", name, {"seconds": 1}))
    connection.send(("rows", name, {"ok": True}))
    connection.send(("end", name, {}))


def test_a_section_whose_process_dies_loses_nothing_but_its_rest(measure, tmp_path, monkeypatch):
    monkeypatch.setattr("gpu.tables", lambda record: "")
    monkeypatch.setattr("gpu.goals", lambda record: [])
    processes = tmp_path / "processes"

    def work(connection, shares, *others):
        with processes.open("a") as file:
            print(*(name for name, _ in shares), file=file)
        connection.send(("environment", "", {"device": "some GPU"}))
        for name, _ in shares:
            if name == "training":
                connection.send(("start", name, {"seconds": 1}))
                connection.send(("rows", name, {"ok": True}))
                os._exit(66)
            all_is_well(connection, name)

    status, record = measure(work, *ONLY)
    assert status == 1
    assert processes.read_text().splitlines() == ["operation training streams", "streams"]
    parts = record["sections"]
    assert [len(parts[name]["rows"]) for name in ONLY[1:]] == [1, 1, 1]
    assert [len(parts[name]["errors"]) for name in ONLY[1:]] == [0, 1, 0]
    assert "its process ended with 66" in str(parts["training"]["errors"])
    assert record["environment"] == {"device": "some GPU"}


def test_what_does_not_end_is_stopped_and_the_rest_is_said_to_be_skipped(measure, monkeypatch):
    monkeypatch.setattr("gpu.tables", lambda record: "")
    monkeypatch.setattr("gpu.goals", lambda record: [])
    monkeypatch.setattr("gpu.LEAST_SECONDS", 0.2)

    def work(connection, shares, *others):
        all_is_well(connection, "operation")
        connection.send(("start", "training", {"seconds": 1}))
        time.sleep(60)

    status, record = measure(work, *ONLY, "--minutes", "0.01")
    assert status == 1
    parts = record["sections"]
    assert "its time was up" in str(parts["training"]["errors"])
    assert parts["streams"]["skipped"] == [{"what": "all", "reason": "no time is left"}]


def test_a_process_that_cannot_begin_is_not_started_for_ever(measure, monkeypatch):
    monkeypatch.setattr("gpu.tables", lambda record: "")
    monkeypatch.setattr("gpu.goals", lambda record: [])
    status, record = measure(lambda *args: os._exit(3), "--only", "operation", "streams")
    assert status == 1
    assert all("ended with 3 before" in str(part) for part in record["sections"].values())


def test_without_a_gpu_one_line_says_what_to_do(measure, capsys):
    status, record = measure(lambda connection, *others: connection.send(("no device", "", {})))
    assert (status, record) == (2, None)
    (line,) = capsys.readouterr().err.splitlines()
    assert "no CUDA device" in line and "TRITON_INTERPRET=1" in line


def test_wrong_results_and_goals_are_told(script, section):
    table = section("table")

    def row(recognizer, ratio):
        same = {"treatment": "optimised", "launch": "eager", "precision": "tf32", "clips": 32}
        times = {"milliseconds": 20.0 * ratio, "times_baseline": ratio, "beside": "TSN"}
        return {"recognizer": recognizer, **same, **times}

    operation = {
        "site": "all",
        "places": 16,
        "precision": "float32",
        "layout": "channels-last",
        "clips": 16,
        "milliseconds": {"copy": 0.3},
        "copy_gigabytes_per_second": 3000.0,
        "fraction_of_copy": {"forward": 0.96, "forward and backward": 0.9},
        "published_takes_times": {},
    }
    check = {"check": "mixed", "precision": "float32", "off": 0.5, "ok": False}
    record = {
        "measures_nothing": False,
        "environment": {"device": "some GPU", "driver": "1.2"},
        "sections": {
            "correctness": {"rows": [check], "skipped": [], "errors": []},
            "operation": {"rows": [operation], "skipped": [], "errors": []},
            "inference": {
                "rows": [row("TSN", 1.0), row("MSTNet", 1.025)],
                "skipped": [{"what": "bf16", "reason": "no time is left"}],
                "errors": [],
            },
        },
    }
    alone = row("MSTNet", 1.0) | {"precision": "bf16", "beside": "MSTNet"}  # TSN has failed
    record["sections"]["inference"]["rows"].append(alone)
    record["goals"] = table.goals(record)
    assert [goal["met"] for goal in record["goals"]] == [True, False, False]
    # Two tensors of twice the clips take 0.6 ms, beside 20 ms.
    assert record["goals"][-1]["least"] == pytest.approx(1.03)
    tables = table.tables(record)
    assert "**wrong**" in tables and "device some GPU, driver 1.2" in tables
    assert "Skipped: bf16 (no time is left)." in tables
    assert script._has_failed(record)
    check["ok"] = True
    assert not script._has_failed(record)


def test_a_heading_names_the_baseline_of_its_figures(section):
    """That of inference and of steps may differ: each figure then says its own."""
    table = section("table")
    same = {"precision": "bf16", "clips": 32, "treatment": "a", "launch": "eager"}
    rows = [
        {**same, "recognizer": name, "milliseconds": 2.0, "times_baseline": ratio, "beside": "TSN"}
        for name, ratio in (("TSN", 1.0), ("MSTNet", 1.02))
    ]
    head, _, _, last = table._recognizers(rows)
    assert head.endswith("| eager, ms | times TSN |") and last.endswith("| 1.020 |")
    other = {**rows[1], "beside": "TSN, head trained", "treatment": "b"}
    head, *_, last = table._recognizers([*rows, other])
    assert "TSN" not in head and last.endswith("| 1.020 TSN, head trained |")
    assert "|  |" not in head


def test_the_file_is_whole_whenever_the_script_is_killed(script, tmp_path, monkeypatch):
    out = tmp_path / "new" / "gpu.json"
    collected = script._Collected({"sections": {}}, out)
    collected.note("rows", "operation", {"ok": True})

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            collected.note("rows", "operation", {"ok": False})
    assert json.loads(out.read_text())["sections"]["operation"]["rows"] == [{"ok": True}]
    assert [path.name for path in out.parent.iterdir()] == ["gpu.json"]


def test_files_that_cannot_be_written_or_read_are_refused_in_one_line(script, tmp_path, capsys):
    (tmp_path / "file").write_text("no record")
    with pytest.raises(SystemExit) as ended:
        script.main(["--out", str(tmp_path / "file" / "gpu.json")])
    assert ended.value.code == 2 and "--out" in capsys.readouterr().err.splitlines()[-1]
    assert script.main(["--table", str(tmp_path / "file")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is no file that this script has written" in line


# parts


def test_what_fails_or_has_no_time_is_noted_and_the_section_goes_on(section):
    noted = []
    device, sizes = torch.device("cpu"), section("run").SMALL
    run = section("run").Run(
        device, sizes, lambda *message: noted.append(message), time.monotonic() + 10
    )
    with run.attempt("one"):
        raise ValueError("It is so.\nMore.")
    assert run.has_time("two", 1) and not run.has_time("three", 20)
    (kind, error), (other, skipped) = noted
    assert (kind, error) == ("errors", {"what": "one", "error": "ValueError: It is so"})
    assert (other, skipped["what"]) == ("skipped", "three")
    with pytest.raises(KeyError), run.attempt("four", passes=(KeyError,)):
        raise KeyError


def test_an_error_is_a_part_of_what_rounding_may_do_and_nan_is_none(section):
    reference = section("reference")
    size = torch.tensor([4.0, 4.0], dtype=torch.float64)
    exact = torch.tensor([1.0, -2.0], dtype=torch.float64)
    eps = torch.finfo(torch.float32).eps
    got = (exact + torch.tensor([0.0, 10 * eps])).float()
    # Bound: 3 roundings of terms of size 4 together, and one of the result of size 2.
    assert reference.part_of_bound(got, exact, size, terms=2) == pytest.approx(10 / 14, rel=0.01)
    got[0] = float("nan")
    assert reference.part_of_bound(got, exact, size, terms=2) == float("inf")


def test_the_reference_is_a_convolution_over_time(section):
    reference = section("reference")
    generator = torch.Generator().manual_seed(0)
    x, grad = (torch.randn(2, 5, 3, 2, 2, generator=generator).double() for _ in range(2))
    weights = torch.randn(3, 3, generator=generator).double().requires_grad_()
    leaf = x.clone().requires_grad_()
    taps = reference.Filter([weights.detach()], [(-2, 0, 2)])
    got = reference.filtered(taps, x, grad)
    kernel = weights[:, None, :, None, None]  # (C, 1, K, 1, 1)
    y = torch.nn.functional.conv3d(
        leaf.transpose(1, 2), kernel, padding=(2, 0, 0), dilation=(2, 1, 1), groups=3
    ).transpose(1, 2)
    grad_x, grad_weights = torch.autograd.grad(y, (leaf, weights), grad)
    torch.testing.assert_close(got.y, y.detach())
    torch.testing.assert_close(got.grad_x, grad_x)
    torch.testing.assert_close(got.grad_weights, grad_weights.flatten())
    repeated = reference.Filter(taps.weights, taps.offsets, "replicate")
    everywhere_one = reference.filtered(repeated, torch.ones_like(x), grad).y
    torch.testing.assert_close(everywhere_one[0, :, :, 0, 0], weights.detach().sum(1).expand(5, 3))
