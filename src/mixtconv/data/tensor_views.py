"""Views as tensors, for torch: the clips and crops of a protocol, of any modality."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from mixtconv.data.decoding import Picture
from mixtconv.data.modality import join_snippets, snippet_frames
from mixtconv.data.protocol import Protocol
from mixtconv.data.tensor_clip import as_frames
from mixtconv.data.transforms import CROPS
from mixtconv.data.view_reader import ReadViews, ViewReader
from mixtconv.data.views import chosen_frames, mirror_views, read_indexed_views
from mixtconv.models.spec import ModelSpec


@dataclass(frozen=True)
class TensorViewReader(ViewReader):
    """Reads the views of a protocol."""

    spec: ModelSpec
    """The model."""
    protocol: Protocol
    """Clips and crops of a video."""

    def read(self, video: Path, *, num_threads: int | None = None) -> ReadViews:
        """The views of a video."""
        return read_indexed_views(video, self.spec, self.protocol, num_threads=num_threads)

    def keep(self, picture: Picture) -> Tensor:
        """The crops of a frame, (crops, 3, S, S)."""
        frame = as_frames(picture[None].copy())  # (1, 3, H, W)
        crops = CROPS[self.protocol.num_crops](frame, self.spec.image_size)
        return torch.stack([crop[0] for crop in crops])

    def views_of(self, kept: Sequence[Tensor]) -> Tensor:
        """The views of a window, uint8 (V, T, C, S, S), as `read_views` has those of a file."""
        spec, protocol = self.spec, self.protocol
        choose = partial(chosen_frames, spec, protocol)
        chosen = snippet_frames(len(kept), choose, spec.snippet.num_frames)
        frames = torch.stack([kept[index] for index in chosen])  # (F, crops, 3, S, S)
        clips = frames.unflatten(0, (protocol.num_clips, protocol.clip_frames(spec), -1))
        views = clips.movedim(3, 1).flatten(0, 1)  # (V, T, L, 3, S, S)
        views = mirror_views(views, spec, protocol)
        return join_snippets(views if spec.snippet.num_frames > 1 else views.squeeze(2), spec)

    def describe(self) -> str:
        """The views in words, see `Protocol.describe`."""
        return self.protocol.describe(self.spec)
