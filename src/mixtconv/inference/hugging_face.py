"""A saved folder in `transformers`: its model, configuration and video processor by `auto_map`.

The folder that `save_pretrained` writes names these classes, so that `pipeline` and the `Auto...`
classes of transformers load it with `trust_remote_code=True`. Videos are read here, as everywhere,
so that scores are those of `Recognizer`.
"""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import BatchFeature, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutput
from transformers.video_processing_utils import BaseVideoProcessor

from mixtconv.data.protocol import Protocol
from mixtconv.data.views import TensorViewReader
from mixtconv.models import VideoClassifier, create_model
from mixtconv.models.spec import ModelSpec
from mixtconv.video.in_memory import VideoLike, opened, several_videos

_OF_THE_HUB = ("revision", "cache_dir", "token", "force_download", "local_files_only")
_OF_SENDING = ("repo_id", "license", "private", "token", "commit_message", "branch", "create_pr")


class MixTConvConfig(PreTrainedConfig):
    """The description of a recognizer, as `config.json` has it."""

    model_type = "mixtconv"

    def __init__(self, recognizer: dict[str, Any] | None = None, **kwargs: Any) -> None:
        self.recognizer = recognizer or {}
        super().__init__(**kwargs)


class MixTConvVideoProcessor(BaseVideoProcessor):
    """Videos to clips, as the protocol 1x1 takes them."""

    model_input_names: ClassVar = ["pixel_values"]

    def __init__(self, recognizer: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.recognizer = recognizer or {}

    def __call__(
        self,
        videos: VideoLike,
        num_frames: int | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Read a video, or a list of several.

        Args:
            videos: what `Recognizer.predict` takes.
            num_frames: refused if it is not that of the model.
            kwargs: of other processors, without meaning here.

        Returns:
            `pixel_values`, uint8 (B, T, C, S, S), which the model normalises.
        """
        spec = ModelSpec.from_dict(self.recognizer)
        if num_frames not in (None, spec.num_frames):
            raise ValueError(f"num_frames is {num_frames}; the model takes {spec.num_frames}")
        reader = TensorViewReader(spec, Protocol.parse("1x1"))
        several = several_videos(videos)
        clips = []
        for video in [videos] if several is None else several:
            with opened(video) as source:
                clips.append(reader.read(source).frames[0])
        return BatchFeature({"pixel_values": torch.stack(clips)})


class MixTConvForVideoClassification(PreTrainedModel):
    """A recognizer as transformers calls it: clips, uint8 (B, T, C, S, S) -> logits (B, K)."""

    config_class = MixTConvConfig
    main_input_name = "pixel_values"

    def __init__(self, config: MixTConvConfig, recognizer: VideoClassifier | None = None) -> None:
        super().__init__(config)
        if recognizer is None:
            spec = ModelSpec.from_dict(config.recognizer)
            recognizer = create_model(**vars(spec))
        self.recognizer = recognizer
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Nothing: the recognizer has begun its weights."""

    # The weights have the names of the recognizer, as its file has them, also in checkpoints.

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The weights of the recognizer."""
        return self.recognizer.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Take the weights of a recognizer."""
        return self.recognizer.load_state_dict(state_dict, strict=strict, assign=assign)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *args: Any,
        config: PreTrainedConfig | None = None,
        num_labels: int | None = None,
        dtype: torch.dtype | str | None = None,
        output_loading_info: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Load a folder or a repository of the hub, in evaluation mode.

        Args:
            pretrained_model_name_or_path: the folder, or `owner/name`.
            config: its configuration, if it was read before.
            num_labels: refused if it is not that of the model.
            dtype: of the weights, by default as they are stored.
            output_loading_info: whether to give the names of missing weights too, which are none.
            kwargs: `revision`, `cache_dir`, `token`, `force_download` and `local_files_only`;
                others have no meaning here.

        Raises:
            ValueError: as `mixtconv.load_model`, or another number of labels.
        """
        where = {name: kwargs[name] for name in _OF_THE_HUB if kwargs.get(name) is not None}
        if config is None or not isinstance(config, MixTConvConfig):
            config = MixTConvConfig.from_pretrained(pretrained_model_name_or_path, **where)
        recognizer = VideoClassifier.from_pretrained(pretrained_model_name_or_path, **where)
        wanted = config.num_labels if num_labels is None else num_labels
        if wanted != recognizer.spec.num_classes:
            raise ValueError(
                f"num_labels is {wanted} and the model has {recognizer.spec.num_classes} classes; "
                "to train on others, begin with mixtconv.train(..., weights=...)"
            )
        model = cls(config, recognizer).eval()
        if isinstance(dtype, str):
            dtype = None if dtype == "auto" else getattr(torch, dtype)
        if dtype is not None:
            model = model.to(dtype)
        return (
            (model, {"missing_keys": [], "unexpected_keys": []}) if output_loading_info else model
        )

    def save_pretrained(
        self,
        save_directory: str | Path,
        *args: Any,
        state_dict: dict[str, Tensor] | None = None,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> None:
        """Save the folder that `from_pretrained` takes, as the recognizer saves it.

        Args:
            save_directory: the folder.
            state_dict: weights in place of its own.
            push_to_hub: send it to the hub as well, which takes `repo_id` and a `license`.
            kwargs: those two, `private` and `token`; others have no meaning here.
        """
        recognizer = self.recognizer
        names = tuple(self.config.id2label[number] for number in range(self.config.num_labels))
        if state_dict is not None or names != recognizer.spec.classes:
            recognizer = copy.deepcopy(recognizer)
            recognizer.spec = replace(recognizer.spec, classes=names)
        if state_dict is not None:
            recognizer.load_state_dict(state_dict)
        sent = {name: kwargs[name] for name in _OF_SENDING if kwargs.get(name) is not None}
        if push_to_hub:
            recognizer.save_pretrained(save_directory, push_to_hub=True, **sent)
        else:
            recognizer.save_pretrained(save_directory, license=sent.get("license"))

    def push_to_hub(self, repo_id: str, *args: Any, **kwargs: Any) -> str:
        """Send it to the hub, as `mixtconv`'s own models: with a `license`."""
        sent = {name: kwargs[name] for name in _OF_SENDING if kwargs.get(name) is not None}
        return self.recognizer.push_to_hub(repo_id, **sent)

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None, **_: Any) -> Any:
        """Clips, uint8 (B, T, C, S, S), to logits (B, K), and with labels their loss."""
        clips = self.recognizer.normalize(pixel_values).to(self.dtype)
        logits = self.recognizer(clips)
        loss = None
        if labels is not None:
            several = self.recognizer.spec.several_labels
            loss = (F.binary_cross_entropy_with_logits if several else F.cross_entropy)(
                logits, labels
            )
        return ImageClassifierOutput(loss=loss, logits=logits)
