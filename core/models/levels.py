"""What the U-Net and the patch discriminator share: channels by level and the check of sizes."""

from collections.abc import Mapping


def level_channels(base: int, maximum: int, count: int) -> list[int]:
    """Channels of `count` levels: `base`, doubled from level to level, at most `maximum`."""
    return [min(base * 2**level, maximum) for level in range(count)]


def check_sizes(network: str, sizes: Mapping[str, int]) -> None:
    """Refuse sizes below 1.

    Raises:
        ValueError: names the network and the sizes.
    """
    wrong = {name: size for name, size in sizes.items() if size < 1}
    if wrong:
        raise ValueError(f"{network}: expected sizes >= 1, got {wrong}")
