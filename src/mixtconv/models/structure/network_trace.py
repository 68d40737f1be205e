"""What a 2D network computes, recorded as it runs once on an image of zeros.

The record (`NetworkTrace`) has the layers that every tensor came from, the sums of two feature
maps, and the shapes of what modules take and give. Places for temporal operations are found in it.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from mixtconv._names import first_line

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layer:
    """One call of a convolution or linear layer, in the order of execution."""

    name: str
    parent_calls: tuple[str, ...]  # the modules that were running, outermost first
    sources: frozenset[int]  # indices of the layers that its input came from
    module: nn.Conv2d | nn.Linear
    map_size: tuple[int, ...]  # height and width of its input; of a linear layer's, whatever it has
    result_size: tuple[int, ...]  # of its result

    @property
    def is_conv(self) -> bool:
        return isinstance(self.module, nn.Conv2d)

    @property
    def is_spatial(self) -> bool:
        return isinstance(self.module, nn.Conv2d) and max(self.module.kernel_size) > 1

    @property
    def is_depthwise(self) -> bool:
        """Whether it is a spatial convolution of every channel by itself."""
        module = self.module
        return (
            self.is_spatial
            and isinstance(module, nn.Conv2d)
            and module.groups > 1
            and module.groups == module.in_channels
        )


@dataclass(frozen=True)
class Branch:
    block: str  # the module that adds the branch to its shortcut
    layers: tuple[int, ...]  # indices into the trace, in the order of execution
    is_beside_input: bool = False  # whether the shortcut is the block's input itself


def find_outputs(
    network: nn.Module,
    *,
    image_size: int | None = None,
    in_channels: int | None = None,
    on_shapes: bool = False,
) -> dict[str, tuple[int, ...]]:
    """Output shapes, for one image or one clip, of the modules that return a tensor, by name.

    `on_shapes` as in `run_once`.
    """
    return trace_network(network, image_size, in_channels, on_shapes=on_shapes).outputs


_ADDITIONS = ("add", "add_", "__add__", "__iadd__", "__radd__")


class NetworkTrace(TorchFunctionMode):
    """Records for every tensor the layers it came from, and every sum of two feature maps."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.num_images = clip_length(network)
        self.start(torch.empty(0))

    def start(self, images: Tensor) -> None:
        """Begin a record of what is computed of these images."""
        self.layers: list[Layer] = []
        self.branches: list[Branch] = []
        self.inputs: dict[str, tuple[int, ...]] = {}
        self.outputs: dict[str, tuple[int, ...]] = {}
        self.takes_one_map: set[str] = set()  # modules with a feature map as their only argument
        self.sums_tokens = False  # whether two tensors (N, L, C) are added
        self.calls: list[str] = []  # the modules that are running, outermost first
        self._arguments: list[list[int]] = []  # ids of the tensors that each of these took
        self._sources: dict[int, frozenset[int]] = {}
        self._alive: list[Tensor] = []  # keeps the tensors, so that their ids stay unique
        self.mark(images, frozenset())

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        # Tensors that do not depend on the image, such as weights, have no sources.
        operands = [value for value in _tensors((args, kwargs)) if id(value) in self._sources]
        sources = [self._sources[id(value)] for value in operands]
        if getattr(func, "__name__", "") in _ADDITIONS and len(operands) == 2:
            # Before an addition in place overwrites one of them.
            self._record_sum(operands, sources)
        result = func(*args, **kwargs)
        merged = frozenset().union(*sources)
        for value in _tensors(result) if operands else ():
            self.mark(value, merged)
        return result

    def mark(self, value: Tensor, sources: frozenset[int]) -> None:
        self._sources[id(value)] = sources
        self._alive.append(value)

    def enter(self, name: str, module: nn.Module, args: Any) -> None:
        self.calls.append(name)
        self._arguments.append([id(value) for value in _tensors(args)])
        maps = [value for value in _tensors(args) if value.ndim == 4]
        if len(maps) == 1:
            self.inputs.setdefault(name, tuple(maps[0].shape))
            if len(args) == 1 and args[0] is maps[0]:
                self.takes_one_map.add(name)

    def leave(self, name: str, module: nn.Module, result: Any) -> None:
        self.calls.pop()
        self._arguments.pop()
        if isinstance(result, Tensor):
            self.outputs.setdefault(name, tuple(result.shape))
        if isinstance(module, nn.Conv2d | nn.Linear):
            # From here on the result came from this layer too.
            sources = self._sources.get(id(result), frozenset())
            self.mark(result, sources | {len(self.layers)})
            sizes = self.inputs.get(name, ())[2:], tuple(result.shape[2:])
            self.layers.append(Layer(name, tuple(self.calls), sources, module, *sizes))

    def _record_sum(self, operands: list[Tensor], sources: list[frozenset[int]]) -> None:
        left, right = operands
        self.sums_tokens |= left.ndim == 3 and left.shape == right.shape
        if left.ndim != 4 or left.shape != right.shape:
            return
        only_left, only_right = sources[0] - sources[1], sources[1] - sources[0]
        # The branch is the side with more layers; a shortcut may have one too (downsampling).
        shorter, longer = sorted((only_left, only_right), key=len)
        if len(shorter) < len(longer):
            shortcut = left if only_left is shorter else right
            is_input = id(shortcut) in self._arguments[-1]
            self.branches.append(Branch(self.calls[-1], tuple(sorted(longer)), is_input))


def clip_length(network: nn.Module) -> int:
    """The fewest frames that a network runs on: one, or a clip's if it has operations on clips."""
    return max((getattr(module, "num_frames", 1) for module in network.modules()), default=1)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode within the context; afterwards the mode that each module had before."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def trace_network(
    network: nn.Module,
    image_size: int | None,
    in_channels: int | None,
    *,
    on_shapes: bool = False,
) -> NetworkTrace:
    """A record of one run of a network on images of zeros, see `run_once`."""
    tracer = NetworkTrace(network)
    handles = []
    for name, module in network.named_modules():
        handles += [
            module.register_forward_pre_hook(
                lambda module, args, name=name: tracer.enter(name, module, args)
            ),
            module.register_forward_hook(
                lambda module, args, result, name=name: tracer.leave(name, module, result)
            ),
        ]
    try:
        with tracer:
            run_once(network, image_size, in_channels, start=tracer.start, on_shapes=on_shapes)
    finally:
        for handle in handles:
            handle.remove()
    return tracer


def run_once(
    network: nn.Module,
    image_size: int | None,
    in_channels: int | None,
    *,
    start: Callable[[Tensor], None] = lambda images: None,
    on_shapes: bool = False,
) -> None:
    """Run a network in evaluation mode on images of zeros.

    Args:
        network: images (N, C, H, W) in.
        image_size, in_channels: of the images; those that the network declares if None.
        start: called with the images before each trial, so that what records the run begins anew.
        on_shapes: compute shapes alone where the network can, which takes a fraction of the time
            in large networks, and more time in small ones.

    Raises:
        ValueError: it does not run on images of this size.
    """
    parameter = next(network.parameters(), torch.empty(0))
    default = getattr(network, "default_cfg", None) or {}
    default_channels, _, default_size = default.get("input_size", (3, 224, 224))
    channels, size = in_channels or default_channels, image_size or default_size
    images = torch.zeros(clip_length(network), channels, size, size).to(parameter)
    with evaluating(network), torch.no_grad():
        if on_shapes:
            shapes = images.to("meta")
            start(shapes)
            try:
                tensors = chain(network.named_parameters(), network.named_buffers())
                state = {name: tensor.to("meta") for name, tensor in tensors}
                functional_call(network, state, (shapes,), tie_weights=False)
                return
            except Exception:  # operators that do not tell shapes, values that are looked at
                logger.debug("shapes are not enough for %s", type(network).__name__)
        start(images)
        try:
            network(images)
        except (RuntimeError, AssertionError) as error:  # timm asserts sizes
            raise ValueError(
                f"the network does not run on an image of shape {tuple(images.shape)}: "
                f"{first_line(error)}; give the size that it takes as image_size"
            ) from error


def layers_inside(layers: list[Layer], module: str) -> list[int]:
    return [
        index for index, layer in enumerate(layers) if module in (*layer.parent_calls, layer.name)
    ]


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
