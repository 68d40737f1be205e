"""A causal recognizer from a centred one.

A centred kernel has taps on frames before and after the current one; a stream has only those
before. The taps of past frames and of the current frame stay, and those of future frames are added
to the tap of the current frame, the latest that a stream has:

    centred K = 5:    a(t-2)  b(t-1)  c(t)  d(t+1)  e(t+2)
    causal  K = 5:    0(t-4)  0(t-3)  a(t-2)  b(t-1)  c+d+e(t)

Both give the same on a static scene, so that the network's normalisations still see the values that
they were trained with; only motion differs. Temporal shift has no weights: its
causal form is that of TSM's online model (arXiv 1811.08383), in which the channels that took the
next frame take the previous one, and those that took the previous one stay. Where frames are
averaged before the last normalisation (ST-Adapter), the causal form normalises each frame and
averages logits. Fine-tuning then learns the taps that start at zero.
"""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from mixtconv.models.classifier import VideoClassifier
from mixtconv.models.file import save_model
from mixtconv.models.location import find_model_file
from mixtconv.models.systems.factory import create_from_spec, load_model
from mixtconv.models.wrappers.temporal_wrapper import temporal_wrappers

_KEPT_NOTES = ("data", "val_fraction", "group", "background", "flip_pairs")
"""Notes of a file that hold for the causal model too; the score does not."""


def causal_kernel(centred: Tensor) -> Tensor:
    """Taps (..., K) of a centred kernel, K odd, as those of a causal one of the same size.

    >>> causal_kernel(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])).tolist()
    [0.0, 0.0, 1.0, 2.0, 12.0]
    """
    reach = centred.shape[-1] // 2
    causal = torch.zeros_like(centred)
    causal[..., reach:] = centred[..., : reach + 1]
    causal[..., -1] += centred[..., reach + 1 :].sum(dim=-1)
    return causal


def make_causal(model: VideoClassifier) -> VideoClassifier:
    """The causal recognizer nearest to a centred one, in evaluation mode. It must be fine-tuned.

    Args:
        model: a centred recognizer, not optimised for inference; it is not changed.

    Raises:
        ValueError: the model has no temporal operations, is causal already, was optimised, or has
            vectors of the frames of a clip.

    >>> from mixtconv import create_model
    >>> make_causal(create_model("mstnet_resnet18", num_classes=5)).spec.causal
    True
    """
    if model.optimized:
        raise ValueError(
            "a recognizer from optimize_for_inference cannot be converted; convert the one that "
            "it was made from"
        )
    if model.spec.causal:
        raise ValueError(f"this {model.spec.name} is causal already; use it as it is")
    if not any(True for _ in temporal_wrappers(model.backbone)):
        raise ValueError(f"{model.spec.name} has no temporal operation, it takes streams as it is")
    if model.spec.temporal_position:
        raise ValueError(
            f"this {model.spec.name} has a vector for each frame of a clip (temporal_position), "
            "and a stream has no clips: train one without it"
        )
    # Of a stream there is no average over the clip: each frame is normalised by itself.
    causal = create_from_spec(replace(model.spec, causal=True, average_before_norm=False))
    causal.load_state_dict(causal_weights(model))
    causal.frozen_trunk = model.frozen_trunk
    return causal.eval()


def causal_weights(model: VideoClassifier) -> dict[str, Tensor]:
    """State dictionary of a centred recognizer, converted for the causal one of the same spec."""
    state = model.state_dict()
    for name, module in model.backbone.named_modules():
        for key, _ in module.named_parameters() if name.endswith(".temporal") else ():
            state[f"backbone.{name}.{key}"] = causal_kernel(state[f"backbone.{name}.{key}"])
    return state


def convert_file(model: str | Path, out: str | Path) -> None:
    """Write the causal form of a centred model file, to be fine-tuned.

    Args:
        model: a model file, the folder of one, or `hf:owner/name[@revision]`.
        out: the file to write.

    Raises:
        ValueError: what `load_model` or `make_causal` refuses, or `out` is the model itself.
    """
    path = find_model_file(model)
    if Path(out).exists() and Path(out).samefile(path):
        raise ValueError(f"--out is the model itself, {out}; give another file")
    centred = load_model(path)
    kept = {name: centred.notes[name] for name in _KEPT_NOTES if name in centred.notes}
    save_model(make_causal(centred), out, notes={**kept, "made_causal_from": str(model)})
