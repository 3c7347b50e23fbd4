"""A face at low resolution, for a preview that follows the hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .models import stylegan2
from .models.plans import plan_of

if TYPE_CHECKING:
    from .models.plans import AnyGenerator


@torch.no_grad()
def small_images(generator: AnyGenerator, ws: Tensor, side: int) -> Tensor:
    """Draw images of at most `side` pixels, with as little of the network as that takes.

    A StyleGAN2 network that sums its image resolution by resolution ("skip", the published one)
    stops at the last block that fits; what finer blocks would add, some contrast among it, is
    missing then. Every other network draws the whole image, which is reduced.

    Args:
        generator: one that has latents, on any device.
        ws: [N, num_ws, w_dim].
        side: most pixels of a side, at least 4.

    Returns:
        Tensor [N, C, R, R] float32 on the CPU in 0..1, R <= side.

    Raises:
        ValueError: `side` is below 4.
    """
    if side < 4:
        raise ValueError(f"small_images: side must be at least 4, got {side}")
    ws = ws.to(next(generator.parameters()).device)
    synthesis = generator.synthesis
    if isinstance(synthesis, stylegan2.SynthesisNetwork) and _is_summed(synthesis, side):
        x = _first_blocks(synthesis, ws, side)
    else:
        x = plan_of(generator)(ws, noise_mode="const")
    x = x.float()
    if x.shape[-1] > side:
        x = interpolate(x, size=(side, side), mode="area")
    return x.cpu().add(1).div(2).clamp(0, 1)


def _is_summed(synthesis: stylegan2.SynthesisNetwork, side: int) -> bool:
    """Whether a network is larger than `side` and has an image of its own at every resolution."""
    blocks = synthesis.block_resolutions
    return blocks[-1] > side and all(
        getattr(synthesis.get_submodule(f"b{size}"), "has_torgb", False) for size in blocks
    )


def _first_blocks(synthesis: stylegan2.SynthesisNetwork, ws: Tensor, side: int) -> Tensor:
    """The image that a summing network has when its blocks up to `side` pixels are done."""
    x = image = None
    start = 0
    for size in synthesis.block_resolutions:
        if size > side:
            break
        block = synthesis.get_submodule(f"b{size}")
        assert isinstance(block, stylegan2.SynthesisBlock)
        x, image = block(x, image, ws[:, start : start + block.num_conv + 1], "const", None)
        start += block.num_conv
    assert image is not None
    return image
