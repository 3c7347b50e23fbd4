"""Nodes that draw latents and turn them into images."""

from __future__ import annotations

from typing import Annotated

from ..core import latents as core_latents
from .context import Context
from .convert import model_to_image, show_progress
from .spec import Choice, Float, Generator, Image, Int, Latents, Seed, node


@node(
    "Ganvas_SampleLatents",
    title="Sample Latents",
    category="ganvas/sample",
    aliases=("stylegan", "seed", "random face", "truncation", "psi"),
)
def sample_latents(
    ctx: Context,
    generator: Generator,
    seed: Seed = 0,
    count: Annotated[int, Int(1, 4096)] = 1,
    truncation_psi: Annotated[float, Float(0.0, 1.5, slider=True)] = 0.7,
    truncation_cutoff: Annotated[int, Int(-1, 64)] = -1,
    class_index: Annotated[int, Int(-1, 100000)] = -1,
) -> Latents:
    """Draw latents from consecutive seeds. A seed gives the same face in any batch.

    Args:
        generator: The generator that the latents are drawn for.
        seed: First seed; latent i has seed + i, drawn as the published StyleGAN tools draw it.
        count: How many latents to draw.
        truncation_psi: 1 gives the model's full variety, lower values safer faces, 0 the average.
        truncation_cutoff: How many layers truncation touches, from the coarsest; -1 for all.
        class_index: Class of a conditional generator; -1: it has none, or InfoGAN's seed chooses.

    Returns:
        latents: One latent per seed.
    """
    return core_latents.sample_latents(
        generator.generator,
        generator.sha256,
        seed=seed,
        count=count,
        truncation_psi=truncation_psi,
        truncation_cutoff=None if truncation_cutoff < 0 else truncation_cutoff,
        class_index=class_index,
    )


@node(
    "Ganvas_Synthesize",
    title="Synthesize",
    category="ganvas/sample",
    aliases=("stylegan", "generate", "decode latents", "faces"),
)
def synthesize(
    ctx: Context,
    generator: Generator,
    latents: Latents,
    noise_mode: Annotated[str, Choice(("const", "random", "none"))] = "const",
    noise_seed: Seed = 0,
    chunk_size: Annotated[int, Int(1, 256)] = 8,
) -> Image:
    """Turn latents into images.

    Args:
        generator: The generator that the latents were drawn for.
        latents: Latents, one per image.
        noise_mode: const repeats the model's stored noise, random draws new noise, none omits it.
        noise_seed: Seed of the random noise; image i uses noise_seed + i.
        chunk_size: Images computed at once; lower it when memory runs out. The result is the same.

    Returns:
        image: One image per latent.
    """
    images = core_latents.synthesize(
        generator.generator,
        latents,
        generator.sha256,
        noise_mode=noise_mode,
        noise_seed=noise_seed,
        chunk=chunk_size,
        report=show_progress(ctx),
    )
    return model_to_image(images)
