"""A causal recognizer on streams: one frame of each in, its logits out, the past as explicit state.

Every temporal operation of the network is replaced by its frame-by-frame form (see
`ops/stream_filter.py`); all other modules of a 2D network see single frames anyway. The logits of
frame t of a stream equal those of `VideoClassifier.forward_frames` at place t of one clip of all
its frames.

Of modality motion each frame is less the median of the last T frames of its stream, T being those
of a clip, as a causal model normalises clips. A recognizer without temporal operations may have
been trained on medians of whole clips; the median of its streams is the same running one.
"""

import copy
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from mixtconv.models.classifier import VideoClassifier
from mixtconv.models.feature_head import AttentionPool
from mixtconv.models.folded_filter import FoldedTemporalFilter, Scratch
from mixtconv.models.motion import RecentPictures
from mixtconv.models.optimize import optimize_for_inference
from mixtconv.models.wrappers.frame_average import FrameAverage
from mixtconv.models.wrappers.non_local import NonLocalFrames
from mixtconv.models.wrappers.temporal_position import TemporalPosition
from mixtconv.models.wrappers.temporal_wrapper import TemporalWrapper
from mixtconv.models.wrappers.time_attention import TimeAttention
from mixtconv.ops import TemporalConv
from mixtconv.ops.stream_filter import StreamConv, StreamFilter
from mixtconv.ops.stream_state import PastFrames, Streams


@dataclass
class StreamState:
    """The past of a pool of streams, each of which has a place in it."""

    num_streams: int
    """S, places for streams."""
    counts: list[int] = field(init=False)
    """Number of frames that each stream has had."""
    past: dict[str, PastFrames] = field(init=False, default_factory=dict)
    """By temporal operation the past frames that it needs; allocated at the first frame."""
    recent: RecentPictures | None = field(init=False, default=None)
    """Of modality motion the last pictures, for their median; there from the first frame on."""

    def __post_init__(self) -> None:
        if self.num_streams < 1:
            raise ValueError(f"there are {self.num_streams} streams; give at least 1")
        self.counts = [0] * self.num_streams

    def forget(self, place: int) -> None:
        """Start a new stream in a place."""
        self.counts[place] = 0
        for past in self.past.values():
            past.forget(place)
        if self.recent is not None:
            self.recent.forget(place)

    @property
    def num_bytes(self) -> int:
        """Memory of the past frames in bytes."""
        held = [ring for past in self.past.values() for ring in past.rings if ring is not None]
        if self.recent is not None:
            held += [picture for stream in self.recent.pictures for picture in stream]
        return sum(tensor.numel() * tensor.element_size() for tensor in held)


class StreamingClassifier:
    """Logits of a frame: (N, C, H, W), one of each of N streams, -> (N, num_classes).

    Frames are normalised by `normalize`, which for modality motion needs the state as well.

    Args:
        model: a causal recognizer, or one without temporal operations; it is not changed.
        optimize: see `optimize_for_inference`.

    Raises:
        ValueError: the model looks at later frames.

    >>> from mixtconv import create_model
    >>> model = create_model("mstnet_resnet18", num_classes=5, num_frames=3, causal=True).eval()
    >>> video, streaming = torch.rand(1, 3, 3, 64, 64), StreamingClassifier(model)
    >>> state = StreamState(num_streams=1)
    >>> frames = [streaming(video[:, t], state) for t in range(3)]  # 3 of (1, 5)
    >>> batch = model.forward_frames(video)  # (1, 3, 5)
    >>> bool(torch.allclose(torch.stack(frames, dim=1), batch, atol=1e-4))
    True
    """

    def __init__(self, model: VideoClassifier, *, optimize: bool = True) -> None:
        check_looks_back_only(model)
        self.model = optimize_for_inference(model) if optimize else copy.deepcopy(model).eval()
        if self.model is model:  # it was optimised before, and its operations are replaced here
            self.model = copy.deepcopy(model)
        self._now = _Now()
        self._lock = threading.Lock()
        _step_through_time(self.model.backbone, self._now)

    @torch.inference_mode()
    def normalize(
        self, frames: Tensor, state: StreamState, places: Sequence[int] | None = None
    ) -> Tensor:
        """Normalise the next frame of some streams, each once, before the call for its logits.

        Args:
            frames: uint8 or float (N, C, H, W) of 0 to 255, one of each stream.
            state: of the pool; of modality motion it keeps the frames.
            places: as for the call.

        Returns:
            (N, C, H, W), of modality motion less the median of the last frames of each stream.

        Raises:
            ValueError: another number of frames or channels, or streams that are not in the pool.
        """
        chosen, spec = _chosen(frames, state, places), self.model.spec
        if spec.modality != "motion":
            return self.model.normalize(frames)
        if state.recent is None:
            state.recent = RecentPictures(state.num_streams, spec.num_frames)
        values = self.model.scale_pixels(frames)
        return self.model.standardize(values, state.recent.medians(values, chosen, torch))

    @torch.inference_mode()
    def __call__(
        self, frames: Tensor, state: StreamState, places: Sequence[int] | None = None
    ) -> Tensor:
        """Logits of the next frame of some streams.

        Args:
            frames: normalised, (N, C, H, W), one of each stream.
            state: of the pool; advanced by one frame of these streams.
            places: places of the N streams in the pool; by default all, in order.

        Returns:
            (N, num_classes).

        Raises:
            ValueError: another number or size of frames than the streams have, a stream that is not
                in the pool, or one given twice.
        """
        chosen = _chosen(frames, state, places)
        self.model.check_size(frames)
        streams = Streams(chosen, tuple(state.counts[place] for place in chosen))
        with self._lock:
            self._now.call = state, streams
            try:
                logits = self.model.head(self.model.backbone(frames))  # (N, num_classes)
            finally:
                self._now.call = None
        for place in chosen:
            state.counts[place] += 1
        return logits


def _chosen(frames: Tensor, state: StreamState, places: Sequence[int] | None) -> tuple[int, ...]:
    """The places of the streams that have a frame, by default all; ValueError for others."""
    chosen = tuple(range(state.num_streams) if places is None else places)
    wrong = [place for place in chosen if not 0 <= place < state.num_streams]
    is_one_of_each = 0 < len(set(chosen)) == len(chosen) == len(frames)
    if wrong or not is_one_of_each:
        raise ValueError(
            f"got {len(frames)} frames of streams {chosen}; give one frame of one or more "
            f"streams, which are 0 to {state.num_streams - 1}"
        )
    return chosen


def check_looks_back_only(model: VideoClassifier) -> None:
    """Raise ValueError if a model has no logits per frame, or they depend on later frames."""
    whole_clip = (NonLocalFrames, AttentionPool, TimeAttention, TemporalPosition, FrameAverage)
    at_once = any(isinstance(module, whole_clip) for module in model.backbone.modules())
    if type(model) is not VideoClassifier or at_once:
        raise ValueError(
            f"{model.spec.name} looks at all frames of a clip at once; streams need a temporal "
            "operation in a 2D network, such as mstnet_resnet50 with --causal"
        )
    if any(_reach_ahead(module) > 0 for module in model.backbone.modules()):
        raise ValueError(
            f"this {model.spec.name} is centred: its temporal operations look at later frames, "
            "which a stream does not have yet; train it with --causal, or make a causal model of "
            "it with 'mixtconv convert MODEL --causal --out FILE' and fine-tune that"
        )


def _reach_ahead(module: nn.Module) -> int:
    """How many frames ahead a temporal operation looks; 0 for everything else."""
    if isinstance(module, FoldedTemporalFilter):
        return max(module.groups.offsets)
    if not isinstance(module, TemporalWrapper):
        return 0
    temporal = module.temporal
    if isinstance(temporal, TemporalConv):
        return max(temporal.offsets)
    if not hasattr(temporal, "depthwise_taps"):
        raise ValueError(
            f"the operation {type(temporal).__name__} has no frame-by-frame form; streams need one "
            "of mixtconv.ops.OPERATIONS"
        )
    return max(temporal.depthwise_taps(module.channels).groups.offsets)  # type: ignore[operator]


@dataclass
class _Now:
    """The state and streams of the call that is running, for the operations inside the network."""

    call: tuple[StreamState, Streams] | None = None


class _StreamSite(nn.Module):
    """A temporal operation in a streaming network: frames (N, C, H, W) -> same."""

    def __init__(
        self, name: str, operation: StreamFilter | StreamConv, now: _Now, scratch: Scratch | None
    ) -> None:
        super().__init__()
        self.name, self.operation, self.now, self.scratch = name, operation, now, scratch

    def forward(self, x: Tensor) -> Tensor:
        assert self.now.call is not None
        state, streams = self.now.call
        past = state.past.get(self.name)
        if past is None:  # the first frame gives the size of the feature map
            past = state.past[self.name] = self.operation.no_past(x, state.num_streams)
        if self.scratch is None or not x.is_cpu:
            return self.operation(x, past, streams)
        # The compiled step of the last call is repeated if the frames have the same form; it keeps
        # its arguments, which take longer to prepare than small feature maps to filter.
        step = past.step
        if step is not None and step.groups is self.operation.groups:
            assert isinstance(self.operation, StreamFilter)
            self.operation.begin(x, past, streams)
            y = step.again(x, streams)
            if y is not None:
                return y
        y = self.operation(x, past, streams, out=self.scratch.like(x))
        if past.step is not None:
            past.step.repeat_into(y, x)
        return y


def _step_through_time(network: nn.Module, now: _Now) -> None:
    """Replace every temporal operation by its frame-by-frame form."""
    for name, module in list(network.named_modules()):
        if isinstance(module, FoldedTemporalFilter):
            site = _StreamSite(name, StreamFilter(module.taps), now, module.scratch)
            network.set_submodule(name, site)
        elif isinstance(module, TemporalWrapper):
            operation: StreamConv | StreamFilter
            if isinstance(module.temporal, TemporalConv):
                operation = StreamConv(module.temporal)
            else:
                taps = module.temporal.depthwise_taps(module.channels)  # type: ignore[operator]
                device = next(module.module.parameters()).device
                operation = StreamFilter(replace(taps, weights=taps.weights.to(device)))
            site = _StreamSite(name, operation, now, None)
            network.set_submodule(name, module.separated(site))
