"""The systems that MSTNet is compared with which are not a temporal operation in a 2D network.

Their recipes are those of the papers that the modules name; the tables in "MixTConv" (arXiv
2001.06769) give what each costs, which `mixtconv zoo` sets beside what is counted here.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from mixtconv.models.backbone import count_features, create_backbone, pixel_facts
from mixtconv.models.classifier import VideoClassifier
from mixtconv.models.spec import ModelRequest, ModelSpec
from mixtconv.models.systems.bn_inception import BNInception
from mixtconv.models.systems.eco import FRAMES_MULTIPLE, EcoNetwork
from mixtconv.models.systems.i3d import I3D, NON_LOCAL_AFTER, NUM_FEATURES, inflate
from mixtconv.models.systems.region_graph import FRAMES_PER_MAP, RegionGraphClassifier
from mixtconv.models.systems.relation import RelationClassifier
from mixtconv.models.systems.whole_clip import ClipClassifier, FrameEnsemble, TwoStream

System = Callable[[ModelRequest], VideoClassifier]

SYSTEMS: dict[str, System] = {}
"""Name -> what makes the recognizer."""

RELATION_DROPOUT = 0.8
"""Of TRN's published code."""
LITE_FRAMES = (16, 20, 24, 32)
"""Frames of the four networks of ECO En Lite."""
DENSE = {"num_frames": 32, "sampling": "dense", "frame_stride": 2}
"""Clips of I3D."""


def register_system(name: str) -> Callable[[System], System]:
    """Make a system known to `create_model` by a name."""

    def register(system: System) -> System:
        if name in SYSTEMS:
            raise ValueError(f"a system named {name!r} exists already; choose another name")
        SYSTEMS[name] = system
        return system

    return register


def relation_classifier(request: ModelRequest, backbone_name: str) -> VideoClassifier:
    """TRN over a 2D backbone."""
    spec = request.spec(dropout=RELATION_DROPOUT)
    backbone = backbone_for(request, spec, backbone_name)
    spec = request.spec(dropout=RELATION_DROPOUT, **pixel_facts(backbone))
    return RelationClassifier(backbone, count_features(backbone, spec), spec)


def two_stream_relations(request: ModelRequest, backbone_name: str) -> VideoClassifier:
    """TRN over pictures and TRN over optical flow; both start from the same 2D weights."""
    spec = request.spec(dropout=RELATION_DROPOUT, modality="rgbflow")
    if spec.modality != "rgbflow":
        raise ValueError(
            f"{spec.name} sees pictures and optical flow; modality is {spec.modality!r}, give "
            "'rgbflow' or leave it out"
        )
    streams = [
        relation_classifier(
            replace(
                request,
                name=f"trn_{backbone_name}",
                settings={**request.settings, "modality": modality},
            ),
            backbone_name,
        )
        for modality in ("rgb", "flow")
    ]
    pixels = _pixels(streams[0].spec)
    spec = request.spec(dropout=RELATION_DROPOUT, modality="rgbflow", **pixels)
    return TwoStream(streams, spec)


def _pixels(spec: ModelSpec) -> dict[str, Any]:
    """What a spec says of pixels, for the spec of a whole that its recognizer is part of."""
    return {name: getattr(spec, name) for name in ("mean", "std", "channel_order", "flow_mean")}


def backbone_for(request: ModelRequest, spec: ModelSpec, name: str) -> nn.Module:
    """A timm backbone with pooled features, for what the spec says the network sees."""
    return create_backbone(
        name,
        pretrained=request.pretrained,
        image_size=spec.image_size,
        in_channels=spec.snippet.in_channels,
    )


@register_system("i3d_resnet50")
def _i3d(request: ModelRequest) -> VideoClassifier:
    network, spec = _inflated(request)
    return ClipClassifier(network, NUM_FEATURES, spec, frames_multiple=FRAMES_PER_MAP)


@register_system("i3d_nl_resnet50")
def _non_local_i3d(request: ModelRequest) -> VideoClassifier:
    network, spec = _inflated(request, non_local_after=NON_LOCAL_AFTER)
    return ClipClassifier(network, NUM_FEATURES, spec, frames_multiple=FRAMES_PER_MAP)


@register_system("i3d_nl_gcn_resnet50")
def _region_graph(request: ModelRequest) -> VideoClassifier:
    network, spec = _inflated(request, non_local_after=NON_LOCAL_AFTER)
    return RegionGraphClassifier(network, spec)


def _inflated(request: ModelRequest, **options: Any) -> tuple[I3D, ModelSpec]:
    """I3D, from 2D weights where they are asked for, and its spec."""
    spec = request.spec(**DENSE)
    network = I3D(spec.snippet.in_channels, **options)
    if request.pretrained:
        flat = backbone_for(request, spec, "resnet50")
        spec = request.spec(**DENSE, **pixel_facts(flat))
        network.load_state_dict(inflate(flat.state_dict(), network), strict=False)
    return network, spec


@register_system("eco_8")
def _eco_8(request: ModelRequest) -> VideoClassifier:
    return _eco(request, num_frames=8)


@register_system("eco_16")
def _eco_16(request: ModelRequest) -> VideoClassifier:
    return _eco(request, num_frames=16)


@register_system("eco_en_lite_92")
def _eco_en_lite(request: ModelRequest) -> VideoClassifier:
    _refuse_other_length(request, sum(LITE_FRAMES))
    members = [
        _eco(
            replace(
                request,
                name=f"eco_lite_{num_frames}",
                settings={**request.settings, "num_frames": num_frames},
            ),
            num_frames=num_frames,
            lite=True,
        )
        for num_frames in LITE_FRAMES
    ]
    spec = request.spec(num_frames=sum(LITE_FRAMES), **_pixels(members[0].spec))
    return FrameEnsemble(members, spec)


def _eco(request: ModelRequest, *, num_frames: int, lite: bool = False) -> VideoClassifier:
    _refuse_other_length(request, num_frames)
    frames = backbone_for(request, request.spec(num_frames=num_frames), "bninception")
    assert isinstance(frames, BNInception)
    spec = request.spec(num_frames=num_frames, **pixel_facts(frames))
    network = EcoNetwork(frames, lite=lite)
    return ClipClassifier(
        network,
        network.num_features,
        spec,
        frames_multiple=FRAMES_MULTIPLE,
        length_is_fixed=True,
    )


def _refuse_other_length(request: ModelRequest, num_frames: int) -> None:
    asked = request.settings.get("num_frames", num_frames)
    if asked != num_frames:
        raise ValueError(
            f"num_frames is {asked}; {request.name} takes clips of {num_frames} frames"
        )
