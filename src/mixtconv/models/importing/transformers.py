"""Published transformers with adapters: what their files say, and the trunk that they may lack.

The frozen trunk of ST-Adapter and of AIM is the image network of OpenAI's CLIP. It was trained with
QuickGELU, which no key shows; files of ST-Adapter hold the trained part alone.
"""

from collections.abc import Sequence
from math import isqrt
from pathlib import Path
from typing import Any

import timm
from timm.layers import QuickGELU
from torch import nn

from mixtconv.models.importing.contents import Contents
from mixtconv.models.importing.matching import shape_text
from mixtconv.models.published_weights import download_weights, local_weights
from mixtconv.models.structure.token_blocks import TokenBlock

TRUNK_TAG = "openai"
"""timm's tag of the weights that the published adapters were trained on."""


def picture_settings(contents: Contents) -> dict[str, int]:
    """The height and width of the frames, by the vectors of places and the size of a patch."""
    if contents.form.family is None:
        return {}
    position, patches = (
        contents.shape(contents.backbone[name]) if name in contents.backbone else ()
        for name in ("pos_embed", "patch_embed.proj.weight")
    )
    if len(position) != 2 or len(patches) != 4 or position[0] < 2:
        return {}
    num_places = position[0] - 1  # less the class token
    return {"image_size": isqrt(num_places) * patches[-1]}


def adapter_settings(contents: Contents, blocks: Sequence[TokenBlock]) -> dict[str, Any]:
    """The settings of a recognizer that a file's adapters say.

    Args:
        contents: of a format with adapters.
        blocks: of the backbone.

    Raises:
        ValueError: adapters that the family does not have.
    """
    inserted = contents.inserted
    adapted = [
        block.name
        for block in blocks
        if any(name.startswith(f"{block.name}.") for name in inserted)
    ]
    every = [block.name for block in blocks]
    steps = [step for step in range(1, len(every) + 1) if every[::step] == adapted]
    if not steps:
        raise ValueError(
            f"{contents.path} has adapters in {len(adapted)} of {len(every)} blocks "
            f"({', '.join(adapted[:3])}, ...), which is not every n-th from the first"
        )
    known: dict[str, Any] = {"block_step": steps[0]}
    down = [contents.shape(key) for name, key in inserted.items() if name.endswith(".down.weight")]
    if down and len(down[0]) == 2:
        known["adapter_width"] = down[0][0] / down[0][1]
    return known | (_of_stream if contents.form.family == "stadapter" else _of_time)(contents)


def _of_stream(contents: Contents) -> dict[str, Any]:
    """Of ST-Adapter: the branches with adapters; its head averages frames first."""
    for name, key in contents.inserted.items():
        shape = contents.shape(key)
        if name.endswith(".weights.0") and (len(shape) != 5 or shape[1:] != (1, 3, 1, 1)):
            raise ValueError(
                f"{key} of {contents.path} is {shape_text(shape)}; the temporal filter of an "
                "ST-Adapter is (C, 1, 3, 1, 1)"
            )
    before = {
        branch: any(f".adapter_{branch}." in name for name in contents.inserted)
        for branch in ("attention", "mlp")
    }
    places = "both" if all(before.values()) else next(name for name in before if before[name])
    return {"adapter_places": places, "average_before_norm": True}


def _of_time(contents: Contents) -> dict[str, Any]:
    """Of AIM: the adapters of time, and the frames of a clip by their vectors."""
    is_double = any(".adapter_in." in name for name in contents.inserted)
    known = {"time_adapters": 2 if is_double else 1}
    vectors = contents.inserted.get("norm_pre.frames")
    if vectors is not None and len(contents.shape(vectors)) == 3:  # (1, T, D)
        known["num_frames"] = contents.shape(vectors)[1]
    return known


def check_activation(contents: Contents, backbone: nn.Module, name: str) -> None:
    """Refuse a backbone with another activation than the file's network, which no key shows."""
    if not any(isinstance(module, QuickGELU) for module in backbone.modules()):
        raise ValueError(
            f"{contents.path} is of a CLIP with QuickGELU, and {name} has another activation: give "
            f"--model {contents.form.family}_ with a CLIP that has it, such as "
            "vit_base_patch16_clip_quickgelu_224"
        )


def find_trunk(contents: Contents, name: str, given: str | Path | None) -> tuple[str, bool | Path]:
    """The weights of the trunk for a file of the trained part alone.

    Args:
        contents: the file's.
        name: of the backbone; without a tag, that of OpenAI's weights is added.
        given: a file of weights; by default the published ones, found or downloaded.

    Returns:
        Name of the backbone, and its weights as `create_model` takes them.

    Raises:
        ValueError: they are not available; says how to give them.
    """
    if given is not None:
        return name, Path(given)
    needs = f"{contents.path} holds the trained part alone and needs the weights of its trunk"
    if "." not in name:  # timm's default may be another training of the same network
        name = f"{name}.{TRUNK_TAG}"
        if not timm.list_pretrained(name):
            raise ValueError(f"{needs}, and {name} has none: give their file with --trunk")
    try:
        if next(local_weights(name), None) is None:
            download_weights(name, advice="give it with --trunk")
    except ValueError as error:
        raise ValueError(f"{needs}: {error}") from error
    return name, True
