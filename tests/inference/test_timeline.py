"""Labels along a video: every window as the file cut out of it, and the files that are written."""

import csv
import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from mixtconv.cli.main import main
from mixtconv.inference import labelled_video
from mixtconv.inference.labelled_video import draw_caption
from mixtconv.inference.predicting import Prediction
from mixtconv.inference.timeline import (
    WindowPrediction,
    predict_windows,
    shown_segments,
)
from mixtconv.inference.torch_recognizers import Recognizer
from mixtconv.models import create_model, save_model
from mixtconv.video import windows as window_views_module
from mixtconv.video.windows import WindowPlan, window_views

CLASSES = ["wave", "jump", "run"]


def _save(path: Path, **options: object) -> Path:
    torch.manual_seed(0)
    model = create_model(
        "mstnet_test_resnet", classes=CLASSES, num_frames=4, image_size=32, **options
    )
    torch.nn.init.normal_(model.head.weight)
    save_model(model, path)
    return path


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _save(tmp_path_factory.mktemp("model") / "model.safetensors")


def _cut(video: Path, first: int, count: int, path: Path) -> Path:
    """Frames of a video as a file of their own, without loss: decoded and written as FFV1."""
    with av.open(str(video)) as source, av.open(str(path), "w") as target:
        original = source.streams.video[0]
        stream = target.add_stream("ffv1", rate=25)
        stream.width, stream.height = original.width, original.height
        stream.pix_fmt = original.pix_fmt
        for number, frame in enumerate(source.decode(video=0)):
            if not first <= number < first + count:
                continue
            frame.pts, frame.time_base = number - first, Fraction(1, 25)
            target.mux(stream.encode(frame))
        target.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("protocol", "options", "window"),
    [
        ("1x1", {}, ("0.8s", "0.4s")),
        ("2x3", {}, ("13f", "7f")),
        ("1x1", {"sampling": "dense", "frame_stride": 3}, ("500ms", "1s")),
        ("1x1", {"modality": "rgbdiff"}, ("1s", "1s")),
    ],
)
def test_a_window_has_the_logits_of_the_file_cut_out(
    protocol: str, options: dict, window: tuple, tmp_path: Path, media
) -> None:
    model = _save(tmp_path / "model.safetensors", **options)
    video = media.encode(tmp_path / "clip.mp4", media.moving_frames(66))
    recognizer = Recognizer(model, protocol=protocol, device="cpu")
    count = 0
    for found, views in window_views(recognizer.reader, video, WindowPlan.parse(*window)):
        first, number = found.frames[0].number, len(found.frames)
        cut = _cut(video, first, number, tmp_path / f"cut{first}.mkv")
        logits = recognizer.view_logits(views)
        torch.testing.assert_close(logits, recognizer.logits(cut), atol=1e-5, rtol=1e-5)
        count += 1
    assert count >= 3


def test_windows_follow_the_times_of_a_changing_rate(
    model_path: Path, tmp_path: Path, media
) -> None:
    times = [*range(0, 600, 60), *range(600, 1800, 20)]  # of 1/600 s: 10 a second, then 30
    video = media.encode(tmp_path / "clip.mkv", media.moving_frames(len(times)), times=times)
    found = list(predict_windows(Recognizer(model_path), video, WindowPlan.parse("1s")))
    assert [(window.first_frame, window.num_frames) for window in found] == [
        (0, 10),
        (10, 30),
        (40, 30),
    ]
    assert [window.start for window in found] == [0, 1, 2]


def test_every_frame_is_decoded_once(model_path: Path, tmp_path: Path, media, monkeypatch) -> None:
    video = media.encode(tmp_path / "clip.mp4", media.moving_frames(50))
    numbers = []

    def counted(path):
        for frame in timed_frames(path):
            numbers.append(frame.number)
            yield frame

    timed_frames = window_views_module.timed_frames
    monkeypatch.setattr(window_views_module, "timed_frames", counted)
    plan = WindowPlan.parse("1s", "80ms")
    assert len(list(predict_windows(Recognizer(model_path), video, plan))) > 10
    assert numbers == list(range(50))


def test_a_folder_of_pictures_has_windows_of_frames(
    model_path: Path, tmp_path: Path, media
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in enumerate(media.moving_frames(12)):
        Image.fromarray(frame).save(folder / f"{number:03}.png")
    recognizer = Recognizer(model_path)
    [(_, first), _] = window_views(recognizer.reader, folder, WindowPlan.parse("8f"))
    logits = recognizer.view_logits(first)
    for number in range(8, 12):
        (folder / f"{number:03}.png").unlink()
    torch.testing.assert_close(logits, recognizer.logits(folder), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="pictures, which have no times"):
        list(predict_windows(recognizer, folder, WindowPlan.parse("1s")))


def _window(start: float, end: float, label: str, score: float = 0.5) -> WindowPrediction:
    return WindowPrediction(start, end, 0, 1, (Prediction(label, score),), True)


def test_shown_segments_do_not_overlap_and_merge_on_request() -> None:
    timeline = [
        _window(0, 4, "wave", 0.4),
        _window(1, 5, "wave", 0.6),
        _window(2, 6, "jump"),
        _window(9, 13, "jump"),
    ]
    apart = shown_segments(timeline)
    assert [(item.start, item.end) for item in apart] == [(0, 2.5), (2.5, 3.5), (3.5, 6), (9, 13)]
    merged = shown_segments(timeline, merge=True)
    assert [(item.start, item.end, item.label, item.num_windows) for item in merged] == [
        (0, 3.5, "wave", 2),
        (3.5, 6, "jump", 1),
        (9, 13, "jump", 1),  # they do not touch
    ]
    assert merged[0].score == pytest.approx(0.5)
    assert shown_segments([], merge=True) == []


def test_the_command_writes_every_form(model_path: Path, tmp_path: Path, media, capsys) -> None:
    frames = media.moving_frames(60, height=65, width=97)  # odd, which H.264 4:4:4 can have
    video = media.encode(tmp_path / "clip.mkv", frames, codec="ffv1", pixel_format="bgr0")
    outputs = {kind: tmp_path / f"out.{kind}" for kind in ("json", "csv", "srt", "mp4")}
    words = ["predict", str(model_path), str(video), "--window", "1s", "--stride", "500ms"]
    names = ",".join(map(str, outputs.values()))
    assert main([*words, "--merge", "--out", names, "--format", "json"]) == 0
    [printed] = json.loads(capsys.readouterr().out)
    assert json.loads(outputs["json"].read_text()) == printed
    starts = [window["start"] for window in printed["windows"]]
    assert starts == pytest.approx([0, 0.5, 1, 1.5])
    assert printed["windows"][-1]["end"] == pytest.approx(2.4)
    segments = printed["segments"]
    with outputs["csv"].open() as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [segment["label"] for segment in segments]
    assert outputs["srt"].read_text().count(" --> ") == len(segments)
    drawn = np.stack(media.decode_all(outputs["mp4"])).astype(int)
    assert drawn.shape == (60, 64, 96, 3)
    difference = np.abs(drawn - frames[:, :64, :96])
    assert difference[:, :48].mean() < 25 < difference[:, -8:].mean()
    assert main(words) == 0
    assert segments[0]["label"] in capsys.readouterr().out


def test_a_caption_is_drawn_at_the_bottom_and_fits() -> None:
    picture = np.full((120, 160, 3), 255, np.uint8)
    drawn = draw_caption(picture, "a label that is much longer than the picture is wide, indeed")
    assert (drawn[:90] == 255).all() and (drawn[-1] < 120).all()
    assert (picture == 255).all()
    first, second = (draw_caption(picture, text) for text in ("жжжж", "щщщщ"))
    assert (first != second).any()  # letters, not the same box for each


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--window", "0s"], "--window is 0"),
        (["--window", "1s", "--stride", "0s"], "--stride is 0"),
        (["--window", "1s", "--out", "x.txt"], "--out is x.txt; give a file that ends in .json"),
        (["--stride", "1s"], "give --window or --events too"),
        (["--merge"], "give --window or --events too"),
        (["--window", "1s", "--out", "clip.mp4"], "--out is the video itself"),
    ],
)
def test_what_cannot_be_done_ends_with_2_and_one_line(
    words: list, says: str, model_path: Path, tmp_path: Path, media, capsys, monkeypatch
) -> None:
    media.encode(tmp_path / "clip.mp4", media.moving_frames(5))
    monkeypatch.chdir(tmp_path)
    assert main(["predict", str(model_path), "clip.mp4", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.strip().splitlines()) == 1
    assert says in captured.err


def test_a_video_that_cannot_be_read_is_named_and_the_others_have_timelines(
    model_path: Path, tmp_path: Path, media, capsys
) -> None:
    good = media.encode(tmp_path / "good.mp4", media.moving_frames(5))
    bad, empty = tmp_path / "bad.mp4", tmp_path / "empty.mp4"
    bad.write_text("no video")
    empty.touch()
    words = ["--window", "60s", "--format", "json"]
    assert main(["predict", str(model_path), str(good), str(bad), str(empty), *words]) == 1
    first, second, third = json.loads(capsys.readouterr().out)
    assert len(first["windows"]) == 1 and not first["windows"][0]["whole"]
    assert second["error"] and "0 bytes" in third["error"]
    assert main(["predict", str(model_path), str(bad), *words]) == 2


def test_a_file_whose_resolution_changes_has_one_timeline(
    model_path: Path, tmp_path: Path, media
) -> None:
    parts = [
        media.encode(tmp_path / f"{h}.h264", media.moving_frames(25, height=h), gop_size=5)
        for h in (64, 32)
    ]
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    found = list(predict_windows(Recognizer(model_path), path, WindowPlan.parse("10f")))
    assert [window.num_frames for window in found] == [10] * 5


def test_subtitles_follow_the_clock_of_a_file_whose_sound_starts_first(
    model_path: Path, tmp_path: Path, media, capsys
) -> None:
    times = [1200 + 24 * number for number in range(60)]  # in 1/600 s: the picture starts at 2 s
    video = media.encode(tmp_path / "a.mkv", media.moving_frames(60), times=times, audio=True)
    out = f"{tmp_path / 'a.srt'},{tmp_path / 'a.json'}"
    assert main(["predict", str(model_path), str(video), "--window", "1s", "--out", out]) == 0
    clocks = [line for line in (tmp_path / "a.srt").read_text().splitlines() if "-->" in line]
    starts = [float(clock[6:12].replace(",", ".")) for clock in clocks]
    assert starts == pytest.approx([2, 3, 4], abs=0.01)
    segments = json.loads((tmp_path / "a.json").read_text())["segments"]
    assert [segment["start"] for segment in segments] == [0, 1, 2]


def test_a_labelled_video_replaces_another_only_when_it_is_whole(tmp_path, media) -> None:
    video = media.encode(tmp_path / "a.mp4", media.moving_frames(8))
    (tmp_path / "out.mkv").write_text("earlier")

    def fail(picture: object, text: str) -> object:
        raise OSError("no space left")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labelled_video, "draw_caption", fail)
        with pytest.raises(OSError, match="no space left"):
            labelled_video.write_labelled_video(video, tmp_path / "out.mkv", [(0, 1, "wave")])
    assert (tmp_path / "out.mkv").read_text() == "earlier"
    labelled_video.write_labelled_video(video, tmp_path / "out.mkv", [(0, 1, "wave")])
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert "matroska" in container.format.name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "out.mkv"]
