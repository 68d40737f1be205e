"""The residual branches of a 2D network, found by running it, as places for a temporal operation.

A residual branch is recognized by what the network computes, not by its name. One image is passed
through, the layers that every tensor came from are recorded, and where two tensors of one shape
(N, C, H, W) are added, the layers that only one of them came from are a branch:

    x ----------- shortcut -----------+          layers of the sum's left side:   {..., a, b, c}
     \\-- conv a -- conv b -- conv c --+-- sum    layers of its right side:        {...}
          ^ head    ^ inner                      the branch:                      {a, b, c}

So any network of residual branches qualifies, whoever wrote it. Positions after "TSM" (arXiv
1811.08383, residual shift) and "MixTConv" (arXiv 2001.06769): `head` is the start of the branch,
the shortcut untouched; `inner` is before the branch's first spatial convolution that follows
another one.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mixtconv._names import first_line
from mixtconv.models.spec import Position


@dataclass(frozen=True)
class TemporalSite:
    """A module before which a temporal operation can be inserted."""

    module: str
    """Dotted name of the module inside the network."""
    channels: int
    """Channels C of the module's input (N, C, H, W)."""
    block: str
    """Dotted name of the module that adds the branch to its shortcut."""
    stage: str
    """Dotted name of the container that holds the residual block."""


@dataclass(frozen=True)
class _Layer:
    """One call of a convolution or linear layer, in the order of execution."""

    name: str
    parent_calls: tuple[str, ...]  # the modules that were running, outermost first
    sources: frozenset[int]  # indices of the layers that its input came from
    is_conv: bool
    is_spatial: bool


@dataclass(frozen=True)
class _Branch:
    block: str  # the module that adds the branch to its shortcut
    layers: tuple[int, ...]  # indices into the trace, in the order of execution


def find_residual_sites(
    network: nn.Module,
    *,
    position: Position = "head",
    image_size: int | None = None,
    in_channels: int | None = None,
) -> list[TemporalSite]:
    """Places for a temporal operation in every residual branch of a 2D network.

    The network runs once on an image of zeros, in evaluation mode, and is not changed. One without
    residual branches may declare its places in an attribute `temporal_stages`, a dictionary of
    stages to modules; they count as `head`.

    Args:
        network: takes images (N, 3, H, W).
        position: `head` or `inner`; branches without that position are left out.
        image_size: height and width of the image; by default what the network declares (timm's
            `default_cfg`), else 224.
        in_channels: channels of the image; by default as `image_size`, else 3.

    Returns:
        The places in the order of execution; empty if the network has no residual branches.

    >>> import timm
    >>> sites = find_residual_sites(timm.create_model("resnet18"))
    >>> len(sites), sites[0].module, sites[0].channels, sites[0].stage
    (8, 'layer1.0.conv1', 64, 'layer1')
    """
    trace = _trace(network, image_size, in_channels)
    declared = getattr(network, "temporal_stages", None)
    if declared is not None:
        places = [(name, stage) for stage, names in declared.items() for name in names]
        return [
            TemporalSite(name, trace.inputs[name][1], block=name, stage=stage)
            for name, stage in places
            if position == "head"
        ]
    sites = []
    for branch in trace.branches:
        # Only outermost branches: Res2Net adds inside its branches.
        if any(set(branch.layers) < set(other.layers) for other in trace.branches):
            continue
        module = _place(trace.layers, branch, position)
        if module in trace.inputs:
            stage = branch.block.rpartition(".")[0]
            sites.append(TemporalSite(module, trace.inputs[module][1], branch.block, stage))
    return sites


def find_named_sites(
    network: nn.Module,
    names: Sequence[str],
    *,
    image_size: int | None = None,
    in_channels: int | None = None,
) -> list[TemporalSite]:
    """Places before the named modules, with the channels of the modules' inputs.

    Raises:
        ValueError: no names or one twice, a name that the network does not have, a module that does
            not run, or one whose input is not (N, C, H, W).
    """
    if isinstance(names, str) or not names or len(set(names)) < len(names):
        raise ValueError(f"module names are {names!r}; give a list of them, each one once")
    modules = dict(network.named_modules())
    for name in names:
        if not name or name not in modules:
            near = [known for known in modules if known.rpartition(".")[2] == name][:3]
            example = near or [known for known in modules if known][:5]
            raise ValueError(
                f"the network has no module {name!r}; names look like {', '.join(example)} "
                "(see network.named_modules())"
            )
    inputs = _trace(network, image_size, in_channels).inputs
    for name in names:
        if name not in inputs:
            raise ValueError(
                f"module {name!r} does not take a feature map (N, C, H, W) when the network runs, "
                "so no temporal operation can go before it; name a convolution"
            )
    return [TemporalSite(name, inputs[name][1], name, name.rpartition(".")[0]) for name in names]


def find_outputs(
    network: nn.Module, *, image_size: int | None = None, in_channels: int | None = None
) -> dict[str, tuple[int, ...]]:
    """Output shapes, for one image or one clip, of the modules that return a tensor, by name."""
    return _trace(network, image_size, in_channels).outputs


_ADDITIONS = ("add", "add_", "__add__", "__iadd__", "__radd__")


class _Tracer(TorchFunctionMode):
    """Records for every tensor the layers it came from, and every sum of two feature maps."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: list[_Layer] = []
        self.branches: list[_Branch] = []
        self.inputs: dict[str, tuple[int, ...]] = {}
        self.outputs: dict[str, tuple[int, ...]] = {}
        self.calls: list[str] = []  # the modules that are running, outermost first
        self._sources: dict[int, frozenset[int]] = {}
        self._alive: list[Tensor] = []  # keeps the tensors, so that their ids stay unique

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
        maps = [value for value in _tensors(args) if value.ndim == 4]
        if len(maps) == 1:
            self.inputs.setdefault(name, tuple(maps[0].shape))

    def leave(self, name: str, module: nn.Module, result: Any) -> None:
        self.calls.pop()
        if isinstance(result, Tensor):
            self.outputs.setdefault(name, tuple(result.shape))
        if isinstance(module, nn.Conv2d | nn.Linear):
            # From here on the result came from this layer too.
            is_conv = isinstance(module, nn.Conv2d)
            is_spatial = isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1
            sources = self._sources.get(id(result), frozenset())
            self.mark(result, sources | {len(self.layers)})
            self.layers.append(_Layer(name, tuple(self.calls), sources, is_conv, is_spatial))

    def _record_sum(self, operands: list[Tensor], sources: list[frozenset[int]]) -> None:
        left, right = operands
        if left.ndim != 4 or left.shape != right.shape:
            return
        only_left, only_right = sources[0] - sources[1], sources[1] - sources[0]
        # The branch is the side with more layers; a shortcut may have one too (downsampling).
        longer = max(only_left, only_right, key=len)
        if longer and len(only_left) != len(only_right):
            self.branches.append(_Branch(self.calls[-1], tuple(sorted(longer))))


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


def _trace(network: nn.Module, image_size: int | None, in_channels: int | None) -> _Tracer:
    tracer = _Tracer()
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
    parameter = next(network.parameters(), torch.empty(0))
    default = getattr(network, "default_cfg", None) or {}
    default_channels, _, default_size = default.get("input_size", (3, 224, 224))
    channels, size = in_channels or default_channels, image_size or default_size
    image = torch.zeros(clip_length(network), channels, size, size).to(parameter)
    tracer.mark(image, frozenset())
    try:
        with evaluating(network), torch.no_grad(), tracer:
            network(image)
    except (RuntimeError, AssertionError) as error:  # timm asserts sizes
        raise ValueError(
            f"the network does not run on an image of shape {tuple(image.shape)}: "
            f"{first_line(error)}; give the size that it takes as image_size"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return tracer


def _place(layers: list[_Layer], branch: _Branch, position: Position) -> str | None:
    """Name of the module that starts at the position, or None where the branch has no such place.

    Layers that start there side by side (a convolution split by channels) must be in one module.
    """
    in_branch = set(branch.layers)
    # 1. The layers that start at the position. Which ones follow another layer of the branch?
    follows = {index: bool(layers[index].sources & in_branch) for index in branch.layers}
    if position == "head":
        starts = [index for index in branch.layers if not follows[index]]
    else:
        # Spatial convolutions after the first layer, of which those that follow no other such one.
        spatial = [index for index in branch.layers if follows[index] and layers[index].is_spatial]
        starts = [index for index in spatial if not layers[index].sources & set(spatial)]
    # 2. Branches of another kind have no place: those that begin with a linear layer,
    # and those that begin in another block than the one that adds them (networks that fuse scales).
    if not starts or not layers[starts[0]].is_conv:
        return None
    if branch.block not in layers[starts[0]].parent_calls:
        return None
    # 3. The largest module that begins there must hold all of them: it gets the operation.
    module = _outermost_module(layers, branch, starts[0])
    inside = set(_layers_inside(layers, module))
    return module if inside.issuperset(starts) else None


def _outermost_module(layers: list[_Layer], branch: _Branch, start: int) -> str:
    """The largest module inside the block that begins with layer `start` of the branch.

    A convolution may be wrapped with its normalisation, or split by channels into several; the
    operation belongs before all of that.
    """
    first = layers[start]
    largest = first.name
    depth = first.parent_calls.index(branch.block)
    for ancestor in reversed(first.parent_calls[depth + 1 :]):  # from the inside out
        inside = _layers_inside(layers, ancestor)
        if inside[0] != start or not set(inside) <= set(branch.layers):
            break
        largest = ancestor
    return largest


def _layers_inside(layers: list[_Layer], module: str) -> list[int]:
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
