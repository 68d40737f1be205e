"""What timm's networks tell of their layers for training: their order, and their statistics.

Layer decay after "BEiT" (arXiv 2106.08254): in fine-tuning, layers near the input, which know most
already, learn more slowly. The layers are those of timm's `group_matcher`. Different from timm's
`param_groups_layer_decay`: parameters of a temporal operation count to the layer that they are in,
and the recognizer's last layer stands for the network's own.

In gradient checkpointing ("Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174) layers
see a batch twice. Different from timm: batch normalisation counts it once (`norm_statistics`).
"""

from collections.abc import Mapping

from timm.models._manipulate import group_with_matcher
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mixtconv.models import VideoClassifier
from mixtconv.models.wrappers.wrapping import WrappedModule, outermost


def layer_lr_factors(model: nn.Module, decay: float) -> dict[nn.Parameter, float]:
    """Factors of the learning rate of the parameters in a recognizer's backbones.

    Args:
        model: a recognizer.
        decay: the factor from each layer to the one below it; 1 is none.

    Returns:
        decay ** n for a parameter with n layers above it, of which the recognizer's last layer is
        one; the others have none.

    Raises:
        ValueError: no backbone that tells its layers.
    """
    factors: dict[nn.Parameter, float] = {}
    if decay == 1:
        return factors
    for network in outermost(model, "group_matcher"):
        # By the names of the 2D network, which its wrapped modules keep there.
        tensors = network.state_dict(keep_vars=True).items()
        parameters = {name: each for name, each in tensors if isinstance(each, nn.Parameter)}
        last = f"{_classifier(network)}.weight"
        names = [*parameters, last]
        matcher = network.group_matcher(coarse=False)
        layers = group_with_matcher(((name, None) for name in names), matcher, reverse=True)
        own = {parameter: layers[name] for name, parameter in parameters.items()}
        own |= _added_layers(network, own)
        factors |= {parameter: decay ** (layers[last] - layer) for parameter, layer in own.items()}
    if not factors:
        raise ValueError(
            f"--layer-decay is {decay}, and the backbone of {_name(model)} does not tell its "
            "layers (timm's group_matcher): leave it out, or choose another backbone"
        )
    return factors


def _added_layers(network: nn.Module, own: Mapping[nn.Parameter, int]) -> dict[nn.Parameter, int]:
    """The layers of what is beside a wrapped module: those of the module."""
    added: dict[nn.Parameter, int] = {}
    for wrapper in (each for each in network.modules() if isinstance(each, WrappedModule)):
        inside = next(wrapper.module.parameters(), None)
        for name, child in wrapper.named_children():
            if inside is not None and name != "module":
                added |= dict.fromkeys(child.parameters(), own[inside])
    return added


def norm_statistics(model: nn.Module) -> list[Tensor]:
    """What batch normalisation knows of earlier batches, to be put back after a second pass."""
    norms = (module for module in model.modules() if isinstance(module, _BatchNorm))
    return [buffer for norm in norms for buffer in norm.buffers(recurse=False)]


def _classifier(network: nn.Module) -> str:
    """Name of the last layer that the network would have, or of the first of several."""
    name = getattr(network, "pretrained_cfg", {}).get("classifier") or "head"
    return name if isinstance(name, str) else name[0]


def _name(model: nn.Module) -> str:
    return model.spec.name if isinstance(model, VideoClassifier) else type(model).__name__
