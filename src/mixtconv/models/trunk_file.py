"""Finding the weights of a frozen trunk, for a model file that holds the trained part alone.

Looked at are, in this order: a file that was given, `trunk.safetensors` beside the model file, the
files that the environment variable `MIXTCONV_TRUNK` names, the file that the model was trained
from, and the published weights (timm's cache, an installed package, the hub). The first one with
the weights that the model file was trained on, by their hash, is used; what else there is, is not.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from safetensors import safe_open

from mixtconv.models.backbone import (
    average_first_layer,
)
from mixtconv.models.file import is_model_file, read_metadata
from mixtconv.models.frozen_trunk import FrozenTrunk, hash_trunk, mark_origin, split_state
from mixtconv.models.published_weights import (
    NoPublishedWeightsError,
    download_weights,
    local_weights,
)
from mixtconv.models.sharing import HubMixin

TRUNK_FILE = "trunk.safetensors"
"""Name of a trunk's weights beside a model file."""
TRUNK_VARIABLE = "MIXTCONV_TRUNK"
"""Environment variable that names files of trunks, separated as those of PATH."""

Find = Callable[[], Path]
Recognizer = TypeVar("Recognizer", bound=HubMixin)


def with_trunk(
    path: Path,
    frozen: FrozenTrunk,
    create: Callable[[bool | Path], Recognizer],
    *,
    given: str | Path | None = None,
) -> Recognizer:
    """The recognizer of a model file with the weights of its trunk, and not yet the trained ones.

    Args:
        path: the model file.
        frozen: what it says of the trunk.
        create: makes the recognizer, with random weights or those of a file, as `create_model`.
        given: a file of weights as `create_model` takes it, or a model file that holds them all;
            none of the other places is looked at then.

    Raises:
        ValueError: no weights are there, or other ones; says what is missing and how to give it.
    """
    reasons = []
    for place, find in _places(path, frozen, given):
        try:
            model = _trunk_of(find(), create)
        except (ValueError, OSError) as error:
            reasons.append(str(error) if str(error).startswith(place) else f"{place}: {error}")
            continue
        found = hash_trunk(model)
        if found == frozen.sha256:
            model.frozen_trunk = frozen
            mark_origin(model, frozen.origin)  # wherever they were found now
            return model
        reasons.append(
            f"{place}: other weights than the model was trained on, SHA-256 {found[:12]}... and "
            f"not {frozen.sha256[:12]}..."
        )
    raise ValueError(
        f"{path} holds the trained part alone, and the weights of its trunk, {frozen.origin}, were "
        f"not found ({'; '.join(reasons)}): put them beside it as {TRUNK_FILE}, or name their file "
        f"in the environment variable {TRUNK_VARIABLE}"
    )


def _places(
    path: Path, frozen: FrozenTrunk, given: str | Path | None
) -> Iterator[tuple[str, Find]]:
    if given is not None:
        yield str(given), partial(_existing, Path(given))
        return
    if (path.parent / TRUNK_FILE).exists():
        yield str(path.parent / TRUNK_FILE), partial(_existing, path.parent / TRUNK_FILE)
    for name in filter(None, os.environ.get(TRUNK_VARIABLE, "").split(os.pathsep)):
        yield f"{TRUNK_VARIABLE}={name}", partial(_existing, Path(name))
    origin = frozen.origin
    if origin.file is not None:
        yield origin.file, partial(_existing, Path(origin.file))
        return
    with suppress(NoPublishedWeightsError):  # which a download says, too
        for file in local_weights(origin.name, revision=origin.commit):
            yield str(file), partial(_existing, file)
    advice = "give it as follows"
    yield (
        "the hub",
        partial(download_weights, origin.name, revision=origin.commit, advice=advice),
    )


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ValueError("there is no such file")
    return path


def _trunk_of(path: Path, create: Callable[[bool | Path], Recognizer]) -> Recognizer:
    """The recognizer with the trunk of a file: weights of the 2D network, or a whole model file."""
    if not is_model_file(path):
        return create(path)
    if read_metadata(path)["trunk"] is not None:
        raise ValueError("a model file of the trained part alone, which holds no trunk")
    model = create(False)
    own = split_state(model, model.state_dict())[0]
    with safe_open(path, framework="pt") as file:
        held = {name: file.get_tensor(name) for name in own.keys() & set(file.keys())}
    state = average_first_layer(held, model)
    if {name: tensor.shape for name, tensor in own.items()} != {
        name: state[name].shape for name in own if name in state
    }:
        raise ValueError(f"a model file of another network than {model.spec.name}")
    model.load_state_dict(state, strict=False)
    return model
