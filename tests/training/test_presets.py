"""Every preset is legal, and its dry run takes every phase.

Presets with published widths run with narrower networks here, those of 512 px and more at a lower
resolution too.
"""

import tempfile
from pathlib import Path

import pytest

from ganvas.cli import main
from ganvas.training import PRESETS
from ganvas.training.config import validate
from ganvas.training.configs.progressive import ProgressiveConfig
from ganvas.training.systems import SYSTEMS

# What makes a preset's networks narrow, by the beginning of its name; "-faces" ones are narrow.
NARROW = {
    "stylegan2-faces": [],
    "stylegan2": ["channel_base=1024", "channel_max=32", "mapping_layers=2"],
    "pggan": ["channel_base=1024", "channel_max=16", "z_dim=16"],
    "pggan-512": ["channel_base=512", "channel_max=16", "z_dim=16", "resolution=128"],
    "pggan-1024": ["channel_base=512", "channel_max=16", "z_dim=16", "resolution=128"],
    "stylegan1-1024": ["channel_base=512", "channel_max=16", "w_dim=16", "resolution=128"],
    "stylegan1": ["channel_base=1024", "channel_max=16", "z_dim=16", "w_dim=16"],
    "pix2pix-256": ["ngf=8", "ndf=8", "resolution=64"],
    "cyclegan-256": ["ngf=8", "ndf=8", "num_blocks=2"],
    "wgan-gp": ["channel_max=64"],
    "r3gan": ["channel_max=32", "num_blocks=1"],
    "stackgan": ["channel_max=32"],
    "infogan": ["channel_max=128"],
}
# Numbers that only a step with every phase has, by the beginning of the name.
PHASES = {
    "stylegan2-faces": ["loss_g", "r1"],
    "stylegan2": ["loss_g", "r1", "path_length", "augment_p"],
    "pggan": ["loss_g", "gradient_penalty", "alpha 0.5"],
    "stylegan1": ["loss_g", "r1", "alpha 0.5"],
    "vae-gan": ["loss_d", "kl"],
    "vae": ["elbo"],
    "cvae": ["elbo"],
    "pix2pix": ["loss_d", "l1"],
    "cyclegan": ["cycle", "identity", "loss_d_a", "loss_d_b"],
    "wgan-gp": ["loss_g", "gradient_penalty"],
    "r3gan": ["loss_g", "r1", "r2"],
    "infogan": ["loss_g", "info"],
    "restore": ["loss_d", "r1"],
}


def by_name(table: dict[str, list[str]], preset: str, default: list[str]) -> list[str]:
    """The entry of the longest key with which a preset's name begins."""
    keys = [key for key in table if preset.startswith(key)]
    return table[max(keys, key=len)] if keys else default


@pytest.mark.parametrize("preset", PRESETS)
def test_settings_are_legal_and_survive_json(preset):
    config = PRESETS[preset].config
    kind = type(config)
    assert kind in SYSTEMS
    assert validate(kind, config.model_dump(mode="json")) == config
    assert config.total_steps * config.batch == pytest.approx(config.total_kimg * 1000, rel=0.01)
    assert config.steps(config.snapshot_kimg) < config.total_steps


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_dry_run_is_legal_on_ranks_too(preset, ranks):
    config = PRESETS[preset].config
    small = config.model_copy(update=config.dry(ranks))
    small.check_split(ranks)
    assert validate(type(config), _long(small)).batch == small.batch
    assert small.total_steps == 2
    if isinstance(small, ProgressiveConfig):
        stages = [small.stage(step) for step in range(2)]
        assert stages[1].resolution == 2 * stages[0].resolution
        assert stages[1].alpha == 0.5


def _long(config):
    """The settings as a run of lawful length, which a dry run need not have."""
    return config.model_dump() | {"total_kimg": 1e6}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_dry_run_takes_every_phase_and_leaves_nothing(preset, capsys, monkeypatch):
    made = []
    real = tempfile.mkdtemp
    monkeypatch.setattr(tempfile, "mkdtemp", lambda *a, **k: made.append(real(*a, **k)) or made[-1])
    settings = [*by_name(NARROW, preset, []), "threads=1"]
    assert main(["train", preset, *settings, "--dry-run"]) == 0
    said = capsys.readouterr()
    runs = [Path(folder) for folder in made if "ganvas-dry-run-" in folder]
    assert said.out == "" and len(runs) == 1 and not runs[0].exists()
    lines = said.err.splitlines()
    ticks = [line for line in lines if line.startswith("kimg")]
    assert len(ticks) == 2
    assert sum(line.startswith("snapshot model-") for line in lines) == 1
    told = " ".join(ticks)
    missing = [name for name in by_name(PHASES, preset, ["loss_g", "loss_d"]) if name not in told]
    assert not missing, told
