"""What the generator and the discriminator of StyleGAN2 share: block sizes and their checks."""

from typing import Literal, Protocol, get_args

BlockWiring = Literal["skip", "resnet", "orig"]
"""How blocks are joined to the image and to each other (Karras et al. 2020, section 4.1)."""


class BlockConfig(Protocol):
    """The fields that both configs have."""

    @property
    def c_dim(self) -> int: ...
    @property
    def img_resolution(self) -> int: ...
    @property
    def img_channels(self) -> int: ...
    @property
    def channel_base(self) -> int: ...
    @property
    def channel_max(self) -> int: ...
    @property
    def num_mapping_layers(self) -> int: ...
    @property
    def architecture(self) -> BlockWiring: ...


def block_resolutions(img_resolution: int) -> list[int]:
    """Heights of the blocks: 4, 8, ... img_resolution."""
    return [2**i for i in range(2, img_resolution.bit_length())]


def block_channels(config: BlockConfig, resolution: int) -> int:
    """Channels of the block at `resolution`."""
    return min(config.channel_base // resolution, config.channel_max)


def check_config(network: str, config: BlockConfig) -> None:
    """Refuse sizes that describe no network.

    Raises:
        ValueError: names the field, what it may be and what came.
    """
    size = config.img_resolution
    if size < 4 or size & (size - 1):
        raise ValueError(f"{network}: expected img_resolution 4, 8, 16, ..., got {size}")
    if config.architecture not in get_args(BlockWiring):
        raise ValueError(
            f"{network}: expected architecture of {get_args(BlockWiring)}, "
            f"got {config.architecture!r}"
        )
    if config.channel_max < 1 or config.channel_base < size:
        raise ValueError(
            f"{network}: expected channel_base >= img_resolution and channel_max >= 1, "
            f"got {config.channel_base}, {config.channel_max}"
        )
    if config.img_channels < 1 or config.c_dim < 0 or config.num_mapping_layers < 1:
        raise ValueError(
            f"{network}: expected img_channels >= 1, c_dim >= 0 and num_mapping_layers >= 1, "
            f"got {config.img_channels}, {config.c_dim} and {config.num_mapping_layers}"
        )
