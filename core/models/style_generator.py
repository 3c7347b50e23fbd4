"""What the generators of StyleGAN 1 to 3 share: a mapping network before a synthesis network."""

from dataclasses import asdict
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from torch import Tensor, nn

from .mapping import MappingNetwork


class MappingConfig(Protocol):
    """The fields that every generator's config has for its mapping network."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def z_dim(self) -> int: ...
    @property
    def c_dim(self) -> int: ...
    @property
    def w_dim(self) -> int: ...
    @property
    def num_mapping_layers(self) -> int: ...
    @property
    def mapping_lr_multiplier(self) -> float: ...
    @property
    def w_avg_beta(self) -> float: ...


Config = TypeVar("Config", bound=MappingConfig)
Synthesis = TypeVar("Synthesis", bound=nn.Module)
Self = TypeVar("Self", bound="StyleGenerator[Any, Any]")


class StyleGenerator(nn.Module, Generic[Config, Synthesis]):
    """z and labels to ws by `mapping`, ws to images by `synthesis`; subclasses say how to draw.

    Args:
        config: everything that the generator is built from, as `.config`.
        synthesis: the network that draws.
        num_ws: latents that it takes for a sample.
    """

    def __init__(self, config: Config, synthesis: Synthesis, num_ws: int) -> None:
        super().__init__()
        self.config: Config = config
        self.synthesis: Synthesis = synthesis
        self.num_ws = num_ws
        self.mapping = MappingNetwork(
            z_dim=config.z_dim,
            c_dim=config.c_dim,
            w_dim=config.w_dim,
            num_ws=num_ws,
            num_layers=config.num_mapping_layers,
            lr_multiplier=config.mapping_lr_multiplier,
            w_avg_beta=config.w_avg_beta,
        )

    @classmethod
    def from_config(cls: type[Self], config: MappingConfig) -> Self:
        """Build an untrained network."""
        return cls(**asdict(config))

    def update_w_avg(self, ws: Tensor) -> None:
        """Move the running mean of w towards these untruncated ws; called by training only."""
        self.mapping.update_w_avg(ws)


def check_ws(ws: Tensor, num_ws: int, w_dim: int) -> None:
    """Refuse latents of another shape than a synthesis network takes.

    Raises:
        ValueError: says which shape was expected and which came.
    """
    if ws.ndim != 3 or tuple(ws.shape[1:]) != (num_ws, w_dim):
        raise ValueError(f"synthesis: expected ws [N, {num_ws}, {w_dim}], got {tuple(ws.shape)}")
