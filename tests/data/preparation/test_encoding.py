"""One prepared video: its frames, size and keyframes, and what is checked before it is there."""

import errno
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from mixtconv import _atomic_write
from mixtconv.data.clips import read_frames
from mixtconv.data.preparation import encoding
from mixtconv.data.preparation.encoding import StoppedError, encode_video
from mixtconv.data.preparation.form import PreparedForm
from mixtconv.video import writer
from mixtconv.video.opening import open_video
from mixtconv.video.packet_table import read_packet_table
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.reader import frame_rate, iterate_frames, probe_video
from mixtconv.video.segment import Segment, Span
from mixtconv.video.timing import timed_frames
from mixtconv.video.writer import write_video

FORM = PreparedForm(short_side=64, crf=10)
CLOSED_GOP = {"x264-params": "keyint=12:min-keyint=12:scenecut=0:bframes=3:open-gop=0"}


def smooth(num_frames, height=64, width=96):
    """Frames that differ and that 4:2:0 colour and little loss leave nearly as they are."""
    y, x = np.mgrid[:height, :width]
    frames = [
        128 + 60 * np.sin((x + 2 * t) / 15) + 40 * np.cos((y - 3 * t) / 11)
        for t in range(num_frames)
    ]
    return np.stack([np.stack([f, f[::-1], f], 2) for f in frames]).clip(0, 255).astype(np.uint8)


def prepared(source, form=FORM):
    """A source in prepared form: the file, and its frames."""
    target = source.with_name("prepared.mp4")
    encoded = encode_video(source, target, form)
    frames = np.stack(list(iterate_frames(target)))
    assert len(frames) == encoded.num_frames
    assert target.stat().st_size == encoded.num_bytes
    return target, frames


def test_frames_are_those_of_the_source(media, tmp_path):
    source = media.encode(tmp_path / "a.mkv", smooth(30), options={**CLOSED_GOP, "crf": "10"})
    _, frames = prepared(source)
    reference = np.stack(media.decode_all(source))
    assert frames.shape == reference.shape
    difference = np.abs(frames.astype(float) - reference)
    assert difference.mean() < 2.5
    # each is nearest to the frame of its own number
    distances = np.abs(frames[:, None].astype(np.int16) - reference[None]).mean((2, 3, 4))
    assert (distances.argmin(1) == np.arange(30)).all()


@pytest.mark.parametrize("fps", [5, 12.5, 30000 / 1001, 60])
@pytest.mark.parametrize(
    "part", [None, Span(Fraction(1, 2), Fraction(3, 2)), Span(Fraction(1, 2), Fraction(11, 5))]
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_at_a_rate_the_frames_are_those_shown_then(media, tmp_path, fps, part, suffix):
    """10 frames a second, then 40, then one frame for half a second."""
    times = [60 * n for n in range(10)] + [600 + 15 * n for n in range(30)] + [1335]  # of 1/600 s
    path = media.encode(tmp_path / f"a.{suffix}", smooth(41), times=times, options={"crf": "10"})
    source = path if part is None else Segment(path, part)
    target = tmp_path / "prepared.mp4"
    encode_video(source, target, replace(FORM, fps=fps))
    assert frame_rate(target) == pytest.approx(fps, rel=1e-4)
    frames = np.stack(list(iterate_frames(target))).astype(np.int16)
    reference = np.stack(media.decode_all(path)).astype(np.int16)
    own = np.abs(frames[:, None] - reference[None]).mean((2, 3, 4)).argmin(1)
    seconds = [time / 600 for time in times]
    if part is not None:
        seconds = [time for time in seconds if part.start <= time < part.end]
    skipped = 0 if part is None else times.index(300)
    shown = [number / fps for number in range(len(own))]
    late = 0.0011  # Matroska's times are whole milliseconds
    expected = [sum(start - seconds[0] <= time + late for start in seconds) - 1 for time in shown]
    assert own.tolist() == [number + skipped for number in expected]
    if part is None:
        last = seconds[-1]  # shown for one period of the average rate
        assert last - 1e-3 <= len(own) / fps <= last + 0.12 + 1 / fps
    else:  # its last frame is shown to its end, in the last case for half a second
        length = float(part.end) - seconds[0]
        assert length - 1e-3 - 1 / fps < len(own) / fps <= length + 1e-3 + 1 / fps


def test_a_rate_needs_times(media, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, frame in enumerate(smooth(2)):
        Image.fromarray(frame).save(folder / f"{number}.jpg")
    with pytest.raises(UnreadableVideoError, match=r"folder of pictures, .*without --fps"):
        encode_video(folder, tmp_path / "b.mp4", replace(FORM, fps=10))
    times = [0, 60, 600 * 4000]
    gap = media.encode(tmp_path / "gap.mkv", smooth(3), times=times)
    with pytest.raises(UnreadableVideoError, match=r"from 0.1 to 4000.0 s: its times are damaged"):
        encode_video(gap, tmp_path / "b.mp4", replace(FORM, fps=10))
    with pytest.raises(ValueError, match=r"--fps is 0; give 0\.01 to 1000 frames a second"):
        PreparedForm(fps=0)


@pytest.mark.parametrize("distance", [1, 4, 7, 100])
def test_decoding_may_start_at_every_keyframe(distance, media, tmp_path):
    source = media.encode(tmp_path / "a.mp4", media.moving_frames(30), audio=True)
    target, _ = prepared(source, PreparedForm(keyframe_distance=distance))
    with open_video(target) as (container, stream):
        table = read_packet_table(container, stream)
        assert [s.type for s in container.streams] == ["video"]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.codec_context.reorder_depth == 0
    assert table.entries == tuple((k, k) for k in range(0, 30, distance))
    assert (np.diff(table.times) > 0).all() and table.trusted


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((128, 192), (64, 96)),
        ((192, 128), (96, 64)),
        ((130, 202), (64, 100)),  # 99.4
        ((129, 75), (110, 64)),  # 110.1
        ((64, 96), (64, 96)),
        ((40, 50), (40, 50)),  # never larger
        ((53, 75), (52, 74)),
        ((54, 75), (54, 74)),
        ((1, 1), (2, 2)),
    ],
)
def test_sizes(shape, expected, media, tmp_path):
    frames = media.moving_frames(3, height=shape[0], width=shape[1])
    source = media.encode(tmp_path / "a.mkv", frames, codec="ffv1", pixel_format="yuv444p")
    _, got = prepared(source)
    assert got.shape[1:3] == expected


def test_a_video_that_need_not_shrink_is_cropped_to_even_sizes_and_not_resampled(media, tmp_path):
    frames = smooth(4, 53, 75)
    source = media.encode(tmp_path / "a.mkv", frames, codec="ffv1", pixel_format="yuv444p")
    _, got = prepared(source)
    assert np.abs(got.astype(float) - frames[:, :52, :74]).mean() < 2.5


def test_smaller_frames_are_as_scoring_resizes_them(media, tmp_path):
    import torch
    import torchvision.transforms.v2.functional as F

    source = media.encode(
        tmp_path / "a.mkv", media.moving_frames(4, height=256, width=384), codec="ffv1",
        pixel_format="yuv444p",
    )  # fmt: skip
    _, got = prepared(source, PreparedForm(short_side=64, crf=1))
    reference = read_frames(source, range(4))
    resized = F.resize(reference, [64, 96], antialias=True)
    luma = torch.tensor([0.299, 0.587, 0.114])
    difference = (resized.permute(0, 2, 3, 1).float() @ luma) - torch.from_numpy(got).float() @ luma
    assert difference.abs().mean() < 2


def test_rotation_is_applied(media, tmp_path):
    source = media.encode(tmp_path / "a.mp4", smooth(12), options={"crf": "10"})
    upright = [np.rot90(frame, -1) for frame in media.decode_all(source)]
    media.set_display_matrix(source, 0, 1, -1, 0)
    target, frames = prepared(source)
    assert (probe_video(target).height, probe_video(target).width) == (96, 64)
    assert np.abs(frames.astype(float) - np.stack(upright)).mean() < 2.5


@pytest.mark.parametrize(("suffix", "tick"), [(".mkv", 1 / 1000), (".mp4", 1 / 90_000)])
def test_frames_of_a_changing_rate_keep_their_times(suffix, tick, media, tmp_path):
    gaps = np.random.default_rng(0).integers(5, 200, 48)
    times = gaps.cumsum()  # in 1/600 s
    frames = media.moving_frames(48)
    source = media.encode(tmp_path / f"a{suffix}", frames, times=times.tolist())
    target, got = prepared(source)
    assert len(got) == 48
    expected = (times - times[0]) / 600
    with av.open(str(target)) as container:  # read without the package
        stream = container.streams.video[0]
        shown = [float(frame.pts * stream.time_base) for frame in container.decode(stream)]
    assert np.abs(np.subtract(shown, expected)).max() <= 1.01 * tick
    kept = [float(frame.seconds) for frame in timed_frames(target)]
    assert np.abs(np.subtract(kept, expected)).max() <= 1.01 * tick


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24), Fraction(1, 2)])
def test_the_frame_rate_is_kept(rate, tmp_path):
    source = tmp_path / "a.mkv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for value in range(6):
            array = np.full((32, 32, 3), value, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        container.mux(stream.encode())
    target, _ = prepared(source)
    assert frame_rate(target) == pytest.approx(float(rate), rel=1e-4)


def test_a_folder_of_pictures_becomes_a_video(tmp_path):
    frames = smooth(8)
    (tmp_path / "clip").mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / "clip" / f"{number}.png")
    target, got = prepared(tmp_path / "clip")
    assert np.abs(got.astype(float) - frames).mean() < 2.5
    assert frame_rate(target) == 25


def test_a_damaged_source_gives_the_frames_that_reading_it_gives(media, tmp_path):
    source = media.encode(
        tmp_path / "a.mp4",
        media.moving_frames(60),
        options=CLOSED_GOP,
        container_options={"movflags": "faststart"},
    )
    content = source.read_bytes()
    source.write_bytes(content[: len(content) * 6 // 10])
    reference = media.decode_all(source)
    assert 15 < len(reference) < 50
    _, frames = prepared(source)
    assert len(frames) == len(reference)


def test_the_same_source_gives_the_same_bytes(media, tmp_path):
    source = media.encode(tmp_path / "a.mp4", media.moving_frames(40))
    first = prepared(source)[0].read_bytes()
    assert prepared(source)[0].read_bytes() == first


# What must not be left behind


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


def fail(*args, **options):
    raise RuntimeError("stopped in the middle")


def truncate(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 9 // 10])


def rewrite(path, frames, form):
    options = {"encoding": encoding.form_encoding(form), "container": "mp4"}
    write_video(path, frames, frames_per_second=25, **options)


def drop_a_frame(path):
    """A file that is whole but one frame short."""
    rewrite(path, list(iterate_frames(path))[:-1], FORM)


def fewer_keyframes(path):
    form = PreparedForm(keyframe_distance=FORM.keyframe_distance + 1)
    rewrite(path, list(iterate_frames(path)), form)


@pytest.mark.parametrize("fault", [truncate, drop_a_frame, fewer_keyframes])
def test_a_file_that_reads_back_otherwise_does_not_get_its_name(
    fault, media, tmp_path, monkeypatch
):
    source = media.encode(tmp_path / "a.mkv", media.moving_frames(20))
    check = encoding._check

    def check_later(path, form, num_frames):
        fault(path)
        check(path, form, num_frames)

    monkeypatch.setattr(encoding, "_check", check_later)
    with pytest.raises((OSError, UnreadableVideoError)):
        encode_video(source, tmp_path / "b.mp4", FORM)
    assert names_in(tmp_path) == ["a.mkv"]


@pytest.mark.parametrize(
    ("module", "where"),
    [
        (encoding, "write_video"),
        (encoding, "fitted"),
        (encoding, "_check"),
        (writer, "_encode"),
        (_atomic_write, "flush_to_disk"),
    ],
)
def test_what_was_begun_is_removed(module, where, media, tmp_path, monkeypatch):
    source = media.encode(tmp_path / "a.mkv", media.moving_frames(20))
    target = tmp_path / "b.mp4"
    target.write_text("of an earlier run")
    monkeypatch.setattr(module, where, fail)
    with pytest.raises(RuntimeError):
        encode_video(source, target, FORM)
    assert names_in(tmp_path) == ["a.mkv", "b.mp4"]
    assert target.read_text() == "of an earlier run"


def test_encoding_stops_when_told(media, tmp_path):
    source = media.encode(tmp_path / "a.mkv", media.moving_frames(20))
    asked = []
    with pytest.raises(StoppedError):
        encode_video(
            source, tmp_path / "b.mp4", FORM, is_stopped=lambda: asked.append(1) or len(asked) > 5
        )
    assert len(asked) == 6
    assert names_in(tmp_path) == ["a.mkv"]


def test_faults_of_the_source_are_told_from_those_of_the_disk(media, tmp_path, monkeypatch):
    source = media.encode(tmp_path / "a.mkv", media.moving_frames(20))

    def unreadable(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))
        yield

    with monkeypatch.context() as patch:
        patch.setattr(encoding, "iterate_video", unreadable)
        with pytest.raises(UnreadableVideoError, match=r"a\.mkv: Permission denied"):
            encode_video(source, tmp_path / "b.mp4", FORM)
    with pytest.raises(OSError, match="No such file"):
        encode_video(source, tmp_path / "nowhere" / "b.mp4", FORM)
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"words" * 100)
    with pytest.raises(UnreadableVideoError, match="not a video"):
        encode_video(bad, tmp_path / "b.mp4", FORM)
    assert names_in(tmp_path) == ["a.mkv", "bad.mp4"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"short_side": 255}, "--short-side is 255; give an even number"),
        ({"short_side": 8}, "--short-side is 8"),
        ({"keyframe_distance": 0}, "--keyframe-distance is 0"),
        ({"crf": 52}, "--crf is 52; give 0"),
        ({"crf": -1}, "--crf is -1"),
        ({"jpeg": True, "flow": "dis"}, "--jpeg and --flow write different things"),
    ],
)
def test_forms_that_cannot_be(values, says):
    with pytest.raises(ValueError, match=says):
        PreparedForm(**values)


def test_every_setting_changes_the_name_of_the_form():
    forms = [
        PreparedForm(),
        PreparedForm(short_side=128),
        PreparedForm(keyframe_distance=8),
        PreparedForm(crf=23),
        PreparedForm(jpeg=True),
        PreparedForm(jpeg=True, short_side=128),
        PreparedForm(flow="dis"),
    ]
    assert len({form.name for form in forms}) == len(forms)
