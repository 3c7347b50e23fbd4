"""Latents of a style-based generator: drawing them from seeds and turning them into images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .chunks import Report, in_chunks
from .errors import InputError
from .models.plans import class_fits, has_latents, plan_of
from .seeds import MAX_SEED

if TYPE_CHECKING:
    from .models.plans import AnyGenerator

NOISE_MODES = ("const", "random", "none")


@dataclass(frozen=True)
class Latents:
    """A batch of W+ latents and the generator they belong to.

    Attributes:
        ws: [N, num_ws, w_dim] float32 on the CPU, after truncation.
        space: "W" where every layer holds the same vector, "W+" where layers may differ.
        model_hash: SHA-256 of the generator's file; a latent means nothing to another generator.
    """

    ws: Tensor
    space: str
    model_hash: str

    def __post_init__(self) -> None:
        if self.ws.ndim != 3 or self.ws.shape[0] < 1 or not self.ws.is_floating_point():
            raise ValueError(
                f"Latents: ws must be floating point [N>=1, num_ws, w_dim], got "
                f"{tuple(self.ws.shape)} {self.ws.dtype}"
            )
        if self.space not in ("W", "W+"):
            raise ValueError(f"Latents: space must be 'W' or 'W+', got {self.space!r}")

    def __len__(self) -> int:
        return self.ws.shape[0]

    def first(self, count: int) -> Latents:
        """The first `count` latents, or all of them when there are fewer."""
        return replace(self, ws=self.ws[:count])

    def pick(self, indices: Sequence[int]) -> Latents:
        """The latents of the numbers given, in that order; a number may stand twice."""
        return replace(self, ws=self.ws[list(indices)])


def seeded_z(seed: int, count: int, z_dim: int) -> Tensor:
    """Draw z of seeds `seed` .. `seed + count - 1` as the published StyleGAN tools do.

    Seed k is `numpy.random.RandomState(k).randn(1, z_dim)`, so a published model shows the faces
    that people know, and a face does not depend on the batch it is drawn in.

    Returns:
        Tensor [count, z_dim] float32.

    Raises:
        InputError: a seed lies outside 0..2**32-1.
    """
    if seed < 0 or count < 1 or seed + count - 1 > MAX_SEED:
        raise InputError(
            f"seeds must lie in 0..{MAX_SEED}, got {seed}..{seed + count - 1} ({count} latents)"
        )
    rows = [np.random.RandomState(k).randn(1, z_dim) for k in range(seed, seed + count)]
    return torch.from_numpy(np.concatenate(rows)).float()


def class_labels(generator: AnyGenerator, class_index: int, count: int) -> Tensor | None:
    """One-hot labels [count, c_dim], or None where a negative index names no class.

    That suits a generator without classes, and InfoGAN, whose seed then chooses.

    Raises:
        InputError: the index does not fit the generator.
    """
    c_dim = generator.config.c_dim
    if not class_fits(generator, class_index):
        if c_dim == 0:
            raise InputError(
                f"class_index: this generator has no classes, so it must be -1, got {class_index}"
            )
        raise InputError(f"class_index: expected 0..{c_dim - 1}, got {class_index}")
    return None if class_index < 0 else torch.eye(c_dim)[class_index].repeat(count, 1)


@torch.no_grad()
def sample_latents(
    generator: AnyGenerator,
    model_hash: str,
    *,
    seed: int,
    count: int,
    truncation_psi: float = 1.0,
    truncation_cutoff: int | None = None,
    class_index: int = -1,
) -> Latents:
    """Map the z of `count` seeds to W+ latents.

    Args:
        generator: the generator whose mapping network is used, on any device.
        model_hash: SHA-256 of its file, kept with the latents.
        seed: first seed; latent i has seed `seed + i`.
        count: number of latents.
        truncation_psi: 1 keeps the latent, 0 gives the average face.
        truncation_cutoff: layers that truncation touches, counted from the first; None for all.
        class_index: class of a conditional generator; -1 for one without, see `class_labels`.

    Raises:
        InputError: seeds or class do not fit, or the generator has no W.
    """
    if not has_latents(generator):
        raise InputError(
            "generator: this one (PGGAN) turns z into images at once and has no W, so there are "
            "no latents to sample or edit; ganvas sample draws its images"
        )
    z = seeded_z(seed, count, generator.config.z_dim)
    c = class_labels(generator, class_index, count)
    device = next(generator.parameters()).device
    ws = generator.mapping(
        z.to(device),
        None if c is None else c.to(device),
        truncation_psi=truncation_psi,
        truncation_cutoff=truncation_cutoff,
    )
    partly_truncated = truncation_cutoff is not None and truncation_psi != 1
    space = "W+" if partly_truncated else "W"
    return Latents(ws.float().cpu().clone(), space, model_hash)


def check_latents(latents: Latents, generator: AnyGenerator, model_hash: str) -> None:
    """Refuse latents of another generator.

    Raises:
        InputError: hash or shape differ.
    """
    if latents.model_hash != model_hash:
        raise InputError(
            f"latents: they belong to the generator {latents.model_hash[:12]}, "
            f"but the generator given is {model_hash[:12]}; sample them with this generator"
        )
    want = (generator.num_ws, generator.config.w_dim)
    if tuple(latents.ws.shape[1:]) != want:
        raise InputError(
            f"latents: expected [N, {want[0]}, {want[1]}] for this generator, "
            f"got {list(latents.ws.shape)}"
        )


@torch.no_grad()
def synthesize(
    generator: AnyGenerator,
    latents: Latents,
    model_hash: str,
    *,
    noise_mode: str = "const",
    noise_seed: int = 0,
    chunk: int = 8,
    report: Report | None = None,
) -> Tensor:
    """Turn latents into images, `chunk` at a time.

    Args:
        generator: the generator the latents belong to, on any device.
        latents: N latents.
        model_hash: SHA-256 of the generator's file.
        noise_mode: "const" uses the stored noise maps, "random" fresh noise, "none" no noise.
        noise_seed: image i of a batch draws its random noise from seed `noise_seed + i`.
        chunk: images per pass; it changes memory and speed only.
        report: called after each chunk with images in -1..1.

    Returns:
        Tensor [N, C, H, W] float32 on the CPU, nominally -1..1 (not clamped).

    Raises:
        InputError: the latents belong to another generator, or the noise mode is unknown.
    """
    check_latents(latents, generator, model_hash)
    if noise_mode not in NOISE_MODES:
        raise InputError(f"noise_mode: expected one of {NOISE_MODES}, got {noise_mode!r}")
    device = next(generator.parameters()).device
    plan = plan_of(generator)

    def run(start: int, stop: int) -> Tensor:
        rngs = None
        if noise_mode == "random":
            rngs = [torch.Generator().manual_seed(noise_seed + i) for i in range(start, stop)]
        ws = latents.ws[start:stop].to(device)
        return plan(ws, noise_mode=noise_mode, generator=rngs).float().cpu()

    return in_chunks(run, len(latents), chunk, report)
