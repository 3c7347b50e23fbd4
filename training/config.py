"""The settings of a training run: typed, closed (an unknown key is refused) and frozen.

Units live in the names: `_kimg` is thousands of real images shown to the discriminator.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..core.errors import InputError

STDDEV_GROUP = 4  # samples that share one minibatch standard deviation
# Beyond any run: within these bounds a wrong number cannot overflow or exhaust the memory.
MAX_KIMG = 1e9
MAX_CHANNELS = 65536


class RunConfig(BaseModel):
    """What every preset has in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    resolution: int = Field(
        ge=8, le=2048, description="width and height of the images, a power of two"
    )
    total_kimg: float = Field(gt=0, le=MAX_KIMG, description="length of the run")
    batch: int = Field(ge=2, le=65536, description="images per step, over all ranks")
    grad_accum: int = Field(
        default=1, ge=1, description="parts in which a rank computes its share of a batch"
    )
    lr: float = Field(gt=0, lt=1, description="learning rate of the generator (or U-Net)")
    lr_d: float | None = Field(
        default=None, gt=0, lt=1, description="of the discriminator; none: lr"
    )
    ema_kimg: float = Field(default=10.0, ge=0, description="half-life of the weight average")
    ema_rampup: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="the half-life is at most this share of the images seen",
    )
    mirror: bool = Field(default=True, description="mirror half of the real images")
    seed: int = Field(default=0, ge=0, lt=2**63, description="everything random follows from it")
    snapshot_kimg: float = Field(
        default=50.0, gt=0, le=MAX_KIMG, description="distance of snapshots"
    )
    tick_kimg: float = Field(
        default=1.0, gt=0, le=MAX_KIMG, description="distance of progress lines"
    )
    keep: int = Field(default=2, ge=1, description="snapshots kept")
    amp: Literal["none", "bf16"] = Field(default="none", description="autocast of the convolutions")
    channels_last: bool = Field(default=True, description="memory format of the activations")
    workers: int = Field(default=0, ge=0, le=256, description="threads that read images ahead")
    threads: int = Field(
        default=0, ge=0, le=1024, description="torch's CPU threads; 0: torch's choice"
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="auto: a GPU where there is one",
    )
    init: str | None = Field(
        default=None,
        description="model, state or run folder whose equal tensors are copied at the start",
    )
    licence: str = Field(
        default="", max_length=500, description="note on the data's licence for the model file"
    )

    @model_validator(mode="after")
    def _check_sizes(self) -> RunConfig:
        if self.resolution & (self.resolution - 1):
            raise ValueError(f"resolution must be a power of two, got {self.resolution}")
        self.check_split(1)
        return self

    def check_split(self, ranks: int) -> None:
        """Refuse a batch that cannot be cut into whole minibatch-stddev groups for every part.

        Raises:
            ValueError: `batch` is no multiple of group size x grad_accum x ranks.
        """
        unit = min(STDDEV_GROUP, self.batch) * self.grad_accum * ranks
        if self.batch % unit:
            raise ValueError(
                f"batch must be a multiple of {unit} "
                f"({min(STDDEV_GROUP, self.batch)} images to a group "
                f"x grad_accum {self.grad_accum} x {ranks} ranks), got {self.batch}"
            )

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.steps(self.total_kimg)

    def steps(self, kimg: float) -> int:
        """Number of steps nearest to `kimg` thousand images, at least 1."""
        return max(1, round(kimg * 1000 / self.batch))


class StyleGAN2Config(RunConfig):
    """StyleGAN2 with optional ADA or DiffAugment."""

    z_dim: int = Field(default=512, ge=1, le=MAX_CHANNELS, description="features of z")
    w_dim: int = Field(default=512, ge=1, le=MAX_CHANNELS, description="features of w")
    mapping_layers: int = Field(default=8, ge=1, le=32, description="layers between z and w")
    channel_base: int = Field(
        default=32768, ge=8, le=2**24, description="channels at resolution r: channel_base / r"
    )
    channel_max: int = Field(
        default=512, ge=1, le=MAX_CHANNELS, description="and at most this many"
    )
    conv_clamp: float | None = Field(
        default=None, gt=0, description="bound of every activation; none: no bound"
    )
    style_mixing: float = Field(
        default=0.9, ge=0, le=1, description="share of samples with two styles"
    )
    r1_gamma: float = Field(ge=0, description="weight of R1; 0: off")
    r1_interval: int = Field(default=16, ge=1, description="steps between R1 steps")
    r1_batch_shrink: int = Field(default=1, ge=1, description="R1 on 1/n of the batch")
    pl_weight: float = Field(default=2.0, ge=0, description="weight of the path length; 0: off")
    pl_interval: int = Field(default=4, ge=1, description="steps between path length steps")
    pl_batch_shrink: int = Field(default=2, ge=1, description="path length on 1/n of the batch")
    pl_decay: float = Field(
        default=0.01, gt=0, le=1, description="weight of a new mean path length in the running one"
    )
    w_avg_beta: float = Field(default=0.995, ge=0, lt=1, description="decay of the mean w")
    augment: Literal["none", "ada", "diffaugment"] = Field(
        default="none", description="of what the discriminator sees"
    )
    augment_p: float = Field(default=0.0, ge=0, le=1, description="ADA's probability at the start")
    ada_target: float = Field(
        default=0.6, ge=-1, le=1, description="wanted mean sign of D(real); 0: fixed p"
    )
    ada_interval: int = Field(default=4, ge=1, description="steps between moves of p")
    ada_kimg: float = Field(
        default=500.0, gt=0, description="p goes from 0 to 1 in this many kimg at most"
    )
    swd_images: int = Field(
        default=0,
        ge=0,
        description="images per snapshot for the sliced Wasserstein distance; 0: off",
    )


class RestorerConfig(RunConfig):
    """U-Net that restores degraded faces, against a PatchGAN discriminator."""

    base_channels: int = Field(
        default=32, ge=1, le=MAX_CHANNELS, description="at full size; twice as many a level below"
    )
    channel_max: int = Field(
        default=128, ge=1, le=MAX_CHANNELS, description="and at most this many"
    )
    num_levels: int = Field(default=4, ge=1, le=8, description="resolutions of the U-Net")
    d_channels: int = Field(
        default=32, ge=1, le=MAX_CHANNELS, description="of the discriminator's first layer"
    )
    l1_weight: float = Field(default=1.0, gt=0, description="weight of the L1 distance")
    gan_weight: float = Field(
        default=0.02, ge=0, description="weight of the GAN loss; 0: no D at all"
    )
    gan_start_kimg: float = Field(default=20.0, ge=0, description="L1 alone until here")
    r1_gamma: float = Field(default=1.0, ge=0, description="weight of R1; 0: off")
    r1_interval: int = Field(default=16, ge=1, description="steps between R1 steps")
    strength: Literal["light", "default", "heavy"] = Field(
        default="default", description="damage around which the training pairs lie"
    )
    spread: float = Field(default=0.8, ge=0, le=1, description="how far they lie around it")
    clean_share: float = Field(default=0.1, ge=0, le=1, description="share of inputs left clean")
    heldout: int = Field(default=64, ge=2, description="faces kept apart for the PSNR in the log")


ConfigT = TypeVar("ConfigT", bound=RunConfig)


def override(base: ConfigT, settings: Sequence[str]) -> ConfigT:
    """Apply `key=value` settings to a preset's configuration.

    Args:
        base: the preset's row.
        settings: texts like `batch=16`; a later one wins. `none` clears what may be empty.

    Raises:
        InputError: a text without `=`, an unknown key (with the nearest names), a value out of
            range.
    """
    fields = type(base).model_fields
    values: dict[str, object] = base.model_dump()
    for text in settings:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise InputError(f"train: settings have the form key=value, got {text!r}")
        if key not in fields:
            raise InputError(f"train: unknown setting {key!r}; {nearest(key, list(fields))}")
        empty = value.strip().lower() in ("none", "null", "") and type(None) in _arms(base, key)
        values[key] = None if empty else value.strip()
    return validate(type(base), values)


def validate(kind: type[ConfigT], values: dict[str, object]) -> ConfigT:
    """Build a configuration; a wrong value becomes one sentence.

    Raises:
        InputError: naming the key, what was expected and what came.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function"))
        message = str(first["msg"]).removeprefix("Value error, ")
        if not key:
            raise InputError(f"train: {message}") from None
        if first["type"] == "extra_forbidden":
            raise InputError(
                f"train: unknown setting {key!r}; {nearest(key, list(kind.model_fields))}"
            ) from None
        message = message[0].lower() + message[1:]
        shown = repr(first["input"])
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        raise InputError(f"train: {key}: {message}, got {shown}") from None


def _arms(base: RunConfig, key: str) -> tuple[object, ...]:
    """The members of a setting's union type, or nothing for a plain type."""
    annotation = type(base).model_fields[key].annotation
    return getattr(annotation, "__args__", ())


def nearest(key: str, names: list[str]) -> str:
    """A hint for an unknown key: the names that resemble it, else all of them."""
    near = difflib.get_close_matches(key, names, n=3, cutoff=0.5)
    return f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(sorted(names))}"
