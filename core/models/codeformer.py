"""CodeFormer: a transformer predicts the codebook entries of a clean face (Zhou et al. 2022).

Written from the paper and the parameter names of the published files, which load as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .conv import ConvPair, conv2d, fastest_format
from .levels import check_sizes
from .vqgan import (
    Downsample,
    ResidualBlock,
    Upsample,
    VectorQuantizer,
    group_norm,
    normalize,
    pixel_attention,
    swish_of,
)

_SHORTCUT = "conv_out"
_SLOPE = 0.2
_ADAIN_EPSILON = 1e-5
_RESTORE_CODES = 1024  # entries of the published codebooks for restoration and colour


@dataclass(frozen=True)
class CodeFormerConfig:
    """Everything that a `CodeFormer` was built from: its constructor's keyword arguments.

    Attributes:
        img_resolution: height and width.
        channels: channels at full size; level i, of 1 / 2**i of the size, has
            channels * channel_multipliers[i].
        channel_multipliers: factors of the levels' channels.
        num_res_blocks: residual blocks of a level.
        attn_levels: levels with attention.
        embed_dim, codebook_size: features and entries of the codebook.
        transformer_dim: features of the transformer.
        num_heads: heads of the transformer. No tensor's shape tells it.
        num_layers: layers of the transformer.
        connect_resolutions: sizes at which the encoder's features can be mixed in.
    """

    img_resolution: int
    channels: int
    channel_multipliers: tuple[int, ...]
    num_res_blocks: int
    attn_levels: tuple[int, ...]
    embed_dim: int
    codebook_size: int
    transformer_dim: int
    num_heads: int
    num_layers: int
    connect_resolutions: tuple[int, ...]


class Usage(NamedTuple):
    """How a published variant is called: fidelity w, and whether colours follow the input."""

    w: float
    adain: bool


RESTORE, COLOUR, INPAINT = Usage(0.5, True), Usage(0.0, True), Usage(1.0, False)


def default_usage(config: CodeFormerConfig) -> Usage:
    """The variant that a config is of: inpainting has fewer codes, colour connects less."""
    if config.codebook_size < _RESTORE_CODES:
        return INPAINT
    levels = len(config.channel_multipliers)
    inner = {config.img_resolution >> level for level in range(1, levels - 1)}
    return RESTORE if inner <= set(config.connect_resolutions) else COLOUR


class PixelAttention(nn.Module):
    """x plus attention of one head between its pixels. [N, C, H, W] -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return x + self.proj_out(pixel_attention(self.q(y), self.k(y), self.v(y), heads=1))


class BlockStack(nn.Module):
    """Blocks in a row, a normalisation among them with swish after it.

    Args:
        blocks: what to run.
        taps: the sizes of features by the index of the block that makes them.
    """

    def __init__(self, blocks: Sequence[nn.Module], taps: Mapping[int, int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.taps = dict(taps)

    def forward(self, x: Tensor, visit: Callable[[int, Tensor], Tensor]) -> Tensor:
        """Run all; at each tap, go on with what `visit` makes of the size and the features."""
        for index, block in enumerate(self.blocks):
            if isinstance(block, nn.GroupNorm):
                x = swish_of(normalize(x, block))
            else:
                x = conv2d(x, block) if isinstance(block, nn.Conv2d) else block(x)
            if index in self.taps:
                x = visit(self.taps[index], x)
        return x


class TransformerLayer(nn.Module):
    """Self-attention, then two linear layers, each normalised first and added.

    Positions are added to queries and keys only.

    Shapes: x [N, L, C], position [L, C] -> [N, L, C].
    """

    def __init__(self, features: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.self_attn = _SelfAttention(features, heads)
        self.linear1 = nn.Linear(features, hidden)
        self.linear2 = nn.Linear(hidden, features)
        self.norm1 = nn.LayerNorm(features)
        self.norm2 = nn.LayerNorm(features)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.self_attn(y + position, y)
        return x + self.linear2(functional.gelu(self.linear1(self.norm2(x))))


class _SelfAttention(nn.Module):
    """Attention with the parameter names of `nn.MultiheadAttention`."""

    def __init__(self, features: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * features, features))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * features))
        self.out_proj = nn.Linear(features, features)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, source: Tensor, values: Tensor) -> Tensor:
        batch, length, features = source.shape
        weight, bias = self.in_proj_weight, self.in_proj_bias
        pair = functional.linear(source, weight[: 2 * features], bias[: 2 * features])
        v = functional.linear(values, weight[2 * features :], bias[2 * features :])
        q, k, v = (
            x.view(batch, length, self.heads, -1).transpose(1, 2)
            for x in (*pair.chunk(2, dim=2), v)
        )
        y = functional.scaled_dot_product_attention(q, k, v)
        return self.out_proj(y.transpose(1, 2).reshape(batch, length, features))


class FeatureFusion(nn.Module):
    """Controllable feature transformation (Zhou et al. 2022, equation 6).

    Shapes: encoder's and decoder's features [N, C, H, W] -> [N, C, H, W].
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encode_enc = ResidualBlock(2 * channels, channels, shortcut=_SHORTCUT)
        self.scale = ConvPair(channels, channels, slope=_SLOPE)
        self.shift = ConvPair(channels, channels, slope=_SLOPE)

    def forward(self, encoded: Tensor, decoded: Tensor, w: float) -> Tensor:
        both = self.encode_enc(torch.cat([encoded, decoded], dim=1))
        transformed = torch.addcmul(self.shift(both), decoded, self.scale(both))
        return torch.add(decoded, transformed, alpha=w)


class CodeFormer(nn.Module):
    """Restore aligned faces; see `CodeFormerConfig` for the arguments.

    Shapes: [N, 3, R, R] nominally -1..1 -> [N, 3, R, R], not clamped.

    Raises:
        ValueError: the config does not describe a network.
    """

    def __init__(
        self,
        *,
        img_resolution: int = 512,
        channels: int = 64,
        channel_multipliers: Sequence[int] = (1, 2, 2, 4, 4, 8),
        num_res_blocks: int = 2,
        attn_levels: Sequence[int] = (5,),
        embed_dim: int = 256,
        codebook_size: int = 1024,
        transformer_dim: int = 512,
        num_heads: int = 8,
        num_layers: int = 9,
        connect_resolutions: Sequence[int] = (32, 64, 128, 256),
    ) -> None:
        super().__init__()
        config = self.config = CodeFormerConfig(
            img_resolution=img_resolution,
            channels=channels,
            channel_multipliers=tuple(channel_multipliers),
            num_res_blocks=num_res_blocks,
            attn_levels=tuple(attn_levels),
            embed_dim=embed_dim,
            codebook_size=codebook_size,
            transformer_dim=transformer_dim,
            num_heads=num_heads,
            num_layers=num_layers,
            connect_resolutions=tuple(sorted(connect_resolutions)),
        )
        _check(config)
        self.encoder = _encoder(config)
        self.generator = _generator(config)
        self.quantize = VectorQuantizer(codebook_size, embed_dim)
        tokens = (img_resolution >> (len(config.channel_multipliers) - 1)) ** 2
        self.position_emb = nn.Parameter(torch.zeros(tokens, transformer_dim))
        self.feat_emb = nn.Linear(embed_dim, transformer_dim)
        self.ft_layers = nn.ModuleList(
            TransformerLayer(transformer_dim, 2 * transformer_dim, num_heads)
            for _ in range(num_layers)
        )
        self.idx_pred_layer = nn.Sequential(
            nn.LayerNorm(transformer_dim), nn.Linear(transformer_dim, codebook_size, bias=False)
        )
        self.fuse_convs_dict = nn.ModuleDict()
        for resolution in config.connect_resolutions:
            level = (img_resolution // resolution).bit_length() - 1
            width = channels * config.channel_multipliers[level]
            self.fuse_convs_dict[str(resolution)] = FeatureFusion(width)

    @classmethod
    def from_config(cls, config: CodeFormerConfig) -> "CodeFormer":
        """Build an untrained network."""
        return cls(**asdict(config))

    def forward(self, img: Tensor, w: float | None = None, adain: bool | None = None) -> Tensor:
        """Restore faces.

        Args:
            img: as the class says.
            w: fidelity to the input, from 0 (the codebook alone) to 1.
            adain: whether features take the mean and deviation of the input's.
                None of these: as the published variant is called, see `default_usage`.

        Raises:
            ValueError: img has another shape than the class says.
        """
        return self.restore(img, w, adain)[0]

    def restore(
        self, img: Tensor, w: float | None = None, adain: bool | None = None
    ) -> tuple[Tensor, Tensor]:
        """Restored faces and the predicted codes, int64 [N, R / 32, R / 32]; see `forward`."""
        size = self.config.img_resolution
        if img.ndim != 4 or tuple(img.shape[1:]) != (3, size, size):
            raise ValueError(
                f"CodeFormer: expected img [N, 3, {size}, {size}], got {tuple(img.shape)}"
            )
        usage = default_usage(self.config)
        w = usage.w if w is None else w
        encoded: dict[int, Tensor] = {}

        def keep(resolution: int, x: Tensor) -> Tensor:
            encoded[resolution] = x
            return x

        def fuse(resolution: int, x: Tensor) -> Tensor:
            name = str(resolution)
            if w == 0 or name not in self.fuse_convs_dict:
                return x
            return self.fuse_convs_dict[name](encoded[resolution], x, w)

        z = self.encoder(fastest_format(img), keep)
        codes = self.predict(z).argmax(dim=-1)
        x = self.quantize.look_up(codes)
        if usage.adain if adain is None else adain:
            x = _match_statistics(x, z)
        return self.generator(fastest_format(x), fuse).contiguous(), codes

    def predict(self, z: Tensor) -> Tensor:
        """Scores of the codes for the encoder's result, [N, E, h, w] -> [N, h, w, codes]."""
        batch, _, height, width = z.shape
        x = self.feat_emb(z.flatten(2).transpose(1, 2))
        for layer in self.ft_layers:
            x = layer(x, self.position_emb)
        return self.idx_pred_layer(x).view(batch, height, width, -1)


def _match_statistics(x: Tensor, like: Tensor) -> Tensor:
    """x with the mean and deviation of `like` in each channel (Huang and Belongie 2017, eq. 8)."""
    (x_std, x_mean), (std, mean) = (_statistics(t) for t in (x, like))
    return (x - x_mean) / x_std * std + mean


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(x, dim=(2, 3), keepdim=True)
    return (variance + _ADAIN_EPSILON).sqrt(), mean


def _encoder(config: CodeFormerConfig) -> BlockStack:
    """Features of a level are taken after its last residual block."""
    before = config.channels
    blocks: list[nn.Module] = [nn.Conv2d(3, before, 3, padding=1)]
    taps = {}
    for level, factor in enumerate(config.channel_multipliers):
        if level > 0:
            blocks.append(Downsample(before))
        for _ in range(config.num_res_blocks):
            blocks.append(ResidualBlock(before, config.channels * factor, shortcut=_SHORTCUT))
            before = config.channels * factor
            last = len(blocks) - 1
            if level in config.attn_levels:
                blocks.append(PixelAttention(before))
        taps[last] = config.img_resolution >> level
    blocks += [*_middle(before), group_norm(before)]
    blocks.append(nn.Conv2d(before, config.embed_dim, 3, padding=1))
    return BlockStack(blocks, taps)


def _generator(config: CodeFormerConfig) -> BlockStack:
    """The encoder's features are mixed in after the first residual block of a level."""
    before = config.channels * config.channel_multipliers[-1]
    blocks: list[nn.Module] = [nn.Conv2d(config.embed_dim, before, 3, padding=1)]
    blocks += _middle(before)
    taps = {}
    for level, factor in reversed(list(enumerate(config.channel_multipliers))):
        taps[len(blocks)] = config.img_resolution >> level
        for _ in range(config.num_res_blocks):
            blocks.append(ResidualBlock(before, config.channels * factor, shortcut=_SHORTCUT))
            before = config.channels * factor
            if level in config.attn_levels:
                blocks.append(PixelAttention(before))
        if level > 0:
            blocks.append(Upsample(before))
    blocks += [group_norm(before), nn.Conv2d(before, 3, 3, padding=1)]
    return BlockStack(blocks, taps)


def _middle(channels: int) -> list[nn.Module]:
    first, second = (ResidualBlock(channels, channels, shortcut=_SHORTCUT) for _ in range(2))
    return [first, PixelAttention(channels), second]


def _check(config: CodeFormerConfig) -> None:
    sizes = {name: size for name, size in asdict(config).items() if isinstance(size, int)}
    check_sizes("CodeFormer", sizes)
    levels = len(config.channel_multipliers)
    if levels < 1 or min(config.channel_multipliers) < 1:
        raise ValueError(
            f"CodeFormer: expected channel_multipliers >= 1, got {config.channel_multipliers}"
        )
    if config.img_resolution % 2 ** (levels - 1):
        raise ValueError(
            f"CodeFormer: expected img_resolution a multiple of {2 ** (levels - 1)}, "
            f"got {config.img_resolution}"
        )
    if any(not 0 <= level < levels for level in config.attn_levels):
        raise ValueError(
            f"CodeFormer: expected attn_levels of 0..{levels - 1}, got {config.attn_levels}"
        )
    if config.transformer_dim % config.num_heads:
        raise ValueError(
            f"CodeFormer: expected num_heads to divide {config.transformer_dim}, "
            f"got {config.num_heads}"
        )
    known = {config.img_resolution >> level for level in range(levels)}
    if not known >= set(config.connect_resolutions):
        raise ValueError(
            f"CodeFormer: expected connect_resolutions of {sorted(known)}, "
            f"got {config.connect_resolutions}"
        )
