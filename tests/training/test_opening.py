"""What a run says first, and what `ganvas train` tells of presets, settings and data."""

import re

import pytest

from ganvas.cli import main
from ganvas.core.data.spec import KINDS
from ganvas.training import PRESETS, train
from ganvas.training.config import override
from ganvas.training.opening import changed_settings, opening_lines, settings_table

DCGAN = PRESETS["dcgan-64"]
WIDEST = 100


def test_a_run_says_what_was_changed_and_nothing_else():
    config = override(
        DCGAN.config, ["batch=8", "lr=1e-3", "mirror=false", "init=run", "total_kimg=1"]
    )
    assert changed_settings(DCGAN, config) == {
        "total_kimg": 1, "batch": 8, "lr": 0.001, "mirror": False, "init": "run",
    }  # fmt: skip
    lines = opening_lines(DCGAN, config)
    assert lines == [
        f"dcgan-64: {DCGAN.summary}",
        "changed: total_kimg=1 (not 1000), batch=8 (not 64), lr=0.001 (not 0.0002), "
        "mirror=false (not true),",
        "    init=run (not none)",
    ]
    assert opening_lines(DCGAN, DCGAN.config) == lines[:1]


def test_the_first_lines_name_data_networks_machine_and_files(tmp_path, images_zip, tiny):
    said: list[str] = []
    folder = tmp_path / "run"
    train("stylegan2-faces-16", images_zip, folder, [*tiny, "total_kimg=0.008"], say=said.append)
    first = said[: next(n for n, line in enumerate(said) if line.startswith("kimg"))]
    assert max(map(len, first)) <= WIDEST or str(folder) in max(first, key=len)
    text = "\n".join(first)
    assert re.search(r"^data: 20 images of 8 px, hash [0-9a-f]{16}$", text, re.MULTILINE)
    assert re.search(r"^parameters: [\d,]+ in G, [\d,]+ in D$", text, re.MULTILINE)
    assert re.search(r"^machine: 1 rank on cpu, 1 thread, PyTorch ", text, re.MULTILINE)
    assert "run: kimg 0 to 0.008 (step 0 to 1)" in first
    assert f"files: {folder} (all settings: config.json)" in first
    again: list[str] = []
    train("stylegan2-faces-16", images_zip, folder, [*tiny, "total_kimg=0.016"], say=again.append)
    state = folder / "training-state-0000000008.safetensors"
    assert f"run: kimg 0.008 to 0.016 (step 1 to 2), continued from {state}" in again


def test_a_dry_run_promises_no_files(capsys):
    assert main(["train", "mlp-gan", "--dry-run", "hidden=8", "threads=1"]) == 0
    assert "files:" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["dcgan-64", "cyclegan-64", "stylegan2-256"])
def test_every_setting_of_a_preset_is_listed_with_value_meaning_and_range(name, capsys):
    assert main(["train", name, "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == settings_table(PRESETS[name]) and max(map(len, lines)) <= WIDEST
    listed = re.findall(r"^(\w+)=", "\n".join(lines), re.MULTILINE)
    config = PRESETS[name].config
    assert sorted(listed) == sorted(type(config).model_fields)
    values = dict(re.findall(r"^(\w+)=(\S*)", "\n".join(lines), re.MULTILINE))
    assert override(config, [f"{key}={value}" for key, value in values.items()]) == config
    text = re.sub(r"\s+", " ", " ".join(lines))
    assert "images per step, over all ranks [whole number from 2 to 65536]" in text
    assert "[none, bf16]" in text and "[number above 0 below 1 or none]" in text


def test_an_unknown_setting_says_where_all_are_explained(capsys):
    assert main(["train", "dcgan-64", "--dry-run", "bogus=1"]) == 2
    assert "ganvas train PRESET --list explains them" in capsys.readouterr().err


def test_help_names_every_kind_of_data(capsys):
    assert main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    assert [kind for kind in (*KINDS, "faces") if f"{kind}:" not in text] == []
