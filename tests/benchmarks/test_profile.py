"""`mixtconv profile`: what is counted, what is measured, what is refused."""

import json
from pathlib import Path

import pytest

from mixtconv.benchmarks import profile as profiling
from mixtconv.benchmarks.settings import ProfileSettings
from mixtconv.cli.main import main
from mixtconv.evaluation.complexity import complexity
from mixtconv.models import create_model, save_model

TINY = ["--image-size", "32", "--rounds", "1", "--device", "cpu"]


@pytest.fixture(autouse=True)
def _measured_memory(monkeypatch) -> None:
    """Memory is measured in new processes, each of which takes seconds to start."""
    monkeypatch.setattr(profiling, "peak_bytes", lambda prepare, *, device: 3 * 2**20)


def test_names_and_files_side_by_side(tmp_path: Path, capsys) -> None:
    model = create_model("tsm_nl_test_resnet", 5, num_frames=4, image_size=32)
    save_model(model, tmp_path / "model.safetensors")
    models = ["tsn_test_resnet", str(tmp_path / "model.safetensors")]
    assert main(["profile", *models, *TINY, "--format", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["environment"]["device"] == "cpu"
    named, filed = said["models"]
    assert (named["model"], named["clip"]) == ("tsn_test_resnet", "8x32x32")
    cost = complexity(model)
    assert (filed["params"], filed["macs"]) == (cost.params, cost.macs)
    assert filed["macs_without_attention"] < filed["macs"]
    for each in (named, filed):
        assert sum(stage["params"] for stage in each["stages"]) == each["params"]
        assert sum(stage["macs"] for stage in each["stages"]) == each["macs"]
        assert each["clips_per_second"] == pytest.approx(1 / each["median_seconds"])
        assert each["peak_bytes"] == 3 * 2**20
    assert main(["profile", "tsn_test_resnet", *TINY, "--batch-size", "2"]) == 0
    table = capsys.readouterr().out
    assert "layer3" in table and "peak MiB" in table


def test_what_is_prepared_in_a_new_process_can_be_sent_there_and_runs() -> None:
    import pickle
    from functools import partial

    settings = ProfileSettings(num_classes=3, num_frames=2, image_size=32, device="cpu")
    prepare = pickle.loads(pickle.dumps(partial(profiling._prepare, "tsn_test_resnet", settings)))
    assert prepare()().shape == (1, 3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["eco_9"], "unknown model 'eco_9'"),
        (["eco_8", "--num-frames", "9"], "num_frames is 9; eco_8 takes clips of 8 frames"),
        (["nowhere.safetensors"], "there is no"),
        (["tsn_test_resnet", "tsn_test_resnet"], "name each one once"),
        (["tsn_test_resnet", "--rounds", "0"], "--rounds is 0; give 1 or more"),
    ],
)
def test_wrong_input_is_one_line(arguments: list[str], said: str, capsys) -> None:
    assert main(["profile", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
