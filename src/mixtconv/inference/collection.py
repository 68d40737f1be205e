"""Prediction on a collection of videos, by threads of this process or by processes of Ray."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixtconv._types import Progress
from mixtconv.data.parallel import WorkersDiedError
from mixtconv.data.workers import Backend, check_backend, map_videos
from mixtconv.inference.loading import load_recognizer
from mixtconv.inference.predicting import VideoPrediction, VideoRecognizer
from mixtconv.video.find import find_videos

if TYPE_CHECKING:
    from mixtconv.models.device import Precision


def predict_collection(
    model: str | Path,
    videos: Sequence[str | Path],
    *,
    top_k: int = 5,
    protocol: str = "1x1",
    device: str = "auto",
    precision: "Precision" = "auto",
    engine: Backend = "local",
    workers: int | None = None,
    progress: Progress = lambda *numbers: None,
) -> list[VideoPrediction]:
    """Ranked labels of many videos, in their order; one that cannot be read says why.

    Args:
        model: a model file or an exported one; every process of Ray loads it once.
        videos: files, folders and patterns such as `clips/*.mp4`.
        top_k: how many labels of each.
        protocol, device, precision: as for `load_recognizer`.
        engine: where it is done, one video after the other (`local`) or many at a time (`ray`).
        workers: processes of Ray; by default one a core, or a GPU where it has any.
        progress: called in this thread with the videos done and the videos in all.

    Raises:
        ValueError: what `load_recognizer` refuses, a name or pattern that no video answers to, or a
            device or a number of workers that does not go with the engine.
    """
    check_backend(engine, workers)
    if engine == "local" and workers is not None:
        raise ValueError(f"--workers is {workers}; it belongs to --engine ray: leave it out")
    if engine == "ray" and ":" in device:
        raise ValueError(f"--device is {device}; with --engine ray give cuda: Ray says which one")
    predict = _Prediction(model, protocol, device, precision, top_k)
    if engine == "local":  # the network itself uses all cores
        workers, _ = 1, predict.recognizer  # which is loaded before anything is looked for
    sources = find_videos(videos)
    found: dict[Path, VideoPrediction] = {}
    runs = map_videos(predict, sources, backend=engine, workers=workers, device=device)
    with closing(runs) as outcomes:
        for number, (video, outcome) in enumerate(outcomes, 1):
            try:
                found[video] = outcome.result()
            except WorkersDiedError as error:
                found[video] = VideoPrediction(str(video), (), f"{video}: {error}")
            progress(number, len(sources))
    return [found[video] for video in sources]


@dataclass(frozen=True)
class _Prediction:
    """Predicts one video, with a model that a process loads at its first."""

    model: str | Path
    protocol: str
    device: str
    precision: "Precision"
    top_k: int

    @cached_property
    def recognizer(self) -> VideoRecognizer:
        return load_recognizer(
            self.model, device=self.device, protocol=self.protocol, precision=self.precision
        )

    def __call__(self, video: Path) -> VideoPrediction:
        return self.recognizer.try_predict(video, top_k=self.top_k)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "recognizer"}
