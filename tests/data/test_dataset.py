"""Samples depend on seed, epoch and number alone; nothing is replaced or dropped."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from mixtconv.data import clips as clips_module
from mixtconv.data import training_clips as training_clips_module
from mixtconv.data.dataset import (
    ScoringViews,
    UnreadableItem,
    VideoBatch,
    VideoItem,
    collate,
    scoring_loader,
    video_loader,
)
from mixtconv.data.epoch_sampler import EpochSampler, SampleKey
from mixtconv.data.labels import mirror_labels
from mixtconv.data.listing import VideoSample
from mixtconv.data.modality import read_model_clip
from mixtconv.data.protocol import Protocol
from mixtconv.data.training_clips import RepeatedClips, TrainingClips
from mixtconv.data.transforms import Jitter
from mixtconv.data.views import TensorViewReader
from mixtconv.models import ModelSpec
from mixtconv.video.pictures import Clip
from mixtconv.video.segment_frames import read_video
from mixtconv.video.writer import write_video

CLASSES = ("move left", "move right", "jump")
SPEC = ModelSpec("tsn_test_resnet", CLASSES, num_frames=4, image_size=32)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[VideoSample]:
    folder = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    made = []
    for number in range(6):
        path = folder / f"{number}.mp4"
        frames = rng.integers(0, 255, (12 + number, 8, 12, 3), dtype=np.uint8)
        write_video(path, frames.repeat(4, 1).repeat(4, 2), frames_per_second=10)
        made.append(VideoSample(path, number % 3))
    return made


def _item(dataset: TrainingClips, epoch: int, number: int) -> VideoItem:
    item = dataset[SampleKey(epoch, number)]
    assert isinstance(item, VideoItem)
    return item


def test_a_training_sample_depends_on_seed_epoch_and_number_alone(
    samples: list[VideoSample],
) -> None:
    dataset = TrainingClips(samples, SPEC, mirroring=mirror_labels(CLASSES), seed=1)
    first = _item(dataset, 0, 2)
    _item(dataset, 0, 3)
    torch.rand(5)
    again = _item(TrainingClips(samples, SPEC, mirroring=mirror_labels(CLASSES), seed=1), 0, 2)
    assert torch.equal(first.frames, again.frames)
    assert first.label == again.label
    others = [_item(dataset, 1, 2), _item(TrainingClips(samples, SPEC, seed=2), 0, 2)]
    assert not any(torch.equal(first.frames, other.frames) for other in others)


def test_a_mirrored_clip_carries_the_mirrored_label(samples: list[VideoSample]) -> None:
    """Half of the clips are mirrored; each is the mirror of the clip that is not."""
    plain = TrainingClips(samples, SPEC)
    mirrored = TrainingClips(samples, SPEC, mirroring=mirror_labels(CLASSES))
    partner = {0: 1, 1: 0, 2: 2}
    count = 0
    for epoch in range(20):
        for number, sample in enumerate(samples):
            one, other = _item(plain, epoch, number), _item(mirrored, epoch, number)
            assert one.label == sample.label
            if torch.equal(one.frames, other.frames):
                assert other.label == sample.label
            else:
                assert torch.equal(one.frames.flip(-1), other.frames)
                assert other.label == partner[sample.label]
                count += 1
    assert 40 <= count <= 80


def test_a_class_without_its_mirror_partner_is_never_mirrored(samples: list[VideoSample]) -> None:
    classes = ("move left", "sit", "jump")
    spec = ModelSpec("tsn_test_resnet", classes, num_frames=4, image_size=32)
    plain = TrainingClips(samples, spec)
    mirrored = TrainingClips(samples, spec, mirroring=mirror_labels(classes))
    for epoch in range(10):
        assert torch.equal(_item(plain, epoch, 0).frames, _item(mirrored, epoch, 0).frames)


def test_workers_and_batches_do_not_change_training_samples(samples: list[VideoSample]) -> None:
    def read(workers: int, batch_size: int) -> dict[int, torch.Tensor]:
        dataset = TrainingClips(samples, SPEC, seed=3)
        sampler = EpochSampler(len(samples), seed=3)
        sampler.set_epoch(2)
        loader = video_loader(dataset, sampler, batch_size=batch_size, workers=workers)
        return {
            int(number): frames
            for batch in loader
            for number, frames in zip(batch.indices, batch.frames, strict=True)
        }

    alone, together = read(0, 1), read(2, 4)
    assert alone.keys() == together.keys() == set(range(6))
    assert all(torch.equal(alone[number], together[number]) for number in alone)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_are_laid_out_as_their_shape_says(samples: list[VideoSample], workers: int) -> None:
    mirroring = mirror_labels(CLASSES)
    dataset = TrainingClips(samples, SPEC, mirroring=mirroring)
    training = video_loader(dataset, EpochSampler(6, seed=0), batch_size=4, workers=workers)
    scoring = scoring_loader(samples, SPEC, Protocol(2, 3), batch_size=6, workers=workers)
    for loader in (training, scoring):
        for batch in loader:
            assert batch.frames.is_contiguous()


def _shared_at_once(items: Sequence[VideoItem | UnreadableItem]) -> VideoBatch:
    batch = collate(items)
    assert batch.frames.is_shared()
    return batch


def test_a_worker_writes_frames_into_shared_memory(samples: list[VideoSample]) -> None:
    dataset = ScoringViews(samples, SPEC, Protocol())
    loader: DataLoader = DataLoader(dataset, 4, num_workers=1, collate_fn=_shared_at_once)
    batches = list(loader)
    assert [len(batch.labels) for batch in batches] == [4, 2]
    views = TensorViewReader(SPEC, Protocol()).read(samples[5].path).frames
    assert torch.equal(batches[1].frames[1], views)


def test_pictures_are_read_no_larger_than_the_crops_need(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(4):
        array = np.random.default_rng(number).integers(0, 255, (200, 300, 3), dtype=np.uint8)
        Image.fromarray(array).save(folder / f"{number}.jpg")
    sizes = []

    def reading(*args: Any, **options: Any) -> Clip[Any]:
        clip = read_video(*args, **options)
        sizes.append(clip.frames.shape[1:3])
        return clip

    sample = VideoSample(folder, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips_module, "read_video", reading)
        item = _item(TrainingClips([sample], SPEC), 0, 0)  # crops of 0.66 of 50 would be enlarged
        _item(TrainingClips([sample], SPEC, crop_scales=(1.0, 0.5)), 0, 0)
        TensorViewReader(SPEC, Protocol()).read(folder)  # 32 of a short side of 37
    assert item.frames.shape == (4, 3, 32, 32)
    assert sizes == [(50, 75), (100, 150), (50, 75)]


def test_an_epoch_is_a_new_permutation_and_resumes_where_it_stopped() -> None:
    sampler = EpochSampler(10, seed=0)
    epochs = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        epochs.append([key.number for key in sampler])
        assert sorted(epochs[-1]) == list(range(10))
    assert epochs[0] != epochs[1] != epochs[2]
    resumed = EpochSampler(10, seed=0)
    resumed.resume_at(1, 4)
    resumed.set_epoch(1)
    assert [key.number for key in resumed] == epochs[1][4:]
    resumed.set_epoch(2)
    assert [key.number for key in resumed] == epochs[2]


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_processes_share_an_epoch_evenly(world_size: int) -> None:
    shares = [
        [key.number for key in EpochSampler(10, seed=0, rank=rank, world_size=world_size)]
        for rank in range(world_size)
    ]
    assert len({len(share) for share in shares}) == 1
    assert set().union(*shares) == set(range(10))
    assert len(shares[0]) == len(EpochSampler(10, seed=0, world_size=world_size))


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_every_test_video_comes_once_over_all_processes(
    samples: list[VideoSample], world_size: int
) -> None:
    numbers = [
        int(number)
        for rank in range(world_size)
        for batch in scoring_loader(
            samples,
            SPEC,
            Protocol(),
            batch_size=2,
            workers=0,
            rank=rank,
            world_size=world_size,
        )
        for number in batch.indices
    ]
    assert sorted(numbers) == list(range(6))


def test_views_are_clips_times_crops(samples: list[VideoSample]) -> None:
    views = TensorViewReader(SPEC, Protocol(2, 3)).read(samples[0].path).frames
    assert views.is_contiguous()
    assert views.shape == (6, 4, 3, 37, 37)  # three crops at full resolution: 32 * 256 / 224
    centre = TensorViewReader(SPEC, Protocol(1, 1)).read(samples[0].path).frames
    assert centre.shape == (1, 4, 3, 32, 32)


def test_what_cannot_be_read_is_named_and_the_rest_stays(
    samples: list[VideoSample], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_text("this is no video")
    mixed = [samples[0], VideoSample(bad, 1), samples[1]]
    batch = collate([ScoringViews(mixed, SPEC, Protocol())[number] for number in range(3)])
    assert batch.indices.tolist() == [0, 2]
    assert list(batch.unreadable) == [1] and batch.unreadable[1].path == bad
    training = collate([TrainingClips(mixed, SPEC)[SampleKey(0, 1)]])
    assert len(training.labels) == 0
    assert training.unreadable[1].path == bad


@pytest.mark.parametrize("name", ["", "2", "2x", "x3", "0x1", "1x2", "one"])
def test_a_protocol_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"protocol is .*(give|allowed)"):
        Protocol.parse(name)


def test_workers_do_not_inherit_garbage_that_owns_threads(samples: list[VideoSample]) -> None:
    """A decoder with threads, freed in a forked worker, would deadlock it."""
    script = f"""
import gc, sys
import av, torch
from pathlib import Path
from mixtconv.data.dataset import scoring_loader
from mixtconv.data.listing import VideoSample
from mixtconv.data.protocol import Protocol
from mixtconv.models import ModelSpec

class Reading(list):
    def __getitem__(self, number):
        gc.collect()  # what the interpreter does at a moment of its own choice
        return super().__getitem__(number)

gc.disable()
with av.open({str(samples[0].path)!r}) as container:
    container.streams.video[0].thread_type = "FRAME"
    container.streams.video[0].thread_count = 4
    frame = next(container.decode(video=0))
    frame.to_ndarray(format="rgb24", threads=4)
garbage = [frame, container]
garbage.append(garbage)
del frame, container, garbage
samples = Reading([VideoSample(Path({str(samples[0].path)!r}), 0)] * 4)
spec = ModelSpec("tsn_test_resnet", ("a", "b"), num_frames=4, image_size=32)
loader = scoring_loader(samples, spec, Protocol(), batch_size=2, workers=1)
print(sum(len(batch.labels) for batch in loader))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.strip() == "4", done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_workers_end_with_a_process_that_is_killed(
    samples: list[VideoSample], tmp_path: Path, launchers: ModuleType, method: str
) -> None:
    """Also those that a server has started, the parent of which is that server."""
    source = """
import multiprocessing, os, signal
from pathlib import Path
from mixtconv.data.dataset import scoring_loader
from mixtconv.data.listing import VideoSample
from mixtconv.data.protocol import Protocol
from mixtconv.models import ModelSpec

multiprocessing.set_start_method(method, force=True)
spec = ModelSpec("tsn_test_resnet", ("a", "b"), num_frames=4, image_size=32)
samples = [VideoSample(Path(path), 0)] * 2
loader = iter(scoring_loader(samples, spec, Protocol(), batch_size=1, workers=1))
next(loader)
[worker] = multiprocessing.active_children()
Path(said).write_text(str(worker.pid))
os.kill(os.getpid(), signal.SIGKILL)
"""
    said = tmp_path / "worker"
    values = {"path": str(samples[0].path), "said": str(said), "method": method}
    status, errors = launchers.in_new_process(source, **values)
    assert status == -signal.SIGKILL, errors
    worker = Path("/proc", said.read_text())
    end = time.monotonic() + 30
    while worker.exists() and "\nState:\tZ" not in (worker / "status").read_text():
        assert time.monotonic() < end, "the worker goes on"
        time.sleep(0.05)


def test_a_changed_sample_depends_on_seed_epoch_and_number_alone(
    samples: list[VideoSample],
) -> None:
    plain = TrainingClips(samples, SPEC)
    changes = (Jitter(time=0.9), Jitter(color=0.5), Jitter(degrees=30))
    for jitter in (*changes, Jitter(operations=2), Jitter(erasing=0.7)):
        first, again = (TrainingClips(samples, SPEC, jitter=jitter) for _ in range(2))
        _item(again, 0, 1)
        assert torch.equal(_item(first, 3, 2).frames, _item(again, 3, 2).frames)
        both = [(_item(first, epoch, 2), _item(plain, epoch, 2)) for epoch in (0, 1)]
        assert any(not torch.equal(one.frames, other.frames) for one, other in both)


def test_copies_of_a_clip_are_read_once_and_augmented_each_on_its_own(
    samples: list[VideoSample], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []

    def reading(path: Path, *args: Any, **options: Any) -> Clip[Any]:
        paths.append(path)
        return read_model_clip(path, *args, **options)

    monkeypatch.setattr(training_clips_module, "read_model_clip", reading)
    clips = TrainingClips(samples, SPEC, mirroring=mirror_labels(CLASSES), jitter=Jitter(color=0.5))
    repeated = RepeatedClips(clips, 3)
    for number in range(6):
        key = SampleKey(1, number)
        copies, again = repeated[key], repeated[key]
        assert isinstance(copies, list) and isinstance(again, list) and len(copies) == 3
        assert paths == [samples[number].path] * 2
        assert torch.equal(copies[0].frames, _item(clips, 1, number).frames)  # as without others
        for one, other in zip(copies, again, strict=True):
            assert torch.equal(one.frames, other.frames) and one.label == other.label
        assert not any(torch.equal(copies[0].frames, copy.frames) for copy in copies[1:])
        assert not torch.equal(copies[1].frames, copies[2].frames)
        paths.clear()


def test_a_batch_of_copies_has_no_two_of_a_clip_beside_each_other(
    samples: list[VideoSample], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_text("this is no video")
    mixed = [*samples[:3], VideoSample(bad, 0), *samples[3:]]
    repeated = RepeatedClips(TrainingClips(mixed, SPEC), 2)
    sampler = EpochSampler(len(mixed), seed=0)
    order = [key.number for key in sampler]
    batches = list(video_loader(repeated, sampler, batch_size=4, workers=2))
    for batch, numbers in zip(batches, (order[:4], order[4:]), strict=True):
        readable = [number for number in numbers if number != 3]
        assert batch.indices.tolist() == readable * 2
        assert batch.frames.shape == (2 * len(readable), 4, 3, 32, 32)
        assert batch.labels.tolist() == [mixed[number].label for number in readable] * 2
        assert list(batch.unreadable) == [number for number in numbers if number == 3]
