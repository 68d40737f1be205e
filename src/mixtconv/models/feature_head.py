"""Small heads on a feature map of a 2D network, which they can be trained on while it is frozen.

The features of a frame are those of a stage of a backbone, (N, C, H, W), computed by a `Trunk`. A
head makes one feature of each frame of them, (N, D), for the last layer of `VideoClassifier`:

    average     the mean over the map: the linear probe
    attention   a learned query attends to all places of all frames, whose positions it knows: the
                attentive probe of "V-JEPA" (arXiv 2404.08471). Different here: a single query, and
                no layer between the attention and the last one
    blocks      a 1x1 convolution to few channels and residual blocks with a temporal operation
                (`TemporalWrapper`, as in the families), then the mean over the map

Trunk and head in a row are a 2D network like others, with its temporal operations in known places:
nothing else (streams, export, folding) needs to know of heads. A map less its mean over the clip is
a temporal operation too (`MeanRemoval`), before the first convolution.
"""

from collections import OrderedDict
from dataclasses import fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixtconv.models.backbone import refusing_size
from mixtconv.models.classifier import VideoClassifier
from mixtconv.models.spec import ModelSpec, Placement
from mixtconv.models.structure.network_trace import evaluating
from mixtconv.models.trunk import Trunk
from mixtconv.models.wrappers.temporal_wrapper import TemporalWrapper
from mixtconv.ops import create_operation
from mixtconv.ops.mean_removal import MeanRemoval

WIDTH = 64
"""Channels of the blocks."""
NUM_BLOCKS = 2
ATTENTION_WIDTH = 128
ATTENTION_HEADS = 4


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: (N, C, H, W) -> same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1: nn.Module = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.act2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        branch = self.bn2(self.conv2(self.act1(self.bn1(self.conv1(x)))))
        return self.act2(branch + x)


class AttentionPool(nn.Module):
    """A query's attention to all places of a clip: (B * T, C, H, W) -> (B * T, D).

    All frames of a clip get the feature of the clip, so that their average is that too.

    Args:
        channels: C.
        num_frames: T.
        map_size: H, W.
        width: D.
        num_heads: of the attention.
    """

    def __init__(
        self,
        channels: int,
        num_frames: int,
        map_size: tuple[int, int],
        *,
        width: int = ATTENTION_WIDTH,
        num_heads: int = ATTENTION_HEADS,
    ) -> None:
        super().__init__()
        self.num_frames, self.num_heads = num_frames, num_heads
        self.reduce: nn.Module = nn.Conv2d(channels, width, 1)
        self.time = nn.Parameter(torch.empty(1, num_frames, 1, width))
        self.place = nn.Parameter(torch.empty(1, 1, map_size[0] * map_size[1], width))
        self.norm = nn.LayerNorm(width)
        self.query = nn.Parameter(torch.empty(1, 1, width))
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.width = width
        for parameter in (self.time, self.place, self.query):
            nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.reduce(x).flatten(2).transpose(1, 2)  # (B * T, H * W, D)
        tokens = tokens.reshape(-1, self.num_frames, *self.place.shape[2:])  # (B, T, H * W, D)
        tokens = self.norm((tokens + self.time + self.place).flatten(1, 2))  # (B, T * H * W, D)
        key, value = self.key_value(tokens).chunk(2, dim=2)
        query = self.query.expand(key.shape[0], -1, -1)  # (B, 1, D)
        query, key, value = self._split(query), self._split(key), self._split(value)
        gathered = F.scaled_dot_product_attention(query, key, value)  # (B, heads, 1, D / heads)
        clip = self.out(gathered.transpose(1, 2).flatten(2))  # (B, 1, D)
        return clip.expand(-1, self.num_frames, -1).flatten(0, 1)  # (B * T, D)

    def _split(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, heads, N, D / heads)."""
        return x.unflatten(2, (self.num_heads, self.width // self.num_heads)).transpose(1, 2)


def build_head_classifier(
    backbone: nn.Module, operation: str | None, spec: ModelSpec
) -> VideoClassifier:
    """A recognizer of trunk and head as the spec says; its spec names the stage.

    Args:
        backbone: a 2D network of timm with pooled features; it is modified.
        operation: the temporal operation of the blocks, None for none.
        spec: head, stage and clips.

    Returns:
        A recognizer whose backbone has the modules `trunk` and `head`.

    Raises:
        ValueError: a backbone without stages, one that does not run on the spec's images, or
            settings that mean nothing here.
    """
    _refuse_meaningless(operation, spec)
    size = spec.image_size
    images = torch.zeros(1, spec.snippet.in_channels, size, size)
    images = images.to(next(backbone.parameters()))
    with refusing_size(size, backbone):
        trunk = Trunk(backbone, spec.feature_stage, images=images)
        with evaluating(trunk), torch.no_grad():
            _, *shape = trunk(images).shape
    if len(shape) != 3:
        raise ValueError(
            f"the stage gives {tuple(shape)} for one image, a head takes a map C, H, W"
        )
    spec = replace(spec, feature_stage=trunk.stage)
    head = make_head((shape[0], shape[1], shape[2]), operation, spec)
    width = {"average": shape[0], "attention": ATTENTION_WIDTH}.get(str(spec.feature_head), WIDTH)
    network = nn.Sequential(OrderedDict(trunk=trunk, head=head))
    model = VideoClassifier(network, width, spec)
    # A causal head takes longer clips: each frame is less the mean of the last T all the same.
    removes_clip_mean = spec.less_mean and not spec.causal
    model.length_is_fixed = spec.feature_head == "attention" or removes_clip_mean
    return model


class FeatureClassifier(VideoClassifier):
    """A recognizer with a head that takes the features of its trunk in place of frames.

    Head and last layer are those of the recognizer, so that training this one trains that.

    Args:
        whole: a recognizer of `build_head_classifier`.
    """

    def __init__(self, whole: VideoClassifier) -> None:
        head = whole.backbone.get_submodule("head")
        super().__init__(head, whole.num_features, whole.spec, head=whole.head)
        self.length_is_fixed = whole.length_is_fixed
        self._whole = (whole,)  # not a module of this one

    @property
    def whole(self) -> VideoClassifier:
        """The recognizer of frames."""
        return self._whole[0]

    def normalize(self, video: Tensor) -> Tensor:
        """Features as the head takes them, in its precision and on its device."""
        return video.to(self.get_buffer("mean"))


def make_head(shape: tuple[int, int, int], operation: str | None, spec: ModelSpec) -> nn.Module:
    """The head alone: feature maps (B * T, C, H, W) -> features (B * T, D).

    Args:
        shape: C, H, W.
        operation: the temporal operation of the blocks, None for none.
        spec: head and clips.
    """
    channels, *size = shape
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if spec.feature_head == "average":
        return pool
    if spec.feature_head == "attention":
        attention = AttentionPool(channels, spec.num_frames, (size[0], size[1]))
        attention.reduce = _less_mean(attention.reduce, spec, channels)
        return attention
    blocks = [ResidualBlock(WIDTH) for _ in range(NUM_BLOCKS)]
    for block in blocks if operation is not None else ():
        options = {"causal": spec.causal, "shift_fraction": spec.shift_fraction}
        temporal = create_operation(str(operation), WIDTH, **options)
        block.conv1 = TemporalWrapper(temporal, block.conv1, spec.num_frames, WIDTH)
    reduce: OrderedDict[str, nn.Module] = OrderedDict(
        conv=_less_mean(nn.Conv2d(channels, WIDTH, 1, bias=False), spec, channels),
        bn=nn.BatchNorm2d(WIDTH),
        act=nn.ReLU(),
    )
    layers = {"reduce": nn.Sequential(reduce), "blocks": nn.Sequential(*blocks), "pool": pool}
    return nn.Sequential(OrderedDict(layers))


def _less_mean(module: nn.Module, spec: ModelSpec, channels: int) -> nn.Module:
    """The first layer of a head, with the removal of the mean before it if the spec says so."""
    if not spec.less_mean:
        return module
    removal = MeanRemoval(spec.num_frames, causal=spec.causal)
    return TemporalWrapper(removal, module, spec.num_frames, channels)


def _refuse_meaningless(operation: str | None, spec: ModelSpec) -> None:
    defaults = {field.name: field.default for field in fields(Placement)}
    for name, default in defaults.items():
        if getattr(spec, name) != default:
            raise ValueError(
                f"{name} is {getattr(spec, name)!r}, a place inside the backbone, and a head on "
                "features leaves it without temporal operations: leave one out"
            )
    if spec.feature_head != "blocks" and operation is not None:
        backbone = spec.name.partition("_")[2]
        raise ValueError(
            f"feature_head {spec.feature_head!r} has no place for the temporal operation of "
            f"{spec.name}; give tsn_{backbone}, or feature_head 'blocks'"
        )
    if spec.feature_head == "attention" and spec.causal:
        raise ValueError(
            "feature_head 'attention' looks at all frames of a clip at once and cannot be causal; "
            "give 'blocks', or leave causal out"
        )
    if spec.feature_head == "average" and spec.less_mean:
        raise ValueError(
            "the average over a clip of features less their mean is zero: give less_mean with "
            "feature_head 'blocks' or 'attention'"
        )
