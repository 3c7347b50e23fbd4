"""The systems that train, and which of them a run's settings describe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..config import RunConfig
from ..configs.restorer import RestorerConfig
from ..configs.stylegan2 import StyleGAN2Config
from ..distributed import Ranks
from ..feed import Feed
from ..system import System
from .restorer import RestorerSystem
from .stylegan2 import StyleGAN2System

SYSTEMS: dict[type[RunConfig], Callable[[Any, Feed, Ranks], System]] = {
    RestorerConfig: RestorerSystem,
    StyleGAN2Config: StyleGAN2System,
}


def build(config: RunConfig, feed: Feed, ranks: Ranks) -> System:
    """The networks that settings describe, on this rank's device.

    Raises:
        InputError: the data lack what the system needs, such as labels.
    """
    return SYSTEMS[type(config)](config, feed, ranks)
