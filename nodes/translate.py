"""Nodes that translate images, and that encode and decode them."""

from __future__ import annotations

from typing import Annotated

from ..core.autoencoding import autoencode as run_autoencoder
from ..core.autoencoding import autoencoder_of, parse_label
from ..core.errors import InputError
from ..core.seeds import consecutive_seeds
from ..core.translation import translate, translator_of
from .context import Context
from .convert import image_to_model, model_to_image, show_progress
from .spec import Autoencoder, Bool, Image, Int, Seed, Text, Translator, node


@node(
    "Ganvas_TranslateImage",
    title="Translate Image",
    category="ganvas/translate",
    aliases=("pix2pix", "cyclegan", "image to image", "style transfer", "domain"),
)
def translate_image(
    ctx: Context,
    translator: Translator,
    image: Image,
    dropout: Bool = False,
    seed: Seed = 0,
    chunk_size: Annotated[int, Int(1, 256)] = 4,
) -> Image:
    """Translate images into those of another kind, with pix2pix or CycleGAN.

    Args:
        translator: The translation model.
        image: Images of any size from 8 x 8 pixels on; alpha is dropped.
        dropout: Use dropout, pix2pix's noise, so that the seed changes the result.
        seed: Seed of the dropout; image i of the batch uses seed + i.
        chunk_size: Images computed at once; lower it when memory runs out. The result is the same.

    Returns:
        image: Translated images of the same size.
    """
    images = image_to_model(image)
    network = translator_of(translator)
    try:
        made = translate(
            network,
            images,
            seeds=consecutive_seeds(seed, len(images)) if dropout else None,
            chunk=chunk_size,
            report=show_progress(ctx),
        )
    except InputError as error:
        raise InputError(f"image: {str(error).removeprefix('translate: ')}") from error
    return model_to_image(made)


@node(
    "Ganvas_Autoencode",
    title="Autoencode",
    category="ganvas/translate",
    aliases=("vae", "reconstruct", "encode decode", "variational autoencoder"),
)
def autoencode(
    ctx: Context,
    autoencoder: Autoencoder,
    image: Image,
    label: Text = "",
    sample: Bool = False,
    seed: Seed = 0,
    chunk_size: Annotated[int, Int(1, 256)] = 8,
) -> Image:
    """Encode images into the latents of an autoencoder and decode them again.

    Args:
        autoencoder: The autoencoder.
        image: Images of any size; the network sees them at its own, and alpha is dropped.
        label: Numbers such as 1, 0, 0.5 for an autoencoder that takes labels; empty for others.
        sample: Draw the latent from what the encoder thinks possible, instead of its mean.
        seed: Seed of that draw; image i of the batch uses seed + i.
        chunk_size: Images computed at once; lower it when memory runs out. The result is the same.

    Returns:
        image: Decoded images of the same size.
    """
    images = image_to_model(image)
    network = autoencoder_of(autoencoder)
    made = run_autoencoder(
        network,
        images,
        label=parse_label(label, network.config.c_dim),
        seeds=consecutive_seeds(seed, len(images)) if sample else None,
        chunk=chunk_size,
        report=show_progress(ctx),
    )
    return model_to_image(made)
