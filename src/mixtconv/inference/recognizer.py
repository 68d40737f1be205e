"""Prediction on videos with torch: a file in, ranked labels out."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mixtconv.data.decoding import Picture
from mixtconv.data.labels import MirrorLabels
from mixtconv.data.modality import join_snippets, snippet_frames
from mixtconv.data.protocol import Protocol
from mixtconv.data.tensor_clip import as_frames
from mixtconv.data.transforms import CROPS, mirror
from mixtconv.data.views import read_views
from mixtconv.evaluation.mirroring import model_mirroring
from mixtconv.evaluation.scoring import view_logits
from mixtconv.inference.predicting import VideoPrediction, VideoRecognizer
from mixtconv.models import ModelSpec, VideoClassifier, load_model, optimize_for_inference
from mixtconv.models.device import Precision, autocast, resolve_device

__all__ = ["Recognizer", "VideoPrediction"]


class Recognizer(VideoRecognizer):
    """A model file made ready for prediction.

    Args:
        model: a model file, the folder of one, `hf:owner/name[@revision]`, or a recogniser in
            memory.
        device: `auto`, `cpu`, `cuda`, `cuda:0`, `mps`.
        protocol: views of every video, such as `1x1`, `2x3` or `nonlocal-10x3`.
        precision: `auto`, `32`, `bf16` or `16`.

    Raises:
        ValueError: a file that is not a model, an unknown device or protocol, or one that the
            model has no clips for.
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
        self.protocol = Protocol.parse(protocol) if isinstance(protocol, str) else protocol
        self.precision = precision
        self.mirroring: MirrorLabels | None = None
        if not isinstance(model, VideoClassifier):
            model = load_model(model)
            self.mirroring = model_mirroring(model)
        self.protocol.check_model(model.spec)
        self.model = optimize_for_inference(model.eval().to(self.device))

    @property
    def spec(self) -> ModelSpec:
        """What the model is and what clips it takes."""
        return self.model.spec

    def logits(self, video: str | Path) -> Tensor:
        """Logits (K,) of one video, averaged over the views of the protocol, on the CPU."""
        return self.view_logits(read_views(Path(video), self.spec, self.protocol))

    def view_logits(self, views: Tensor) -> Tensor:
        """Logits (K,) of one video's views, uint8 (V, T, C, S, S), on the CPU."""
        with torch.inference_mode(), autocast(self.precision, self.device):
            return view_logits(self.model, views[None], self.protocol, mirroring=self.mirroring)[
                0
            ].cpu()  # (K,)

    def keep(self, picture: Picture) -> Tensor:
        """The crops of a frame, (crops, 3, S, S)."""
        frame = as_frames(picture[None].copy())  # (1, 3, H, W)
        crops = CROPS[self.protocol.num_crops](frame, self.spec.image_size)
        return torch.stack([crop[0] for crop in crops])

    def views_of(self, kept: Sequence[Tensor]) -> Tensor:
        """The views of a window, uint8 (V, T, C, S, S), as `read_views` has those of a file."""
        spec, protocol = self.spec, self.protocol

        def choose(num_places: int) -> list[int]:
            return [frame for clip in protocol.clips(spec, num_places) for frame in clip]

        chosen = snippet_frames(len(kept), choose, spec.snippet.num_frames)
        frames = torch.stack([kept[index] for index in chosen])  # (F, crops, 3, S, S)
        clips = frames.unflatten(0, (protocol.num_clips, protocol.clip_frames(spec), -1))
        views = clips.movedim(3, 1).flatten(0, 1)  # (V, T, L, 3, S, S)
        views = torch.stack(
            [
                mirror(view, spec.modality) if mirrored else view
                for view, mirrored in zip(views, protocol.mirrored, strict=True)
            ]
        )
        return join_snippets(views if spec.snippet.num_frames > 1 else views.squeeze(2), spec)
