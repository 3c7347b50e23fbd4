"""RestoreFormer: faces rebuilt from a codebook that looks at the damaged image (Wang et al. 2022).

The decoder's queries come from the damaged image's features, keys and values from the codebook's
(section 3.1, equation 3). Parameter names are those of the published file.
"""

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from torch import Tensor, nn

from .conv import conv2d, fastest_format
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

_SHORTCUT = "nin_shortcut"


@dataclass(frozen=True)
class RestoreFormerConfig:
    """Everything that a `RestoreFormer` was built from: its constructor's keyword arguments.

    Attributes:
        in_channels, out_channels: 3 for RGB.
        ch: channels at full size; level i, of 1 / 2**i of the size, has ch * ch_mult[i].
        ch_mult: factors of the levels' channels.
        num_res_blocks: residual blocks of a level of the encoder; the decoder has one more.
        attn_levels: levels with attention.
        z_channels: channels between encoder and codebook.
        embed_dim, n_embed: features and entries of the codebook.
        head_size: heads of the attention. No tensor's shape tells it.
    """

    in_channels: int
    out_channels: int
    ch: int
    ch_mult: tuple[int, ...]
    num_res_blocks: int
    attn_levels: tuple[int, ...]
    z_channels: int
    embed_dim: int
    n_embed: int
    head_size: int


class CrossAttention(nn.Module):
    """x plus attention: keys and values of x, queries of y, or of x itself without y.

    Shapes: [N, channels, H, W] each -> the same.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = group_norm(channels)
        self.norm2 = group_norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        normed = self.norm1(x)
        source = normed if y is None else self.norm2(y)
        attended = pixel_attention(self.q(source), self.k(normed), self.v(normed), self.heads)
        return x + self.proj_out(attended)


class _Middle(nn.Module):
    """Residual block, attention, residual block at the smallest size."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(channels, channels, shortcut=_SHORTCUT)
        self.attn_1 = CrossAttention(channels, heads)
        self.block_2 = ResidualBlock(channels, channels, shortcut=_SHORTCUT)


class _Level(nn.Module):
    """The residual blocks of one level, with attention after each where it has some."""

    def __init__(self, channels: Sequence[int], heads: int | None) -> None:
        super().__init__()
        self.block = nn.ModuleList(
            ResidualBlock(before, after, shortcut=_SHORTCUT)
            for before, after in itertools.pairwise(channels)
        )
        count = 0 if heads is None else len(self.block)
        self.attn = nn.ModuleList(CrossAttention(channels[-1], heads or 1) for _ in range(count))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        for index, block in enumerate(self.block):
            x = block(x)
            if len(self.attn) > 0:
                x = self.attn[index](x, y)
        return x


class Encoder(nn.Module):
    """Images to features, and the features that the decoder's attention asks with.

    Shapes: [N, in_channels, H, W] -> [N, z_channels, h, w]; by level [N, C_i, H / 2**i, W / 2**i],
    at the smallest size those within the middle; and those after the middle.
    """

    def __init__(self, config: RestoreFormerConfig) -> None:
        super().__init__()
        heads = config.head_size
        self.conv_in = nn.Conv2d(config.in_channels, config.ch, 3, padding=1)
        self.down = nn.ModuleList()
        before = config.ch
        for index, factor in enumerate(config.ch_mult):
            channels = config.ch * factor
            sizes = [before, *[channels] * config.num_res_blocks]
            level = _Level(sizes, heads if index in config.attn_levels else None)
            if index < len(config.ch_mult) - 1:
                level.add_module("downsample", Downsample(channels))
            self.down.append(level)
            before = channels
        self.mid = _Middle(before, heads)
        self.norm_out = group_norm(before)
        self.conv_out = nn.Conv2d(before, config.z_channels, 3, padding=1)

    def forward(self, img: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        x = conv2d(img, self.conv_in)
        levels = []
        for index, level in enumerate(self.down):
            x = level(x)
            levels.append(x)
            if index < len(self.down) - 1:
                x = level.get_submodule("downsample")(x)
        levels[-1] = self.mid.block_1(x)  # the published decoder asks with this one
        middle = self.mid.block_2(self.mid.attn_1(levels[-1]))
        z = conv2d(swish_of(normalize(middle, self.norm_out)), self.conv_out)
        return z, levels, middle


class Decoder(nn.Module):
    """Codebook features to images, asking the encoder's features in every attention.

    Shapes: [N, z_channels, h, w] and what `Encoder` gives besides -> [N, out_channels, H, W].
    """

    def __init__(self, config: RestoreFormerConfig) -> None:
        super().__init__()
        heads = config.head_size
        before = config.ch * config.ch_mult[-1]
        self.conv_in = nn.Conv2d(config.z_channels, before, 3, padding=1)
        self.mid = _Middle(before, heads)
        levels = []
        for index, factor in reversed(list(enumerate(config.ch_mult))):
            channels = config.ch * factor
            sizes = [before, *[channels] * (config.num_res_blocks + 1)]
            level = _Level(sizes, heads if index in config.attn_levels else None)
            if index > 0:
                level.add_module("upsample", Upsample(channels))
            levels.insert(0, level)
            before = channels
        self.up = nn.ModuleList(levels)
        self.norm_out = group_norm(before)
        self.conv_out = nn.Conv2d(before, config.out_channels, 3, padding=1)

    def forward(self, z: Tensor, levels: Sequence[Tensor], middle: Tensor) -> Tensor:
        x = self.mid.block_1(conv2d(z, self.conv_in))
        x = self.mid.block_2(self.mid.attn_1(x, middle))
        for index in reversed(range(len(self.up))):
            level = self.up[index]
            x = level(x, levels[index])
            if index > 0:
                x = level.get_submodule("upsample")(x)
        return conv2d(swish_of(normalize(x, self.norm_out)), self.conv_out)


class RestoreFormer(nn.Module):
    """Restore aligned faces; see `RestoreFormerConfig` for the arguments.

    Shapes: [N, in_channels, H, W] nominally -1..1 -> [N, out_channels, H, W], not clamped. H and W
    are multiples of 2**(levels - 1); the published network was trained at 512.

    Raises:
        ValueError: the config does not describe a network.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int = 3,
        ch: int = 64,
        ch_mult: Sequence[int] = (1, 2, 2, 4, 4, 8),
        num_res_blocks: int = 2,
        attn_levels: Sequence[int] = (5,),
        z_channels: int = 256,
        embed_dim: int = 256,
        n_embed: int = 1024,
        head_size: int = 8,
    ) -> None:
        super().__init__()
        self.config = RestoreFormerConfig(
            in_channels=in_channels,
            out_channels=out_channels,
            ch=ch,
            ch_mult=tuple(ch_mult),
            num_res_blocks=num_res_blocks,
            attn_levels=tuple(attn_levels),
            z_channels=z_channels,
            embed_dim=embed_dim,
            n_embed=n_embed,
            head_size=head_size,
        )
        _check(self.config)
        self.encoder = Encoder(self.config)
        self.decoder = Decoder(self.config)
        self.quantize = VectorQuantizer(n_embed, embed_dim)
        self.quant_conv = nn.Conv2d(z_channels, embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(embed_dim, z_channels, 1)

    @classmethod
    def from_config(cls, config: RestoreFormerConfig) -> "RestoreFormer":
        """Build an untrained network."""
        return cls(**asdict(config))

    def forward(self, img: Tensor) -> Tensor:
        """Restore faces.

        Raises:
            ValueError: img has another shape than the class says.
        """
        return self.restore(img)[0]

    def restore(self, img: Tensor) -> tuple[Tensor, Tensor]:
        """Restored faces and the codebook indices used, int64 [N, h, w]; see `forward`."""
        channels, multiple = self.config.in_channels, 2 ** (len(self.config.ch_mult) - 1)
        sides = img.shape[2:]
        if img.ndim != 4 or img.shape[1] != channels or any(s < 1 or s % multiple for s in sides):
            raise ValueError(
                f"RestoreFormer: expected img [N, {channels}, H, W] with sides of multiples of "
                f"{multiple}, got {tuple(img.shape)}"
            )
        z, levels, middle = self.encoder(fastest_format(img))
        entries, codes = self.quantize(self.quant_conv(z))
        out = self.decoder(self.post_quant_conv(entries), levels, middle)
        return out.contiguous(), codes


def _check(config: RestoreFormerConfig) -> None:
    sizes = {name: size for name, size in asdict(config).items() if isinstance(size, int)}
    check_sizes("RestoreFormer", sizes)
    levels = len(config.ch_mult)
    if levels < 1 or min(config.ch_mult) < 1:
        raise ValueError(f"RestoreFormer: expected ch_mult >= 1, got {config.ch_mult}")
    if any(not 0 <= level < levels for level in config.attn_levels):
        raise ValueError(
            f"RestoreFormer: expected attn_levels of 0..{levels - 1}, got {config.attn_levels}"
        )
    widths = {config.ch * config.ch_mult[level] for level in (*config.attn_levels, levels - 1)}
    if any(width % config.head_size for width in widths):
        raise ValueError(
            f"RestoreFormer: expected head_size to divide {sorted(widths)}, got {config.head_size}"
        )
