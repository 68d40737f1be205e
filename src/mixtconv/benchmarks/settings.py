"""Settings of `mixtconv bench` and `mixtconv profile`: networks, clips, device; without torch."""

from dataclasses import dataclass

from mixtconv._names import count_of, refuse_below
from mixtconv._types import Precision


@dataclass(frozen=True)
class Workload:
    """Network, clips, device and rounds.

    Raises:
        ValueError: a number out of range.
    """

    backbone: str = "resnet50"
    """2D backbone of all recognizers, a name of timm."""
    model: str | None = None
    """For train: a recognizer, as mstnet_resnet50, whose steps are compared by what is trained:
    all, the temporal parts and last layer, the last layer; default compares recognizers."""
    num_frames: int = 8
    """Frames of a clip."""
    image_size: int = 224
    """Height and width of a frame in pixels."""
    batch_size: int | None = None
    """Clips or streams at a time; default 1 on the CPU, 32 on a GPU, 8 for the loader."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:0 or mps."""
    precision: Precision = "auto"
    """Arithmetic: auto is bf16 on GPUs that have it and 32 elsewhere."""
    video: str | None = None
    """File that the loader reads, that the recording of segments repeats, and that the folder of
    predict has copies of; default one of 10 seconds, which is made for it."""
    videos: int = 16
    """For predict: videos in the folder."""
    minutes: float = 60.0
    """For segments: length of the recording, at least."""
    rounds: int | None = None
    """Runs of each candidate; default as many as take about two minutes on two cores."""
    threads: int | None = None
    """CPU threads of torch, of the engines and, for predict, of decoding; default one a core."""

    def __post_init__(self) -> None:
        refuse_below(1, self, "num_frames", "batch_size", "rounds", "threads", "videos")
        refuse_below(16, self, "image_size")
        if not self.minutes > 0:
            raise ValueError(f"--minutes is {self.minutes:g}; give more than 0")

    def clips_on(self, device_type: str) -> int:
        """Clips at a time on a kind of device.

        >>> Workload().clips_on("cpu"), Workload().clips_on("cuda")
        (1, 32)
        """
        return self.batch_size or (32 if device_type == "cuda" else 1)

    def clips_text(self, device_type: str) -> str:
        """The clips in words.

        >>> Workload(batch_size=2).clips_text("cpu")
        '2 clips of 8x224x224'
        """
        size = f"{self.num_frames}x{self.image_size}x{self.image_size}"
        return f"{count_of(self.clips_on(device_type), 'clip')} of {size}"


@dataclass(frozen=True)
class ProfileSettings:
    """Clips, device and rounds."""

    num_classes: int = 400
    """Classes of a named model; those of a model file are fixed."""
    num_frames: int | None = None
    """Frames of a clip; default those of the model."""
    image_size: int | None = None
    """Height and width of a frame in pixels; default that of the model, 224 for a name."""
    batch_size: int = 1
    """Clips that pass the network together."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:0 or mps."""
    precision: Precision = "auto"
    """Arithmetic: auto is bf16 on GPUs that have it and 32 elsewhere."""
    rounds: int = 5
    """Times that each model runs."""

    def __post_init__(self) -> None:
        refuse_below(1, self, "num_classes", "batch_size", "rounds")
