"""What holds for every network that a temporal operation was put into."""

import copy

import pytest
import timm
import torch
import torchvision
from torch import nn

from mixtconv.models import create_model
from mixtconv.models.insertion import insert_temporal
from mixtconv.models.wrappers.temporal_wrapper import TemporalWrapper, temporal_wrappers

IMAGE_SIZE = 32
ARCHITECTURES = [
    "resnet18",
    "resnet50",
    "resnet101",
    "resnext50_32x4d",
    "seresnet50",
    "resnetv2_50",
    "regnetx_002",
    "regnety_002",
    "mobilenetv2_100",
    "mobilenetv3_small_100",
    "efficientnet_b0",
    "mixnet_s",
    "convnext_atto",
    "test_resnet",
    "lcnet_035",
    "repvgg_a0",
    "torchvision/resnet18",
    "torchvision/resnet50",
    "torchvision/mobilenet_v2",
]
WITHOUT_INNER = {"convnext_atto", "lcnet_035", "repvgg_a0"}


def build(architecture):
    """A 2D network with random weights in which every branch says something.

    Fresh networks start with branches of (nearly) nothing, so norms' weights are drawn anew, and
    running statistics are those of a batch of noise.
    """
    torch.manual_seed(0)
    library, _, name = architecture.rpartition("/")
    if library:
        network = getattr(torchvision.models, name)(num_classes=8)
    else:
        network = timm.create_model(name, num_classes=0)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        norm.momentum = 1.0
    for parameter_name, parameter in network.named_parameters():
        if parameter_name.endswith("gamma"):  # ConvNeXt's scale of the branch
            nn.init.uniform_(parameter, 0.5, 1.5)
    with torch.no_grad():
        network.train()(torch.randn(8, 3, IMAGE_SIZE, IMAGE_SIZE))
    return network.eval()


@pytest.fixture(scope="module", params=ARCHITECTURES)
def plain(request):
    """The 2D network; tests work on copies."""
    network = build(request.param)
    network.architecture = request.param
    return network


@pytest.fixture(scope="module")
def resnet():
    return build("test_resnet")


def temporal(plain, num_frames=4, operation="mixtconv", **options):
    return insert_temporal(
        copy.deepcopy(plain),
        operation,
        num_frames=num_frames,
        image_size=IMAGE_SIZE,
        **options,
    )


def randomised(network):
    generator = torch.Generator().manual_seed(1)
    for site in temporal_wrappers(network):
        for parameter in site.temporal.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)
    return network


def images(count, size=IMAGE_SIZE):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def frames_that_change(network, num_clips, num_frames, clip, frame):
    """Which outputs (B, T) differ when one frame does."""
    frames = images(num_clips * num_frames)
    other = frames.clone()
    other[clip * num_frames + frame] = images(1)[0] + 1.0
    different = network(frames) != network(other)
    return different.unflatten(0, (num_clips, num_frames)).flatten(2).any(2)


def assert_same(got, expected):
    """Equal up to rounding; random networks of many layers amplify it a thousandfold."""
    tolerance = 1e4 * torch.finfo(expected.dtype).eps
    scale = expected.abs().max().item()
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance * scale)


# --- for every architecture ---


@pytest.mark.parametrize("position", ["head", "inner", "spatial"])
@torch.no_grad()
def test_as_identity_it_is_the_2d_network_frame_by_frame(plain, position):
    if position == "inner" and plain.architecture in WITHOUT_INNER:
        with pytest.raises(ValueError, match=r"no residual branch.*use position 'head'.*at=\["):
            temporal(plain, position=position)
        return
    network = copy.deepcopy(plain).double()
    frames = images(3).double()
    expected = torch.cat([network(frame[None]) for frame in frames])
    assert (expected[0] - expected[1]).abs().max() > 0.1 * expected.abs().max()
    insert_temporal(
        network, num_frames=3, position=position, init="identity", image_size=IMAGE_SIZE
    )
    assert next(temporal_wrappers(network), None)
    assert_same(network(frames), expected)


def test_2d_weights_keep_their_names_and_load_unchanged(plain):
    network = temporal(plain)
    state, temporal_state = plain.state_dict(), network.state_dict()
    own = {key for key in temporal_state if ".temporal." in key}
    assert len(own) == 4 * len(list(temporal_wrappers(network)))  # mixtconv has four groups
    assert set(temporal_state) == set(state) | own
    for key, value in state.items():
        assert torch.equal(temporal_state[key], value), key

    for tensor in network.state_dict().values():
        tensor.zero_()
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert set(missing) == own
    assert unexpected == []
    temporal_state = network.state_dict()
    assert all(torch.equal(temporal_state[key], value) for key, value in state.items())


def test_frames_meet_only_through_the_operation(plain):
    changed = frames_that_change(temporal(plain, 3, init="identity"), 2, 3, clip=1, frame=1)
    assert changed.tolist() == [[False] * 3, [False, True, False]]


def test_causal_reaches_later_frames_only(plain):
    network = randomised(temporal(plain, 3, causal=True))
    changed = frames_that_change(network, 2, 3, clip=1, frame=1)
    assert changed.tolist() == [[False] * 3, [False, True, True]]
    for site in temporal_wrappers(network):
        site.temporal.causal = False
    changed = frames_that_change(network, 2, 3, clip=1, frame=1)
    assert changed.tolist() == [[False] * 3, [True] * 3]


def test_two_sites_reach_twice_as_far_as_the_kernel(plain):
    modules = temporal(plain).named_modules()
    sites = [name for name, module in modules if isinstance(module, TemporalWrapper)][:2]
    network = randomised(temporal(plain, 8, "ks3", at=sites))
    changed = frames_that_change(network, 1, 8, clip=0, frame=3)
    assert changed[0].tolist() == [abs(t - 3) <= 2 for t in range(8)]


def test_modes_and_statistics_stay_as_they_were(plain):
    network = copy.deepcopy(plain).train()
    next(network.children()).eval()
    modes = {module: module.training for module in network.modules()}
    insert_temporal(network, num_frames=4, image_size=IMAGE_SIZE)
    assert all(module.training == mode for module, mode in modes.items())
    for site in temporal_wrappers(network):
        assert site.training == site.temporal.training == site.module.training
    state = network.state_dict()
    assert all(torch.equal(state[name], buffer) for name, buffer in plain.named_buffers())


def test_gradients_reach_every_weight_of_the_operation(plain):
    network = randomised(temporal(plain))
    network(images(4)).square().sum().backward()
    for site in temporal_wrappers(network):
        for parameter in site.temporal.parameters():
            assert parameter.grad.abs().max() > 0
            assert parameter.grad.isfinite().all()


@torch.no_grad()
def test_channels_last_gives_the_same(plain):
    network = temporal(plain).double()
    frames = images(4).double()  # so that rounding cannot hide a mistake
    expected = network(frames)
    network.to(memory_format=torch.channels_last)
    assert_same(network(frames.contiguous(memory_format=torch.channels_last)), expected)


# --- for one or a few ---


@pytest.mark.parametrize("architecture", ["regnetx_002", "torchvision/mobilenet_v2"])
def test_frozen_norms_inside_a_wrapped_module_stay_frozen(architecture):
    network = build(architecture).train()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.eval()
    insert_temporal(network, num_frames=4, image_size=IMAGE_SIZE)
    assert not any(norm.training for norm in norms)


class Nothing(nn.Module):
    """An operation that lets nothing through, to show what goes past it."""

    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        return torch.zeros_like(x)


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50", "torchvision/resnet50"])
@torch.no_grad()
def test_head_leaves_the_shortcut_untouched(architecture):
    plain = build(architecture)
    network = temporal(plain, operation=Nothing)
    for stage in ("layer1", "layer2"):  # the first without, the second with a projection
        blocks_2d, blocks = plain.get_submodule(stage), network.get_submodule(stage)
        for block_2d, block in zip(blocks_2d, blocks, strict=True):
            x = torch.randn(4, block_2d.conv1.in_channels, 8, 8)
            shortcut = x if block_2d.downsample is None else block_2d.downsample(x)
            branch = torch.zeros_like(x)
            convs = 3 if hasattr(block_2d, "conv3") else 2
            for index in range(1, convs + 1):
                branch = getattr(block_2d, f"conv{index}")(branch)
                branch = getattr(block_2d, f"bn{index}")(branch)
                if index < convs:
                    branch = branch.relu()
            assert branch.abs().max() > 0
            torch.testing.assert_close(block(x), (shortcut + branch).relu())


@pytest.mark.parametrize("architecture", ["resnet50", "torchvision/resnet50"])
@torch.no_grad()
def test_inner_lies_between_the_first_two_convolutions(architecture):
    plain = build(architecture)
    network = temporal(plain, position="inner")
    for name, block in network.named_modules():
        if not hasattr(block, "conv3"):
            continue
        seen = {}
        block.conv2.temporal.register_forward_hook(
            lambda module, args, result, seen=seen: seen.update(before=args[0], after=result)
        )
        block.conv2.module.register_forward_pre_hook(
            lambda module, args, seen=seen: seen.update(spatial=args[0])
        )
        block_2d = plain.get_submodule(name)
        x = torch.randn(4, block_2d.conv1.in_channels, 4, 4)
        block(x)
        expected = block_2d.bn1(block_2d.conv1(x)).relu()
        torch.testing.assert_close(seen["before"].flatten(0, 1), expected)
        assert torch.equal(seen["spatial"], seen["after"].flatten(0, 1))
        assert block.conv1 is not block.conv2 and not hasattr(block.conv1, "temporal")


@pytest.mark.parametrize("stages", [[0], [1, 3], (3, 1), range(4)])
def test_only_the_chosen_stages_get_the_operation(resnet, stages):
    network = temporal(resnet, stages=stages)
    wrapped = {name.split(".")[0] for name in network.state_dict() if ".temporal." in name}
    assert wrapped == {f"layer{index + 1}" for index in stages}


@pytest.mark.parametrize(("stages", "block_step"), [(None, 2), (None, 3), ([0, 2], 2), ([2], 5)])
def test_every_nth_block_of_a_stage_gets_the_operation_from_the_first(stages, block_step):
    network = timm.create_model("resnet50", num_classes=0)
    network = temporal(network, operation="ks3", stages=stages, block_step=block_step)
    wrapped = {name.split(".conv1")[0] for name in network.state_dict() if ".temporal." in name}
    expected = set()
    for stage, num_blocks in enumerate((3, 4, 6, 3)):
        for block in range(num_blocks):
            if block % block_step == 0 and (stages is None or stage in stages):
                expected.add(f"layer{stage + 1}.{block}")
    assert wrapped == expected


@pytest.mark.parametrize(
    ("settings", "expected"), [({}, 16), ({"stages": (1,)}, 4), ({"block_step": 2}, 9)]
)
def test_non_local_blocks_leave_the_placement_as_it_is(settings, expected):
    model = create_model("tsm_nl_resnet50", 2, num_frames=2, image_size=IMAGE_SIZE, **settings)
    assert len(list(temporal_wrappers(model.backbone))) == expected


@torch.no_grad()
def test_any_network_takes_it_at_named_modules():
    small_vgg = {"mlp_ratio": 0.01}
    cases = [
        ("vgg11", small_vgg, ["features.3", "features.11"]),  # inside an nn.Sequential
        ("densenet121", {}, ["features.transition1", "features.denseblock2.denselayer3.conv2"]),
    ]
    for name, options, at in cases:
        plain = timm.create_model(name, num_classes=0, **options).eval()
        for norm in plain.modules():
            if isinstance(norm, nn.BatchNorm2d):
                nn.init.uniform_(norm.running_mean, -0.1, 0.1)
        frames = images(4)
        network = temporal(plain, at=at, init="identity")
        assert len(list(temporal_wrappers(network))) == 2
        assert_same(network(frames), plain(frames))
        missing, unexpected = network.load_state_dict(plain.state_dict(), strict=False)
        assert all(key.startswith(tuple(f"{module}.temporal." for module in at)) for key in missing)
        assert unexpected == []
        randomised(network)
        assert frames_that_change(network, 1, 4, clip=0, frame=2).all()


def test_names_beat_residual_branches(resnet):
    network = temporal(resnet, at=["layer2.0.conv2"])
    assert {key.split(".temporal.")[0] for key in network.state_dict() if ".temporal." in key} == {
        "layer2.0.conv2"
    }


@pytest.mark.parametrize(
    "at",
    [
        ["layer1.0.conv1", "layer1.0"],
        ["layer1.0", "layer1.0.conv1"],
    ],
)
@torch.no_grad()
def test_a_named_module_may_lie_inside_another(resnet, at):
    network = temporal(resnet, at=at, init="identity")
    calls = []
    for site in temporal_wrappers(network):
        site.temporal.register_forward_hook(lambda *args: calls.append(1))
    assert_same(network(images(4)), resnet(images(4)))
    assert len(calls) == 2
    assert network.load_state_dict(resnet.state_dict(), strict=False).unexpected_keys == []
    assert set(resnet.state_dict()) <= set(network.state_dict())


def test_a_name_given_twice_gets_one_operation_or_an_error(resnet):
    try:
        network = temporal(resnet, at=["layer1.0.conv1"] * 2)
    except ValueError as error:
        assert "layer1.0.conv1" in str(error)
    else:
        assert len(list(temporal_wrappers(network))) == 1


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mixer_s32_224", {"image_size": 224}, r"in MlpMixer: looked for sums .*at=\['\.\.\.'\]"),
        ("test_vit", {"image_size": 160, "position": "spatial"}, "blocks with spatial conv"),
        ("vgg11", {"position": "inner"}, "no residual branch of VGG has .* use position 'head'"),
        ("test_resnet", {"at": ["layer9"]}, "no module 'layer9'; names look like conv1"),
        ("test_resnet", {"stages": [4]}, r"\[4\]; the network's are 0 \(layer1\).*3 \(layer4\)"),
        ("test_resnet", {"stages": [-1]}, r"\[-1\]; the network's are 0 \(layer1\)"),
        ("test_resnet", {"stages": []}, r"\[\]; the network's are 0 \(layer1\)"),
        ("test_resnet", {"block_step": 0}, "block_step is 0; give 1 for every block"),
        ("test_resnet", {"block_step": 2, "at": ["conv1"]}, "stages and block_step choose"),
        ("test_resnet", {"num_frames": 0}, "num_frames is 0; .* at least 1"),
        (
            *("test_resnet", {"position": "tail"}),
            "'tail'; allowed are 'head', 'inner', 'spatial' and 'kv'",
        ),
        ("test_resnet", {"operation": "mixconv"}, "unknown operation 'mixconv'.*'mixtconv'"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_changed(name, options, message):
    small = {"vgg11": {"mlp_ratio": 0.01}}
    network = timm.create_model(name, num_classes=0, **small.get(name, {}))
    with pytest.raises(ValueError, match=message):
        insert_temporal(network, **{"num_frames": 4, "image_size": IMAGE_SIZE, **options})
    assert not list(temporal_wrappers(network))


def test_options_go_to_the_operation_and_functions_make_their_own(resnet):
    network = temporal(resnet, kernel_sizes=(3, 9), causal=True, shift_fraction=0.25)
    for site in temporal_wrappers(network):
        assert site.temporal.kernel_sizes == (3, 9)
        assert site.temporal.causal
    network = temporal(resnet, operation=Nothing)
    assert all(isinstance(site.temporal, Nothing) for site in temporal_wrappers(network))


def test_branches_without_the_place_are_logged(caplog):
    with caplog.at_level("INFO", logger="mixtconv"):
        temporal(timm.create_model("mixnet_s", num_classes=0), position="inner")
    assert "blocks.0.0" in caplog.text  # a depthwise-separable block: conv_dw is its head
