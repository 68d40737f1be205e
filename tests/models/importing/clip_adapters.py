"""CLIP with adapters as others published it, in plain torch, to hold imported weights against.

Written after the papers ("ST-Adapter", arXiv 2206.13559; "AIM", arXiv 2302.03024) and the names in
their files, with `nn.MultiheadAttention` and `nn.Conv3d`; nothing of mixtconv or timm is used.
"""

import re
from typing import Literal

import torch
from torch import Tensor, nn

WIDTH, HEADS, DEPTH, PATCH = 128, 2, 3, 16
"""Of the small networks here: channels, heads and blocks; width of a patch in pixels."""

Places = Literal["both", "attention", "mlp"]


class QuickGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / (1 + torch.exp(-1.702 * x))


class STAdapter(nn.Module):
    """Patches to fewer channels, a convolution 3 x 1 x 1 of each, and back; beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, width)
        self.conv = nn.Conv3d(width, width, (3, 1, 1), padding=(1, 0, 0), groups=width)
        self.fc2 = nn.Linear(width, WIDTH)

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        patches = self.fc1(x[:, 1:])  # (B * T, N, C)
        side = int(patches.shape[1] ** 0.5)
        volume = patches.reshape(-1, num_frames, side, side, patches.shape[-1])
        volume = self.conv(volume.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1)
        return torch.cat([x[:, :1], x[:, 1:] + self.fc2(volume.reshape(patches.shape))], dim=1)


class AIMAdapter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.D_fc1 = nn.Linear(WIDTH, WIDTH // 4)
        self.D_fc2 = nn.Linear(WIDTH // 4, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.D_fc2(nn.functional.gelu(self.D_fc1(x)))


class Block(nn.Module):
    """A block of CLIP: tokens (B * T, N, D) -> same."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(WIDTH, 4 * WIDTH))
        self.mlp.add_module("gelu", QuickGELU())
        self.mlp.add_module("c_proj", nn.Linear(4 * WIDTH, WIDTH))

    def attention(self, x: Tensor) -> Tensor:
        return self.attn(x, x, x, need_weights=False)[0]


class STBlock(Block):
    def __init__(self, places: Places, width: int) -> None:
        super().__init__()
        self.adapter_pre_attn = STAdapter(width) if places != "mlp" else None
        self.adapter_pre_mlp = STAdapter(width) if places != "attention" else None

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        if self.adapter_pre_attn is not None:
            x = self.adapter_pre_attn(x, num_frames)
        x = x + self.attention(self.ln_1(x))
        if self.adapter_pre_mlp is not None:
            x = self.adapter_pre_mlp(x, num_frames)
        return x + self.mlp(self.ln_2(x))


class AIMBlock(Block):
    def __init__(self, scale: float, num_adapters: int) -> None:
        super().__init__()
        self.S_Adapter, self.T_Adapter, self.MLP_Adapter = (AIMAdapter() for _ in range(3))
        self.T_Adapter_in = AIMAdapter() if num_adapters == 2 else None
        self.scale = scale

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        clips = x.reshape(-1, num_frames, *x.shape[1:])  # (B, T, N, D)
        seen = torch.zeros_like(clips)
        for place in range(x.shape[1]):
            taken = self.ln_1(clips[:, :, place])
            if self.T_Adapter_in is not None:
                taken = taken + self.T_Adapter_in(taken)
            seen[:, :, place] = self.T_Adapter(self.attention(taken))
        x = x + seen.reshape(x.shape)
        attended = self.attention(self.ln_1(x))
        x = x + attended + self.S_Adapter(attended)
        normed = self.ln_2(x)
        return x + self.mlp(normed) + self.scale * self.MLP_Adapter(normed)


class ImageNetwork(nn.Module):
    """The image network of CLIP over frames: (B, T, 3, H, W) to class tokens (B, T, D)."""

    def __init__(self, blocks: list[Block], size: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(WIDTH))
        self.positional_embedding = nn.Parameter(torch.zeros((size // PATCH) ** 2 + 1, WIDTH))
        self.ln_pre, self.ln_post = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(blocks)

    def tokens(self, video: Tensor) -> Tensor:
        num_frames = video.shape[1]
        patches = self.conv1(video.flatten(0, 1)).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(patches), 1, -1)
        x = torch.cat([first, patches], dim=1) + self.positional_embedding
        if hasattr(self, "temporal_embedding"):
            x = x + self.temporal_embedding[0].repeat(len(video), 1)[:, None]
        x = self.ln_pre(x)
        for block in self.transformer.resblocks:
            x = block(x, num_frames)
        return x[:, 0].reshape(*video.shape[:2], -1)


class ST(ImageNetwork):
    """The recognizer of ST-Adapter: its class tokens are averaged, and then normalised."""

    def __init__(
        self, num_classes: int, places: Places, *, width: int = 64, size: int = 48
    ) -> None:
        super().__init__([STBlock(places, width) for _ in range(DEPTH)], size)
        self.fc = nn.Linear(WIDTH, num_classes)

    def forward(self, video: Tensor) -> Tensor:
        return self.fc(self.ln_post(self.tokens(video).mean(dim=1)))


class AIM(nn.Module):
    """The recognizer of AIM: its class tokens are normalised, and then averaged."""

    def __init__(
        self, num_classes: int, num_frames: int, *, scale: float, num_adapters: int, size: int = 48
    ) -> None:
        super().__init__()
        blocks: list[Block] = [AIMBlock(scale, num_adapters) for _ in range(DEPTH)]
        self.backbone = ImageNetwork(blocks, size)
        self.backbone.temporal_embedding = nn.Parameter(torch.zeros(1, num_frames, WIDTH))
        self.cls_head = nn.Module()
        self.cls_head.fc_cls = nn.Linear(WIDTH, num_classes)

    def forward(self, video: Tensor) -> Tensor:
        tokens = self.backbone.ln_post(self.backbone.tokens(video))
        return self.cls_head.fc_cls(tokens.mean(dim=1))


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights, none of which is what networks begin with."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        spread = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.2
        parameter.data = spread * torch.randn(parameter.shape, generator=generator)
        if name.endswith("weight") and parameter.ndim == 1:
            parameter.data += 1
    return network.eval()


ADDED = re.compile(r"[aA]dapter|temporal_embedding|^fc\.|^cls_head\.")


def trained_part(network: nn.Module) -> dict[str, Tensor]:
    """The weights that are trained on a frozen CLIP: of AIM the last normalisation as well."""
    norm = "ln_post" if isinstance(network, AIM) else "no"
    state = network.state_dict()
    return {key: state[key] for key in state if ADDED.search(key) or f".{norm}." in key}


def image_part(network: nn.Module) -> dict[str, Tensor]:
    """The weights of the frozen CLIP, as its own file names them."""
    state = (network.backbone if isinstance(network, AIM) else network).state_dict()
    return {key: state[key] for key in state if not ADDED.search(key)}
