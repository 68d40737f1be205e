"""The systems that MSTNet is compared with which are not a temporal operation in a 2D network.

Their recipes are those of the papers that the modules name. The tables in "MixTConv" (arXiv
2001.06769) give the cost of each, which `mixtconv zoo` compares with the cost counted here.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from mixtconv.models.backbone import backbone_for, count_features, pixel_facts
from mixtconv.models.classifier import VideoClassifier
from mixtconv.models.spec import ModelArgs, ModelSpec, PixelSettings
from mixtconv.models.systems.bn_inception import BNInception
from mixtconv.models.systems.eco import FRAMES_MULTIPLE, EcoNetwork
from mixtconv.models.systems.i3d import I3D, NON_LOCAL_AFTER, NUM_FEATURES, inflate
from mixtconv.models.systems.region_graph import FRAMES_PER_MAP, RegionGraphClassifier
from mixtconv.models.systems.relation import RelationClassifier
from mixtconv.models.systems.whole_clip import ClipClassifier, FrameEnsemble, TwoStream

System = Callable[[ModelArgs], VideoClassifier]

RELATION_DROPOUT = 0.8
"""Of TRN's published code."""
LITE_FRAMES = (16, 20, 24, 32)
"""Frames of the four networks of ECO En Lite."""
DENSE = {"num_frames": 32, "sampling": "dense", "frame_stride": 2}
"""Clips of I3D."""


def relation_classifier(args: ModelArgs, backbone_name: str) -> VideoClassifier:
    """TRN over a 2D backbone."""
    spec = args.spec(dropout=RELATION_DROPOUT)
    backbone = backbone_for(args, spec, backbone_name)
    spec = args.spec(dropout=RELATION_DROPOUT, **pixel_facts(backbone))
    return RelationClassifier(backbone, count_features(backbone, spec), spec)


def two_stream_relations(args: ModelArgs, backbone_name: str) -> VideoClassifier:
    """TRN over pictures and TRN over optical flow; both start from the same 2D weights."""
    spec = args.spec(dropout=RELATION_DROPOUT, modality="rgbflow")
    if spec.modality != "rgbflow":
        raise ValueError(
            f"{spec.name} sees pictures and optical flow; modality is {spec.modality!r}, give "
            "'rgbflow' or leave it out"
        )
    streams = [
        relation_classifier(args.member(f"trn_{backbone_name}", modality=seen), backbone_name)
        for seen in ("rgb", "flow")
    ]
    pixels = streams[0].spec.fields_of(PixelSettings)
    spec = args.spec(dropout=RELATION_DROPOUT, modality="rgbflow", **pixels)
    return TwoStream(streams, spec)


def _inflated(args: ModelArgs, **options: Any) -> tuple[I3D, ModelSpec]:
    """I3D, inflated from 2D weights if `args.pretrained`, and its spec."""
    spec = args.spec(**DENSE)
    network = I3D(spec.snippet.in_channels, **options)
    if args.pretrained:
        flat = backbone_for(args, spec, "resnet50")
        spec = args.spec(**DENSE, **pixel_facts(flat))
        network.load_state_dict(inflate(flat.state_dict(), network), strict=False)
    return network, spec


def _i3d(args: ModelArgs, **options: Any) -> VideoClassifier:
    network, spec = _inflated(args, **options)
    return ClipClassifier(network, NUM_FEATURES, spec, frames_multiple=FRAMES_PER_MAP)


def _region_graph(args: ModelArgs) -> VideoClassifier:
    return RegionGraphClassifier(*_inflated(args, non_local_after=NON_LOCAL_AFTER))


def _eco_en_lite(args: ModelArgs) -> VideoClassifier:
    _refuse_other_length(args, sum(LITE_FRAMES))
    members = [
        _eco(args.member(f"eco_lite_{count}", num_frames=count), num_frames=count, lite=True)
        for count in LITE_FRAMES
    ]
    spec = args.spec(num_frames=sum(LITE_FRAMES), **members[0].spec.fields_of(PixelSettings))
    return FrameEnsemble(members, spec)


def _eco(args: ModelArgs, *, num_frames: int, lite: bool = False) -> VideoClassifier:
    _refuse_other_length(args, num_frames)
    frames = backbone_for(args, args.spec(num_frames=num_frames), "bninception")
    assert isinstance(frames, BNInception)
    spec = args.spec(num_frames=num_frames, **pixel_facts(frames))
    network = EcoNetwork(frames, lite=lite)
    return ClipClassifier(
        network,
        network.num_features,
        spec,
        frames_multiple=FRAMES_MULTIPLE,
        length_is_fixed=True,
    )


def _refuse_other_length(args: ModelArgs, num_frames: int) -> None:
    requested = args.settings.get("num_frames", num_frames)
    if requested != num_frames:
        raise ValueError(
            f"num_frames is {requested}; {args.name} takes clips of {num_frames} frames"
        )


SYSTEMS: dict[str, System] = {
    "i3d_resnet50": _i3d,
    "i3d_nl_resnet50": partial(_i3d, non_local_after=NON_LOCAL_AFTER),
    "i3d_nl_gcn_resnet50": _region_graph,
    "eco_8": partial(_eco, num_frames=8),
    "eco_16": partial(_eco, num_frames=16),
    "eco_en_lite_92": _eco_en_lite,
}
"""Name -> function that makes the recognizer."""

SYSTEMS_2D = {name: "bninception" if name.startswith("eco_") else "resnet50" for name in SYSTEMS}
"""Name -> backbone whose weights start it."""
