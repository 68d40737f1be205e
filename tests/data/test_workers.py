"""Ray does what threads do, byte for byte, and loses nothing with a worker."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mixtconv.cli.main import main
from mixtconv.data.parallel import WorkersDiedError
from mixtconv.data.preparation import run
from mixtconv.data.preparation.form import PreparedForm
from mixtconv.data.workers import StopFlag, map_videos
from mixtconv.inference.collection import predict_collection
from mixtconv.models import create_model, save_model


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    """One small Ray for all tests here; the commands find it running."""
    import ray

    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=1,  # which `auto` takes: where there is none, torch computes on the CPU
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        logging_level="error",
        log_to_driver=False,
    )
    yield
    ray.shutdown()


def _tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_worker_killed_while_it_writes_loses_nothing(
    ray: None, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = PreparedForm(short_side=16, crf=40)
    local = run.prepare(tiny_dataset, out=tmp_path / "local", form=form)
    died = tmp_path / "died"

    class KillsOnce(StopFlag):
        """Ends its process in the middle of the second video that it is asked about."""

        num_questions = 0

        def __call__(self) -> bool:
            self.num_questions += 1
            if self.num_questions == 40 and not died.exists():
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return False

    monkeypatch.setattr(run, "StopFlag", KillsOnce)
    done: list[int] = []
    report = run.prepare(
        tiny_dataset,
        out=tmp_path / "ray",
        form=form,
        engine="ray",
        progress=lambda number, total: done.append(number),
    )
    assert died.exists()
    assert done == list(range(1, 17))
    assert (report.num_prepared, report.num_kept, report.unreadable) == (16, 0, ())
    assert (report.bytes_before, report.bytes_after) == (local.bytes_before, local.bytes_after)
    assert _tree(tmp_path / "ray") == _tree(tmp_path / "local")  # the journal as well
    again = run.prepare(tiny_dataset, out=tmp_path / "ray", form=form)
    assert (again.num_prepared, again.num_kept) == (0, 16)


def test_check_and_predict_say_what_they_say_without_ray(
    ray: None, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    data = tmp_path / "data"
    for source in sorted((tiny_dataset / "val").iterdir()):
        (data / source.name).mkdir(parents=True)
        (data / source.name / "0.mp4").write_bytes((source / "00000.mp4").read_bytes())
    (min(data.iterdir()) / "1.mp4").write_text("words")
    spec = {"num_frames": 4, "image_size": 32, "classes": ["a", "b", "c"]}
    save_model(create_model("mstnet_test_resnet", **spec), tmp_path / "model.safetensors")
    monkeypatch.chdir(tmp_path)  # Ray's workers must find relative paths
    for command in (["check", "data"], ["predict", "model.safetensors", "data"]):
        printed = []
        for engine in ("local", "ray"):
            status = main([*command, "--engine", engine, "--format", "json"])
            printed.append(capsys.readouterr().out)
            assert status == 1
        assert json.loads(printed[0]) == json.loads(printed[1])
        assert printed[0] == printed[1]


def test_an_item_at_which_workers_die_is_given_up_alone(ray: None) -> None:
    def work(number: int) -> int:
        if number == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 6:
            raise ValueError("six")
        return number**2

    outcomes = dict(map_videos(work, range(12), backend="ray", workers=2))
    assert sorted(outcomes) == list(range(12))
    with pytest.raises(WorkersDiedError, match="3 workers of Ray died at it"):
        outcomes.pop(5).result()
    with pytest.raises(ValueError, match="six"):
        outcomes.pop(6).result()
    assert all(outcome.result() == number**2 for number, outcome in outcomes.items())


def test_a_gpu_is_asked_for_and_refused_where_ray_has_none(ray: None, monkeypatch) -> None:
    outcomes = dict(map_videos(str, range(12), backend="ray", device="cuda"))
    assert {number: outcome.result() for number, outcome in outcomes.items()} == {
        number: str(number) for number in range(12)
    }
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 2})
    with pytest.raises(ValueError, match="--device is cuda, and Ray has no GPU"):
        next(map_videos(str, range(12), backend="ray", device="cuda"))


# what is refused


def test_without_ray_the_install_command_is_given_and_nothing_is_written(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    out = tmp_path / "out"
    for command in (["prepare", str(tiny_dataset), "--out", str(out)], ["check", "data"]):
        assert main([*command, "--engine", "ray"]) == 2
        error = capsys.readouterr().err
        assert error.endswith("pip install 'ray[data]'\n") and error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"workers": 0}, "--workers is 0; give 1 or more"),
        ({"engine": "ray", "workers": 0}, "--workers is 0; give 1 or more"),
        ({"engine": "ray", "device": "cuda:1"}, "with --engine ray give cuda"),
    ],
)
def test_what_does_not_fit_the_backend_is_refused(settings: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        predict_collection("model.safetensors", ["a.mp4"], **settings)
