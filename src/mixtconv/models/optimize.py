"""A recognizer optimised for inference: the same logits in less time.

The steps, each where it applies:

- batch normalisation is folded into the convolution before it;
- linear adapters become part of the layers beside them;
- an activation, or the sum of a residual block and its activation, becomes part of the convolution
  before it, so that the feature map is written once instead of three times;
- the groups of kernel size 1 of a mixed temporal convolution are folded into the weights of the
  convolution after it;
- temporal operations write into a buffer that all of them share;
- feature maps are channels-last.

The network is traced with `torch.fx`; of one that cannot be traced, only the memory format changes,
and its temporal operations become filters of fixed weights. Transformers are such, and have nothing
else to fold.
"""

import copy
import logging

import torch
from timm.layers import AvgPool2dSame, BatchNormAct2d, Conv2dSame, pad_same
from timm.layers.pool2d_same import MaxPool2dSame
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mixtconv._names import first_line
from mixtconv.models.classifier import VideoClassifier
from mixtconv.models.folded_filter import FoldedTemporalFilter
from mixtconv.models.graph_fusion import fold
from mixtconv.models.wrappers.linear_adapters import fold_linear_adapters
from mixtconv.models.wrappers.non_local import NonLocalBlock, NonLocalFrames
from mixtconv.models.wrappers.temporal_wrapper import TemporalWrapper

logger = logging.getLogger(__name__)


def optimize_for_inference(model: VideoClassifier) -> VideoClassifier:
    """The same recognizer, faster: a copy in evaluation mode that cannot be trained or saved.

    Logits are equal to about 1e-5 of their size. On the CPU in float32, convolutions run with what
    follows them as one operation (see `FusedConv2d`).

    Args:
        model: the recognizer; it is not changed.

    >>> from mixtconv import create_model
    >>> model = create_model("mstnet_resnet18", num_classes=5).eval()
    >>> fast = optimize_for_inference(model)
    >>> video = torch.rand(1, 8, 3, 64, 64)
    >>> bool(torch.allclose(fast(video), model(video), rtol=1e-4, atol=1e-4))
    True
    """
    if model.optimized:
        return model
    fast = copy.deepcopy(model).eval().requires_grad_(False)
    # An ensemble has a network per member, ECO a 2D and a 3D one; all else stays plain modules.
    for owner, name in fast.networks():
        setattr(owner, name, _optimized(owner.get_submodule(name), model.spec.name))
    for member in fast.modules():
        if isinstance(member, VideoClassifier):
            member.optimized = True
    return fast.to(memory_format=torch.channels_last)


def _optimized(network: nn.Module, model_name: str) -> nn.Module:
    """A network of frames, or of clips, that runs faster."""
    fold_linear_adapters(network)
    # As modules of their own they are seen in the graph.
    separate_temporal_operations(network)
    separate_same_padding(network)
    try:
        graph = follow(network)
    except ValueError as error:
        # Of a transformer nothing is lost: the steps are for convolutions and their norms.
        has_norms = any(isinstance(each, _BatchNorm) for each in network.modules())
        logger.log(
            logging.WARNING if has_norms else logging.DEBUG,
            "%s cannot be followed (%s): only its memory format changes",
            model_name,
            error,
        )
    else:
        fold(graph, fuse=True)
        network = graph
    return _ChannelsLast(network)


def follow(network: nn.Module, leaves: tuple[type[nn.Module], ...] = ()) -> fx.GraphModule:
    """Trace a network, down to the modules that the steps of `graph_fusion.py` know.

    Args:
        network: takes frames or clips.
        leaves: further types of modules that are not traced into.

    Raises:
        ValueError: the network's control flow depends on values of its input.
    """
    try:
        return fx.GraphModule(network, _Tracer(leaves).trace(network))
    except (fx.proxy.TraceError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(first_line(error)) from error


class _ChannelsLast(nn.Module):
    """Passes frames to a network in channels-last memory format; clips are passed unchanged."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor) -> Tensor:
        if frames.ndim == 4:
            frames = frames.contiguous(memory_format=torch.channels_last)
        return self.network(frames)


class _Tracer(fx.Tracer):
    """Does not trace into `_LEAVES` and further types of modules."""

    def __init__(self, leaves: tuple[type[nn.Module], ...] = ()) -> None:
        super().__init__()
        self.leaves = (*_LEAVES, *leaves)

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        known = isinstance(module, self.leaves)
        return known or super().is_leaf_module(module, name)


class SamePadding(nn.Module):
    """TensorFlow's padding before a convolution, which depends on the size of the map.

    Args:
        conv: the convolution.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.window = (list(conv.kernel_size), list(conv.stride), list(conv.dilation))

    def forward(self, x: Tensor) -> Tensor:
        return pad_same(x, *self.window)


_LEAVES: tuple[type[nn.Module], ...] = (
    *(FoldedTemporalFilter, TemporalWrapper, NonLocalFrames, NonLocalBlock, BatchNormAct2d),
    *(SamePadding, MaxPool2dSame, AvgPool2dSame),
)


def separate_temporal_operations(network: nn.Module) -> None:
    """Replace each wrapper with a depthwise operation by a sequence: folded filter, module."""
    for name, site in list(network.named_modules()):
        if isinstance(site, TemporalWrapper) and hasattr(site.temporal, "depthwise_taps"):
            taps = site.temporal.depthwise_taps(site.channels)  # type: ignore[operator]
            frames = FoldedTemporalFilter(taps, site.num_frames)
            network.set_submodule(name, site.separated(frames))


def separate_same_padding(network: nn.Module) -> None:
    """Replace convolutions that pad as TensorFlow's by a sequence: padding, plain convolution."""
    for name, conv in list(network.named_modules()):
        if isinstance(conv, Conv2dSame):
            plain = nn.Conv2d(
                conv.in_channels,
                conv.out_channels,
                conv.kernel_size,
                conv.stride,
                dilation=conv.dilation,
                groups=conv.groups,
                bias=conv.bias is not None,
            )
            plain.weight, plain.bias = conv.weight, conv.bias
            sequence = nn.Sequential(SamePadding(conv), plain)
            network.set_submodule(name, sequence.train(conv.training))
