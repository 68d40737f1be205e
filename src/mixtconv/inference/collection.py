"""Prediction on a collection of videos: in this process, or in processes of Ray."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from mixtconv._types import Precision, Progress
from mixtconv.data.parallel import WorkersDiedError
from mixtconv.data.workers import Backend, check_backend, map_videos
from mixtconv.inference.loading import load_recognizer
from mixtconv.inference.predicting import VideoPrediction, VideoRecognizer
from mixtconv.video.find import find_videos
from mixtconv.video.in_memory import is_address


def predict_collection(
    model: str | Path,
    videos: Sequence[str | Path],
    *,
    top_k: int = 5,
    protocol: str = "1x1",
    device: str = "auto",
    precision: Precision = "auto",
    engine: Backend = "local",
    workers: int | None = None,
    progress: Progress = lambda *numbers: None,
) -> list[VideoPrediction]:
    """Ranked labels of many videos, in their order; one that cannot be read says why.

    Args:
        model: a model file or an exported one; every process of Ray loads it once.
        videos: files, folders, patterns such as `clips/*.mp4`, and addresses (`https://...`).
        top_k: how many labels of each.
        protocol, device, precision: as for `load_recognizer`.
        engine: in threads of this process (`local`), or in processes of Ray (`ray`).
        workers: videos at a time, each of them decoded and recognized by one thread or process; by
            default one a core, of threads `MAX_THREADS` at most, or of Ray one a GPU if it has any.
        progress: called in this thread with the number of videos done and the total.

    Raises:
        ValueError: whatever `load_recognizer` refuses, a name or pattern that matches no video, or
            a device or a number of workers that does not fit the engine.
    """
    check_backend(engine, workers)
    if engine == "ray" and ":" in device:
        raise ValueError(f"--device is {device}; with --engine ray give cuda: Ray says which one")
    load = partial(load_recognizer, model, device=device, protocol=protocol, precision=precision)
    outcomes: Generator[tuple[str | Path, VideoPrediction], None, None]
    if engine == "local":
        recognizer = load()  # before the search for videos, which may take long
        sources = _sources(videos)
        predict = partial(type(recognizer).try_predict, top_k=top_k)
        outcomes = recognizer.in_threads(predict, sources, workers=workers)
    else:
        sources = _sources(videos)
        outcomes = _in_ray(sources, _Work(load, top_k), workers, device)
    predictions: dict[str | Path, VideoPrediction] = {}
    with closing(outcomes):
        for number, (video, prediction) in enumerate(outcomes, 1):
            predictions[video] = prediction
            progress(number, len(sources))
    return [predictions[video] for video in sources]


def _sources(videos: Sequence[str | Path]) -> list[str | Path]:
    """The videos that names mean, in their order; an address is one."""
    sources: list[str | Path] = []
    names: list[str | Path] = []
    for video in videos:
        if isinstance(video, str) and is_address(video):
            sources += [*(find_videos(names) if names else ()), video]
            names = []
        else:
            names.append(video)
    return [*sources, *(find_videos(names) if names or not sources else ())]


@dataclass(frozen=True)
class _Work:
    """Predicts one video in a process of Ray, which loads the model for its first."""

    load: Callable[[], VideoRecognizer]
    top_k: int

    @cached_property
    def _recognizer(self) -> VideoRecognizer:
        return self.load()

    def __call__(self, video: str | Path) -> VideoPrediction:
        return self._recognizer.try_predict(video, top_k=self.top_k)


def _in_ray(
    sources: Sequence[str | Path], work: _Work, workers: int | None, device: str
) -> Generator[tuple[str | Path, VideoPrediction], None, None]:
    """Each video and its labels, in the order in which they are done."""
    with closing(
        map_videos(work, sources, backend="ray", workers=workers, device=device)
    ) as outcomes:
        for video, outcome in outcomes:
            try:
                yield video, outcome.result()
            except WorkersDiedError as error:
                yield video, VideoPrediction(str(video), (), f"{video}: {error}")
