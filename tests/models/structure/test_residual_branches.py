"""Finding residual branches, against a count by the block classes of timm and torchvision."""

import copy

import pytest
import timm
import torch
import torchvision
from timm.models import _efficientnet_blocks, convnext, regnet, resnet, resnetv2
from torch import nn

from mixtconv.models.structure.residual_branches import find_named_sites, find_residual_sites

IMAGE_SIZE = 32

# block class: (module of the head, module of the inner place, whether the block has a shortcut)
ALWAYS = bool
HAS_SKIP = "has_skip"
BLOCKS = {
    resnet.BasicBlock: ("conv1", "conv2", ALWAYS),
    resnet.Bottleneck: ("conv1", "conv2", ALWAYS),
    resnetv2.PreActBottleneck: ("conv1", "conv2", ALWAYS),
    regnet.Bottleneck: ("conv1", "conv2", ALWAYS),
    convnext.ConvNeXtBlock: ("conv_dw", None, ALWAYS),
    _efficientnet_blocks.InvertedResidual: ("conv_pw", "conv_dw", HAS_SKIP),
    _efficientnet_blocks.DepthwiseSeparableConv: ("conv_dw", None, HAS_SKIP),
    torchvision.models.resnet.BasicBlock: ("conv1", "conv2", ALWAYS),
    torchvision.models.resnet.Bottleneck: ("conv1", "conv2", ALWAYS),
    torchvision.models.mobilenetv2.InvertedResidual: ("conv", "conv.1", "use_res_connect"),
}
ARCHITECTURES = {  # residual branches, and the containers that hold them
    "resnet18": (8, ["layer1", "layer2", "layer3", "layer4"]),
    "resnet50": (16, ["layer1", "layer2", "layer3", "layer4"]),
    "resnet101": (33, ["layer1", "layer2", "layer3", "layer4"]),
    "resnext50_32x4d": (16, ["layer1", "layer2", "layer3", "layer4"]),
    "seresnet50": (16, ["layer1", "layer2", "layer3", "layer4"]),
    "resnetv2_50": (16, [f"stages.{i}.blocks" for i in range(4)]),
    "regnetx_002": (13, ["s1", "s2", "s3", "s4"]),
    "regnety_002": (13, ["s1", "s2", "s3", "s4"]),
    "mobilenetv2_100": (10, [f"blocks.{i}" for i in range(1, 6)]),
    "mobilenetv3_small_100": (6, [f"blocks.{i}" for i in range(1, 5)]),
    "efficientnet_b0": (9, [f"blocks.{i}" for i in range(1, 6)]),
    "mixnet_s": (11, [f"blocks.{i}" for i in range(6)]),
    "convnext_atto": (12, [f"stages.{i}.blocks" for i in range(4)]),
    "test_resnet": (4, ["layer1", "layer2", "layer3", "layer4"]),
    "torchvision/resnet18": (8, ["layer1", "layer2", "layer3", "layer4"]),
    "torchvision/resnet50": (16, ["layer1", "layer2", "layer3", "layer4"]),
    "torchvision/mobilenet_v2": (10, ["features"]),
}


def build(architecture):
    library, _, name = architecture.rpartition("/")
    if library:
        return getattr(torchvision.models, name)(weights=None)
    return timm.create_model(name, num_classes=0)


def places_by_class(network, column):
    """The wanted modules' names, read off the block classes."""
    names = []
    for name, module in network.named_modules():
        head, inner, condition = BLOCKS.get(type(module), (None, None, ALWAYS))
        place = (head, inner)[column]
        if place and (condition is ALWAYS or getattr(module, condition)):
            names.append(f"{name}.{place}")
    return names


def input_channels(network, names):
    """Channels that arrive at modules when the network runs."""
    seen, handles = {}, []
    for name in names:
        handles.append(
            network.get_submodule(name).register_forward_pre_hook(
                lambda module, args, name=name: seen.update({name: args[0].shape[1]})
            )
        )
    network.eval()(torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE))
    for handle in handles:
        handle.remove()
    return [seen[name] for name in names]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_residual_branch_is_found_and_nothing_else(architecture):
    network = build(architecture)
    count, stages = ARCHITECTURES[architecture]
    for column, position in enumerate(("head", "inner")):
        sites = find_residual_sites(network, position=position, image_size=IMAGE_SIZE)
        names = [site.module for site in sites]
        assert names == places_by_class(network, column)
        assert [site.channels for site in sites] == input_channels(network, names)
        if position == "head":
            assert len(sites) == count
            assert list(dict.fromkeys(site.stage for site in sites)) == stages


class Residual(nn.Module):
    """A block written as one may, with the operations of the sum given."""

    def __init__(self, add):
        super().__init__()
        self.branch = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 1))
        self.add = add

    def forward(self, x):
        return self.add(x, self.branch(x))


ADDITIONS = {
    "x + branch": lambda x, branch: x + branch,
    "branch + x": lambda x, branch: branch + x,
    "torch.add": torch.add,
    "x.add": lambda x, branch: x.add(branch),
    "branch.add_": lambda x, branch: branch.add_(x),
    "branch +=": lambda x, branch: branch.__iadd__(x),
}


@pytest.mark.parametrize("add", ADDITIONS.values(), ids=ADDITIONS)
def test_a_block_of_ones_own_is_found_however_it_adds(add):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), Residual(add), Residual(add))
    sites = find_residual_sites(network, image_size=8)
    assert [(site.module, site.channels) for site in sites] == [("1.branch", 4), ("2.branch", 4)]


def test_inner_is_before_the_first_spatial_convolution_that_follows_another():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), Residual(torch.add))
    assert find_residual_sites(network, position="inner", image_size=8) == []
    network[1].branch.extend([nn.Conv2d(4, 4, k, padding=k // 2) for k in (1, 3, 3)])
    (site,) = find_residual_sites(network, position="inner", image_size=8)
    assert site.module == "1.branch.4"


def test_a_sum_with_a_number_or_a_parameter_or_of_equals_is_no_branch():
    class Sums(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
            self.bias = nn.Parameter(torch.zeros(1, 4, 8, 8))

        def forward(self, x):
            return self.left(x) + self.right(x) + self.bias + 1.0  # a tie of one layer each

    assert find_residual_sites(Sums(), image_size=8) == []


def test_a_gate_is_no_branch():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.gate = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return x * self.gate(self.conv(x)).sigmoid()

    assert find_residual_sites(Gated(), image_size=8) == []


def test_sums_inside_a_branch_do_not_count():  # Res2Net adds its splits inside the bottleneck
    network = timm.create_model("res2net50_26w_4s", num_classes=0)
    sites = find_residual_sites(network, image_size=IMAGE_SIZE)
    blocks = [f"layer{i}.{j}.conv1" for i, n in enumerate((3, 4, 6, 3), 1) for j in range(n)]
    assert [site.module for site in sites] == blocks


@pytest.mark.parametrize("name", ["vgg11", "densenet121"])
def test_networks_without_residual_branches_have_no_sites(name):
    options = {"mlp_ratio": 0.01} if name == "vgg11" else {}  # 100 M weights are not needed
    network = timm.create_model(name, num_classes=0, **options)
    assert find_residual_sites(network, image_size=IMAGE_SIZE) == []


def test_looking_leaves_the_network_as_it_was():
    network = timm.create_model("resnet18", num_classes=0, drop_path_rate=0.1).train()
    network.layer1.eval()
    modes = [module.training for module in network.modules()]
    before = copy.deepcopy(network.state_dict())
    random_state = torch.random.get_rng_state()
    find_residual_sites(network, image_size=IMAGE_SIZE)

    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
    assert not any(module._forward_pre_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(torch.random.get_rng_state(), random_state)


def test_a_failed_look_leaves_no_hooks_either():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(4, 2)).train()
    with pytest.raises(ValueError, match=r"does not run on .*\(1, 3, 8, 8\).*image_size"):
        find_residual_sites(network, image_size=8)
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())


def test_the_image_is_as_large_as_the_network_says():
    sizes = []
    network = timm.create_model("test_resnet", num_classes=0)
    network.conv1.register_forward_pre_hook(lambda module, args: sizes.append(args[0].shape))
    find_residual_sites(network)
    find_residual_sites(network, image_size=IMAGE_SIZE)
    assert sizes == [(1, 3, *network.default_cfg["input_size"][1:]), (1, 3, IMAGE_SIZE, IMAGE_SIZE)]


def test_a_transformer_of_another_size_is_a_clear_error():
    network = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=1)
    with pytest.raises(ValueError, match="image_size"):
        find_residual_sites(network, image_size=IMAGE_SIZE)


def test_named_modules_and_their_channels():
    network = timm.create_model("densenet121", num_classes=0)
    names = ["features.transition1.conv", "features.denseblock1.denselayer2.conv2"]
    sites = find_named_sites(network, names, image_size=IMAGE_SIZE)
    assert [(site.module, site.channels) for site in sites] == list(
        zip(names, (256, 128), strict=True)
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("conv9", r"no module 'conv9'; names look like conv1, .*named_modules"),
        ("conv2", r"no module 'conv2'; names look like layer1\.0\.conv2"),
        ("", "no module ''"),
        ("fc", r"'fc' does not take a feature map \(N, C, H, W\).*name a convolution"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(name, message):
    network = timm.create_model("test_resnet")
    with pytest.raises(ValueError, match=message):
        find_named_sites(network, [name], image_size=IMAGE_SIZE)
