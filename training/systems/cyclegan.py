"""CycleGAN under training: two domains, a generator each way, a discriminator in each."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ...core import checkpoints
from ...core.checkpoints.convert import module_of
from ...core.models.cyclegan_resnet import CycleGANResNet
from ..configs.cyclegan import CycleGANConfig
from ..distributed import Ranks
from ..feed import Feed
from ..image_pool import ImagePool
from ..report import Headline
from ..snapshot import ModelFile
from ..streams import Stream, numbers
from ..system import initial_weights
from .translation import COLUMNS, TranslationSystem, patchgan, trained, translated

_POOLS = {"A": Stream.POOL_A, "B": Stream.POOL_B}
WAYS = ("A_to_B", "B_to_A")
"""Names of the two generators in the model file, the first one being what it loads as."""


class CycleGANSystem(TranslationSystem):
    """Generators G_AB and G_BA, discriminators D_A and D_B, and averaged generators.

    A generator's loss is the adversarial one, plus the L1 distance of an image to itself after a
    way there and back (cycle), plus the L1 distance of what it makes of an image of its target
    domain to that image (identity). The discriminators see generated images through a pool.
    Source: Zhu et al. 2017, "Unpaired image-to-image translation using cycle-consistent
    adversarial networks", section 3, 4 and 5.2.
    """

    config: CycleGANConfig
    headline = Headline("cycle", higher_is_better=False)
    grid_shows = "Held-out images, translated and translated back by the averaged generators."
    grid_rows = ("A", "A to B", "back to A", "B", "B to A", "back to B")

    def __init__(self, config: CycleGANConfig, feed: Feed, ranks: Ranks) -> None:
        with initial_weights(config.seed):
            networks = {
                "G_AB": trained(_generator(config), config.lr),
                "G_BA": trained(_generator(config), config.lr),
                "D_A": patchgan(config, in_channels=3),
                "D_B": patchgan(config, in_channels=3),
            }
        averages = {"EMA_AB": "G_AB", "EMA_BA": "G_BA"}
        super().__init__(config, feed, ranks, networks, averages)
        side = config.resolution
        self._pools = {
            domain: ImagePool(
                config.pool,
                (3, side, side),
                seed=config.seed,
                stream=stream,
                device=ranks.device,
            )
            for domain, stream in _POOLS.items()
        }

    def step(self, step: int) -> None:
        """Both generators, both discriminators, weight averages."""
        self.set_learning_rates(step)
        parts = []
        for batch in self.feed.batch(step):
            assert batch.targets is not None
            parts.append((self.reals(batch.images), self.reals(batch.targets)))
        self._let_discriminators_learn(False)
        fakes = [self._accumulate_generators(a, b, len(parts)) for a, b in parts]
        self.update("G_AB")
        self.update("G_BA")
        self._let_discriminators_learn(True)
        for column, domain in enumerate(_POOLS):
            shown = self._through_pool(domain, [pair[column] for pair in fakes], step)
            for reals, fake in zip(parts, shown, strict=True):
                name = f"D_{domain}"
                self.accumulate_discriminator(
                    name.lower(), self.networks[name], reals[column], fake, len(parts)
                )
            self.update(f"D_{domain}")
        self.average(step)

    def _accumulate_generators(self, a: Tensor, b: Tensor, parts: int) -> tuple[Tensor, Tensor]:
        """Add the gradients of both generators' losses; gives the fakes of A and of B."""
        config = self.config
        with self.autocast():
            fake_b, fake_a = self.networks["G_AB"](a), self.networks["G_BA"](b)
            back_a, back_b = self.networks["G_BA"](fake_b), self.networks["G_AB"](fake_a)
        logits_a = self.score(self.networks["D_A"], fake_a)
        logits_b = self.score(self.networks["D_B"], fake_b)
        gan = self.game.generator(logits_a, logits_a) + self.game.generator(logits_b, logits_b)
        cycle = _distance(back_a, a) + _distance(back_b, b)
        loss = config.gan_weight * gan + config.cycle_weight * cycle
        self.meter.add("loss_g", gan)
        self.meter.add("cycle", cycle)
        if config.identity_weight > 0:
            with self.autocast():
                same_b, same_a = self.networks["G_AB"](b), self.networks["G_BA"](a)
            identity = _distance(same_a, a) + _distance(same_b, b)
            loss = loss + config.identity_weight * identity
            self.meter.add("identity", identity)
        (loss / parts).backward()
        return fake_a.detach(), fake_b.detach()

    def _through_pool(self, domain: str, fakes: list[Tensor], step: int) -> list[Tensor]:
        """What the domain's discriminator is shown for this rank's parts of the batch.

        The pool sees the fakes of all ranks, in the order of the samples, on each of them.
        """
        config, ranks, places = self.config, self.ranks, self.feed.places
        whole = torch.zeros(config.batch, *fakes[0].shape[1:], device=ranks.device)
        for own, part in zip(places, fakes, strict=True):
            whole[torch.from_numpy(own).to(ranks.device)] = part.float()
        ranks.sum_(whole)
        shown = self._pools[domain].exchange(whole, numbers(step, config.batch))
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        return [
            shown[torch.from_numpy(own).to(ranks.device)].contiguous(memory_format=layout)
            for own in places
        ]

    def _let_discriminators_learn(self, on: bool) -> None:
        for domain in _POOLS:
            self.networks[f"D_{domain}"].requires_grad_(on)

    def state(self) -> dict[str, Tensor]:
        """Networks, averages, optimizers and pools."""
        pools = {f"pool_{name}": pool.images for name, pool in self._pools.items()}
        return super().state() | pools

    def _load_tensors(self, tensors: dict[str, Tensor]) -> None:
        super()._load_tensors(tensors)
        for name, pool in self._pools.items():
            pool.images.copy_(tensors[f"pool_{name}"])

    def model(self, training: dict[str, Any]) -> ModelFile:
        """Both averaged generators, each under its own prefix."""
        ways = dict(zip(WAYS, (self._average("EMA_AB"), self._average("EMA_BA")), strict=True))
        tensors = {
            f"{way}.{name}": tensor
            for way, network in ways.items()
            for name, tensor in network.state_dict().items()
        }
        return ModelFile(
            "cyclegan-resnet", asdict(ways[WAYS[0]].config), tensors, training, networks=WAYS
        )

    def weights_of(self, path: Path) -> dict[str, dict[str, Tensor]]:
        """Both generators of a file that `model` wrote; a file of one is G_AB's."""
        names = checkpoints.load(path).networks
        ways = names if names == WAYS else names[:1]
        sources: dict[str, dict[str, Tensor]] = {}
        for way, short in zip(ways, ("AB", "BA"), strict=False):
            state = module_of(checkpoints.load(path, network=way)).state_dict()
            sources |= {f"G_{short}": state, f"EMA_{short}": state}
        return sources

    def grid(self) -> tuple[Tensor, int]:
        """Held-out images of A, there and back, and of B, there and back: six rows."""
        a, b = (images[:COLUMNS] for images in self._heldout())
        forth, back = self._average("EMA_AB"), self._average("EMA_BA")
        fake_b, fake_a = translated(forth, a), translated(back, b)
        rows = [a, fake_b, translated(back, fake_b), b, fake_a, translated(forth, fake_a)]
        return torch.cat(rows).cpu(), len(a)

    def evaluate(self) -> dict[str, float]:
        """Mean L1 distances (of -1..1) on held-out images: cycle, identity, and change by G."""
        a, b = self._heldout()
        forth, back = self._average("EMA_AB"), self._average("EMA_BA")
        fake_b, fake_a = translated(forth, a), translated(back, b)
        cycle_a = _distance(translated(back, fake_b), a)
        cycle_b = _distance(translated(forth, fake_a), b)
        identity = _distance(translated(forth, b), b) + _distance(translated(back, a), a)
        change = _distance(fake_b, a) + _distance(fake_a, b)
        return {
            "cycle": float(cycle_a + cycle_b) / 2,
            "identity": float(identity) / 2,
            "change": float(change) / 2,
        }

    def _average(self, name: str) -> CycleGANResNet:
        network = self.averages[name]
        assert isinstance(network, CycleGANResNet)
        return network

    def _heldout(self) -> tuple[Tensor, Tensor]:
        batch = self.feed.heldout_batch()
        assert batch.targets is not None
        return self.reals(batch.images), self.reals(batch.targets)


def _generator(config: CycleGANConfig) -> CycleGANResNet:
    return CycleGANResNet(ngf=config.ngf, num_blocks=config.num_blocks)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return functional.l1_loss(a.float(), b.float())
