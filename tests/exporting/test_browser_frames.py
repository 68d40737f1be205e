"""The frames that a page for browsers reads: those of `predict`, or none and one line why."""

import platform
from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from PIL import Image

from mixtconv.inference.engine_recognizers import EngineRecognizer

TEXT = "document.querySelector('{}').textContent"
PIXELS = (
    "[...document.querySelectorAll('#seen canvas')].flatMap(canvas => Array.from("
    "canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data))"
)
LABELS = (
    "Object.fromEntries([...document.querySelectorAll('#labels li')]"
    ".map(line => [line.firstChild.textContent, Number(line.dataset.score)]))"
)
TRACK = (
    "import('./container.js').then(m => m.videoTrack(document.querySelector('#file').files[0]))"
    ".then(track => track.times)"
)


def _by_label(predictions) -> dict[str, float]:
    return {each.label: each.score for each in predictions}


def _write_videos(folder: Path, media) -> dict[str, Path]:
    """Short videos of many kinds, each with something that a page could get wrong."""
    frames = media.moving_frames(20, height=96, width=128)
    plain = {"b-frames.mp4": {"options": {"bf": "2"}}, "vp9.webm": {"codec": "libvpx-vp9"},
             "h264.mkv": {}, "wide.mp4": {"pixel_aspect": Fraction(4, 3)},
             "fragments.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
             "late-index.mp4": {"container_options": {"movflags": "frag_keyframe+delay_moov"},
                                "options": {"bf": "2"}},
             "bt709.mp4": {"options": {"colorspace": "bt709", "color_range": "pc"}}}  # fmt: skip
    videos = {name: media.encode(folder / name, frames, **how) for name, how in plain.items()}
    videos["edited.mp4"] = media.encode(folder / "edited.mp4", frames)
    media.cut_start_by_edit_list(videos["edited.mp4"], 3)
    for name, options in {"ended.mp4": {}, "ended-b-frames.mp4": {"bf": "2"}}.items():
        videos[name] = media.encode(folder / name, frames, options=options)
        media.cut_start_by_edit_list(videos[name], 3)
        media.cut_end_by_edit_list(videos[name], 0.4)
    videos["timeless.mp4"] = _without_times(media.encode(folder / "timeless.mp4", frames))
    return videos


def _without_times(path: Path) -> Path:
    """Makes every frame of an MP4 file without B-frames last no time, as some cutters do."""
    content = bytearray(path.read_bytes())
    at = content.index(b"stts") + 8
    for entry in range(int.from_bytes(content[at : at + 4], "big")):
        content[at + 8 + 8 * entry : at + 12 + 8 * entry] = bytes(4)
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def videos(media, tmp_path_factory) -> dict[str, Path]:
    return _write_videos(tmp_path_factory.mktemp("videos"), media)


def test_labels_of_videos_are_those_of_predict(clip_page, pages, videos) -> None:
    recognizer = EngineRecognizer(pages / "clip" / "model.onnx")
    for name, path in videos.items():
        expected = _by_label(recognizer.predict(path))
        assert clip_page.labels(path) == pytest.approx(expected, abs=1e-3), name
    assert "WASM" in clip_page.text("#latency")


def test_labels_of_real_clips_are_those_of_predict(clip_page, pages, shared_videos: Path) -> None:
    recognizer = EngineRecognizer(pages / "clip" / "model.onnx")
    for name in ("cleaning_pool.mp4", "arm_wrestling.mp4"):
        expected = _by_label(recognizer.predict(shared_videos / name))
        assert clip_page.labels(shared_videos / name) == pytest.approx(expected, abs=1e-3), name


@pytest.fixture(scope="module")
def differences(pages: Path):
    """How far the pixels that a page's network sees of a file are from those of `predict`."""
    reader = EngineRecognizer(pages / "clip" / "model.onnx").reader

    def measure(page, path: Path) -> np.ndarray:
        page.labels(path)
        got = np.array(page.run(PIXELS)).reshape(4, 32, 32, 4)[..., :3].transpose(0, 3, 1, 2)
        return np.abs(got - reader.read(path).frames[0])

    return measure


def test_the_pixels_that_the_network_sees_are_those_of_predict(
    clip_page, videos, differences
) -> None:
    """Scores of one model may hide a difference; its pixels do not."""
    for name, path in videos.items():
        difference = differences(clip_page, path)
        assert difference.max() <= 1 and difference.mean() < 0.01, name


@pytest.mark.parametrize("says_rotation", [True, False])
def test_a_picture_is_turned_and_mirrored_as_the_file_says(
    clip_page, differences, media, tmp_path: Path, says_rotation: bool
) -> None:
    """Also by a browser whose frames do not say it, of which only the element's are turned."""
    if not says_rotation:
        clip_page.run("delete VideoFrame.prototype.rotation; delete VideoFrame.prototype.flip")
    frames = media.moving_frames(20, height=96, width=96)  # turned, a square is one as well
    sought = media.encode(tmp_path / "sought.mp4", frames)
    decoded = media.encode(tmp_path / "decoded.mp4", frames[:8])
    for matrix in product((1, 0, -1), repeat=4):
        if matrix[0] * matrix[3] - matrix[1] * matrix[2] == 0 or 0 not in matrix:
            continue
        for path in (sought, decoded):
            media.set_display_matrix(path, *matrix)
            is_converted = says_rotation or path == decoded or matrix == (1, 0, 0, 1)
            # What a browser converts itself differs by some steps, and otherwise by a hundred.
            assert differences(clip_page, path).mean() < (0.01 if is_converted else 5), matrix


LATE = """
    const Own = VideoDecoder;
    globalThis.VideoDecoder = class extends Own {{
        constructor({{output, error}}) {{
            let count = 0, late = null;
            super({{error, output: frame => {{
                if (count++ === {0}) {{
                    late = frame;
                    return;
                }}
                output(frame);
                if (late !== null) {1};
                late = null;
            }}}});
        }}
    }};"""


@pytest.mark.parametrize("then", ["late.close()", "output(late)"], ids=["dropped", "late"])
@pytest.mark.parametrize("which", [2, 3])
def test_a_decoder_that_drops_or_delays_a_frame_never_shifts_the_others(
    clip_page, pages, media, tmp_path: Path, which: int, then: str
) -> None:
    path = media.encode(tmp_path / "clip.mp4", media.moving_frames(8, height=96, width=128))
    clip_page.run(LATE.format(which, then))
    status = clip_page.status(path)
    if which == 3:  # of the clip's 1, 3, 5, 7
        assert status == "clip.mp4: the browser leaves out frame 3: the video is damaged there"
        return
    expected = _by_label(EngineRecognizer(pages / "clip" / "model.onnx").predict(path))
    assert status == "Done." and clip_page.run(LABELS) == pytest.approx(expected, abs=1e-3)


def test_files_that_cannot_be_read_are_refused_in_a_line(clip_page, tmp_path: Path, media) -> None:
    contents = {
        "garbage.mp4": (b"no video" * 1000, "no MP4, QuickTime, WebM or Matroska file"),
        "empty.webm": (b"", "no MP4, QuickTime, WebM or Matroska file"),
    }
    path = media.encode(tmp_path / "whole.mp4", media.moving_frames(8))
    content = path.read_bytes()
    contents["cut.mp4"] = (content[: content.index(b"moov") - 4], "no index (moov)")
    contents["several.mp4"] = (_with_two_edits(content), "its edit list has several parts")
    path = media.encode(
        tmp_path / "fragments.mp4",
        media.moving_frames(20),
        container_options={"movflags": "frag_keyframe+delay_moov"},
    )
    media.cut_start_by_edit_list(path, 3)
    contents["cut-fragments.mp4"] = (path.read_bytes(), "cuts off the start of its fragments")
    path = media.encode(
        tmp_path / "fast.mp4", media.moving_frames(8), container_options={"movflags": "faststart"}
    )
    contents["broken-off.mp4"] = (path.read_bytes()[:-50], "50 bytes of its box mdat are missing")
    path = media.encode(tmp_path / "whole.webm", media.moving_frames(8), codec="libvpx-vp9")
    content = bytearray(path.read_bytes())
    at = content.index(bytes.fromhex("1f43b675"))  # its first cluster
    content[at + 4 : at + 32] = bytes(28)
    contents["damaged.webm"] = (bytes(content), "it is damaged at byte ")
    sound = media.encode_audio(tmp_path / "sound.mp4")
    contents["sound.mp4"] = (sound.read_bytes(), "no video in it")
    for name, (content, reason) in contents.items():
        (tmp_path / name).write_bytes(content)
        clip_page.choose_file("#file", tmp_path / name)
        clip_page.wait(TEXT.format("#status") + f".startsWith('{name}: ')")
        assert reason in clip_page.text("#status")
        assert clip_page.run("document.querySelector('#status').classList.contains('error')")


def _with_two_edits(content: bytes) -> bytes:
    """An MP4 file whose index lies at its end, with its edit a second time."""
    at = content.index(b"elst")
    edit = content[at + 12 : at + 24]
    content = content[: at + 8] + (2).to_bytes(4, "big") + 2 * edit + content[at + 24 :]
    for name in (b"moov", b"trak", b"edts", b"elst"):
        at = content.index(name) - 4
        length = int.from_bytes(content[at : at + 4], "big") + len(edit)
        content = content[:at] + length.to_bytes(4, "big") + content[at + 4 :]
    return content


def test_a_webm_file_that_breaks_off_is_read_up_to_there_and_that_is_said(
    clip_page, pages, media, tmp_path: Path
) -> None:
    recognizer = EngineRecognizer(pages / "clip" / "model.onnx")
    frames = media.moving_frames(20, height=96, width=128)
    content = media.encode(tmp_path / "whole.webm", frames, codec="libvpx-vp9").read_bytes()
    for part in (0.5, 0.9):
        path = tmp_path / f"{part}.webm"
        path.write_bytes(content[: int(part * len(content))])
        status = clip_page.status(path)
        assert status == "Done, but the file breaks off, and frames are missing after its last one."
        expected = pytest.approx(_by_label(recognizer.predict(path)), abs=1e-3)
        assert clip_page.run(LABELS) == expected
    path = tmp_path / "more.webm"
    path.write_bytes(content + bytes(100))  # what follows the film is no part of it
    assert clip_page.status(path) == "Done."


def test_times_of_frames_are_those_in_the_file(clip_page, videos) -> None:
    for name, path in videos.items():
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            expected = sorted(float(f.pts * f.time_base) for f in container.decode(stream))
        clip_page.choose_file("#file", path)
        assert clip_page.run(TRACK) == pytest.approx(expected, abs=1e-6), name


@pytest.mark.parametrize("full", [False, True])
def test_colours_are_those_of_ffmpeg(clip_page, full: bool) -> None:
    """Of all values, also those that no camera gives, to the last bit on the processors of PCs."""
    random = np.random.default_rng(0)
    planes = [random.integers(0, 256, each, np.uint8) for each in ((32, 48), (16, 24), (16, 24))]
    frame = av.VideoFrame(48, 32, "yuv420p")
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        rows[:, : values.shape[1]] = values
    frame.colorspace, frame.color_range = 1, 2 if full else 1  # BT.709, full or limited
    expected = VideoReformatter().reformat(frame, format="rgb24", threads=1).to_ndarray()
    luma, *chroma = [
        f"{{data: {values.ravel().tolist()}, offset: 0, stride: {values.shape[1]}, step: 1, "
        f"width: {values.shape[1]}, height: {values.shape[0]}}}"
        for values in planes
    ]
    got = clip_page.run(
        f"import('./colour.js').then(m => Array.from(m.toRgb({{y: {luma}, u: {chroma[0]}, "
        f"v: {chroma[1]}}}, {{matrix: 'bt709', isFull: {str(full).lower()}}}, "
        "{width: 48, height: 32}).data))"
    )
    is_exact = platform.machine() in ("x86_64", "AMD64")
    assert np.abs(np.array(got).reshape(expected.shape) - expected).max() <= (0 if is_exact else 3)


@pytest.mark.parametrize("shape", [(256, 340), (90, 67), (37, 37)])
def test_crops_are_those_of_pillow(clip_page, shape: tuple[int, int]) -> None:
    height, width = shape
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    size = 32
    side = round(size * 256 / 224)
    scale = side / min(shape)
    resized = Image.fromarray(pixels).resize(
        (max(side, int(width * scale + 1e-9)), max(side, int(height * scale + 1e-9))),
        Image.Resampling.BILINEAR,
    )
    left, top = ((length - size) / 2 for length in resized.size)
    box = (round(left), round(top), round(left) + size, round(top) + size)
    expected = np.asarray(resized.crop(box)).transpose(2, 0, 1)
    got = clip_page.run(
        f"import('./resize.js').then(m => {{const to = new Uint8ClampedArray({3 * size * size});"
        f"m.centerCrop({{data: {pixels.ravel().tolist()}, width: {width}, height: {height}}}, "
        f"{size}, to, 0); return Array.from(to)}})"
    )
    np.testing.assert_array_equal(np.array(got).reshape(expected.shape), expected)
