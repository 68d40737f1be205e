"""A recognizer of actions: a 2D network over the frames of a clip, and the average of its scores.

From "Temporal Segment Networks" (TSN, arXiv 1608.00859): every frame passes the same network and
the last layer, and the consensus of a clip is the average over its frames. With a temporal
operation inside the backbone it is TSM (arXiv 1811.08383) or MSTNet (arXiv 2001.06769).

The recognizer also normalises pixels, by what its network takes (`normalization.py`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self

from mixtconv._names import require
from mixtconv.models.insertion import set_num_frames
from mixtconv.models.motion import clip_medians
from mixtconv.models.normalization import NORMALIZE
from mixtconv.models.sharing import HubMixin
from mixtconv.models.spec import ModelSpec
from mixtconv.models.structure.network_trace import run_once
from mixtconv.models.wrappers.temporal_wrapper import temporal_wrappers
from mixtconv.models.wrappers.wrapping import outermost
from mixtconv.ops import fold_time, unfold_time
from mixtconv.ops.folding import check_clip


class VideoClassifier(HubMixin):
    """Logits of a clip: (B, T, C, H, W) -> (B, num_classes), without classes features (B, D).

    C is 3 for pictures and motion, 15 for differences, 10 for optical flow and 13 for pictures and
    flow (`spec.modality`).

    Args:
        backbone: frames (B * T, C, H, W) to features (B * T, D).
        num_features: D.
        spec: its description; the number of classes is the width of the last layer.
        head: features to logits; by default a linear layer over each frame, or nothing if the spec
            has no classes.

    Raises:
        ValueError: in `forward`, clips of another number of frames than `spec.num_frames`.
    """

    length_is_fixed = False
    """Whether the number of frames is fixed, so that `set_num_frames` is refused."""
    size_is_fixed = False
    """Whether the size of frames is `spec.image_size`: operations on windows count them."""

    def __init__(
        self,
        backbone: nn.Module,
        num_features: int,
        spec: ModelSpec,
        *,
        head: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.notes: dict[str, Any] = {}  # those of its model file, such as scores and protocol
        self.optimized = False  # for inference only, see `optimize_for_inference`
        self.backbone = backbone
        self.dropout = nn.Dropout(spec.dropout)
        self.num_features = num_features
        self.head = self.make_head(spec.num_classes) if head is None else head
        self.register_buffer("mean", torch.tensor(spec.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(3, 1, 1), persistent=False)

    def forward(self, video: Tensor) -> Tensor:
        """Logits (B, num_classes) of normalised clips (B, T, C, H, W), or features (B, D)."""
        return self.forward_frames(video).mean(dim=1)  # (B, num_classes)

    def forward_frames(self, video: Tensor) -> Tensor:
        """Logits of every frame, before the consensus: (B, T, C, H, W) -> (B, T, num_classes)."""
        return self.frame_logits(self.forward_features(video))  # (B, T, num_classes)

    @property
    def scores_frames(self) -> bool:
        """Whether each frame has logits of its own, whose average are those of the clip."""
        names = "forward", "forward_frames", "forward_features", "frame_logits"
        is_own = all(getattr(type(self), name) is getattr(VideoClassifier, name) for name in names)
        return is_own and not self.spec.average_before_norm

    def forward_features(self, video: Tensor) -> Tensor:
        """Features of every frame, before the last layer: (B, T, C, H, W) -> (B, T, D)."""
        self.check_length(video)
        return unfold_time(self.backbone(fold_time(video)), self.num_frames)  # (B, T, D)

    def forward_head(self, features: Tensor, *, pre_logits: bool = False) -> Tensor:
        """What follows `forward_features`: (B, T, D) -> (B, num_classes).

        Args:
            features: of every frame.
            pre_logits: the average of the features (B, D) in place of the logits.
        """
        return (features if pre_logits else self.frame_logits(features)).mean(dim=1)

    def frame_logits(self, features: Tensor) -> Tensor:
        """The last layer: features of every frame (B, T, D) -> their logits (B, T, num_classes)."""
        return self.head(self.dropout(features))

    def forward_intermediates(
        self, video: Tensor, *, indices: int | Sequence[int] | None = None
    ) -> list[Tensor]:
        """Feature maps of every frame: (B, T, C, H, W) -> those of each stage (B, T, C', H', W').

        Args:
            video: normalised clips, as in `forward`.
            indices: stages (in a transformer blocks) counted from 0, or how many of the last; all
                if None.

        Raises:
            ValueError: a backbone that does not give the maps of its stages, or has not as many.
        """
        self.check_length(video)
        parts = list(outermost(self.backbone, "forward_intermediates"))
        if len(parts) != 1:
            raise ValueError(
                f"{self.spec.name} does not give the feature maps of its stages: choose another "
                "backbone, such as resnet18, and use the recognizer before it is optimized"
            )
        chosen = indices if indices is None or isinstance(indices, int) else list(indices)
        try:
            maps = parts[0].forward_intermediates(
                fold_time(video), indices=chosen, intermediates_only=True
            )
        except AssertionError as error:  # timm's refusal
            raise ValueError(f"indices are {indices}, of {self.spec.name}: {error}") from error
        return [unfold_time(stage, self.num_frames) for stage in maps]

    def check_length(self, video: Tensor) -> None:
        """Raise ValueError unless `video` is clips (B, T, C, H, W) of `num_frames` frames."""
        check_clip(video)
        other = None
        if video.shape[1] in (1, 2, 3) and video.shape[2] == self.num_frames != video.shape[1]:
            other = "(B, C, T, H, W)", "transpose(1, 2)"
        elif video.shape[-1] == 3 < video.shape[2]:
            other = "(B, T, H, W, C)", "permute(0, 1, 4, 2, 3)"
        if other is not None:
            raise ValueError(
                f"got clips of shape {tuple(video.shape)}, which is {other[0]}; clips are "
                f"(B, T, C, H, W): give video.{other[1]}"
            )
        if video.shape[1] != self.num_frames:
            raise ValueError(
                f"got clips of {video.shape[1]} frames, the model takes {self.num_frames}: sample "
                "as many" + ("" if self.length_is_fixed else ", or call set_num_frames")
            )
        self.check_size(video)

    def check_size(self, frames: Tensor) -> None:
        """Raise ValueError if frames (..., H, W) are not of the only size that the model takes."""
        size = self.spec.image_size
        if self.size_is_fixed and tuple(frames.shape[-2:]) != (size, size):
            height, width = frames.shape[-2:]
            raise ValueError(
                f"got frames of {height} x {width}, and the windows of {self.spec.name} are those "
                f"of {size} x {size}: scale the frames, or make it with another image_size"
            )

    def check_image_size(self, size: int) -> None:
        """Raise ValueError if the model does not take frames of this height and width."""
        self.check_size(torch.empty(0, size, size))
        if size != self.spec.image_size:
            run_once(self.backbone, size, self.spec.snippet.channels, on_shapes=True)

    def forward_snippets(self, snippets: Tensor) -> Tensor:
        """Logits of separate snippets, as TSN tests: (N, C, H, W) -> (N, num_classes).

        They equal the logits of clips of one frame; only for a model that is not temporal.
        """
        return self.head(self.dropout(self.backbone(snippets)))

    def normalize(self, video: Tensor) -> Tensor:
        """Normalise frames of 0 to 255, uint8 or float, for the network, on its device.

        Args:
            video: (..., T, C, H, W) or (..., C, H, W), C as `spec.snippet.channels`.

        Returns:
            The same shape in the network's precision; of modality `rgbdiff`, six pictures
            (..., 18, H, W) become the five differences between them, (..., 15, H, W).

        Raises:
            ValueError: another number of channels, or of modality `motion` anything but whole
                clips (B, ..., T, C, H, W).
        """
        values = self.scale_pixels(video)
        return self.standardize(values, self._center(values))

    def scale_pixels(self, video: Tensor) -> Tensor:
        """Frames (..., C, H, W) of 0 to 255 as values of 0 to 1, as `normalize` begins."""
        mean, spec, snippet = self.get_buffer("mean"), self.spec, self.spec.snippet
        if video.shape[-3] != snippet.channels:
            raise ValueError(
                f"got clips of {video.shape[-3]} channels, of modality {spec.modality} they "
                f"have {snippet.channels}: read them with the model's spec"
            )
        return video.to(mean.device).to(mean.dtype) / 255

    def _center(self, values: Tensor) -> Tensor:
        """What is taken from values (..., C, H, W) of 0 to 1: see `NORMALIZE`."""
        mean, spec = self.get_buffer("mean"), self.spec
        if spec.modality == "motion":
            return clip_medians(values, spec, torch)
        no_motion = mean.new_full((1, 1, 1), spec.flow_mean)
        centers = {"flow": no_motion, "rgbflow": torch.cat([mean, no_motion])}
        return centers.get(spec.modality, mean)

    def standardize(self, values: Tensor, center: Tensor) -> Tensor:
        """Values (..., C, H, W) of 0 to 1 for the network, as `normalize` ends.

        Args:
            values: of `scale_pixels`.
            center: what is taken from them; of modality `motion` the median pictures.
        """
        spec, count = self.spec, self.spec.snippet.picture_channels
        values = NORMALIZE[spec.modality](values, center, self.get_buffer("std"))
        if spec.channel_order == "rgb" or count == 0:
            return values
        pictures = values[..., :count, :, :].unflatten(-3, (-1, 3)).flip(-3).flatten(-4, -3)
        return torch.cat([pictures, values[..., count:, :, :]], dim=-3)

    def set_num_frames(self, num_frames: int) -> None:
        """Change the number of frames of a clip, also in `spec`.

        Raises:
            ValueError: a model with a fixed number of frames, or fewer than 1.
        """
        if self.length_is_fixed and num_frames != self.num_frames:
            raise ValueError(
                f"{self.spec.name} was made for clips of {self.num_frames} frames and takes no "
                f"others; for {num_frames}, make another with create_model"
            )
        set_num_frames(self.backbone, num_frames)
        self.spec = replace(self.spec, num_frames=num_frames)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Whether training keeps the inputs of the backbone's blocks alone, as timm does it.

        What is inside a block is then computed again in the backward pass. The gradients are the
        same; running statistics of batch normalisation are updated twice a step.

        Raises:
            ValueError: a backbone without it.
        """
        networks = [owner.get_submodule(name) for owner, name in self.networks()]
        parts = [part for each in networks for part in outermost(each, "set_grad_checkpointing")]
        try:
            for part in parts:
                part.set_grad_checkpointing(enable)
        except AssertionError:  # timm's refusal
            parts = []
        if enable and not parts:
            raise ValueError(
                f"{self.spec.name} has no gradient checkpointing: leave it out, or choose another "
                "backbone"
            )
        for wrapper in (each for network in networks for each in temporal_wrappers(network)):
            wrapper.recomputes = not enable

    def make_head(self, num_classes: int) -> nn.Module:
        """A new last layer, from features (B, T, D); for 0 classes one that changes nothing."""
        return nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.head

    def last_layers(self) -> Iterator[nn.Linear]:
        """The layers whose sum or mean are the logits; none of a recognizer without classes."""
        if isinstance(self.head, nn.Linear):
            yield self.head

    def scale_logits(self, factor: float) -> None:
        """Multiply the logits, by multiplying the weights of the last layers.

        Raises:
            ValueError: the recognizer gives features, or was optimised for inference.
        """
        self.spec.require_classes()
        if self.optimized:
            raise ValueError("a recognizer from optimize_for_inference stays as it is; scale first")
        with torch.no_grad():
            for layer in self.last_layers():
                for parameter in layer.parameters():
                    parameter.mul_(factor)

    def reset_classifier(
        self, num_classes: int | None = None, *, classes: Sequence[str] | None = None
    ) -> None:
        """Replace the last layer by a new one for other classes, also in `spec`.

        The new layer starts small, as over features that are trained. `notes`, which are about the
        classes that it had, are removed.

        Args:
            num_classes: classes without names, called "0", "1", ...; 0 for features in place of
                logits.
            classes: their names.

        Raises:
            ValueError: neither or both, fewer than 0 classes, or a name twice.
        """
        self.spec = self.spec.with_classes(class_names(num_classes, classes))
        like = next(self.backbone.parameters())
        self.head = self.make_head(self.num_classes).to(like).train(self.training)
        start_small(self)
        self.notes = {}

    @property
    def num_classes(self) -> int:
        """Width of the logits; 0 for a recognizer that gives features."""
        return self.spec.num_classes

    def networks(self) -> Iterator[tuple[nn.Module, str]]:
        """Its convolutional networks, each as the module that holds it and the attribute's name."""
        yield self, "backbone"

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """As in torch; `channels_last` also sets `channels_last_3d` for 3D convolutions."""
        memory_format = kwargs.pop("memory_format", None)
        super().to(*args, **kwargs)
        if memory_format is not None:
            formats = {4: memory_format, 5: _FORMAT_IN_3D.get(memory_format, memory_format)}
            for tensor in (*self.parameters(), *self.buffers()):
                if tensor.ndim in formats:
                    tensor.data = tensor.data.contiguous(memory_format=formats[tensor.ndim])
        return self

    @property
    def num_frames(self) -> int:
        """T, frames of a clip."""
        return self.spec.num_frames


def class_names(num_classes: int | None, classes: Sequence[str] | None) -> tuple[str, ...]:
    """The names of classes, of which either the number or the names are given.

    Raises:
        ValueError: neither or both, no names, or fewer than 0.

    >>> class_names(3, None)
    ('0', '1', '2')
    """
    if (num_classes is None) == (classes is None):
        raise ValueError("give the number of classes as num_classes, or their names as classes")
    if classes is None:
        number = num_classes or 0
        require(number >= 0, f"num_classes is {number}; give 1 or more, or 0 for features")
        return tuple(str(index) for index in range(number))
    require(len(classes) >= 1, "classes is empty; give at least 1, or num_classes=0 for features")
    return tuple(classes)


def start_small(model: VideoClassifier) -> None:
    """Start the last layers of a recognizer and its members near zero, as TSN does.

    Over random features so small a layer would hold learning up, over trained ones it does not.
    """
    for part in model.modules():
        if isinstance(part, VideoClassifier) and isinstance(part.head, nn.Linear):
            nn.init.normal_(part.head.weight, std=0.001)
            nn.init.zeros_(part.head.bias)


_FORMAT_IN_3D = {torch.channels_last: torch.channels_last_3d}
