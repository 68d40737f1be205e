"""Blocks by their spatial convolutions, against the block classes of timm and small networks."""

import logging
import re
from importlib import import_module

import pytest
import timm
import torch
from timm.layers import ConvNormAct
from timm.models import byobnet, densenet, lcnetv2, resnet
from timm.models._efficientnet_blocks import DepthwiseSeparableConv
from torch import nn

from mixtconv.models import create_model, insert_temporal
from mixtconv.models.insertion import TemporalWrapper, _warn_once
from mixtconv.models.structure.network_trace import trace_network
from mixtconv.models.structure.residual_branches import find_residual_sites
from mixtconv.models.structure.spatial_blocks import spatial_sites

INCEPTION = tuple(
    getattr(import_module("timm.models.inception_v3"), f"Inception{x}") for x in "ABCDE"
)


def of_lcnet_v2(name, block):
    """With a shortcut before each depthwise convolution that is summed, else before all."""
    if not isinstance(block, lcnetv2.RepDepthwiseSeparable):
        return []
    if block.dw_conv is not None:
        return [f"{name}.dw_conv"]
    branches = [f"{name}.dw_conv_list.{i}" for i, each in enumerate(block.dw_conv_list)]
    return branches[:-1] if block.use_shortcut else [name]  # the last one is 1x1


def of_mobileone(name, block):
    is_block = isinstance(block, byobnet.MobileOneBlock) and name != "stem"
    return [name] if is_block and block.conv_kxk[0].conv.kernel_size != (1, 1) else []


def of_vgg(name, block):
    is_conv = isinstance(block, nn.Conv2d) and name.startswith("features.")
    return [name] if is_conv and name != "features.0" else []


def of_class(kinds, place=""):
    return lambda name, block: [name + place] if isinstance(block, kinds) and name != "stem" else []


EXPECTED = {  # network: places from a module's name, places in each stage
    "lcnet_050": (of_class(DepthwiseSeparableConv, ".conv_dw"), [1, 2, 2, 6, 2]),
    "lcnetv2_small": (of_lcnet_v2, [1, 2, 2, 4, 3]),
    "mobileone_s0": (of_mobileone, [2, 8, 10, 1]),
    "repvgg_a0": (of_class(byobnet.RepVggBlock), [2, 4, 14, 1]),
    "vgg11": (of_vgg, [1, 2, 2, 2]),
    "densenet121": (of_class(densenet.DenseLayer, ".conv2"), [6, 12, 24, 16]),
    "inception_v3": (of_class(INCEPTION), [3, 5, 3]),
    "resnet18": (of_class(resnet.BasicBlock, ".conv1"), [2, 2, 2, 2]),
    "resnet50": (of_class(resnet.Bottleneck, ".conv2"), [3, 4, 6, 3]),
}


def abstract(name, **settings):
    with torch.device("meta"):
        return timm.create_model(name, num_classes=0, **settings)


def sites_of(network, **settings):
    size = settings.pop("size", None)
    return spatial_sites(trace_network(network, size, None))


@pytest.mark.parametrize("name", EXPECTED)
def test_every_block_has_one_place_and_the_stem_none(name):
    place, counts = EXPECTED[name]
    network = abstract(name)
    sites = sites_of(network)
    modules = [name for item in network.named_modules() for name in place(*item)]
    assert [site.module for site in sites] == modules
    stages = [site.stage for site in sites]
    assert [stages.count(stage) for stage in dict.fromkeys(stages)] == counts
    sizes = [int(stage.partition(" x ")[0]) for stage in dict.fromkeys(stages)]
    assert sizes == sorted(sizes, reverse=True)


class Block(nn.Module):
    """Convolutions side by side, summed or concatenated, perhaps with a shortcut."""

    def __init__(self, *branches, join, shortcut=False):
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.join, self.shortcut = join, shortcut

    def forward(self, x):
        joined = self.join([branch(x) for branch in self.branches])
        return joined + x if self.shortcut else joined


def conv(kernel, channels=4, **settings):
    return nn.Conv2d(channels, 4, kernel, padding=kernel // 2, **settings)


def total(values):
    return sum(values[1:], values[0])


def modules_of(*blocks):
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *blocks)
    return [site.module for site in sites_of(network, size=16)]


def test_branches_that_are_summed_see_the_same_frames_and_a_shortcut_is_left_alone():
    one = Block(conv(3), conv(1), join=total)
    assert modules_of(one) == ["1"]
    with_norm = Block(conv(3), conv(1), nn.BatchNorm2d(4), join=total)
    assert modules_of(with_norm) == ["1"]
    residual = Block(nn.Sequential(conv(1), conv(3)), join=total, shortcut=True)
    assert modules_of(residual) == ["1.branches.0.1"]
    several = Block(conv(3), nn.Sequential(conv(1), conv(5)), join=total, shortcut=True)
    assert modules_of(several) == ["1.branches.0", "1.branches.1.1"]


def test_branches_that_are_concatenated_share_a_place():
    wide = Block(conv(1), nn.Sequential(conv(1), conv(3)), conv(5), join=lambda x: torch.cat(x, 1))
    assert modules_of(wide, nn.Conv2d(12, 4, 1), wide) == ["1"]  # a block that runs twice is one


def test_a_depthwise_convolution_goes_before_other_spatial_ones():
    block = Block(nn.Sequential(conv(3), conv(1), conv(3, groups=4), conv(1)), join=total)
    assert modules_of(block) == ["1.branches.0.2"]


def test_plain_convolutions_count_where_there_are_no_blocks_alone():
    assert modules_of(conv(3), conv(1), conv(3)) == ["1", "3"]
    block = Block(nn.Sequential(conv(1), conv(3)), join=total)
    assert modules_of(conv(3), block) == ["2.branches.0.1"]


def test_convolutions_that_are_linear_layers_have_no_place():
    patches = nn.Conv2d(4, 4, 2, stride=2)  # to 8 x 8
    whole = nn.Conv2d(4, 4, 8)  # to 1 x 1
    assert modules_of(conv(3), patches, conv(3), whole, conv(3)) == ["1", "3", "5"]


def test_a_block_that_takes_several_maps_has_its_places_inside():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = ConvNormAct(4, 4, 3), ConvNormAct(4, 4, 3)

        def forward(self, maps):
            return self.left(maps[0]) + self.right(maps[1])

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.block = nn.Conv2d(3, 4, 3), Two()

        def forward(self, x):
            x = self.stem(x)
            return self.block([x, 2 * x])

    sites = sites_of(Both(), size=16)
    assert [site.module for site in sites] == ["block.left", "block.right"]


def test_in_a_network_without_residual_branches_head_is_spatial():
    by_default = insert_temporal(abstract("lcnet_035"), num_frames=2)
    by_name = insert_temporal(abstract("lcnet_035"), num_frames=2, position="spatial")
    keys = list(by_default.state_dict())
    assert keys == list(by_name.state_dict())
    assert sum(key.endswith("conv_dw.temporal.weights.0") for key in keys) == 13


def test_stages_are_those_of_the_maps():
    network = insert_temporal(abstract("lcnet_035"), num_frames=2, stages=[3], block_step=2)
    wrapped = [name for name, each in network.named_modules() if isinstance(each, TemporalWrapper)]
    assert wrapped == ["blocks.3.0.conv_dw", "blocks.4.0.conv_dw", "blocks.4.2.conv_dw"]
    with pytest.raises(ValueError, match=r"the network's are 0 \(112 x 112\), .*4 \(7 x 7\)"):
        insert_temporal(abstract("lcnet_035"), num_frames=2, stages=[5])


def test_residual_branches_keep_their_places_where_blocks_would_reach_more():
    network = abstract("hgnetv2_b0")
    found = [site.module for site in find_residual_sites(network)]
    insert_temporal(network, num_frames=2)
    wrapped = [name for name, each in network.named_modules() if isinstance(each, TemporalWrapper)]
    assert wrapped == found
    assert len(found) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hgnetv2_b0", r"1 block \(stages\.2\.blocks\.1\) with 19% .*'spatial' reaches 65%"),
        ("tiny_vit_5m_224", r"2 blocks \(.*\) with 9% of its layers.*family of transformers"),
    ],
)
def test_that_most_of_a_network_is_untouched_is_said_once(name, message, caplog):
    _warn_once.cache_clear()
    for _ in range(2):
        insert_temporal(abstract(name), num_frames=2)
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert re.search(message, record.getMessage())


@pytest.mark.parametrize(
    ("name", "settings"),
    [("resnet18", {}), ("resnet18", {"stages": [3]}), ("mobilenetv2_100", {}), ("lcnet_035", {})],
)
def test_nothing_is_said_where_it_is_in_most_of_the_network(name, settings, caplog):
    _warn_once.cache_clear()
    insert_temporal(abstract(name), num_frames=2, **settings)
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


def test_places_declared_by_the_network_are_taken_without_a_word(caplog):
    _warn_once.cache_clear()
    with torch.device("meta"):
        create_model("mstnet_bninception", 2, num_frames=2)
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]
