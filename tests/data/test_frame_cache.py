"""Cached frames: which they are, how near to the video's, and that the files mend themselves."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from mixtconv.data import frame_cache
from mixtconv.data.contents import content_key
from mixtconv.data.dataset import VideoItem
from mixtconv.data.epoch_sampler import SampleKey
from mixtconv.data.frame_cache import CachedForm, FrameCache, cached_form, estimate_size, fill_cache
from mixtconv.data.listing import VideoSample
from mixtconv.data.protocol import Protocol
from mixtconv.data.training_clips import TrainingClips
from mixtconv.data.views import TensorViewReader
from mixtconv.models import ModelSpec
from mixtconv.video.crops import center_crop_pictures
from mixtconv.video.writer import write_video

SPEC = ModelSpec("tsn_test_resnet", ("a", "b"), num_frames=4, image_size=32)


@pytest.fixture(scope="module")
def video(media, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "a.mp4"
    write_video(path, media.moving_frames(30), frames_per_second=10)  # 96 x 64
    return path


def _fill(videos: list[Path], folder: Path, form: CachedForm) -> FrameCache:
    return fill_cache(videos, folder, form, workers=1)


def test_the_kept_frames_are_those_in_the_middle_of_equal_parts_shrunk(
    media, video: Path, tmp_path: Path
) -> None:
    clip = _fill([video], tmp_path, CachedForm(32, max_frames=5)).read(video, range)
    assert (clip.frames.shape, clip.num_frames) == ((30, 3, 32, 48), 30)
    pictures = media.decode_all(video)
    for number in range(30):
        middle = 6 * (number // 6) + 3  # five parts of six frames
        assert clip.indices[number] == middle
        shrunk = Image.fromarray(pictures[middle]).resize((48, 32), Image.Resampling.BILINEAR)
        difference = clip.frames[number].permute(1, 2, 0).numpy().astype(int) - np.asarray(shrunk)
        assert abs(difference).max() <= 1  # Pillow and torch round apart


def test_of_a_video_that_is_no_larger_the_clips_and_views_are_those_of_the_file(
    video: Path, tmp_path: Path
) -> None:
    cache = _fill([video], tmp_path, CachedForm(64, max_frames=30))
    samples = [VideoSample(video, 0)]
    for dataset in ("rgb", "rgbdiff"):
        spec = ModelSpec("tsn_test_resnet", ("a", "b"), num_frames=4, modality=dataset)
        plain, cached = TrainingClips(samples, spec), TrainingClips(samples, spec, cache=cache)
        first, second = plain[SampleKey(1, 0)], cached[SampleKey(1, 0)]
        assert isinstance(first, VideoItem) and isinstance(second, VideoItem)
        assert torch.equal(first.frames, second.frames)
        readers = (TensorViewReader(spec, Protocol(2, 3), each) for each in (None, cache))
        views = [reader.read(video).frames for reader in readers]
        assert torch.equal(*views)


def test_shrinking_first_changes_the_view_of_a_large_video_little(media, tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    write_video(path, media.moving_frames(12, height=240, width=320), frames_per_second=10)
    form = cached_form(SPEC, Protocol(), training_side=49)
    assert form == CachedForm(49, 64)
    cache = _fill([path], tmp_path / "cache", form)
    views = [TensorViewReader(SPEC, Protocol(), c).read(path).frames.float() for c in (None, cache)]
    pictures = [Image.fromarray(media.decode_all(path)[number]) for number in (1, 4, 7, 10)]
    shrunk = [np.asarray(each.resize((65, 49), Image.Resampling.BILINEAR)) for each in pictures]
    expected = center_crop_pictures(np.stack(shrunk), 32)  # (T, S, S, 3)
    cached = views[1][0].permute(0, 2, 3, 1).numpy()
    assert abs(cached - expected).max() <= 3  # Pillow and torch round apart, twice
    assert 0 < (views[0] - views[1]).abs().mean() < 0.15 * views[0].std()
    assert estimate_size([path], form) == pytest.approx(cache.size(), rel=0.03)


def test_the_form_keeps_what_the_model_and_the_protocol_take() -> None:
    def form(protocol: str = "1x1", **changes) -> CachedForm | None:
        spec = ModelSpec("tsn_x", ("a",), **{"num_frames": 8, "image_size": 64} | changes)
        return cached_form(spec, Protocol.parse(protocol), training_side=97)

    assert form() == CachedForm(97, 64)
    assert form(num_frames=32) == CachedForm(97, 128)
    assert form("25x10") == CachedForm(97, 100)
    assert form("10x3") == form(sampling="dense") == form(modality="rgbdiff") == CachedForm(97)
    assert form(modality="flow") is None


def test_a_damaged_file_or_one_of_another_version_is_made_again(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = CachedForm(32, max_frames=5)
    cache = _fill([video], tmp_path, form)
    file = cache.file(cache.keys[video])
    whole = file.read_bytes()
    before = cache.read(video, range).frames

    def mended() -> bool:
        _fill([video], tmp_path, form)
        with safe_open(file, framework="pt") as opened:
            kept = opened.get_tensor("frames")  # (5, 32, 48, 3)
        return torch.equal(kept.permute(0, 3, 1, 2), before[3::6])

    stamp = file.stat().st_mtime_ns
    assert mended() and file.stat().st_mtime_ns == stamp  # nothing to do
    file.write_bytes(whole[:-100])  # cut
    assert mended()
    file.write_bytes(whole[:-5] + bytes(255 - byte for byte in whole[-5:]))  # damaged inside
    assert mended()
    with monkeypatch.context() as patch:
        patch.setattr(frame_cache, "FORMAT", "0")
        _fill([video], tmp_path, form)
    stamp = file.stat().st_mtime_ns
    assert mended() and file.stat().st_mtime_ns > stamp
    file.unlink()  # someone clears the cache during a run
    assert torch.equal(cache.read(video, range).frames, before)


def test_files_go_by_content(video: Path, media, tmp_path: Path) -> None:
    twin, other = tmp_path / "twin.mp4", tmp_path / "other.mp4"
    twin.write_bytes(video.read_bytes())
    write_video(other, media.moving_frames(30, seed=1), frames_per_second=10)
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    form = CachedForm(32, max_frames=5)
    cache = _fill([video, twin, other, bad, tmp_path / "missing.mp4"], tmp_path / "cache", form)
    assert set(cache.keys) == {video, twin, other}
    assert cache.keys[video] == cache.keys[twin] != cache.keys[other]
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, name in enumerate(("1.png", "2.png")):
        Image.new("RGB", (48, 32), (number, 0, 0)).save(folder / name)
    first = content_key(folder)
    (folder / "2.png").write_bytes((folder / "1.png").read_bytes())
    assert content_key(folder) != first


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="processes do not fork here"
)
def test_two_processes_fill_one_cache(video: Path, tmp_path: Path) -> None:
    processes = [
        multiprocessing.get_context("fork").Process(
            target=_fill, args=([video], tmp_path, CachedForm(32))
        )
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1
    assert not list(tmp_path.rglob("*.part"))


def test_a_folder_that_cannot_be_written_is_one_line(video: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="no folder can be there"):
        _fill([video], tmp_path / "file", CachedForm(32))
