"""A process that reads videos ahead and dies is one line, wherever it is noticed."""

import os
import signal
import sys
from pathlib import Path

import pytest

from mixtconv._processes import naming_dead_readers
from mixtconv.cli.main import main
from mixtconv.data.dataset import ScoringViews
from mixtconv.data.training_clips import TrainingClips
from mixtconv.models import create_model, save_model

FLAGS = [
    *("--model", "mstnet_test_resnet", "--weights", "none", "--num-frames", "2", "--epochs", "1"),
    *("--image-size", "32", "--workers", "1", "--modality", "rgb", "--device", "cpu"),
    *("--cache", "off"),
]


@pytest.mark.skipif(sys.platform != "linux", reason="workers of loaders are forks on Linux")
@pytest.mark.parametrize("command", ["train", "ablate", "evaluate"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_reader_is_one_line_that_says_what_to_do(
    command: str,
    number: signal.Signals,
    tiny_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    here = os.getpid()

    def die(*arguments: object) -> None:
        assert os.getpid() != here
        (tmp_path / "dead").write_text(str(os.getpid()))
        os.kill(os.getpid(), number)

    read = ScoringViews if command == "evaluate" else TrainingClips
    monkeypatch.setattr(read, "__getitem__", die)
    words = [str(tiny_dataset), *FLAGS, "--out", str(tmp_path / "out")]
    if command == "ablate":
        words += ["--operations", "[ks3]", "--seeds", "1"]
    if command == "evaluate":
        names = sorted(path.name for path in (tiny_dataset / "train").iterdir())
        model = create_model("tsn_test_resnet", classes=names, num_frames=2, image_size=32)
        save_model(model, tmp_path / "model.safetensors")
        words = [str(tmp_path / "model.safetensors"), str(tiny_dataset), "--workers", "1"]
    assert main([command, *words]) == 2
    error = capfd.readouterr().err
    (line,) = [line for line in error.replace("\0", "").splitlines() if line.startswith("mixtconv")]
    assert "Traceback" not in error
    dead = (tmp_path / "dead").read_text()
    assert line.startswith(f"mixtconv {command}: process {dead}, which reads videos, ")
    # Torch may not have learned by which signal.
    likely = "SIGKILL; most likely" if number == signal.SIGKILL else "SIGSEGV; mixtconv check finds"
    assert f"was ended by {likely}" in line or "died; if memory ran out, give fewer --w" in line
    assert "go on" not in line  # with nothing


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (
            "DataLoader worker (pid 7) is killed by signal: Killed. ",
            "ended by SIGKILL; most likely",
        ),
        (
            "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that "
            "dataloader's workers are out of shared memory. Please try to raise your limit.",
            "ended by SIGBUS; shared memory ran out",
        ),
        ("DataLoader worker (pid(s) 7, 8) exited unexpectedly", "7, 8, which .* died; if memory"),
    ],
)
def test_what_torch_says_is_understood(said: str, line: str) -> None:
    with pytest.raises(ChildProcessError, match=line), naming_dead_readers():
        raise RuntimeError(said)


def test_other_errors_are_left_as_they_are() -> None:
    with pytest.raises(RuntimeError, match=r"^shapes$"), naming_dead_readers():
        raise RuntimeError("shapes")
