"""Settings with which a run of a preset takes a few steps of a few milliseconds each."""

import json
from pathlib import Path

from ganvas.training import PRESETS
from ganvas.training.config import RunConfig, override
from ganvas.training.configs.stackgan import StackGanConfig

from .image_sets import (
    SIZE,
    smooth_images,
    write_domains,
    write_images,
    write_labelled,
    write_pairs,
)

_COMMON = [
    f"resolution={SIZE}",
    "batch=4",
    "total_kimg=0.032",
    "snapshot_kimg=0.012",
    "tick_kimg=0.004",
    "threads=1",
    "report=false",
    "watch_images=8",
    "ema_kimg=0.02",
]
_OWN = {
    "dcgan-64": ["spectral_norm=true", "z_dim=4", "channel_base=64", "channel_max=8"],
    "vae-64": ["heldout=4", "z_dim=4", "base_channels=4", "channel_max=8", "swd_images=8"],
    "cyclegan-64": ["heldout=2", "ngf=4", "ndf=4", "num_blocks=1", "d_layers=1", "pool=3"],
    "pggan-64": [
        "start_resolution=4", "stable_kimg=0.004", "fade_kimg=0.006", "stddev_group=2",
        "z_dim=8", "channel_base=64", "channel_max=8",
    ],
}  # fmt: skip


def settings_of(preset: str) -> list[str]:
    """The settings of a small run of a preset."""
    return [*_COMMON, *_OWN[preset]]


# Narrow networks, and every phase within five steps; for each preset what it has of these.
_EVERY_PHASE = {
    "resolution": SIZE, "batch": 4, "total_kimg": 0.02, "snapshot_kimg": 0.012,
    "tick_kimg": 0.004, "ema_kimg": 0.02, "threads": 1, "watch_images": 0, "swd_images": 0,
    "report": "false", "amp": "none",
    "z_dim": 4, "w_dim": 4, "mapping_layers": 1, "channel_base": 64, "channel_max": 8,
    "base_channels": 4, "group_width": 4, "num_blocks": 1, "ngf": 4, "ndf": 4, "d_layers": 1,
    "d_channels": 4, "num_levels": 2, "hidden": 8, "d_hidden": 8, "q_hidden": 8, "noise_dim": 4,
    "embed_dim": 4, "num_categories": 3, "pool": 3, "heldout": 2, "warmup_kimg": 0.01,
    "stage1_kimg": 0.008, "start_resolution": 8, "stable_kimg": 0.004, "fade_kimg": 0.008,
    "stddev_group": 2, "r1_interval": 2, "pl_interval": 2, "ada_interval": 2, "augment_p": 0.5,
    "pl_batch_shrink": 1, "gan_start_kimg": 0.004, "decay_from_kimg": 0.008, "decay_kimg": 0.008,
}  # fmt: skip
# Their generators, at least, have batch normalisation, whose statistics are those of a part.
OF_PARTS = ("dcgan", "cgan", "wgan", "infogan", "stackgan", "mlp")


def every_phase(preset: str) -> list[str]:
    """The settings of a run of five steps that takes every phase of a preset."""
    fields = type(PRESETS[preset].config).model_fields
    settings = {key: value for key, value in _EVERY_PHASE.items() if key in fields}
    if preset.startswith("stylegan2"):  # which keeps four images together
        settings |= {"batch": 8, "total_kimg": 0.04, "snapshot_kimg": 0.024, "tick_kimg": 0.008}
    return [f"{key}={value}" for key, value in settings.items()]


def _kind(preset: str) -> str:
    """Equal for presets whose small runs take the same paths through the code."""
    config = override(PRESETS[preset].config, every_phase(preset))
    choices = {
        name: value if isinstance(value, (bool, str)) else bool(value)
        for name, value in config.model_dump().items()
    }
    return json.dumps([type(config).__name__, choices])


KINDS = tuple({_kind(preset): preset for preset in reversed(PRESETS)}.values())
"""A preset of each kind; others differ from one of these in numbers alone."""


def half(preset: str) -> str:
    """The setting that ends a run of `every_phase` after its first snapshot, three steps."""
    config = override(PRESETS[preset].config, every_phase(preset))
    return f"total_kimg={config.snapshot_kimg}"


def data_of_presets(folder: Path) -> dict[str, str]:
    """Write small data sets to a folder; gives the one that each preset learns from."""
    sets = {
        "images": str(write_images(folder / "images", smooth_images(16, 0))),
        "pairs": write_pairs(folder / "pairs"),
        "domains": write_domains(folder / "domains"),
    }
    labelled = str(write_labelled(folder / "labelled.zip"))
    return {
        name: labelled if _needs_labels(preset.config) else sets[preset.config.needs]
        for name, preset in PRESETS.items()
    }


def _needs_labels(config: RunConfig) -> bool:
    return isinstance(config, StackGanConfig) or getattr(config, "conditional", False)
