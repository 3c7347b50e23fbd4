"""The systems that train, and which of them a run's settings describe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..config import RunConfig
from ..configs.cyclegan import CycleGANConfig
from ..configs.gan import DcganConfig, MlpGanConfig, R3ganConfig
from ..configs.infogan import InfoGanConfig
from ..configs.pix2pix import Pix2PixConfig
from ..configs.progressive import PgganConfig, StyleGAN1Config
from ..configs.restorer import RestorerConfig
from ..configs.stackgan import StackGanConfig
from ..configs.stylegan2 import StyleGAN2Config
from ..configs.vae import VAEConfig, VAEGANConfig
from ..distributed import Ranks
from ..feed import Feed
from ..system import System
from .cyclegan import CycleGANSystem
from .gan import GanSystem
from .infogan import InfoGanSystem
from .pix2pix import Pix2PixSystem
from .progressive import PgganSystem, StyleGAN1System
from .restorer import RestorerSystem
from .stackgan import StackGanSystem
from .stylegan2 import StyleGAN2System
from .vae import VAESystem
from .vae_gan import VAEGANSystem

SYSTEMS: dict[type[RunConfig], Callable[[Any, Feed, Ranks], System]] = {
    CycleGANConfig: CycleGANSystem,
    Pix2PixConfig: Pix2PixSystem,
    DcganConfig: GanSystem,
    InfoGanConfig: InfoGanSystem,
    MlpGanConfig: GanSystem,
    PgganConfig: PgganSystem,
    R3ganConfig: GanSystem,
    RestorerConfig: RestorerSystem,
    StackGanConfig: StackGanSystem,
    StyleGAN1Config: StyleGAN1System,
    StyleGAN2Config: StyleGAN2System,
    VAEConfig: VAESystem,
    VAEGANConfig: VAEGANSystem,
}


def build(config: RunConfig, feed: Feed, ranks: Ranks) -> System:
    """The networks that settings describe, on this rank's device.

    Raises:
        InputError: the data lack what the system needs, such as labels.
    """
    return SYSTEMS[type(config)](config, feed, ranks)
