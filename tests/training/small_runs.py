"""Settings with which a run of a preset takes eight steps of a few milliseconds each."""

from .image_sets import SIZE

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
