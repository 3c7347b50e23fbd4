"""The architectures a ganvas file can name: how to build each, and what its images are."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Literal, cast

from torch import nn

from ..errors import InputError
from .published import FAMILIES, PublishedFamily

Role = Literal["generator", "discriminator", "network"]

# Counts and sizes a config may hold: the bounds keep a hostile file from asking for endless work.
_LIMITS = {
    "num_mapping_layers": 64,
    "num_levels": 12,
    "img_resolution": 4096,
    "max_resolution": 4096,
    "img_channels": 64,
    "z_dim": 65536,
    "c_dim": 1_000_000,
    "w_dim": 65536,
    "cmap_dim": 65536,
    "mbstd_num_channels": 64,
}
_MAX_NUMBER = 2**24
_MAX_TEXT = 64
_NVIDIA = "weights published by NVIDIA are non-commercial; others are as their maker says"


@dataclass(frozen=True)
class Architecture:
    """One architecture; called with a config dict, it builds the module on torch's current device.

    `role` names the descriptor's field that receives the module; `image_range` is the value range
    of its images, in and out, in channel order `channel_order` and layout [N, C, H, W].
    `convention` says in one line how the module is called, and `licence` what is known of the
    licence of the weights that are published for it (empty: nothing; a file may say more).
    `decoder` names the part of a network that draws images from z, which serves as a generator.
    """

    id: str
    role: Role
    summary: str
    factory: Callable[..., nn.Module]
    image_range: tuple[float, float] = (-1.0, 1.0)
    channel_order: str = "RGB"
    convention: str = ""
    licence: str = ""
    decoder: str = ""

    @property
    def published(self) -> tuple[PublishedFamily, ...]:
        """The published spellings that are recognised by their names and shapes."""
        return tuple(family for family in FAMILIES if family.id == self.id)

    def __call__(self, config: Mapping[str, object]) -> nn.Module:
        """Build the module.

        Raises:
            InputError: `config` does not describe such a network.
        """
        arguments = {key: _checked(key, value) for key, value in config.items()}
        try:
            return self.factory(**arguments)
        except (
            ArithmeticError,
            AssertionError,
            LookupError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            sentence = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"config does not describe a {self.id}: {sentence}") from error


def _model(module: str, name: str) -> Callable[..., nn.Module]:
    """The class `name` of core/models/`module`.py, imported when it is first built."""

    def build(**config: Any) -> nn.Module:
        models = import_module(f"..models.{module}", __package__)
        return cast("nn.Module", getattr(models, name)(**config))

    return build


ARCHITECTURES: dict[str, Architecture] = {
    entry.id: entry
    for entry in (
        Architecture(
            "stylegan2-generator",
            role="generator",
            summary="StyleGAN2 generator: latents to images",
            factory=_model("stylegan2", "Generator"),
            convention="generator(z, c=None, truncation_psi=1.0, noise_mode='const') -> images",
            licence=_NVIDIA,
        ),
        Architecture(
            "stylegan2-discriminator",
            role="discriminator",
            summary="StyleGAN2 discriminator: images to logits",
            factory=_model("stylegan2", "Discriminator"),
            convention="discriminator(img, c=None) -> logits [N, 1]",
            licence=_NVIDIA,
        ),
        Architecture(
            "stylegan3-generator",
            role="generator",
            summary="StyleGAN3 generator, T or R: latents to images free of aliasing",
            factory=_model("stylegan3", "Generator"),
            convention="generator(z, c=None, truncation_psi=1.0, transform=None) -> images",
            licence=_NVIDIA,
        ),
        Architecture(
            "stylegan1-generator",
            role="generator",
            summary="StyleGAN1 generator: latents to images",
            factory=_model("stylegan1", "Generator"),
            convention="generator(z, c=None, truncation_psi=1.0, noise_mode='const') -> images",
            licence=_NVIDIA,
        ),
        Architecture(
            "stylegan1-discriminator",
            role="discriminator",
            summary="StyleGAN1 discriminator: images to logits",
            factory=_model("stylegan1_discriminator", "Discriminator"),
            convention="discriminator(img, c=None) -> logits [N, 1]",
        ),
        Architecture(
            "pggan-generator",
            role="generator",
            summary="PGGAN generator: latents to images",
            factory=_model("pggan", "Generator"),
            convention="generator(z, c=None) -> images",
        ),
        Architecture(
            "pggan-discriminator",
            role="discriminator",
            summary="PGGAN discriminator: images to logits",
            factory=_model("pggan", "Discriminator"),
            convention="discriminator(img, c=None) -> logits [N, 1]",
        ),
        Architecture(
            "mlp-gan-generator",
            role="generator",
            summary="MLP GAN generator: latents to images",
            factory=_model("mlp_gan", "Generator"),
            convention="generator(z, c=None, truncation_psi=1.0) -> images",
        ),
        Architecture(
            "dcgan-generator",
            role="generator",
            summary="DCGAN generator, conditional where it has classes: latents to images",
            factory=_model("dcgan", "Generator"),
            convention="generator(z, c=None, truncation_psi=1.0) -> images",
        ),
        Architecture(
            "infogan-generator",
            role="generator",
            summary="InfoGAN generator: noise and codes to images",
            factory=_model("infogan", "Generator"),
            convention="generator(z, c=None, truncation_psi=1.0) -> images",
        ),
        Architecture(
            "stackgan-generator",
            role="generator",
            summary="StackGAN generator: latents and labels to images in two stages",
            factory=_model("stackgan", "Generator"),
            convention="generator(z, c=None, truncation_psi=1.0) -> images",
        ),
        Architecture(
            "r3gan-generator",
            role="generator",
            summary="R3GAN generator, the modern baseline: latents to images",
            factory=_model("r3gan", "Generator"),
            convention="generator(z, c=None, truncation_psi=1.0) -> images",
        ),
        Architecture(
            "rrdbnet",
            role="network",
            summary="ESRGAN's RRDBNet: super-resolution by 1, 2 or 4",
            factory=_model("rrdbnet", "RRDBNet"),
            image_range=(0.0, 1.0),
            convention="network(img) -> enlarged img",
        ),
        Architecture(
            "srvgg",
            role="network",
            summary="Real-ESRGAN's compact network: fast super-resolution",
            factory=_model("srvgg", "SRVGG"),
            image_range=(0.0, 1.0),
            convention="network(img) -> enlarged img",
        ),
        Architecture(
            "gfpgan",
            role="network",
            summary="GFPGANv1Clean: restores aligned faces with a StyleGAN2 prior",
            factory=_model("gfpgan", "GFPGAN"),
            convention="network(img, noise_mode='const') -> restored img",
        ),
        Architecture(
            "restoreformer",
            role="network",
            summary="RestoreFormer: restores aligned faces by attention to a dictionary",
            factory=_model("restoreformer", "RestoreFormer"),
            convention="network(img) -> restored img",
        ),
        Architecture(
            "codeformer",
            role="network",
            summary="CodeFormer: restores aligned faces by predicting codes of a dictionary",
            factory=_model("codeformer", "CodeFormer"),
            convention="network(img, w=None, adain=None) -> restored img; w is the fidelity, 0..1",
            licence="the published weights are non-commercial (S-Lab License 1.0)",
        ),
        Architecture(
            "pix2pix-unet",
            role="network",
            summary="pix2pix's U-Net: image to image",
            factory=_model("pix2pix_unet", "Pix2PixUNet"),
            convention="network(img, bn='batch', dropout='off') -> translated img",
        ),
        Architecture(
            "cyclegan-resnet",
            role="network",
            summary="CycleGAN's residual network: image to image",
            factory=_model("cyclegan_resnet", "CycleGANResNet"),
            convention="network(img, bn='batch', dropout='off') -> translated img",
        ),
        Architecture(
            "patchgan",
            role="discriminator",
            summary="PatchGAN discriminator: images to a map of logits",
            factory=_model("patchgan", "PatchGAN"),
            convention="discriminator(img) -> logits [N, 1, H', W']",
        ),
        Architecture(
            "face-features",
            role="network",
            summary="reads faces: parameters, landmarks, damage, and features for metrics",
            factory=_model("face_features", "FaceFeatures"),
            convention="network(img) -> outputs [N, P]; network.features(img) -> features [N, D]",
        ),
        Architecture(
            "vae",
            role="network",
            summary="variational autoencoder: image to latents and back, with or without labels",
            factory=_model("vae", "VAE"),
            convention="network(img, c=None) -> rebuilt img; network.encode(img, c).mean, "
            "network.decode(z, c)",
            decoder="decoder",
        ),
        Architecture(
            "restore-unet",
            role="network",
            summary="restoration U-Net: damaged image to restored image",
            factory=_model("unet", "RestorationUNet"),
            convention="network(img) -> restored img",
        ),
    )
}


def architecture(arch: str) -> Architecture:
    """Look up an architecture id.

    Raises:
        InputError: unknown id; the message names the nearest known ones.
    """
    if arch in ARCHITECTURES:
        return ARCHITECTURES[arch]
    near = get_close_matches(arch[:_MAX_TEXT], ARCHITECTURES, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "and no known one has a similar name"
    raise InputError(f"architecture {arch[:_MAX_TEXT]!a} is unknown to this version ({hint})")


def _checked(key: str, value: object) -> object:
    """Let through what a network's config may hold: plain, bounded values."""
    kind = type(value).__name__
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        limit = _LIMITS.get(key, _MAX_NUMBER)
        if not -limit <= value <= limit:
            raise InputError(f"config {key} is {str(value)[:40]}, at most {limit} accepted")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"config {key} is {value}, a finite number is needed")
        return value
    if isinstance(value, str) and len(value) <= _MAX_TEXT:
        return value
    if isinstance(value, list):
        items = cast("list[object]", value)
        if len(items) <= _MAX_TEXT:
            return [_checked(key, item) for item in items]
    raise InputError(f"config {key} must be a number, text or a short list, got {kind}")
