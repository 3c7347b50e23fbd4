"""What systems that translate images into images share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...core.models.patchgan import PatchGAN
from ..configs.translation import TranslationConfig
from ..losses import LOSSES, Adversarial
from ..system import System, Trained

BETAS = (0.5, 0.999)
COLUMNS = 8  # of the grid
_CHUNK = 16  # images translated at once for grids and metrics
_DEVIATION = 0.02  # of initial weights


class TranslationSystem(System):
    """Generators and patch discriminators whose learning rates fall together."""

    config: TranslationConfig

    @property
    def game(self) -> Adversarial:
        """The adversarial loss that the settings name."""
        return LOSSES[self.config.loss]

    def set_learning_rates(self, step: int) -> None:
        """Give every optimizer the learning rate of a step."""
        factor = self.config.lr_factor(step)
        for optimizer in self._optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = optimizer.defaults["lr"] * factor

    def score(self, discriminator: nn.Module, img: Tensor) -> Tensor:
        """Logits of patches [N, 1, h, w], float32."""
        with self.autocast():
            return discriminator(img).float()

    def accumulate_discriminator(
        self, name: str, discriminator: nn.Module, real: Tensor, fake: Tensor, parts: int
    ) -> None:
        """Add the gradients of a discriminator's loss; `name` is what the log calls its numbers."""
        real_logits = self.score(discriminator, real)
        fake_logits = self.score(discriminator, fake)
        loss = self.game.discriminator(real_logits, fake_logits)
        (loss / parts).backward()
        self.meter.add(f"loss_{name}", loss)
        self.meter.add_distribution(f"{name}_real", real_logits)
        self.meter.add_distribution(f"{name}_fake", fake_logits)


def trained(module: nn.Module, lr: float) -> Trained:
    """A network with its initial weights and the field's Adam.

    Source: Isola et al. 2017, appendix 6.2: weights drawn from N(0, 0.02^2).
    """
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, std=_DEVIATION)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return Trained(module, lr, BETAS)


def patchgan(config: TranslationConfig, in_channels: int) -> Trained:
    """An untrained discriminator.

    Instance normalisation, as batch normalisation is with the published batch of one image: no
    image's score depends on the batch it is in.
    """
    module = PatchGAN(
        in_channels=in_channels, ndf=config.ndf, num_layers=config.d_layers, norm="instance"
    )
    return trained(module, config.lr if config.lr_d is None else config.lr_d)


@torch.no_grad()
def translated(network: nn.Module, images: Tensor) -> Tensor:
    """Images [N, C, H, W] in -1..1 through an averaged network, a few at a time, float32."""
    return torch.cat([network(part).float() for part in images.split(_CHUNK)])
