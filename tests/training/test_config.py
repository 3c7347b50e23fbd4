"""Settings: types, ranges, and one clear sentence for what is wrong."""

import pytest

from ganvas.core.errors import InputError
from ganvas.training import PRESETS
from ganvas.training.config import override
from ganvas.training.configs.restorer import RestorerConfig
from ganvas.training.configs.stylegan2 import StyleGAN2Config
from ganvas.training.presets import find_preset

BASE = PRESETS["stylegan2-faces-16"].config
SHARED = {
    "total_kimg", "batch", "snapshot_kimg", "resolution", "seed", "lr", "ema_kimg", "amp",
    "workers",
}  # fmt: skip


def test_settings_are_parsed_by_type():
    config = override(BASE, ["batch=16", "lr=1e-3", "mirror=false", "amp=none", "augment=ada"])
    assert isinstance(config, StyleGAN2Config)
    assert (config.batch, config.lr, config.mirror) == (16, 1e-3, False)
    assert (config.amp, config.augment) == ("none", "ada")


def test_later_setting_wins_and_others_stay():
    config = override(BASE, ["batch=16", "batch=8"])
    assert config.batch == 8
    assert config.resolution == BASE.resolution


def test_none_clears_what_may_be_empty():
    config = override(BASE, ["init=some/run", "lr_d=0.1"])
    assert (config.init, config.lr_d) == ("some/run", 0.1)
    config = override(config, ["init=none", "lr_d="])
    assert (config.init, config.lr_d) == (None, None)


@pytest.mark.parametrize(
    "setting,expected",
    [
        ("batchsize=8", "did you mean batch"),
        ("r1_gama=1", "did you mean r1_gamma"),
        ("zzz=1", "known: "),
        ("batch", "key=value"),
        ("=3", "key=value"),
        ("batch=three", "batch: input should be a valid integer"),
        ("batch=1", "batch: input should be greater than or equal to 2, got '1'"),
        ("lr=-1", "lr: input should be greater than 0"),
        ("lr=nan", "lr: input should be a finite number, got 'nan'"),
        ("lr=inf", "lr: input should be a finite number, got 'inf'"),
        ("lr=-inf", "lr: input should be a finite number"),
        ("total_kimg=inf", "total_kimg: input should be a finite number"),
        ("total_kimg=1e300", "total_kimg: input should be less than or equal to 1000000000"),
        ("r1_gamma=inf", "r1_gamma: input should be a finite number"),
        ("z_dim=99999999999", "z_dim: input should be less than or equal to 65536"),
        ("seed=" + "9" * 5000, "999..."),
        ("amp=fp8", "amp: input should be 'none' or 'bf16'"),
        ("augment=always", "augment: "),
        ("device=tpu", "device: "),
        ("resolution=48", "resolution must be a power of two, got 48"),
        ("batch=6", "batch must be a multiple of 4"),
        ("grad_accum=3", "batch must be a multiple of 12"),
    ],
)
def test_wrong_setting_is_one_sentence(setting: str, expected: str):
    with pytest.raises(InputError) as caught:
        override(BASE, [setting])
    message = str(caught.value)
    assert message.startswith("train: ")
    assert expected in message
    assert "\n" not in message


def test_configuration_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        BASE.batch = 4


@pytest.mark.parametrize("name", list(PRESETS))
def test_preset_has_a_line_and_the_shared_settings(name: str):
    preset = PRESETS[name]
    assert preset.name == name
    assert preset.summary and "\n" not in preset.summary
    assert set(type(preset.config).model_fields) >= SHARED
    assert override(preset.config, []) == preset.config


@pytest.mark.parametrize("kind", [StyleGAN2Config, RestorerConfig])
def test_every_setting_is_described(kind: type):
    assert [name for name, field in kind.model_fields.items() if not field.description] == []


def test_face_presets_can_start_from_one_another():
    configs = [PRESETS[f"stylegan2-faces-{size}"].config for size in (16, 32, 64)]
    shared = ("z_dim", "w_dim", "mapping_layers", "channel_base", "channel_max")
    assert len({tuple(getattr(config, key) for key in shared) for config in configs}) == 1


def test_unknown_preset_names_the_nearest():
    with pytest.raises(InputError, match="did you mean stylegan2-faces"):
        find_preset("stylegan2-face-16")


def test_restorer_has_its_own_settings():
    config = override(PRESETS["restore-unet"].config, ["l1_weight=2"])
    assert isinstance(config, RestorerConfig)
    assert config.l1_weight == 2
    with pytest.raises(InputError, match="unknown setting 'style_mixing'"):
        override(config, ["style_mixing=1"])


def test_steps_are_rounded_to_whole_batches():
    config = override(BASE, ["batch=32", "total_kimg=1"])
    assert config.total_steps == 31
    assert config.steps(0.001) == 1
