"""Settings of a training run, and of an ablation: flag, help text and YAML key are one field.

The defaults train on a laptop. The recipe for `sgd` is that of TSN (arXiv 1608.00859) and TSM
(arXiv 1811.08383): biases learn at twice the rate, biases and normalisation do not decay, gradients
are clipped, the rate grows with the batch. Neither torch nor NumPy is imported, as `--help` reads
the fields.
"""

from dataclasses import dataclass, fields
from typing import Any, Literal

from mixtconv._names import flag, refuse_below, refuse_unless
from mixtconv._types import AdapterPlaces, Edges, Position, Precision
from mixtconv.data.augmentation_settings import AugmentationSettings
from mixtconv.data.listing import DataSource
from mixtconv.models.spec import Modality
from mixtconv.training import identity
from mixtconv.training.distillation_settings import DistillationSettings
from mixtconv.training.label_settings import LabelSettings

Optimizer = Literal["adamw", "sgd"]
Schedule = Literal["cosine", "step", "constant"]
NAMED_WEIGHTS = ("auto", "imagenet", "none")
"""Weights to start from that are neither a file nor of the hub."""


@dataclass(frozen=True)
class RunSettings:
    """Recipe and output folder."""

    # Only recorded here; `recipes.load_recipe(name).settings()` applies one.
    recipe: str | None = None
    """Recipe that gives what no flag gives: a name of docs/recipes.md, or a YAML file."""
    out: str = "runs/train"
    """Folder of the run: model.safetensors, metrics.json, config.yaml, checkpoints, logs."""


@dataclass(frozen=True)
class ModelSettings:
    """Model, clips and temporal operations."""

    model: str = "mstnet_resnet18"
    """Recognizer: a family (tsn, tsm, mstnet, trn, ks3, ...) and a timm backbone, as
    mstnet_resnet50, or a system of docs/models.md, as i3d_resnet50."""
    weights: str = "auto"
    """Weights to start from: imagenet, none, a file of 2D weights, or a mixtconv model (a file, its
    folder or hf:owner/name); auto uses ImageNet weights if available, otherwise logs that it does
    not."""
    num_frames: int | None = None
    """Frames of a clip; default those of the model, which are 8 for most."""
    image_size: int = 224
    """Height and width of the network's input, in pixels."""
    sampling: Literal["segment", "dense"] | None = None
    """One frame from each of equal segments of the video, or a window at a fixed stride; default
    segment, for I3D dense."""
    frame_stride: int | None = None
    """Frames from one to the next in dense sampling; default 8, for I3D 2."""
    modality: Modality | None = None
    """Input of the network: rgb (pictures), rgbdiff (differences of consecutive pictures), motion
    (pictures less the clip's median picture, for cameras that stand still), flow (optical flow,
    from folders of flow pictures; mixtconv prepare --flow makes them) or, with two streams, rgbflow
    (pictures and flow, from one folder); default rgb, and motion for videos of a camera that stands
    still, which is measured; of a recipe and a model of two streams their own."""
    position: Position | None = None
    """Place of the temporal operation: head or inner, in a residual branch; spatial, before the
    depthwise or spatial convolutions of each block; or kv, on the keys and values of every
    attention. Default head, which is spatial in a network without residual branches, and for mstvit
    kv."""
    stages: list[int] | None = None
    """Stages of the backbone that get the temporal operation, counted from 0; default all."""
    block_step: int = 1
    """Blocks from one with the temporal operation to the next in a stage: 2 is every second, as in
    the published TSM of ResNet-101."""
    causal: bool = False
    """Make temporal operations look back only, as streams need."""
    shift_fraction: float = 0.125
    """Fraction of the channels that the operation shifts at initialisation, in each direction."""
    edges: Edges | None = None
    """What frames outside of a clip count as: zeros, or replicate, its first and last frame;
    default zeros, of ZeroI2V replicate."""
    adapter_width: float | None = None
    """Channels of an adapter in a transformer, as a fraction of those of its tokens; default 0.5,
    of AIM and ZeroI2V 0.25."""
    adapter_places: AdapterPlaces | None = None
    """Branches of a transformer's blocks that adapters come before: attention, mlp or both; default
    both."""
    time_adapters: int | None = None
    """Adapters of AIM's attention over time: 1 behind it, or 2, one before it too; default 1."""
    temporal_position: bool | None = None
    """Whether a learned vector of each frame of a clip is added to its tokens; default false, of
    AIM and ZeroI2V true."""
    average_before_norm: bool | None = None
    """Average the tokens of a clip's frames before the last normalisation of a transformer, as
    ST-Adapter does, and not their logits; default false."""
    dropout: float | None = None
    """Probability of dropping a feature before the last layer; default 0.5, for TRN 0.8."""
    feature_head: Literal["average", "attention", "blocks"] | None = None
    """Head on the feature map of a stage: its average, attention pooling, or small residual blocks
    that hold the temporal operation, which the backbone then does not; default none, and with
    --train head the best of the three."""
    feature_stage: int | None = None
    """Stage of that map, counted from 0; default the last one with a map of 7 x 7 or more."""
    less_mean: bool | None = None
    """Whether that head takes the map less its mean over the clip; default false, and with --train
    head the better of both."""


@dataclass(frozen=True)
class OptimizationSettings:
    """Epochs, batches, optimizer and regularization."""

    epochs: int = 30
    """Passes over the training videos."""
    minutes: float | None = None
    """Stop training after so many minutes, resumed ones included, then score and save; the learning
    rate goes by --epochs all the same."""
    batch_size: int = 8
    """Videos of a batch, in each process: of each one clip, or --repeated-augmentation copies."""
    repeated_augmentation: int = 1
    """Copies of each clip in a batch, each cropped, mirrored and changed on its own."""
    accumulate: int = 1
    """Batches whose gradients are summed before a step, if one of as many clips does not fit in
    memory."""
    optimizer: Optimizer = "adamw"
    """Optimiser: adamw, or sgd with the recipe of TSN and TSM."""
    lr: float | None = None
    """Learning rate for a batch of 64 clips; default 0.002 for adamw, 0.01 for sgd."""
    scale_lr: bool = True
    """Scale the learning rate with the clips of a step over all processes, from 64: linearly with
    sgd, by the square root with adamw."""
    head_lr_factor: float = 1.0
    """Factor of the learning rate of the last layer."""
    first_layer_lr_factor: float = 1.0
    """Factor of the learning rate of the first convolution."""
    layer_decay: float = 1.0
    """Factor of the learning rate from each layer of the backbone to the one below it, such as 0.75
    for a pretrained vision transformer; 1 is off."""
    partial_bn: bool = False
    """Freeze every batch normalisation but the first, as TSN does with few videos."""
    momentum: float = 0.9
    """Momentum of sgd."""
    weight_decay: float | None = None
    """Decay of all weights but biases and normalisation; default 0.05 (adamw), 0.0005 (sgd)."""
    clip_gradient: float = 20.0
    """Largest norm of the gradient; 0 does not clip."""
    schedule: Schedule = "cosine"
    """Learning rate schedule after warm-up."""
    milestones: list[float] | None = None
    """Epochs at which the step schedule divides the rate by 10; default 40 % and 80 % of them."""
    warmup_epochs: float = 1.0
    """Epochs in which the learning rate rises from zero."""
    label_smoothing: float = 0.0
    """Fraction of the target that is spread over all classes."""
    mixup: float = 0.0
    """Alpha of mixup; 0 is off."""
    cutmix: float = 0.0
    """Alpha of cutmix; 0 is off."""
    ema: float = 0.0
    """Decay of an average of the weights, which is scored and saved, such as 0.999; 0 is off."""
    drop_path: float = 0.0
    """Probability of leaving out a residual branch (stochastic depth) of the backbone's last block,
    less in earlier ones; 0 is off."""


@dataclass(frozen=True)
class HeadTrainingSettings:
    """What is trained, and heads on a frozen backbone."""

    train: Literal["all", "temporal", "head"] = "all"
    """The whole network, its temporal parts and last layer, or a head alone; of both the backbone
    is frozen. For a head its features are computed once and kept in the folder of --cache, and a
    grid of heads is compared by cross-validation."""
    whole_file: bool = False
    """Store a frozen backbone in the model file, too, not the trained part alone."""
    crops: int = 2
    """Random crops of each video whose features are kept, beside the views of --protocol."""
    head_lrs: list[float] | None = None
    """Learning rates of the grid, as --lr; default --lr, or else [0.005,0.015]."""
    head_decays: list[float] | None = None
    """Weight decays of the grid, as --weight-decay; default that, or else [0.01,0.1]."""
    folds: int = 3
    """Parts of the cross-validation that chooses the head."""
    search_epochs: int | None = None
    """Epochs of the heads that are compared; the worse half of those left ends after a quarter and
    after half of them; default a third of --epochs."""


@dataclass(frozen=True)
class ValidationSettings:
    """Validation."""

    val_fraction: float = 0.2
    """Fraction of every class that is held out if the data have no val/ of their own; 0 holds
    nothing out: all videos train, no epoch is scored, and a val/ of the data is not used."""
    val_every: int = 1
    """Epochs from one that is scored to the next."""
    keep: Literal["best", "last"] = "best"
    """The epoch whose model is kept: the best in validation (--best-by), or the last."""
    patience: int = 0
    """Stop after so many epochs without a better validation score; 0 does not."""
    protocol: str = "1x1"
    """Views that validation scores: clips x crops, such as 1x1 or 2x3."""


@dataclass(frozen=True)
class ExecutionSettings:
    """Devices, processes, checkpoints and logs."""

    cache: str = "auto"
    """Keep the videos decoded and shrunk: auto does for images of at most 128 pixels where that is
    below 10 GB, in $MIXTCONV_CACHE or the user's folder of caches; off reads the videos; or a
    folder."""
    seed: int = 0
    """Seed of all random numbers."""
    workers: int | None = None
    """Processes that read videos; default one a core, at most 8; 0 reads in the main process."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    devices: int = 1
    """Processes on this machine, one a GPU; torchrun and Slurm set it themselves."""
    nodes: int = 1
    """Machines that train together, each started with the same command (see docs/clusters.md)."""
    precision: Precision = "auto"
    """Arithmetic: auto is bf16 on GPUs that have it and 32 elsewhere."""
    checkpoint_gradients: bool = False
    """Compute activations of the backbone again in the backward pass instead of keeping them: less
    memory, some 30 % more time, the same weights."""
    checkpoint_minutes: float = 10.0
    """Minutes between checkpoints inside an epoch; every epoch ends with one as well."""
    skip_unreadable: bool = False
    """Train without unreadable videos and listed ones that are missing, and report them, instead of
    stopping."""
    wandb: str | None = None
    """Weights & Biases project to log to as well."""
    resume: bool = False
    """Continue the run in the folder `out` exactly where it stopped."""


@dataclass(frozen=True)
class TrainingSettings(
    ExecutionSettings,
    ValidationSettings,
    LabelSettings,
    DistillationSettings,
    AugmentationSettings,
    HeadTrainingSettings,
    OptimizationSettings,
    ModelSettings,
    RunSettings,
    DataSource,
):
    """Settings of a training run; `--help` has a group for each of the classes, last one first.

    Raises:
        ValueError: a value out of range; the message names its flag.
    """

    def __post_init__(self) -> None:
        DataSource.__post_init__(self)
        AugmentationSettings.__post_init__(self)
        LabelSettings.__post_init__(self)
        DistillationSettings.__post_init__(self)
        refuse_below(1, self, *_AT_LEAST_ONE)
        refuse_below(0, self, *_NOT_NEGATIVE)
        refuse_below(16, self, "image_size")
        refuse_unless(lambda value: 0 <= value < 1, "0 to below 1", self, *_FRACTIONS)
        refuse_unless(lambda value: 0 < value <= 1, "more than 0, at most 1", self, "layer_decay")
        refuse_unless(lambda value: value > 0, "more than 0", self, "minutes", "lr")
        if self.patience and not self.val_fraction:
            raise ValueError(
                "--patience waits for a better validation score, and --val-fraction 0 has none: "
                "leave one out"
            )
        self._check_head_training()
        if self.milestones is not None and self.schedule != "step":
            raise ValueError(
                "--milestones belongs to --schedule step; give both or neither (--milestones null)"
            )
        if self.time_jitter and self.sampling == "dense":
            raise ValueError(
                "--time-jitter is for --sampling segment: dense windows start at a random place "
                "anyway; leave one out"
            )
        if self.modality is not None:
            self.refuse_changes_of_flow(self.modality)
        self.check_frame_labels()
        self.check_distillation()

    def _check_head_training(self) -> None:
        refuse_below(2, self, "folds")
        for name in ("head_lrs", "head_decays"):
            least = "more than 0" if name == "head_lrs" else "0 or more"
            values = getattr(self, name)
            if values is not None and not (
                values and all(value > 0 or (value == 0 and name != "head_lrs") for value in values)
            ):
                raise ValueError(f"{flag(name)} is {values}; give numbers of {least}")
        if self.train == "temporal" and self.first_layer_lr_factor != 1:
            raise ValueError(
                "--first-layer-lr-factor is for the first convolution, which --train temporal "
                "freezes: leave one out"
            )
        if self.train == "temporal" and self.drop_path:
            raise ValueError(
                "--drop-path is for a backbone that is trained, and --train temporal freezes it: "
                "leave one out"
            )
        if self.train != "head":
            return
        if self.num_processes > 1:
            raise ValueError(
                "--train head computes features in one process: leave out --devices and --nodes"
            )
        if self.repeated_augmentation > 1:
            raise ValueError(
                "--repeated-augmentation makes copies of clips that are read, and --train head "
                "reads kept features: leave it out, or give more --crops"
            )
        for field in fields(self):
            if field.name in _OF_THE_BACKBONE and getattr(self, field.name) != field.default:
                raise ValueError(
                    f"{flag(field.name)} is for a backbone that is trained, and --train head "
                    "leaves it as it is: leave one out"
                )

    @property
    def num_processes(self) -> int:
        """Processes that train together, over all machines."""
        return self.devices * self.nodes

    @property
    def clips_per_step(self) -> int:
        """Clips of a step over all processes, copies of a clip counted once."""
        return self.batch_size * self.accumulate * self.num_processes

    def decisive(self) -> dict[str, Any]:
        """The settings that determine the result of a run, see `identity`."""
        return identity.decisive_settings(self, num_processes=self.num_processes)

    def changed_from(self, earlier: "TrainingSettings") -> list[str]:
        """Flags that differ from an earlier run's and would change its result."""
        is_same_number = self.num_processes == earlier.num_processes
        names = identity.changed_settings(self, earlier, same_processes=is_same_number)
        return [flag(name) for name in names]


_AT_LEAST_ONE = (
    "num_frames",
    "epochs",
    "batch_size",
    "accumulate",
    "devices",
    "nodes",
    "frame_stride",
    "block_step",
    "val_every",
    "search_epochs",
    "repeated_augmentation",
)
_FRACTIONS = ("label_smoothing", "ema", "dropout", "val_fraction", "drop_path")
_OF_THE_BACKBONE = ("layer_decay", "drop_path", "checkpoint_gradients")
_NOT_NEGATIVE = (
    "mixup",
    "cutmix",
    "momentum",
    "head_lr_factor",
    "first_layer_lr_factor",
    "clip_gradient",
    "warmup_epochs",
    "checkpoint_minutes",
    "patience",
    "crops",
    "seed",
    "workers",
    "weight_decay",
)


@dataclass(frozen=True)
class AblationAxes:
    """Variants: every combination of operation, position and stages, with several seeds.

    Raises:
        ValueError: no seed, or an empty list.
    """

    operations: list[str] | None = None
    """Families to compare, such as [tsm,ks3,mstnet]; default the ten of the paper's table."""
    seeds: int = 3
    """Runs of each, with seeds from --seed."""
    positions: list[Position] | None = None
    """Positions of the operation to compare, such as [head,inner]; default --position alone."""
    stage_sets: list[list[int]] | None = None
    """Sets of stages to compare, such as [[0,1,2,3],[2,3]]; default --stages alone."""

    def __post_init__(self) -> None:
        refuse_below(1, self, "seeds")
        for field in fields(self):
            if getattr(self, field.name) == []:
                raise ValueError(f"{flag(field.name)} is empty; name one or more, or leave it out")
