"""A frozen trunk: what it is, what is kept of it, and files of the trained part alone."""

import copy
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from mixtconv.models import (
    VideoClassifier,
    create_model,
    insert_non_local,
    load_model,
    make_causal,
    read_metadata,
    save_model,
)
from mixtconv.models import input_free as input_free_module
from mixtconv.models import published_weights as weights
from mixtconv.models.frozen_trunk import (
    freeze_trunk,
    hash_tensors,
    hold_in_half,
    inserted_parts,
    keep_trunk_evaluating,
    trained_parameters,
)
from mixtconv.models.wrappers import temporal_wrapper as wrapper_module

SMALL = {"num_frames": 4, "image_size": 32}
CLIPS = torch.randn(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def _with_statistics(network: nn.Module) -> None:
    """Statistics of normalisation that tell its layers apart."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2)


@pytest.fixture
def trunk(tmp_path: Path) -> Path:
    """A file of weights of the 2D network."""
    torch.manual_seed(1)
    network = create_model("tsn_test_resnet", 2, **SMALL).backbone
    _with_statistics(network)
    (tmp_path / "given").mkdir()
    torch.save(network.state_dict(), tmp_path / "given" / "2d.pth")
    return tmp_path / "given" / "2d.pth"


def _trained_on(
    trunk: Path, name: str = "mstnet_test_resnet", **settings: object
) -> VideoClassifier:
    """A recognizer on the trunk, with other values of all that is trained."""
    torch.manual_seed(2)
    model = create_model(name, classes=["a", "b"], pretrained=trunk, **SMALL | settings)
    freeze_trunk(model)
    with torch.no_grad():
        for parameter in trained_parameters(model).values():
            parameter.add_(torch.randn_like(parameter))
    return model.eval()


@pytest.fixture
def part(trunk: Path, tmp_path: Path) -> tuple[VideoClassifier, Path]:
    """A trained recognizer and its file of the trained part alone."""
    model = _trained_on(trunk)
    save_model(model, tmp_path / "model.safetensors", notes={"top1": 50.0})
    return model, tmp_path / "model.safetensors"


def _logits(model: VideoClassifier) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(CLIPS)


def _trained_keys(model: VideoClassifier) -> set[str]:
    """The trained parameters by their names in state dictionaries."""
    trained = set(trained_parameters(model).values())
    return {key for key, each in model.state_dict(keep_vars=True).items() if each in trained}


# what is trained


@pytest.mark.parametrize("name", ["mstnet_test_resnet", "ks3_mobilenetv3_small_050"])
def test_trained_is_what_the_2d_network_has_not(name: str) -> None:
    plain = create_model(f"tsn_{name.partition('_')[2]}", 3, **SMALL)
    model = create_model(name, 3, **SMALL)
    of_images = {f"backbone.{key}" for key in plain.backbone.state_dict()}
    trained = _trained_keys(model)
    assert trained == model.state_dict().keys() - of_images
    assert {"head.weight", "head.bias"} < trained


def test_non_local_blocks_heads_on_features_and_adapters_are_trained() -> None:
    model = create_model("tsn_test_resnet", 3, **SMALL)
    insert_non_local(model.backbone, num_frames=4, after=["layer3"])
    trained = trained_parameters(model)
    assert any("theta" in name for name in trained) and not any("conv1" in name for name in trained)
    freeze_trunk(model)
    model.train()
    keep_trunk_evaluating(model)
    norms = {type(each): each.training for each in model.modules() if hasattr(each, "running_var")}
    assert norms[nn.BatchNorm3d] and not norms[nn.BatchNorm2d] and model.dropout.training

    head = create_model("mstnet_test_resnet", 3, feature_head="blocks", **SMALL)
    names = {name.partition(".")[2].partition(".")[0] for name in trained_parameters(head)}
    assert names == {"head", "weight", "bias"}

    block = nn.Sequential()
    block.adapter_mlp = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    assert list(inserted_parts(nn.Sequential(nn.Linear(2, 2), block))) == [block.adapter_mlp]


@pytest.mark.parametrize(
    ("name", "num_frames"), [("tsn_test_resnet", 4), ("tsm_test_resnet", 4), ("i3d_resnet50", 8)]
)
def test_nothing_but_a_last_layer_to_train_is_refused(name: str, num_frames: int) -> None:
    with torch.device("meta"):
        model = create_model(name, 3, num_frames=num_frames, image_size=32)
    with pytest.raises(ValueError, match=f"{name} has no parameters there, only a last layer"):
        freeze_trunk(model)


# what is kept for the backward pass


def _bytes_kept(model: VideoClassifier, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Bytes that autograd keeps of a forward pass beside weights, and how many tensors."""
    own = {each.data_ptr() for each in [*model.parameters(), *model.buffers()]}
    kept: dict[int, int] = {}
    hooks = torch.autograd.graph.saved_tensors_hooks

    def count(tensor: object) -> object:
        if isinstance(tensor, torch.Tensor) and tensor.data_ptr() not in own:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    for module in (input_free_module, wrapper_module):
        monkeypatch.setattr(
            module, "saved_tensors_hooks", lambda p, u: hooks(lambda t: count(p(t)), u)
        )
    with hooks(count, lambda tensor: tensor):
        result = model(CLIPS)
    monkeypatch.undo()
    assert result.requires_grad
    return sum(kept.values()), len(kept)


def _train_step(name: str, freeze: bool) -> VideoClassifier:
    torch.manual_seed(0)
    model = create_model(name, 3, dropout=0.0, **SMALL)
    _with_statistics(model)
    if freeze:
        freeze_trunk(model)
    else:
        trained = trained_parameters(model)
        for key, parameter in model.named_parameters():
            parameter.requires_grad_(key in trained)
    model.train()
    keep_trunk_evaluating(model)
    return model


def test_a_compiled_step_is_one_graph_and_gives_the_same_gradients() -> None:
    plain = _train_step("mstnet_test_resnet", freeze=True)
    compiled = copy.deepcopy(plain)
    torch._dynamo.reset()
    function = torch.compile(compiled, backend="eager", fullgraph=True)
    for model, run in ((plain, plain), (compiled, function)):
        run(CLIPS).square().sum().backward()
        assert any(each.grad is not None for each in model.parameters())
    for expected, got in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(got.grad, expected.grad)


@pytest.mark.parametrize(
    "name", ["mstnet_test_resnet", "mstnet_tf_efficientnet_lite0", "ks3_convnext_atto"]
)
def test_gradients_do_not_need_what_is_not_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Freezing by `requires_grad` alone is the reference."""
    plain, frozen = _train_step(name, freeze=False), _train_step(name, freeze=True)
    sizes = [_bytes_kept(model, monkeypatch)[0] for model in (plain, frozen)]
    assert sizes[1] < 0.75 * sizes[0]
    for model in (plain, frozen):
        model(CLIPS).square().sum().backward()
    gradients = [
        {key: each.grad for key, each in model.named_parameters() if each.grad is not None}
        for model in (plain, frozen)
    ]
    assert gradients[0].keys() == gradients[1].keys() == trained_parameters(frozen).keys()
    for key, gradient in gradients[0].items():
        assert torch.equal(gradient, gradients[1][key]), key


def test_nothing_is_kept_before_the_first_trained_place(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _train_step("trn_test_resnet", freeze=True)  # whose backbone has no trained place
    _, number = _bytes_kept(model, monkeypatch)
    features = model.forward_features(CLIPS)
    assert not features.requires_grad
    assert number <= 2 * len(trained_parameters(model))


def test_a_layer_that_is_trained_again_knows_its_input() -> None:
    one, other = _train_step("mstnet_test_resnet", True), _train_step("mstnet_test_resnet", False)
    for model in (one, other):
        model.requires_grad_(True).train()  # by the statistics of the batch, too
        model(CLIPS).square().sum().backward()
    expected = dict(other.named_parameters())
    for name, parameter in one.named_parameters():
        assert torch.equal(parameter.grad, expected[name].grad), name


def test_in_half_precision_frozen_layers_give_what_autocast_gives(trunk: Path) -> None:
    model = _trained_on(trunk)
    exact, held = _logits(model), copy.deepcopy(model)
    hold_in_half(held, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(_logits(held), _logits(model))
        torch.testing.assert_close(_logits(held).float(), exact, rtol=0.05, atol=0.05)
    types = {name: parameter.dtype for name, parameter in held.named_parameters()}
    for name in trained_parameters(held):
        assert types[name] == torch.float32
    halves = {name for name, dtype in types.items() if dtype == torch.bfloat16}
    assert halves and not any("bn" in name for name in halves)


# files


def test_a_file_holds_the_trained_part_and_says_where_the_rest_is(
    part: tuple[VideoClassifier, Path], trunk: Path
) -> None:
    model, path = part
    with safe_open(path, framework="pt") as file:
        assert set(file.keys()) == _trained_keys(model)
    about = read_metadata(path)["trunk"]
    assert about["name"] == "test_resnet" and about["source"] == "2d.pth"
    assert about["file"] == str(trunk) and re.fullmatch("[0-9a-f]{64}", about["sha256"])
    loaded = load_model(path)
    assert torch.equal(_logits(loaded), _logits(model))
    assert not loaded.training and loaded.notes == {"top1": 50.0}


def test_the_trunk_is_found_beside_the_file_by_a_variable_or_given(
    part: tuple[VideoClassifier, Path], trunk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = part
    expected = _logits(model)
    save_model(model, tmp_path / "whole.safetensors", trunk="whole")
    assert read_metadata(tmp_path / "whole.safetensors")["trunk"] is None
    assert torch.equal(_logits(load_model(tmp_path / "whole.safetensors")), expected)
    moved = trunk.rename(tmp_path / "moved.pth")
    with pytest.raises(ValueError, match=r"test_resnet of 2d\.pth, were not found") as error:
        load_model(path)
    for word in (f"{trunk}: there is no such file", "trunk.safetensors", "MIXTCONV_TRUNK"):
        assert word in str(error.value)
    assert "\n" not in str(error.value)
    assert torch.equal(_logits(load_model(path, trunk=moved)), expected)
    assert torch.equal(_logits(load_model(path, trunk=tmp_path / "whole.safetensors")), expected)
    monkeypatch.setenv("MIXTCONV_TRUNK", os.pathsep.join(["other.pth", str(moved)]))
    assert torch.equal(_logits(load_model(path)), expected)
    monkeypatch.delenv("MIXTCONV_TRUNK")
    save_file(torch.load(moved), tmp_path / "trunk.safetensors")
    assert torch.equal(_logits(load_model(path)), expected)


def test_another_trunk_is_refused_by_its_hash(
    part: tuple[VideoClassifier, Path], trunk: Path, tmp_path: Path
) -> None:
    _, path = part
    state = torch.load(trunk)
    name = next(key for key in state if key.endswith("running_var"))
    state[name][0] += 1e-6  # a bit of one statistic
    torch.save(state, tmp_path / "other.pth")
    found = read_metadata(path)["trunk"]["sha256"][:12]
    with pytest.raises(ValueError, match=rf"other weights than .* not {found}") as error:
        load_model(path, trunk=tmp_path / "other.pth")
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="the trained part alone, which holds no trunk"):
        load_model(path, trunk=path)
    whole = tmp_path / "larger.safetensors"
    save_model(create_model("tsn_resnet18", 2, **SMALL), whole)
    with pytest.raises(ValueError, match="a model file of another network"):
        load_model(path, trunk=whole)
    with pytest.raises(ValueError, match="holds all of its weights"):
        load_model(whole, trunk=trunk)


def test_a_trunk_that_changed_or_cannot_be_found_is_stored_whole(
    trunk: Path, tmp_path: Path
) -> None:
    random = create_model("mstnet_test_resnet", 2, **SMALL)
    freeze_trunk(random)
    changed = _trained_on(trunk)
    with torch.no_grad():
        next(each for each in changed.parameters() if not each.requires_grad).add_(1)
    for number, model in enumerate((random, changed)):
        save_model(model, tmp_path / f"{number}.safetensors")
        assert read_metadata(tmp_path / f"{number}.safetensors")["trunk"] is None
        loaded = load_model(tmp_path / f"{number}.safetensors")
        assert torch.equal(_logits(loaded), _logits(model))
    half = _trained_on(trunk)
    hold_in_half(half, torch.bfloat16)
    save_model(half, tmp_path / "half.safetensors")
    assert torch.equal(
        _logits(load_model(tmp_path / "half.safetensors")), _logits(_trained_on(trunk))
    )
    with pytest.raises(ValueError, match="the trunk is held in half precision"):
        save_model(half, tmp_path / "no.safetensors", trunk="whole")


@pytest.mark.parametrize(
    "settings",
    [
        {"modality": "flow"},
        {"causal": True},
        {"feature_head": "blocks", "less_mean": True},
        {"name": "tsm_nl_resnet10t"},
        {"name": "trn_twostream_test_resnet"},
    ],
    ids=str,
)
def test_every_kind_of_recognizer_round_trips(settings: dict, trunk: Path, tmp_path: Path) -> None:
    settings = dict(settings)
    name = settings.pop("name", "mstnet_test_resnet")
    if name.startswith("tsm_nl"):
        trunk = _weights_of("resnet10t", tmp_path)
    model = _trained_on(trunk, name, **settings)
    save_model(model, tmp_path / "model.safetensors")
    assert read_metadata(tmp_path / "model.safetensors")["trunk"] is not None
    loaded = load_model(tmp_path / "model.safetensors")
    clips = torch.rand(1, 4, model.spec.snippet.in_channels, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded(clips), model(clips))


def _weights_of(name: str, folder: Path) -> Path:
    torch.save(create_model(f"tsn_{name}", 2, **SMALL).backbone.state_dict(), folder / "2d.pth")
    return folder / "2d.pth"


def test_what_is_made_of_a_file_of_the_trained_part_goes_on_with_its_trunk(
    part: tuple[VideoClassifier, Path], tmp_path: Path
) -> None:
    causal = make_causal(load_model(part[1]))
    save_model(causal, tmp_path / "causal.safetensors")
    assert read_metadata(tmp_path / "causal.safetensors")["trunk"] is not None
    assert torch.equal(_logits(load_model(tmp_path / "causal.safetensors")), _logits(causal))


def test_a_shared_model_holds_what_others_cannot_find(
    part: tuple[VideoClassifier, Path], tmp_path: Path
) -> None:
    model, _ = part
    model.save_pretrained(tmp_path / "shared", license="mit")
    assert read_metadata(tmp_path / "shared")["trunk"] is None  # a file of mine
    assert "frozen trunk" not in (tmp_path / "shared" / "README.md").read_text()
    assert torch.equal(_logits(type(model).from_pretrained(tmp_path / "shared")), _logits(model))


def test_published_weights_are_found_as_they_are_to_start_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's cache has them at one commit, later at another one, then there is no hub."""
    source = create_model("tsn_resnet18", 2, **SMALL).backbone.state_dict()
    folder = tmp_path / "snapshots" / "0123abcd"
    folder.mkdir(parents=True)
    save_file(source, folder / "model.safetensors")
    cache: dict[str | None, Path] = {None: folder / "model.safetensors"}

    def cached(repository: str, filename: str, *, revision: str | None = None) -> str | None:
        assert repository == "timm/resnet18.a1_in1k"
        return str(cache[revision]) if revision in cache else None

    def unreachable(*args: object, **kwargs: object) -> str:
        raise OSError("no network in tests")

    monkeypatch.setattr(weights.huggingface_hub, "try_to_load_from_cache", cached)
    monkeypatch.setattr(weights.huggingface_hub, "hf_hub_download", unreachable)
    monkeypatch.setattr(weights, "is_hub_reachable", lambda: False)
    model = create_model("mstnet_resnet18", 2, pretrained=True, **SMALL)
    freeze_trunk(model)
    save_model(model, tmp_path / "model.safetensors")
    about = read_metadata(tmp_path / "model.safetensors")["trunk"]
    assert about["name"] == "resnet18.a1_in1k" and about["source"] == "timm/resnet18.a1_in1k"
    assert about["revision"] == "0123abcd" and about["file"] is None
    assert torch.equal(_logits(load_model(tmp_path / "model.safetensors")), _logits(model))

    model.save_pretrained(tmp_path / "shared", license="mit")
    assert read_metadata(tmp_path / "shared")["trunk"] == about
    assert "resnet18.a1_in1k of timm/" in (tmp_path / "shared" / "README.md").read_text()

    later = tmp_path / "snapshots" / "4567" / "model.safetensors"
    later.parent.mkdir()
    save_file({key: value + 1 for key, value in source.items()}, later)
    cache = {"0123abcd": cache[None], None: later}
    assert torch.equal(_logits(load_model(tmp_path / "model.safetensors")), _logits(model))
    cache = {None: later}
    with pytest.raises(ValueError, match=r"other weights .*; the hub: cannot fetch") as error:
        load_model(tmp_path / "model.safetensors")
    assert "resnet18.a1_in1k at revision 0123abcd" in str(error.value)


def test_the_hash_depends_on_names_shapes_and_values_alone() -> None:
    torch.manual_seed(0)
    state = {
        "a": torch.randn(2, 3, 4, 4),
        "b": torch.randn(3),
        "n.num_batches_tracked": torch.ones(1),
    }
    expected = hash_tensors(state)
    alike = [
        dict(reversed(state.items())),
        {**state, "a": state["a"].to(memory_format=torch.channels_last)},
        {**state, "n.num_batches_tracked": torch.zeros(1)},
    ]
    assert [hash_tensors(each) for each in alike] == [expected] * 3
    others: list[dict[str, torch.Tensor]] = [
        {"a": state["a"], "c": state["b"]},
        {**state, "a": state["a"].flatten(1)},
        {**state, "b": state["b"].nextafter(torch.tensor(9.0))},
        {**state, "b": state["b"].double()},
    ]
    assert expected not in [hash_tensors(each) for each in others]


Mutate = Callable[[dict], object]


@pytest.mark.parametrize(
    ("mutate", "says"),
    [
        (lambda about: about.update(trunk=3), "trunk is '3'"),
        (lambda about: about["trunk"].pop("sha256"), "trunk has"),
        (lambda about: about["trunk"].update(more=1), "trunk has"),
        (lambda about: about["trunk"].update(sha256=None), "sha256 is 'None'"),
        (lambda about: about["trunk"].update(file=["x"]), "file is"),
        (lambda about: about["trunk"].update(file="/dev/zero"), "there is no such file"),
        (lambda about: about["trunk"].update(file=None, name="no_net"), "no ImageNet weights"),
        (lambda about: about["trunk"].update(sha256="0" * 64), "other weights"),
        (lambda about: about.pop("trunk"), "are missing"),
        (lambda about: about["spec"].update(name="mstnet_resnet18"), "do not fit mstnet_resnet18"),
    ],
)
def test_a_changed_description_is_one_line(
    part: tuple[VideoClassifier, Path], mutate: Mutate, says: str
) -> None:
    _, path = part
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["mixtconv"])
    mutate(about)
    save_file(load_file(path), path, metadata={"mixtconv": json.dumps(about)})
    with pytest.raises(ValueError, match=says) as error:
        load_model(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_part_that_is_not_whole_is_refused(part: tuple[VideoClassifier, Path]) -> None:
    _, path = part
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    state = load_file(path)
    for changed in ({**state, "backbone.more": torch.ones(1)}, {"head.bias": state["head.bias"]}):
        save_file(changed, path, metadata=metadata)
        with pytest.raises(ValueError, match="do not fit mstnet_test_resnet"):
            load_model(path)
