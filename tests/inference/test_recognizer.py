"""Prediction: ranked labels, the numbers of evaluation, and what cannot be read."""

import http.server
import io
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import torch
from PIL import Image

from mixtconv.cli.main import main
from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.evaluation.scoring import score_videos, video_features
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.inference import predicting
from mixtconv.inference.collection import predict_collection
from mixtconv.inference.timeline import predict_windows
from mixtconv.inference.torch_recognizers import Recognizer
from mixtconv.models import create_model, load_model, save_model
from mixtconv.models.device import divided_threads
from mixtconv.video.in_memory import VideoFrames
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.reader import frame_rate, iterate_frames
from mixtconv.video.windows import WindowPlan


@pytest.fixture(scope="module")
def model_path(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = create_model(
        "mstnet_test_resnet",
        classes=load_catalog(tiny_dataset).classes,
        num_frames=4,
        image_size=32,
    )
    torch.nn.init.normal_(model.head.weight)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(model, path)
    return path


@pytest.mark.parametrize("protocol", ["1x1", "2x3"])
def test_prediction_and_evaluation_give_the_same_numbers(
    model_path: Path, tiny_dataset: Path, protocol: str
) -> None:
    recognizer = Recognizer(model_path, protocol=protocol)
    samples = load_catalog(tiny_dataset).val
    for batch_size, workers in ((1, 0), (5, 1)):
        settings = EvaluationSettings(protocol=protocol, batch_size=batch_size, workers=workers)
        scores = score_videos(recognizer.model, samples, settings)
        for sample, logits in zip(samples, scores.logits, strict=True):
            torch.testing.assert_close(recognizer.logits(sample.path), logits, atol=1e-5, rtol=1e-4)


def test_labels_are_ranked_and_scores_are_probabilities(
    model_path: Path, tiny_dataset: Path
) -> None:
    video = load_catalog(tiny_dataset).val[0].path
    recognizer = Recognizer(model_path)
    predictions = recognizer.predict(video)
    assert len(predictions) == 4  # of five asked for, there are four classes
    scores = [prediction.score for prediction in predictions]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1)
    best = recognizer.logits(video).argmax()
    assert predictions[0].label == recognizer.classes[best]
    assert recognizer.predict(video, top_k=2) == predictions[:2]
    with pytest.raises(ValueError, match="top_k is 0"):
        recognizer.predict(video, top_k=0)


def test_many_videos_are_named_by_folders_and_patterns(
    model_path: Path, tiny_dataset: Path
) -> None:
    done: list[tuple[int, int]] = []
    by_pattern = predict_collection(
        model_path,
        [str(tiny_dataset / "val" / "*" / "*.mp4")],
        progress=lambda number, total: done.append((number, total)),
    )
    assert done == [(number, 4) for number in range(1, 5)]
    assert predict_collection(model_path, [tiny_dataset / "val"]) == by_pattern
    recognizer = Recognizer(model_path)
    assert list(recognizer.predict_many([tiny_dataset / "val"])) == by_pattern
    assert by_pattern == [recognizer.try_predict(item.source) for item in by_pattern]


def test_videos_are_recognized_side_by_side_each_on_its_part_of_the_cores(
    model_path: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predicting, "usable_cores", lambda: 4)
    videos = [sample.path for sample in load_catalog(tiny_dataset).train]
    recognizer, others_read = Recognizer(model_path, device="cpu"), threading.Barrier(2, timeout=60)
    threads = []

    def work(own: Recognizer, video: Path) -> torch.Tensor:
        others_read.wait()  # broken, unless two work at the same time
        threads.append((own.decoder_threads, torch.get_num_threads()))
        return own.logits(video)

    before = torch.get_num_threads()
    torch.set_num_threads(6)
    try:
        logits = dict(recognizer.in_threads(work, videos, workers=2, in_order=True))
    finally:
        torch.set_num_threads(before)
    assert set(threads) == {(2, 3)}
    assert list(logits) == videos and len(videos) == 12 == len(threads)
    for video in videos:
        torch.testing.assert_close(logits[video], recognizer.logits(video))


def _threads_of_a_new_one() -> int:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


def test_threads_are_given_back_whichever_block_ends_first() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(8)
    try:
        first, second = divided_threads(2), divided_threads(8)
        first.__enter__()
        assert (torch.get_num_threads(), _threads_of_a_new_one()) == (8, 4)
        second.__enter__()
        assert (torch.get_num_threads(), _threads_of_a_new_one()) == (8, 1)
        first.__exit__(None, None, None)
        assert _threads_of_a_new_one() == 1
        second.__exit__(None, None, None)
        assert (torch.get_num_threads(), _threads_of_a_new_one()) == (8, 8)
    finally:
        torch.set_num_threads(before)


def test_one_open_file_asked_for_by_several_threads_is_the_same_video_for_each(
    model_path: Path, tiny_dataset: Path
) -> None:
    video = load_catalog(tiny_dataset).val[0].path
    recognizer = Recognizer(model_path, device="cpu")
    with video.open("rb") as file:
        slow = _Slow(file)
        assert recognizer.predict([slow] * 4) == recognizer.predict([video] * 4)


class _Slow(io.RawIOBase):
    """A file that lets other threads in at each step."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def read(self, size: int = -1) -> bytes:
        time.sleep(0.002)
        return self.file.read(min(size, 512) if size > 0 else size)

    def tell(self) -> int:
        time.sleep(0.002)
        return self.file.tell()

    def seek(self, place: int, whence: int = 0) -> int:
        time.sleep(0.002)
        return self.file.seek(place, whence)

    def seekable(self) -> bool:
        return True


def test_a_list_is_read_ahead_in_batches_of_its_order(
    model_path: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predicting, "usable_cores", lambda: 2)
    videos = [sample.path for sample in load_catalog(tiny_dataset).train][:7]
    recognizer = Recognizer(model_path, device="cpu")
    expected = [recognizer.predict(video) for video in videos]
    sizes, threads = [], set()
    run, read = Recognizer.batch_logits, Recognizer._read

    def batch_logits(own: Recognizer, views: list[torch.Tensor]) -> torch.Tensor:
        sizes.append(len(views))
        return run(own, views)

    def noted(own: Recognizer, video: Path) -> torch.Tensor:
        threads.add((threading.current_thread().name, own.decoder_threads))
        return read(own, video)

    monkeypatch.setattr(Recognizer, "batch_logits", batch_logits)
    monkeypatch.setattr(Recognizer, "_read", noted)
    got = recognizer.predict(videos, batch_size=3)
    assert [[each.label for each in one] for one in got] == [
        [each.label for each in one] for one in expected
    ]
    assert sizes == [3, 3, 1] and len(threads) == 2 and {each for _, each in threads} == {1}
    missing = [*videos[:4], tiny_dataset / "none.mp4"]
    with pytest.raises(UnreadableVideoError, match=r"none\.mp4"):
        recognizer.predict(missing, batch_size=3)


def test_a_video_that_takes_long_delays_those_after_it_only_in_order(
    model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer, last_is_done = Recognizer(model_path, device="cpu"), threading.Event()

    def work(own: Recognizer, number: int) -> int:
        if number == 0:
            last_is_done.wait(60)
        if number == 4:
            last_is_done.set()
        return number**2

    for in_order in (False, True):
        last_is_done.clear()
        done = list(recognizer.in_threads(work, range(5), workers=3, in_order=in_order))
        assert sorted(done) == [(number, number**2) for number in range(5)]
        assert (done[0] == (0, 0)) == in_order


def test_the_command_prints_json_for_files_folders_and_patterns(
    model_path: Path, tiny_dataset: Path, capsys: pytest.CaptureFixture
) -> None:
    videos = sorted((tiny_dataset / "val").rglob("*.mp4"))
    for source in (str(tiny_dataset / "val"), str(tiny_dataset / "val" / "*" / "*.mp4")):
        assert main(["predict", str(model_path), source, "--format", "json", "--top-k", "2"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert sorted(item["source"] for item in printed) == sorted(map(str, videos))
        for item in printed:
            assert set(item) == {"source", "predictions"}
            assert [set(entry) for entry in item["predictions"]] == [{"label", "score"}] * 2


def test_a_video_that_cannot_be_read_is_named_and_the_others_are_predicted(
    model_path: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    good = str(load_catalog(tiny_dataset).val[0].path)
    assert main(["predict", str(model_path), good, str(bad), "--format", "json"]) == 1
    captured = capsys.readouterr()
    first, second = json.loads(captured.out)
    assert first["predictions"]
    assert (second["source"], second["predictions"]) == (str(bad), [])
    assert second["error"]
    assert str(bad) in captured.err
    assert main(["predict", str(model_path), str(bad), "--format", "json"]) == 2


def test_the_evaluate_command_prints_the_promised_keys(
    model_path: Path, tiny_dataset: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ["evaluate", str(model_path), str(tiny_dataset), "--workers", "0"]
    assert main([*words, "--format", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {
        "model",
        "data",
        "protocol",
        "num_videos",
        "top1",
        "top5",
        "mean_class_accuracy",
        "unreadable",
    } <= set(printed)
    assert (printed["protocol"], printed["num_videos"], printed["unreadable"]) == ("1x1", 4, [])
    assert main(words) == 0
    assert "1x1: 1 clip of 4 frames" in capsys.readouterr().out


def _frames_of(video: Path) -> np.ndarray:
    return np.stack(list(iterate_frames(video)))  # (T, H, W, 3)


@pytest.fixture(scope="module")
def web(tiny_dataset: Path) -> Iterator[str]:
    """The address of a folder on this machine."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tiny_dataset))
    handler.log_message = lambda *words: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


FORMS = {
    "text": str,
    "bytes": lambda path: path.read_bytes(),
    "open file": lambda path: io.BytesIO(path.read_bytes()),
    "array": _frames_of,
    "tensor": lambda path: torch.from_numpy(_frames_of(path)).permute(0, 3, 1, 2),
    "arrays": lambda path: list(_frames_of(path)),
    "pictures": lambda path: [Image.fromarray(each) for each in _frames_of(path)],
    "frames": lambda path: VideoFrames(_frames_of(path), 25),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("protocol", ["1x1", "2x3"])
def test_a_video_in_any_form_has_the_labels_of_its_file(
    model_path: Path, tiny_dataset: Path, form: Callable, protocol: str
) -> None:
    recognizer = Recognizer(model_path, protocol=protocol)
    first, second = (sample.path for sample in load_catalog(tiny_dataset).val[:2])
    expected = recognizer.predict(first)
    assert recognizer.predict(form(first)) == expected
    several = recognizer.predict([form(first), form(second), first], batch_size=2)
    for found, path in zip(several, (first, second, first), strict=True):
        wanted = recognizer.predict(path)
        assert [each.label for each in found] == [each.label for each in wanted]
        assert [each.score for each in found] == pytest.approx([each.score for each in wanted])


def test_a_video_at_an_address_has_the_labels_of_its_file(
    model_path: Path, tiny_dataset: Path, web: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recognizer = Recognizer(model_path)
    path = load_catalog(tiny_dataset).val[0].path
    address = f"{web}/{quote(str(path.relative_to(tiny_dataset)))}"
    assert recognizer.predict(address) == recognizer.predict(path)
    gone = f"{web}/gone.mp4"
    with pytest.raises(UnreadableVideoError, match=r"/gone\.mp4: cannot be downloaded: 404 "):
        recognizer.predict(gone)
    words = ["predict", str(model_path), address, str(path), gone, "--format", "json"]
    assert main(words) == 1
    answers = json.loads(capsys.readouterr().out)
    assert [each["source"] for each in answers] == [address, str(path), gone]
    assert answers[0]["predictions"] == answers[1]["predictions"] and "error" in answers[2]
    for words in (["--window", "1s"], ["--events"]):
        assert main(["predict", str(model_path), address, *words]) == 2
        assert "are of files; download it first" in capsys.readouterr().err


def test_bytes_that_are_no_video_are_named(model_path: Path, tmp_path: Path) -> None:
    recognizer = Recognizer(model_path)
    with pytest.raises(UnreadableVideoError, match="the given bytes: ") as raised:
        recognizer.predict(b"no video")
    assert tempfile.gettempdir() not in str(raised.value)
    (tmp_path / "text.mp4").write_text("no video")
    with (tmp_path / "text.mp4").open() as file, pytest.raises(ValueError, match="mode 'rb'"):
        recognizer.predict(file)
    with (
        (tmp_path / "text.mp4").open("rb") as file,
        pytest.raises(UnreadableVideoError, match=r"text\.mp4: "),
    ):
        recognizer.predict(file)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((8, 48, 64, 3), np.float32), r"frames of float32.*\(255 \* frames\)"),
        (np.zeros((3, 8, 48, 64), np.uint8), r"is \(C, T, H, W\).*exchange the first two axes"),
        (np.zeros((8, 48, 64, 4), np.uint8), r"shape \(8, 48, 64, 4\); frames are uint8 RGB"),
        (np.zeros((2, 8, 48, 64, 3), np.uint8), "of several videos give a list"),
        (np.zeros((0, 48, 64, 3), np.uint8), "no frame"),
        ([], "empty list"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((5, 4, 3), np.uint8)], "different shapes"),
        (3.5, "got float; a video is a path, an address, bytes"),
    ],
)
def test_what_is_no_video_is_refused_in_one_line(
    model_path: Path, frames: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        Recognizer(model_path).predict(frames)
    assert "\n" not in str(raised.value)


def test_frames_with_a_rate_have_windows_in_seconds(model_path: Path, tiny_dataset: Path) -> None:
    recognizer = Recognizer(model_path)
    path = load_catalog(tiny_dataset).val[0].path
    pictures = _frames_of(path)
    rate = float(frame_rate(path))
    plan = WindowPlan.parse("0.5s", "0.25s")
    expected = list(predict_windows(recognizer, path, plan))
    assert list(predict_windows(recognizer, VideoFrames(pictures, rate), plan)) == expected
    assert list(predict_windows(recognizer, path.read_bytes(), plan)) == expected
    with pytest.raises(ValueError, match="have no times; give frames_per_second"):
        next(predict_windows(recognizer, pictures, plan))
    by_number = predict_windows(recognizer, pictures, WindowPlan.parse("8f"))
    assert [each.first_frame for each in by_number][:2] == [0, 8]
    with pytest.raises(ValueError, match="frames_per_second is 0"):
        VideoFrames(pictures, 0)


def test_embeddings_are_unit_vectors_of_the_features(model_path: Path, tiny_dataset: Path) -> None:
    recognizer = Recognizer(model_path, protocol="2x10")
    samples = load_catalog(tiny_dataset).val
    vectors = recognizer.embed([sample.path for sample in samples], batch_size=3)
    settings = EvaluationSettings(protocol="2x10", workers=0)
    features = video_features(recognizer.model, samples, settings).features.numpy()
    np.testing.assert_allclose(
        vectors, features / np.linalg.norm(features, axis=1, keepdims=True), atol=1e-5
    )
    np.testing.assert_allclose(recognizer.embed(samples[1].path), vectors[1], atol=1e-5)


def test_clips_with_channels_first_are_named(model_path: Path) -> None:
    model = load_model(model_path)
    with pytest.raises(ValueError, match=r"is \(B, C, T, H, W\).*transpose\(1, 2\)"):
        model(torch.zeros(1, 3, 4, 32, 32))


def test_clips_with_channels_last_are_named(model_path: Path) -> None:
    model = load_model(model_path)
    with pytest.raises(ValueError, match=r"is \(B, T, H, W, C\).*permute\(0, 1, 4, 2, 3\)"):
        model(torch.zeros(1, 4, 32, 32, 3))
    model(torch.zeros(1, 4, 32, 32, 3).permute(0, 1, 4, 2, 3))
