"""The settings of a training run: typed, closed (an unknown key is refused) and frozen.

Units live in the names: `_kimg` is thousands of real images shown to the discriminator.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..core.errors import InputError

# Beyond any run: within these bounds a wrong number cannot overflow or exhaust the memory.
MAX_KIMG = 1e9
MAX_CHANNELS = 65536
DRY_RESOLUTION = 32
"""At which `--dry-run` takes the steps of networks that would be slow on a CPU."""


class RunConfig(BaseModel):
    """What every preset has in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    needs: ClassVar[Literal["images", "pairs", "domains"]] = "images"
    """What a run learns from."""

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
    heldout: int = Field(
        default=0,
        ge=0,
        description="images of the data, evenly spread, kept apart for metrics in the log",
    )
    mirror: bool = Field(default=True, description="mirror half of the real images")
    seed: int = Field(default=0, ge=0, lt=2**63, description="everything random follows from it")
    snapshot_kimg: float = Field(
        default=50.0, gt=0, le=MAX_KIMG, description="distance of snapshots"
    )
    tick_kimg: float = Field(
        default=1.0, gt=0, le=MAX_KIMG, description="distance of progress lines"
    )
    watch_images: int = Field(
        default=256, ge=0, description="samples per snapshot to see mode collapse; 0: off"
    )
    swd_images: int = Field(
        default=0,
        ge=0,
        description="samples per snapshot for the sliced Wasserstein distance; 0: off",
    )
    fd_images: int = Field(
        default=0,
        ge=0,
        description="samples per snapshot for fd_faces, on own features; 0: off",
    )
    report: bool = Field(default=True, description="write report.html at each snapshot")
    tensorboard: bool = Field(
        default=False, description="write the log as TensorBoard events too; needs ganvas[train]"
    )
    keep: int = Field(default=2, ge=1, description="snapshots kept")
    amp: Literal["none", "bf16"] = Field(default="none", description="autocast of the convolutions")
    checkpoint_activations: bool = Field(
        default=False, description="compute blocks again instead of keeping their activations"
    )
    channels_last: bool = Field(default=True, description="memory format of the activations")
    workers: int = Field(default=0, ge=0, le=256, description="threads that read images ahead")
    threads: int = Field(
        default=0, ge=0, le=1024, description="torch's CPU threads; 0: torch's choice"
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="auto (a GPU where there is one), cpu, cuda or cuda:N",
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

    @property
    def group(self) -> int:
        """Samples that a rank and a part keep together; more than 1 for minibatch statistics."""
        return 1

    def check_split(self, ranks: int) -> None:
        """Refuse a batch that cannot be cut into whole groups for every part.

        Raises:
            ValueError: `batch` is no multiple of group size x grad_accum x ranks.
        """
        unit = self.group * self.grad_accum * ranks
        if self.batch % unit:
            raise ValueError(
                f"batch must be a multiple of {unit} ({self.group} images to a group "
                f"x grad_accum {self.grad_accum} x {ranks} ranks), got {self.batch}"
            )

    def dry(self, ranks: int) -> dict[str, object]:
        """What `--dry-run` changes: two small steps, in which every phase takes place."""
        batch = max(2, self.group) * self.grad_accum * ranks
        return {
            "batch": batch,
            "total_kimg": 2 * batch / 1000,
            "snapshot_kimg": 2 * batch / 1000,
            "tick_kimg": batch / 1000,
            "init": None,
            "watch_images": 0,
            "swd_images": min(self.swd_images, 8),
            "report": False,
        }

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.steps(self.total_kimg)

    def steps(self, kimg: float) -> int:
        """Number of steps nearest to `kimg` thousand images, at least 1."""
        return max(1, round(kimg * 1000 / self.batch))


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
            raise InputError(
                f"train: unknown setting {key!r}; {nearest(key, list(fields))} "
                "(ganvas train PRESET --list explains them)"
            )
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
