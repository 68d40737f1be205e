"""Sharing a recognizer: saved to a folder, loaded from one, sent to the Hugging Face hub.

The methods are those of `huggingface_hub.ModelHubMixin`. A folder or repository holds
`model.safetensors`, which says everything, `config.json`, a copy of its description that the hub
counts downloads by, and the model card `README.md`.
"""

import json
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import huggingface_hub
from huggingface_hub import ModelCard, ModelHubMixin
from torch import nn
from typing_extensions import Self

from mixtconv.models.file import save_model
from mixtconv.models.frozen_trunk import FrozenTrunk, WeightsOrigin, is_unchanged
from mixtconv.models.location import (
    CONNECTION_ERRORS,
    HUB_PREFIX,
    MODEL_FILE,
    explain_hub_error,
    find_model_file,
    is_hub_reachable,
)
from mixtconv.models.model_card import make_model_card
from mixtconv.models.spec import ModelSpec

_DOWNLOAD_SETTINGS = ("revision", "cache_dir", "token", "force_download", "local_files_only")
"""What `ModelHubMixin` hands on of `from_pretrained`, and `hf_hub_download` takes."""


_CLASSES = "MixTConvConfig", "MixTConvForVideoClassification", "MixTConvVideoProcessor"
"""Of `mixtconv.inference.hugging_face`: what transformers loads a folder by."""

_CODE = f'''"""What transformers loads this folder by; it needs the package mixtconv."""

from mixtconv.inference.hugging_face import (
    {_CLASSES[0]},
    {_CLASSES[1]},
    {_CLASSES[2]},
)
'''


def _of_transformers(spec: ModelSpec) -> dict[str, str]:
    """The files of a folder beside the model: for the hub, and for transformers."""
    config, model, processor = (f"modeling_mixtconv.{name}" for name in _CLASSES)
    description = spec.to_dict()
    labels = {str(number): name for number, name in enumerate(spec.classes)}
    problem = "multi_label_classification" if spec.several_labels else "single_label_classification"
    known = {
        "model_type": "mixtconv",
        "architectures": [_CLASSES[1]],
        "auto_map": {"AutoConfig": config, "AutoModelForVideoClassification": model},
        "problem_type": problem,
        "id2label": labels,
        "label2id": {name: int(number) for number, name in labels.items()},
        "recognizer": description,
    }
    reading = {
        "video_processor_type": _CLASSES[2],
        "auto_map": {"AutoVideoProcessor": processor},
        "recognizer": description,
    }
    return {
        "config.json": json.dumps({**description, **known}, indent=2) + "\n",
        "video_preprocessor_config.json": json.dumps(reading, indent=2) + "\n",
        "modeling_mixtconv.py": _CODE,
    }


class HubMixin(nn.Module, ModelHubMixin):
    """Saves a recognizer to a folder or the hub, and loads it from there."""

    spec: ModelSpec
    notes: dict[str, Any]
    optimized: bool
    frozen_trunk: FrozenTrunk | None = None
    """The weights of its trunk if that is frozen and can be found again; see `save_model`."""

    @abstractmethod
    def networks(self) -> Iterator[tuple[nn.Module, str]]:
        """Its convolutional networks, each as the module that holds it and the attribute's name."""

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        license: str | None = None,  # noqa: A002, the hub's word
        push_to_hub: bool = False,
        model_card_kwargs: dict[str, Any] | None = None,
        **settings: Any,
    ) -> str | None:
        """Save the model with its description and card to a folder; a card that is there stays.

        Args:
            save_directory: the folder.
            license: identifier of the hub, such as `apache-2.0`, for the card.
            push_to_hub: send it to the hub as well, as `push_to_hub` does.
            model_card_kwargs: for `generate_model_card`.
            settings: for `push_to_hub`.
        """
        if push_to_hub:
            settings["license"] = license
        return super().save_pretrained(
            save_directory,
            push_to_hub=push_to_hub,
            model_card_kwargs={"license": license, **(model_card_kwargs or {})},
            **settings,
        )

    def push_to_hub(
        self,
        repo_id: str,
        *,
        license: str | None = None,  # noqa: A002
        model_card_kwargs: dict[str, Any] | None = None,
        **settings: Any,
    ) -> str:
        """Send the model with its description and card to the hub; returns the commit's address.

        Args:
            repo_id: `owner/name`.
            license: what others may do with the weights, as an identifier of the hub such as
                `apache-2.0`; there is no default, since the data may forbid one.
            model_card_kwargs: for `generate_model_card`.
            settings: for `ModelHubMixin.push_to_hub`: `private`, `branch`, `token`, ...

        Raises:
            ValueError: no license, or the hub cannot be reached or does not take it.
        """
        if not license:
            raise ValueError(
                "a shared model needs a license: give license='apache-2.0' or another identifier "
                "of https://huggingface.co/docs/hub/repositories-licenses"
            )
        card = {"license": license, "repo_id": repo_id, **(model_card_kwargs or {})}
        try:
            return super().push_to_hub(repo_id, model_card_kwargs=card, **settings)
        except CONNECTION_ERRORS as error:
            reason = " ".join(str(error).split())[:160]
            raise ValueError(
                f"cannot send the model to {repo_id} ({type(error).__name__}: {reason}): is there "
                "a connection, and hf auth login done?"
            ) from error

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **settings: Any) -> Self:
        """Load a model from a folder or from the hub, in evaluation mode.

        Args:
            pretrained_model_name_or_path: a folder, or `owner/name` with or without `hf:`.
            settings: for `ModelHubMixin.from_pretrained`: `revision`, `cache_dir`, `token`, ...

        Raises:
            ValueError: as `load_model`.
        """
        name = str(pretrained_model_name_or_path).removeprefix(HUB_PREFIX)
        if Path(name).is_file():
            raise ValueError(f"{name} is a file; give its folder, or the file to load_model")
        if Path(name).is_dir() or name.count("/") != 1:
            find_model_file(name)  # says what is wrong with the folder, or that there is none
        elif not settings.get("local_files_only"):
            settings["local_files_only"] = not is_hub_reachable()
        try:
            return super().from_pretrained(name, **settings)
        except (*CONNECTION_ERRORS, huggingface_hub.utils.EntryNotFoundError) as error:
            raise explain_hub_error(error, name, settings.get("revision")) from error

    def generate_model_card(self, *args: Any, **settings: Any) -> ModelCard:
        """The model's card; `settings` are those of `make_model_card`."""
        return make_model_card(self.spec, self.notes, trunk=self._published_trunk(), **settings)

    def _published_trunk(self) -> WeightsOrigin | None:
        """Where others find the weights of the trunk, if it is as published."""
        frozen = self.frozen_trunk
        if frozen is None or frozen.origin.file is not None or not is_unchanged(self):
            return None
        return frozen.origin

    def _save_pretrained(self, save_directory: Path) -> None:
        trunk: Literal["auto", "whole"] = "auto" if self._published_trunk() else "whole"
        save_model(self, save_directory / MODEL_FILE, trunk=trunk)
        for name, content in _of_transformers(self.spec).items():
            (save_directory / name).write_text(content, encoding="utf-8")

    @classmethod
    def _from_pretrained(cls, *, model_id: str, device: str = "cpu", **settings: Any) -> Self:
        # `ModelHubMixin` requires a class method that makes the model, and the factory imports the
        # class, so that this import closes the one loop of the package
        from mixtconv.models.systems.factory import load_model  # noqa: PLC0415, closes the one loop

        if unknown := [name for name in settings if name not in _DOWNLOAD_SETTINGS]:
            raise ValueError(
                f"from_pretrained does not take {', '.join(unknown)}: the file says what the model "
                f"is; it takes device, {', '.join(_DOWNLOAD_SETTINGS)}"
            )
        path = Path(model_id)
        if not path.is_dir():
            path = Path(huggingface_hub.hf_hub_download(model_id, MODEL_FILE, **settings))
        model = load_model(path, device=device)
        assert isinstance(model, cls)
        return model
