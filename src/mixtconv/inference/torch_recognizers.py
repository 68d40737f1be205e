"""Model files run by torch: `Recognizer` for videos, `StreamingRecognizer` for streams.

`engine_recognizers` has the same two for exported models.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import normalize

from mixtconv._types import Frame, Precision
from mixtconv.data.clips import as_frames
from mixtconv.data.labels import MirrorLabels
from mixtconv.data.protocol import Protocol
from mixtconv.data.transforms import center_crop
from mixtconv.data.views import TensorViewReader
from mixtconv.evaluation.scoring import check_protocol, model_mirroring, view_features, view_logits
from mixtconv.inference.predicting import VideoRecognizer
from mixtconv.inference.streams import StreamRecognizer
from mixtconv.models import VideoClassifier, load_model, optimize_for_inference
from mixtconv.models.device import autocast, divided_threads, resolve_device
from mixtconv.models.spec import PICTURES
from mixtconv.models.streaming import StreamingClassifier, StreamState
from mixtconv.video.in_memory import VideoLike, several_videos

MIN_BATCH_VIEWS = 8
"""Views that pass the network together, at least, where a video has more than one."""


class Recognizer(VideoRecognizer):
    """A model file ready to predict on videos.

    Args:
        model: a model file, the folder of one, `hf:owner/name[@revision]`, or a model in memory.
        device: `auto`, `cpu`, `cuda`, `cuda:0`, `mps`.
        protocol: views of every video, such as `1x1`, `2x3` or `nonlocal-10x3`.
        precision: `auto`, `32`, `bf16` or `16`.

    Raises:
        ValueError: a file that is not a model, an unknown device or protocol, or a protocol that
            does not fit the model.
    """

    def __init__(
        self,
        model: str | Path | VideoClassifier,
        *,
        device: str = "auto",
        protocol: str | Protocol = "1x1",
        precision: Precision = "auto",
    ) -> None:
        self.device = resolve_device(device)
        self.precision = precision
        self._turn: AbstractContextManager[Any] = nullcontext()
        protocol = Protocol.parse(protocol) if isinstance(protocol, str) else protocol
        self.mirroring: MirrorLabels | None = None
        if not isinstance(model, VideoClassifier):
            model = load_model(model)
            self.mirroring = model_mirroring(model)
        check_protocol(protocol, model)
        super().__init__(
            model.spec, protocol, TensorViewReader(model.spec, protocol), notes=model.notes
        )
        self.model = optimize_for_inference(model.eval().to(self.device))

    @contextmanager
    def concurrent(self, num_videos: int) -> Iterator["Recognizer"]:
        """See `VideoRecognizer.concurrent`. On a GPU the videos pass the network one at a time: its
        memory is for one, and not every driver takes work from several threads (Apple's)."""
        with super().concurrent(num_videos) as own, divided_threads(num_videos):
            if self.device.type != "cpu":
                own._turn = threading.Lock()
            yield own

    def batch_logits(self, views: Sequence[Tensor]) -> Tensor:
        """Logits (B, K) of the views of B videos, uint8 (V, T, C, S, S) each, on the CPU.

        The batch size of the network is the number of videos, or `MIN_BATCH_VIEWS` if that is more.
        """
        with self._turn, torch.inference_mode(), autocast(self.precision, self.device):
            return view_logits(
                self.model,
                torch.stack([torch.as_tensor(video) for video in views]),  # (B, V, T, C, S, S)
                self.protocol,
                mirroring=self.mirroring,
                batch_size=max(MIN_BATCH_VIEWS, len(views)),
            ).cpu()  # (B, K)

    def embed(self, video: VideoLike, *, batch_size: int = 8) -> npt.NDArray[np.float32]:
        """The features of a video as a unit vector (D,), or of a list of videos (N, D).

        They are those that the last layer takes, averaged over frames and views. The scalar product
        of two is their cosine similarity, 1 of the same video.

        Args:
            video, batch_size: as for `predict`.

        Raises:
            UnreadableVideoError, ValueError: as for `predict`.
        """
        videos = several_videos(video)
        if videos is None:
            return self.embed_views([self._read(video)])[0]
        if not videos:
            raise ValueError("got an empty list; give at least one video")
        return np.concatenate([self.embed_views(v) for v in self._batches(videos, batch_size)])

    def embed_views(self, views: Sequence[Tensor]) -> npt.NDArray[np.float32]:
        """Unit vectors (B, D) of the views of B videos, uint8 (V, T, C, S, S) each."""
        with self._turn, torch.inference_mode(), autocast(self.precision, self.device):
            stacked = torch.stack([torch.as_tensor(video) for video in views])
            size = max(MIN_BATCH_VIEWS, len(views))
            rows = view_features(self.model, stacked, self.protocol, batch_size=size)  # (B, D)
            vectors: npt.NDArray[np.float32] = normalize(rows, dim=1).cpu().numpy()
        return vectors

    def frame_logits(self, kept: Sequence[Tensor]) -> npt.NDArray[np.float32]:
        """Logits (T, K) of each frame of one clip, before their average.

        Args:
            kept: what `reader.keep` has kept of its T frames, (crops, 3, S, S) each.

        Raises:
            ValueError: another number of frames than that of a clip.
        """
        clips = torch.stack([torch.as_tensor(each) for each in kept], dim=1)  # (crops, T, 3, S, S)
        with torch.inference_mode(), autocast(self.precision, self.device):
            logits = self.model.forward_frames(self.model.normalize(clips))  # (crops, T, K)
        averaged: npt.NDArray[np.float32] = logits.float().mean(dim=0).cpu().numpy()
        return averaged


class StreamingRecognizer(StreamRecognizer):
    """A causal model ready for streams.

    Args:
        model: a model file, the folder of one, `hf:owner/name[@revision]`, or a model in memory.
        max_streams: streams at once; each takes the memory of a few frames of feature maps.
        device: `auto`, `cpu`, `cuda`, `cuda:0`, `mps`.
        precision: `auto`, `32`, `bf16` or `16`.

    Raises:
        ValueError: a file that is not a model, or a model that looks at later frames or takes
            another modality than `rgb` and `motion`.

    >>> import numpy as np
    >>> from mixtconv import create_model
    >>> model = create_model("mstnet_resnet18", classes=["wave", "jump"], causal=True)
    >>> recognizer = StreamingRecognizer(model, device="cpu")
    >>> with recognizer.start() as stream:
    ...     for frame in np.zeros((3, 120, 160, 3), dtype=np.uint8):
    ...         labels = stream.push(frame)
    >>> labels.frame, len(labels.predictions)
    (2, 2)
    """

    def __init__(
        self,
        model: str | Path | VideoClassifier,
        *,
        max_streams: int = 1,
        device: str = "auto",
        precision: Precision = "auto",
    ) -> None:
        self.device = resolve_device(device)
        self.precision = precision
        if not isinstance(model, VideoClassifier):
            model = load_model(model)
        if model.spec.modality not in PICTURES:
            raise ValueError(
                f"the model takes {model.spec.modality}, which needs several frames at a time; "
                f"streams take models of modality {' or '.join(PICTURES)}"
            )
        super().__init__(model.spec, max_streams, notes=model.notes)
        self._classifier = StreamingClassifier(model.eval().to(self.device))
        self._state = StreamState(max_streams)

    def _logits(self, pictures: Sequence[Frame], slots: Sequence[int]) -> Tensor:
        size = self.spec.image_size
        crops = [center_crop(as_frames(picture[None]), size)[0] for picture in pictures]
        with torch.inference_mode(), autocast(self.precision, self.device):
            frames = torch.cat(crops)  # (N, 3, S, S)
            batch = self._classifier.normalize(frames, self._state, slots)
            return self._classifier(batch, self._state, slots).float().cpu()  # (N, K)

    def _reset(self, slot: int) -> None:
        self._state.forget(slot)
