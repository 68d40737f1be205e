"""Prediction with exported files: torch's answers, without torch; and what is refused."""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
import torch

from mixtconv.cli.main import main
from mixtconv.exporting.export import export_model
from mixtconv.inference.engine_recognizers import EngineRecognizer, EngineStreamingRecognizer
from mixtconv.inference.engines.base import LOGITS, VIDEO, Engine
from mixtconv.inference.engines.onnx import OnnxEngine
from mixtconv.inference.engines.opening import open_engine
from mixtconv.inference.loading import load_recognizer, load_streaming_recognizer
from mixtconv.inference.torch_recognizers import Recognizer, StreamingRecognizer
from mixtconv.models import VideoClassifier, create_model, save_model
from mixtconv.video.windows import WindowPlan, window_views

CLASSES = ["wave", "jump", "run"]

ONE_STEP = 0.05
"""How far logits of about 1 move where Pillow and torch round pixels to different of 255 steps."""


def _model(**options: object) -> VideoClassifier:
    torch.manual_seed(0)
    model = create_model(
        "mstnet_test_resnet", classes=CLASSES, num_frames=4, image_size=32, **options
    ).eval()
    torch.nn.init.normal_(model.head.weight)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory, media) -> Path:
    """Models, their files for the engines, and a clip."""
    folder = tmp_path_factory.mktemp("exported")
    model, causal = _model(), _model(causal=True)
    save_model(model, folder / "model.safetensors")
    save_model(causal, folder / "causal.safetensors")
    export_model(model, folder / "model.onnx", target="onnx")
    export_model(model, folder / "model.xml", target="openvino", pixels="uint8")
    export_model(model, folder / "model.pt2", target="torch", pixels="float255")
    export_model(causal, folder / "stream.onnx", target="onnx", streaming=True)
    export_model(causal, folder / "stream.xml", target="openvino", streaming=True, pixels="uint8")
    media.encode(folder / "clip.mp4", media.moving_frames(40, height=90, width=120))
    return folder


@pytest.mark.parametrize("name", ["model.onnx", "model.xml", "model.pt2"])
def test_logits_are_those_of_the_model_file(name: str, folder: Path) -> None:
    expected = Recognizer(folder / "model.safetensors", device="cpu")
    recognizer = load_recognizer(folder / name)
    assert isinstance(recognizer, EngineRecognizer)
    assert recognizer.classes == tuple(CLASSES)
    got = recognizer.logits(folder / "clip.mp4")
    np.testing.assert_allclose(got, expected.logits(folder / "clip.mp4"), atol=ONE_STEP)
    ranking = recognizer.predict(folder / "clip.mp4")
    assert [each.label for each in ranking] == [CLASSES[i] for i in np.argsort(-got)]


@pytest.mark.parametrize("name", ["model.onnx", "model.xml", "model.pt2"])
def test_several_threads_get_their_own_clips_answers(name: str, folder: Path) -> None:
    recognizer = EngineRecognizer(folder / name)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 1, 4, 3, 32, 32), dtype=np.uint8)
    both = threading.Barrier(2, timeout=60)

    def work(own: EngineRecognizer, number: int) -> np.ndarray:
        both.wait()  # broken, unless two work at the same time
        return own.view_logits(pixels[number])

    for number, logits in recognizer.in_threads(work, range(12), workers=2):
        alone = recognizer.view_logits(pixels[number])
        np.testing.assert_allclose(logits, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["model.onnx", "model.xml", "model.pt2"])
def test_a_clip_gets_the_same_alone_and_among_others(name: str, folder: Path) -> None:
    recognizer = EngineRecognizer(folder / name)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, 4, 3, 32, 32), dtype=np.uint8)
    for count in (1, 3, 2, 1):
        together = recognizer.batch_logits([*pixels[:count]])
        alone = [recognizer.view_logits(views) for views in pixels[:count]]
        np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["model.onnx", "model.xml", "model.pt2"])
def test_logits_stay_when_their_engine_runs_again(name: str, folder: Path) -> None:
    recognizer = EngineRecognizer(folder / name)
    first, second = np.random.default_rng(0).integers(0, 256, (2, 1, 4, 3, 32, 32), dtype=np.uint8)
    logits = recognizer.batch_logits([first])
    before = logits.copy()
    assert not np.array_equal(recognizer.batch_logits([second]), before)
    np.testing.assert_array_equal(logits, before)


@pytest.mark.parametrize("name", ["model.onnx", "model.xml", "model.pt2"])
def test_an_engine_reads_what_is_in_its_inputs_now(name: str, folder: Path) -> None:
    engine = open_engine(folder / name)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, 4, 3, 32, 32), dtype=np.uint8)
    clips = [engine.normalized(clip) for clip in pixels]
    expected = [engine.run({VIDEO: clip.copy()})[LOGITS] for clip in clips]
    array = clips[0].copy()
    for number in (0, 1, 1, 2, 0):  # in the same memory, as rings are
        array[:] = clips[number]
        np.testing.assert_array_equal(engine.run({VIDEO: array})[LOGITS], expected[number])
        np.testing.assert_array_equal(engine.run({VIDEO: clips[1]})[LOGITS], expected[1])


def test_an_engine_that_cannot_do_better_runs_one_at_a_time(folder: Path) -> None:
    running, most = 0, 0

    class Counting(OnnxEngine):
        concurrent = Engine.concurrent

        def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            nonlocal running, most
            running += 1
            most = max(most, running)
            time.sleep(0.01)
            running -= 1
            return super().run(inputs)

    views = np.zeros((1, 4, 3, 32, 32), dtype=np.uint8)
    recognizer = EngineRecognizer(Counting(folder / "model.onnx"))
    done = recognizer.in_threads(lambda own, _: own.view_logits(views), range(6), workers=3)
    assert len([*done]) == 6 and most == 1


@pytest.mark.parametrize("name", ["model.onnx", "model.xml"])
def test_the_pixels_that_a_file_takes_make_no_difference(name: str, folder: Path) -> None:
    """The same pictures, normalised here or in the file, give what PyTorch gives of them."""
    model = Recognizer(folder / "model.safetensors", device="cpu")
    views = torch.randint(0, 256, (1, 4, 3, 32, 32), dtype=torch.uint8)
    got = EngineRecognizer(folder / name).view_logits(views.numpy())
    np.testing.assert_allclose(got, model.view_logits(views), rtol=1e-3, atol=1e-4)


def test_windows_of_a_video_are_those_of_the_model_file(folder: Path) -> None:
    plan = WindowPlan.parse("12f", "5f")
    video = folder / "clip.mp4"
    expected, got = (
        [
            (at, recognizer.view_logits(views))
            for at, views in window_views(recognizer.reader, video, plan)
        ]
        for recognizer in (
            Recognizer(folder / "model.safetensors"),
            load_recognizer(folder / "model.onnx"),
        )
    )
    assert len(got) == len(expected) == 7
    for (window, logits), (other, wanted) in zip(got, expected, strict=True):
        assert (window.start, len(window.frames)) == (other.start, len(other.frames))
        np.testing.assert_allclose(logits, wanted, atol=ONE_STEP)


@pytest.mark.parametrize("name", ["stream.onnx", "stream.xml"])
def test_streams_begin_and_end_by_themselves(name: str, folder: Path, media) -> None:
    """Two streams, the second begun later, ended and begun anew, as torch has them."""
    frames = media.moving_frames(12, height=40, width=60)
    mine = load_streaming_recognizer(folder / name, max_streams=2)
    torchs = StreamingRecognizer(folder / "causal.safetensors", max_streams=2, device="cpu")
    assert isinstance(mine, EngineStreamingRecognizer)
    first, other = ([each.start(), each.start()] for each in (mine, torchs))
    for number, frame in enumerate(frames):
        if number == 7:
            for streams, recognizer in ((first, mine), (other, torchs)):
                streams[1].end()
                streams[1] = recognizer.start()
        active = [0, 1] if number not in (0, 3, 9) else [0]
        got = mine.push({first[index]: frame for index in active})
        expected = torchs.push({other[index]: frame for index in active})
        for index in active:
            labels, wanted = got[first[index]], expected[other[index]]
            assert labels.frame == wanted.frame
            np.testing.assert_allclose(labels.logits, wanted.logits, atol=ONE_STEP)


BLOCKED = """
import sys
for name in ("torch", "torchvision", "timm", "lightning", "matplotlib", {other!r}):
    sys.modules[name] = None
from mixtconv.cli.main import main
sys.exit(main({words!r}))
"""


def _without_torch(words: list[str], other: str) -> tuple[int, str]:
    code = BLOCKED.format(words=words, other=other)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


@pytest.mark.parametrize(("suffix", "other"), [("onnx", "openvino"), ("xml", "onnxruntime")])
def test_the_commands_need_no_torch_and_no_other_engine(
    suffix: str, other: str, folder: Path, tmp_path: Path
) -> None:
    clip = str(folder / "clip.mp4")
    model = str(folder / f"model.{suffix}")
    status, printed = _without_torch(["predict", model, clip, "--format", "json"], other)
    [result] = json.loads(printed)
    assert status == 0
    best = Recognizer(folder / "model.safetensors", device="cpu").predict(clip)[0]
    assert result["predictions"][0]["label"] == best.label
    outputs = [tmp_path / "t.srt", tmp_path / "t.mp4"]  # without matplotlib, in Pillow's own font
    words = ["predict", model, clip, "--window", "10f", "--out", ",".join(map(str, outputs))]
    status, printed = _without_torch([*words, "--format", "json"], other)
    [timeline] = json.loads(printed)
    assert (status, len(timeline["windows"])) == (0, 4)
    assert all(path.is_file() for path in outputs)
    words = ["stream", str(folder / f"stream.{suffix}"), clip, "--format", "json"]
    status, printed = _without_torch(words, other)
    assert status == 0
    assert [json.loads(line)["frame"] for line in printed.splitlines()] == list(range(40))
    assert _without_torch(["predict", str(folder / "model.safetensors"), clip], other)[0] == 2
    assert _without_torch(["evaluate", str(folder / "model.safetensors"), clip], other)[0] == 2


@pytest.mark.parametrize(
    ("name", "flags", "reason"),
    [
        ("model.onnx", ["--protocol", "2x3"], "protocol 2x3 needs the model file"),
        ("model.onnx", ["--protocol", "tsm-2x3"], "protocol 2x3 needs the model file"),
        ("model.onnx", ["--protocol", "nonsense"], "one of tsn-25x10, tsm-1x1, tsm-1x10"),
        ("stream.onnx", [], "run it with mixtconv stream"),
        ("nowhere.onnx", [], "there is no exported model"),
        ("junk.onnx", [], "cannot be read by ONNX Runtime"),
        ("junk.xml", [], "cannot be read by OpenVINO"),
        ("cut.xml", [], "cannot be read by OpenVINO"),
        ("junk.pt2", [], "cannot be read by torch.export"),
        ("foreign.onnx", [], "has no description of mixtconv in it"),
        ("damaged.onnx", [], "has a description that is damaged"),
        ("page.xml", [], "it is no network's XML"),
        ("weights.pt2", [], "it is no archive of it"),
    ],
)
def test_what_cannot_be_run_ends_with_2_and_one_line(
    name: str, flags: list[str], reason: str, folder: Path, tmp_path: Path, capfd
) -> None:
    for suffix in ("onnx", "xml", "pt2"):
        (tmp_path / f"junk.{suffix}").write_text("junk")
    (tmp_path / "page.xml").write_text("<?xml version='1.0'?><html></html>")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "weights.pt2")
    (tmp_path / "cut.xml").write_bytes((folder / "model.xml").read_bytes()[:5000])
    foreign = onnx.load(str(folder / "model.onnx"))
    foreign.metadata_props[0].value = "{}"
    onnx.save(foreign, str(tmp_path / "damaged.onnx"))
    del foreign.metadata_props[:]
    onnx.save(foreign, str(tmp_path / "foreign.onnx"))
    beside = folder / name
    model = beside if beside.exists() else tmp_path / name
    assert main(["predict", str(model), str(folder / "clip.mp4"), *flags]) == 2
    [line] = capfd.readouterr().err.splitlines()  # engines write past Python
    assert reason in line


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("classes", ["wave", "jump"], "its network gives logits of (3,), described is (2,)"),
        ("num_frames", 5, "its network takes video of (4, 3, 32, 32), described is (5, 3, 32, 32)"),
        (
            "image_size",
            64,
            "its network takes video of (4, 3, 32, 32), described is (4, 3, 64, 64)",
        ),
    ],
)
@pytest.mark.parametrize("suffix", ["onnx", "xml", "pt2"])
def test_a_description_that_is_not_the_networks_is_refused(
    suffix: str, key: str, value: object, reason: str, folder: Path, tmp_path: Path
) -> None:
    source, path = folder / f"model.{suffix}", tmp_path / f"model.{suffix}"

    def changed(about: str) -> str:
        values = json.loads(about)
        values["spec"][key] = value
        return json.dumps(values)

    _copy_with_description(source, path, changed)
    with pytest.raises(ValueError, match=re.escape(reason)):
        EngineRecognizer(path)


def _copy_with_description(source: Path, path: Path, change: Callable[[str], str]) -> None:
    """Copy an exported file, with what it says of itself changed."""
    if path.suffix == ".onnx":
        network = onnx.load(str(source))
        network.metadata_props[0].value = change(network.metadata_props[0].value)
        onnx.save(network, str(path))
    elif path.suffix == ".xml":
        model = openvino.Core().read_model(source)
        about = model.get_rt_info(["mixtconv"]).astype(str)
        model.set_rt_info(change(about), ["mixtconv"])
        openvino.save_model(model, str(path), compress_to_fp16=False)
    else:
        extra = {"mixtconv": ""}
        program = torch.export.load(source, extra_files=extra)
        torch.export.save(program, path, extra_files={"mixtconv": change(extra["mixtconv"])})


def test_values_that_no_file_takes_are_refused(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    _copy_with_description(
        folder / "model.onnx", path, lambda about: about.replace('"normalized"', '"float64"')
    )
    with pytest.raises(ValueError, match="pixels is 'float64'; allowed are normalized, uint8"):
        EngineRecognizer(path)


@pytest.mark.parametrize("suffix", ["onnx", "xml", "pt2"])
def test_commands_of_model_files_say_that_a_file_is_an_exported_one(
    suffix: str, folder: Path, tmp_path: Path, capsys
) -> None:
    model = str(folder / f"model.{suffix}")
    assert main(["export", model, "--to", "torch", "--out", str(tmp_path / "other.pt2")]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "it is an exported model, which predict, stream and serve take" in line


def test_a_file_of_clips_is_not_run_on_streams(folder: Path, capsys) -> None:
    assert main(["stream", str(folder / "model.onnx"), str(folder / "clip.mp4")]) == 2
    assert "takes whole clips: run it with mixtconv predict" in capsys.readouterr().err


def test_an_engine_that_is_missing_is_named_with_how_to_install_it(
    folder: Path, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"is run by onnxruntime, .*: pip install onnxruntime$"):
        EngineRecognizer(folder / "model.onnx")


@pytest.mark.parametrize("pixels", ["normalized", "uint8"])
def test_models_less_the_median_run_on_videos_and_streams(
    pixels: str, folder: Path, tmp_path: Path, media
) -> None:
    """Whether the median is in the file or taken here, scores are those of the model file."""
    for causal in (False, True):
        model = _model(modality="motion", causal=causal)
        export_model(model, tmp_path / f"{causal}.onnx", target="onnx", pixels=pixels)
        expected, got = (
            Recognizer(model, device="cpu"),
            EngineRecognizer(tmp_path / f"{causal}.onnx"),
        )
        views = torch.randint(0, 256, (1, 4, 3, 32, 32), dtype=torch.uint8)
        np.testing.assert_allclose(
            got.view_logits(views.numpy()), expected.view_logits(views), rtol=1e-3, atol=1e-4
        )
        assert len(got.predict(folder / "clip.mp4")) == len(CLASSES)
    path = tmp_path / "stream.onnx"
    export_model(model, path, target="onnx", streaming=True, pixels=pixels)
    there = StreamingRecognizer(model, max_streams=2, device="cpu")
    here = EngineStreamingRecognizer(path, max_streams=2)
    videos = [media.moving_frames(9, height=32, width=32, seed=seed) for seed in range(3)]
    ones, others = ([each.start(), each.start()] for each in (there, here))
    for t in range(9):
        if t == 5:  # another stream, in the place of the first
            for each, streams in ((there, ones), (here, others)):
                streams[0].end()
                streams[0] = each.start()
        frames = {0: videos[0][t] if t < 5 else videos[2][t - 5]} | (
            {1: videos[1][t]} if t % 3 else {}
        )
        expected = there.push({ones[place]: frame for place, frame in frames.items()})
        got = here.push({others[place]: frame for place, frame in frames.items()})
        for place in frames:
            np.testing.assert_allclose(
                got[others[place]].logits, expected[ones[place]].logits, atol=ONE_STEP
            )


def test_models_of_motion_are_exported_and_not_run_on_videos(tmp_path: Path) -> None:
    exported = export_model(_model(modality="flow"), tmp_path / "flow.onnx", target="onnx")
    assert exported.agreement.holds
    with pytest.raises(
        ValueError, match="takes flow; of exported models those of modality rgb and"
    ):
        EngineRecognizer(tmp_path / "flow.onnx")
