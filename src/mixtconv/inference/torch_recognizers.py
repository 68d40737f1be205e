"""Prediction on videos with torch: a file in, ranked labels out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixtconv._types import Precision
from mixtconv.data.labels import MirrorLabels
from mixtconv.data.protocol import Protocol
from mixtconv.data.views import TensorViewReader
from mixtconv.evaluation.scoring import model_mirroring, view_logits
from mixtconv.inference.predicting import VideoPrediction, VideoRecognizer
from mixtconv.models import ModelSpec, VideoClassifier, load_model, optimize_for_inference
from mixtconv.models.device import autocast, resolve_device

__all__ = ["Recognizer", "VideoPrediction"]

VIEWS_TOGETHER = 8
"""Views that pass the network together where one video has more."""


class Recognizer(VideoRecognizer):
    """A model file made ready for prediction.

    Args:
        model: a model file, the folder of one, `hf:owner/name[@revision]`, or a recognizer in
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

    @property
    def reader(self) -> TensorViewReader:
        """What reads its views of videos."""
        return TensorViewReader(self.spec, self.protocol)

    @property
    def notes(self) -> dict[str, Any]:
        """What the model's file says of the run that made it."""
        return self.model.notes

    def batch_logits(self, views: Sequence[Tensor]) -> Tensor:
        """Logits (B, K) of several videos' views, uint8 (V, T, C, S, S) each, on the CPU.

        As many views as there are videos pass the network together, and no fewer than
        `VIEWS_TOGETHER`.
        """
        with torch.inference_mode(), autocast(self.precision, self.device):
            return view_logits(
                self.model,
                torch.stack([torch.as_tensor(each) for each in views]),  # (B, V, T, C, S, S)
                self.protocol,
                mirroring=self.mirroring,
                batch_size=max(VIEWS_TOGETHER, len(views)),
            ).cpu()  # (B, K)
