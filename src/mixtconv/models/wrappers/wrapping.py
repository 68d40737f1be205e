"""Wraps a module of a 2D network without changing its state-dict keys."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn


class WrappedModule(nn.Module):
    """Holds a module of a network; in state dictionaries the module's weights keep their names.

    The weights of a subclass are beside them: `conv1.weight` stays, and a child `extra` of the
    subclass has `conv1.extra.weight`.

    Args:
        module: the module.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.register_state_dict_post_hook(_hide_module_prefix)
        self.register_load_state_dict_pre_hook(_restore_module_prefix)

    def __getattr__(self, name: str) -> Any:
        """Attributes that the wrapper lacks are the module's, such as `conv1.in_channels`."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)


def replace_module(network: nn.Module, name: str, wrapped: WrappedModule) -> None:
    """Replace a module by its wrapper, in its mode (training or evaluation), on its device."""
    wrapped.to(device_of(network))
    parent_name, _, child_name = name.rpartition(".")
    for child_of_wrapper, child in wrapped.named_children():
        if child_of_wrapper != "module":
            child.train(wrapped.module.training)
    # Not `wrapped.train(...)`: modules inside keep their modes, such as frozen norms.
    wrapped.training = wrapped.module.training
    setattr(network.get_submodule(parent_name), child_name, wrapped)


def device_of(network: nn.Module) -> torch.device:
    """The device of a network's parameters; torch's default if it has none."""
    return next(network.parameters(), torch.empty(0)).device


def outermost(module: nn.Module, method: str) -> Iterator[Any]:
    """The modules with a method, without those inside another such one."""
    if hasattr(type(module), method):  # of a wrapped module, the wrapper would have it as well
        yield module
        return
    for child in module.children():
        yield from outermost(child, method)


def _hide_module_prefix(
    site: nn.Module, state: dict[str, Any], prefix: str, local_metadata: dict[str, Any]
) -> None:
    for key in [key for key in state if key.startswith(prefix + "module.")]:
        state[prefix + key.removeprefix(prefix + "module.")] = state.pop(key)


def _restore_module_prefix(site: nn.Module, state: dict[str, Any], prefix: str, *args: Any) -> None:
    added = tuple(f"{prefix}{name}." for name, _ in site.named_children() if name != "module")
    own = {f"{prefix}{name}" for name, _ in site.named_parameters(recurse=False)}
    inside = [key for key in state if key.startswith(prefix) and key not in own]
    for key in [key for key in inside if not key.startswith(added)]:
        state[prefix + "module." + key.removeprefix(prefix)] = state.pop(key)
