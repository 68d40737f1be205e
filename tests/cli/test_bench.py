"""`mixtconv bench` with a tiny network: what it prints, and what it refuses."""

import json
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace

import pytest

from mixtconv.benchmarks import exported, predicting, training_step
from mixtconv.benchmarks.loader import write_sample_video
from mixtconv.cli.main import main
from mixtconv.exporting.writing import TARGETS

TINY = ["--backbone", "test_resnet", "--image-size", "32", "--num-frames", "2", "--rounds", "1"]


@pytest.fixture
def without_new_processes(monkeypatch):
    """Memory and waiting are measured in new processes, each of which takes seconds to start."""
    monkeypatch.setattr(training_step, "peak_bytes", lambda prepare, *, device: 2**20)
    monkeypatch.setattr(
        training_step, "prepare_fresh", lambda prepare, *, environment: nullcontext(prepare())
    )
    monkeypatch.setattr(
        training_step, "busy_processes", lambda count: nullcontext(lambda is_busy: None)
    )


@pytest.mark.parametrize(
    ("subject", "baselines"),
    [
        ("op", {"copy_ of the same bytes"}),
        ("model", {"TSN, eager NCHW", "TSN, eager channels-last", "TSN, optimised"}),
        ("train", {"TSN, NCHW", "TSN, channels-last", "waiting by default, alone"}),
    ],
)
def test_json_has_every_candidate_with_ratios_and_the_environment(
    subject, baselines, capsys, without_new_processes
):
    assert main(["bench", subject, *TINY, "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["subject"] == subject
    for key in ("processor", "cores", "threads", "kernel", "torch", "timm", "device"):
        assert report["environment"][key]
    assert {comparison["baseline"] for comparison in report["times"]} == baselines
    for comparison in report["times"] + report["details"]:
        for candidate in comparison["candidates"]:
            assert candidate["rounds"] == 1
            assert candidate["median_seconds"] > 0
            name = candidate["name"]
            assert set(candidate["ratios"]) >= {comparison["baseline"]}
            assert candidate["ratios"].get(name, 1) == 1
            others = [name for name in candidate["ratios"] if name != comparison["baseline"]]
            assert len(others) == 1
            assert "as published" in others[0] or others == ["waiting passively, alone"]
    num_shapes = 3  # of the residual branches of test_resnet
    assert len(report["details"]) == (4 * num_shapes if subject == "op" else 0)
    assert len(report["memory"]) == (2 if subject == "train" else 0)


def test_a_folder_is_recognized_beside_its_parts(capsys, monkeypatch, tmp_path):
    video = tmp_path / "clip.mp4"
    write_sample_video(video, num_frames=8)
    words = ["bench", "predict", *TINY, "--videos", "3", "--video", str(video), "--format", "json"]
    assert main(words) == 0
    [comparison] = json.loads(capsys.readouterr().out)["times"]
    assert comparison["title"].startswith("3 videos of 8 frames of 340x256, h264")
    seconds = {each["name"]: each["median_seconds"] for each in comparison["candidates"]}
    assert set(seconds) == {
        *(predicting.DECODING, predicting.NETWORK, predicting.BOTH, predicting.IN_TURN),
        *(f"{part} on one core" for part in (predicting.DECODING, predicting.NETWORK)),
    }
    rates, shares = comparison["notes"]
    assert f"{3 / seconds[predicting.BOTH]:.2f} from file to label" in rates
    both = (seconds[predicting.DECODING] + seconds[predicting.NETWORK]) / seconds[predicting.BOTH]
    assert f"at {both:.2f} of the rate" in shares


def test_exported_models_are_measured_as_clips_and_as_streams(capsys, monkeypatch):
    monkeypatch.setattr(exported, "temporal_families", lambda workload: {"mstnet": "MSTNet"})
    monkeypatch.setattr(exported, "ENGINES", {"onnx": "ONNX Runtime", "torch": "torch.export"})
    assert main(["bench", "export", *TINY, "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    engines, families = ["ONNX Runtime", "torch.export"], ["TSN", "MSTNet"]
    expected = [
        (f"{what}, test_resnet, {last}", candidates[0], candidates)
        for what in ("1 clip of 2x32x32", "a frame of 1 stream, 32 pixels")
        for last, candidates in [*((each, families) for each in engines), ("MSTNet", engines)]
    ]
    assert expected == [
        (each["title"], each["baseline"], [item["name"] for item in each["candidates"]])
        for each in report["times"]
    ]


def test_engines_whose_packages_are_not_there_are_not_measured(capsys, monkeypatch):
    """But for those that a comparison is never without, which are named."""
    missing = replace(TARGETS["torch"], packages=("nowhere_at_all",))
    monkeypatch.setitem(TARGETS, "torch", missing)
    monkeypatch.setattr(exported, "temporal_families", lambda workload: {"mstnet": "MSTNet"})
    monkeypatch.setattr(exported, "ENGINES", {"onnx": "ONNX Runtime", "torch": "torch.export"})
    assert main(["bench", "export", *TINY, "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["times"]) == 2
    monkeypatch.setattr(exported, "ALWAYS", ("onnx", "torch"))
    assert main(["bench", "export", *TINY]) == 2
    assert "pip install nowhere_at_all" in capsys.readouterr().err


def test_a_transformer_is_compared_with_its_image_model(capsys):
    words = [*TINY, "--backbone", "test_vit", "--format", "json"]
    assert main(["bench", "model", *words]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [
        (comparison["baseline"], [item["name"] for item in comparison["candidates"]])
        for comparison in report["times"]
    ] == [
        ("TSN, eager NCHW", ["TSN, eager NCHW", "MSTViT, eager NCHW"]),
        ("TSN, optimised", ["TSN, optimised", "MSTViT, optimised", "TSN, eager NCHW"]),
    ]


def test_a_video_that_cannot_be_read_is_named_as_it_was_given(capsys, tmp_path):
    video = tmp_path / "words.mp4"
    video.write_text("words")
    assert main(["bench", "loader", "--video", str(video), "--rounds", "1"]) == 2
    assert f"{video}: not a video" in capsys.readouterr().err


def test_the_loader_is_measured_on_the_video_given(capsys, tmp_path, media):
    video = tmp_path / "clip.mp4"
    media.encode(video, media.moving_frames(40))
    words = ["--video", str(video), "--image-size", "32", "--num-frames", "2", "--rounds", "1"]
    assert main(["bench", "loader", *words, "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    baselines = [comparison["baseline"] for comparison in report["times"]]
    assert baselines == ["decoding in order", "raw files, loader"]
    assert "raw: 40 frames of 96x64" in report["times"][0]["notes"][0]


def test_a_table_has_a_line_for_every_candidate(capsys, without_new_processes):
    assert main(["bench", "train", *TINY, "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    lines = [line.strip() for line in printed.splitlines()]
    for start in ("processor", "kernel", "training step of test_resnet"):
        assert any(line.startswith(start) for line in lines)
    assert ["threads", "1"] in [line.split() for line in lines]
    for candidate in ("TSN, NCHW", "MSTNet as published, NCHW", "TSM, channels-last"):
        rows = [line for line in lines if line.startswith(candidate + "  ")]
        assert len(rows) >= 2  # one for time, one for memory
    assert "1.00" in next(line for line in lines if line.startswith("TSN, NCHW "))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["ops"], "give op or model or train or loader or segments or predict"),
        ([], "subject"),
        (["op", "--rounds", "0"], "--rounds is 0; give 1 or more"),
        (["op", "--threads", "0"], "--threads is 0; give 1 or more"),
        (["model", "--image-size", "8"], "--image-size is 8; give 16 or more"),
        (["train", "--batch-size", "0"], "--batch-size is 0; give 1 or more"),
        (["op", "--num-frames", "0"], "--num-frames is 0; give 1 or more"),
        (["op", "--backbone", "resnet500"], "did you mean 'mstnet_resnet50'"),
        (
            ["op", "--backbone", "mobilenetv1_100", "--image-size", "32"],
            "no residual branch in mobilenetv1_100",
        ),
        (["loader", "--video", "nowhere.mp4"], "nowhere.mp4: there is no such file"),
        (["op", "--model", "mstnet_resnet18"], "--model is for bench train, and this is bench op"),
        (["train", "--model", "tsm_test_resnet"], "tsm_test_resnet has no parameters there"),
        (["op", "--device", "abacus"], "device 'abacus' cannot be used here"),
        (["op", "--device", "cpu", "--precision", "16"], "--precision 16 needs a GPU"),
    ],
)
def test_input_that_cannot_be_used_ends_with_2_and_one_line(words, says, capsys):
    assert main(["bench", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert says in captured.err


def test_help_does_not_import_torch():
    script = (
        "import sys\nfrom mixtconv.cli.main import main\n"
        "try:\n    main(['bench', '--help'])\nexcept SystemExit:\n    pass\n"
        "assert 'torch' not in sys.modules, 'torch is imported'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for flag in (
        "--backbone",
        "--rounds",
        "--threads",
        "--precision",
        "{op,model,train,loader,segments,predict,stream,export}",
    ):
        assert flag in done.stdout


def test_a_frame_of_streams_is_compared_with_tsn_and_with_a_clip(capsys):
    assert main(["bench", "stream", *TINY, "--batch-size", "2", "--format", "json"]) == 0
    [comparison] = json.loads(capsys.readouterr().out)["times"]
    assert comparison["baseline"] == "TSN, one frame"
    assert "2 streams" in comparison["title"]
    assert [candidate["name"] for candidate in comparison["candidates"]] == [
        "TSN, one frame",
        "TSM, stream",
        "MSTNet, stream",
        "MSTNet, a clip for every frame",
    ]
    for candidate in comparison["candidates"]:
        assert set(candidate["ratios"]) == {"TSN, one frame", "MSTNet, stream"}


def test_a_transformer_is_measured_with_the_operation_on_its_keys_and_values(capsys):
    small = ["--backbone", "test_vit", "--image-size", "32", "--num-frames", "2", "--rounds", "1"]
    assert main(["bench", "stream", *small, "--device", "cpu", "--format", "json"]) == 0
    [comparison] = json.loads(capsys.readouterr().out)["times"]
    assert [candidate["name"] for candidate in comparison["candidates"]] == [
        "TSN, one frame",
        "MSTViT, stream",
        "MSTViT, a clip for every frame",
    ]
