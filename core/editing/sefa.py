"""Closed-form factorisation of latent semantics (SeFa; Shen & Zhou, CVPR 2021, section 3).

A direction n changes the styles of a layer by A n, where A is the layer's affine weight. The unit
vectors that change them most maximise ||A n||^2, so they are the eigenvectors of A^T A with the
largest eigenvalues (equations 5 to 8). No samples and no labels are needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from ..errors import InputError
from ..models import stylegan1, stylegan3
from ..models.blocks import block_resolutions
from ..models.plain_generator import PlainGenerator
from .directions import Direction, check_scale, layer_range
from .spread import check_count, fix_signs, sample_w

if TYPE_CHECKING:
    from ..models.plans import AnyGenerator

SPREAD_SAMPLES = 512
"""Latents used to measure how far W spreads along a direction; seeds 0..511."""


def style_weights(generator: AnyGenerator) -> list[Tensor]:
    """Affine weights by W+ layer: item i is [C_i, w_dim], what layer i's latent becomes styles by.

    StyleGAN1 and 2: convolutions take layers 0, 1, 2, ... in order; StyleGAN2's final layer feeds
    the last toRGB alone. StyleGAN3: layer 0 places the input (rotation and shift), each further
    one is a convolution, the last toRGB. Equalised learning rate gains are included. float64 on
    the CPU.

    Raises:
        InputError: the generator has no styles.
    """
    if isinstance(generator, PlainGenerator):
        raise InputError(
            "generator: expected one with styles (StyleGAN) for SeFa, got one that draws z "
            "at once; method ganspace finds directions of any generator with latents"
        )
    return [
        a.weight.detach().double().cpu() * float(getattr(a, "weight_gain", 1.0))
        for a in _affines(generator)
    ]


def _affines(generator: AnyGenerator) -> list[Any]:
    """The layers that turn w into styles, by W+ layer."""
    synthesis = generator.synthesis
    if isinstance(synthesis, stylegan3.SynthesisNetwork):
        names = ["input", *synthesis.layer_names]
        return [cast("Any", synthesis.get_submodule(name)).affine for name in names]
    resolutions = block_resolutions(generator.config.img_resolution)
    blocks: list[Any] = [synthesis.get_submodule(f"b{resolution}") for resolution in resolutions]
    if isinstance(synthesis, stylegan1.SynthesisNetwork):
        return [layer.affine for block in blocks for layer in (block.layer0, block.layer1)]
    affines = [
        getattr(block, name).affine
        for block in blocks
        for name in ("conv0", "conv1")
        if hasattr(block, name)
    ]
    return [*affines, blocks[-1].torgb.affine]


def closed_form_directions(
    generator: AnyGenerator,
    model_hash: str,
    *,
    count: int,
    first_layer: int = 0,
    last_layer: int = -1,
    scale: str = "spread",
) -> list[Direction]:
    """Find the directions that change the styles of the chosen layers most.

    Args:
        generator: a StyleGAN generator of any version, on any device.
        model_hash: SHA-256 of its file.
        count: number of directions, 1..w_dim, in order of falling eigenvalue.
        first_layer: first W+ layer looked at and later edited.
        last_layer: last such layer, included; negative for the final one.
        scale: "spread" makes strength 1 one standard deviation of W along the direction, so the
            same strengths suit every model; "unit" gives unit vectors, as in the paper.

    Returns:
        `count` directions, mutually orthogonal, with deterministic signs.

    Raises:
        InputError: count, layers or scale do not fit the generator, or it has no W.
    """
    check_count(generator, count)
    check_scale(scale)
    weights = style_weights(generator)
    first, last = layer_range(first_layer, last_layer, len(weights))
    a = torch.cat(weights[first : last + 1])  # [sum C_i, w_dim]
    values, columns = torch.linalg.eigh(a.T @ a)  # ascending
    vectors = fix_signs(columns.T.flip(0)[:count])
    values = values.flip(0)[:count]
    lengths = torch.ones(count).double()
    if scale == "spread":
        lengths = (sample_w(generator, SPREAD_SAMPLES) @ vectors.T).std(dim=0)
    scaled = (vectors * lengths[:, None]).float()
    return [
        Direction(scaled[k].clone(), first, last, model_hash, f"sefa-{k}", float(values[k]))
        for k in range(count)
    ]
