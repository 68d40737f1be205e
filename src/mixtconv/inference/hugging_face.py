"""A saved folder in `transformers`: its model, configuration and video processor by `auto_map`.

The folder that `save_pretrained` writes names these classes, so that `pipeline` and the `Auto...`
classes of transformers load it with `trust_remote_code=True`. Videos are read here, as everywhere,
so that scores are those of `Recognizer`.
"""

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
from mixtconv.models import VideoClassifier, create_model, load_model
from mixtconv.models.spec import ModelSpec
from mixtconv.video.in_memory import VideoLike, opened, several_videos


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
            values = dict(config.recognizer)
            name = values.pop("name")
            recognizer = create_model(name, **values)
        self.recognizer = recognizer
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Nothing: the recognizer has begun its weights."""

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, *args: Any, **kwargs: Any
    ) -> "MixTConvForVideoClassification":
        """Load a folder or a repository of the hub, in evaluation mode.

        Raises:
            ValueError: as `mixtconv.load_model`.
        """
        path = str(pretrained_model_name_or_path)
        if not Path(path).exists():
            revision = kwargs.get("revision")
            path = f"hf:{path}" + (f"@{revision}" if revision else "")
        recognizer = load_model(path)
        config = kwargs.get("config")
        if not isinstance(config, MixTConvConfig):
            config = MixTConvConfig.from_pretrained(pretrained_model_name_or_path)
        model = cls(config, recognizer).eval()
        dtype = kwargs.get("dtype", kwargs.get("torch_dtype"))
        return model.to(dtype) if isinstance(dtype, torch.dtype) else model

    def save_pretrained(self, save_directory: str | Path, *args: Any, **kwargs: Any) -> None:
        """Save the folder that `from_pretrained` takes, as the recognizer saves it."""
        self.recognizer.save_pretrained(save_directory)

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
