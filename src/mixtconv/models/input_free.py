"""Frozen layers that keep nothing of their input for the backward pass.

A convolution, and a normalisation by known statistics, are linear: the gradient of their input
depends on their weights alone. Only the gradient of the weights needs the input, and autograd keeps
it whether or not they have one (torch 2.14). Here it keeps its form in its place. A compiled
network needs none of this: its backward pass is known, and what it does not read is not kept.
"""

from contextlib import nullcontext
from typing import Any

import torch
from timm.layers import BatchNormAct2d, Conv2dSame
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, Conv2dSame)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, BatchNormAct2d)
"""Layers whose computation is known; those derived from them may do more."""


class _Dropped:
    """Kept by autograd in place of the input of a frozen layer."""

    def __init__(self, tensor: Tensor) -> None:
        self.form, self.device = tensor.to("meta"), tensor.device

    def restored(self) -> Tensor:
        """Memory of the same form, whose values no gradient depends on."""
        return torch.empty_like(self.form, device=self.device)


def keep_no_input(module: nn.Module) -> None:
    """Let autograd keep no input of a layer while it is frozen, if its kind allows that.

    A layer that is trained again, or a normalisation by the statistics of the batch, keeps it.
    """
    if type(module) not in (*CONVOLUTIONS, *_BATCH_NORMS) or "_contexts" in vars(module):
        return  # of another kind, or it was frozen before
    vars(module)["_contexts"] = []
    is_conv = type(module) in CONVOLUTIONS

    def begin(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        if torch.compiler.is_compiling():
            return
        own = {each.shape for each in (*module.parameters(), *module.buffers())}
        address, shape = (args[0].data_ptr(), args[0].shape) if args else (0, None)

        def pack(tensor: Tensor) -> Tensor | _Dropped:
            if is_conv:  # perhaps padded: all but the weights, which autocast may have rounded
                is_input = tensor.ndim > 2 and tensor.shape not in own
            else:  # perhaps followed by an activation, which needs what it keeps
                is_input = tensor.data_ptr() == address and tensor.shape == shape
            return _Dropped(tensor) if is_input else tensor

        is_trained = any(parameter.requires_grad for parameter in module.parameters())
        by_batch = not is_conv and (module.training or module.running_mean is None)
        keeps = is_trained or by_batch or not torch.is_grad_enabled()
        context = nullcontext() if keeps else saved_tensors_hooks(pack, _unpack)
        context.__enter__()
        vars(module)["_contexts"].append(context)

    def end(module: nn.Module, args: Any, result: Any) -> None:
        if not torch.compiler.is_compiling():
            vars(module)["_contexts"].pop().__exit__(None, None, None)

    module.register_forward_pre_hook(begin)
    module.register_forward_hook(end, always_call=True)


def _unpack(kept: Tensor | _Dropped) -> Tensor:
    return kept.restored() if isinstance(kept, _Dropped) else kept
