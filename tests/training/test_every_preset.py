"""Every preset continues exactly, with other workers too, and computes the same in parts.

Presets that differ in numbers alone (resolution, widths, length) share a run of tiny networks.
"""

import json

import pytest

from ganvas.training import PRESETS, train
from ganvas.training.config import override

from .image_sets import (
    SIZE,
    assert_same_run,
    smooth_images,
    write_domains,
    write_images,
    write_labelled,
    write_pairs,
)

SMALL = {
    "resolution": SIZE, "batch": 4, "total_kimg": 0.02, "snapshot_kimg": 0.012,
    "tick_kimg": 0.004, "ema_kimg": 0.02, "threads": 1, "watch_images": 0, "report": "false",
    "amp": "none",
    # Narrow networks, and every phase within five steps.
    "z_dim": 4, "w_dim": 4, "mapping_layers": 1, "channel_base": 64, "channel_max": 8,
    "base_channels": 4, "group_width": 4, "num_blocks": 1, "ngf": 4, "ndf": 4, "d_layers": 1,
    "d_channels": 4, "num_levels": 2, "hidden": 8, "d_hidden": 8, "q_hidden": 8, "noise_dim": 4,
    "embed_dim": 4, "num_categories": 3, "pool": 3, "heldout": 2, "warmup_kimg": 0.01,
    "stage1_kimg": 0.008, "start_resolution": 8, "stable_kimg": 0.004, "fade_kimg": 0.008,
    "stddev_group": 2, "r1_interval": 2, "pl_interval": 2, "ada_interval": 2, "augment_p": 0.5,
    "pl_batch_shrink": 1, "gan_start_kimg": 0.004, "decay_from_kimg": 0.008, "decay_kimg": 0.008,
}  # fmt: skip
LABELLED = ("cgan-64", "cvae-64", "stackgan-64")
# Their generators, at least, have batch normalisation, whose statistics are those of a part.
OF_PARTS = ("dcgan", "cgan", "wgan", "infogan", "stackgan", "mlp")
NOT_COMPARED = ("event", "s_per_kimg", "memory_gib", "histograms", "model")


def small(preset: str) -> list[str]:
    """The settings of a small run, those of the table that the preset has; five steps in all."""
    fields = type(PRESETS[preset].config).model_fields
    settings = {key: value for key, value in SMALL.items() if key in fields}
    if preset.startswith("stylegan2"):  # which keeps four images together
        settings |= {"batch": 8, "total_kimg": 0.04, "snapshot_kimg": 0.024, "tick_kimg": 0.008}
    return [f"{key}={value}" for key, value in settings.items()]


def half(preset: str) -> str:
    """The setting that ends a small run after its first snapshot, three steps."""
    config = override(PRESETS[preset].config, small(preset))
    return f"total_kimg={config.snapshot_kimg}"


def kind(preset: str) -> str:
    """Equal for presets whose small runs take the same paths through the code."""
    config = override(PRESETS[preset].config, small(preset))
    choices = {
        name: value if isinstance(value, (bool, str)) else bool(value)
        for name, value in config.model_dump().items()
    }
    return json.dumps([type(config).__name__, choices])


KINDS = {kind(preset): preset for preset in reversed(PRESETS)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Small data sets by what a preset learns from."""
    folder = tmp_path_factory.mktemp("data")
    return {
        "images": str(write_images(folder / "images", smooth_images(16, 0))),
        "pairs": write_pairs(folder / "pairs"),
        "domains": write_domains(folder / "domains"),
        "labels": str(write_labelled(folder / "labelled.zip")),
    }


@pytest.fixture(scope="module")
def run(data):
    """Train a preset's small networks."""

    def train_small(preset, folder, *more):
        needs = "labels" if preset in LABELLED else type(PRESETS[preset].config).needs
        train(preset, data[needs], folder, [*small(preset), *more], say=str)

    return train_small


@pytest.fixture(scope="module", params=KINDS.values())
def whole(request, run, tmp_path_factory):
    """A preset, and the folder of a run without a break."""
    folder = tmp_path_factory.mktemp("whole")
    run(request.param, folder)
    return request.param, folder


def test_a_run_in_two_halves_ends_in_the_same_bits(tmp_path, run, whole):
    preset, folder = whole
    run(preset, tmp_path, half(preset), "workers=2")
    run(preset, tmp_path, "workers=1")
    assert_same_run(tmp_path, folder)


def ticks(folder):
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == "tick"]


def test_a_batch_in_parts_gives_the_same_numbers(tmp_path, run, whole):
    preset, folder = whole
    if preset.startswith(OF_PARTS):
        pytest.skip("batch normalisation takes the statistics of a part")
    run(preset, tmp_path, "grad_accum=2", half(preset))
    assert len(ticks(tmp_path)) == 3
    for one, two in zip(ticks(folder), ticks(tmp_path), strict=False):
        numbers = {key: value for key, value in one.items() if key not in NOT_COMPARED}
        assert len(numbers) > 2
        # Adam, in its first steps, makes much of rounding.
        assert {key: two[key] for key in numbers} == pytest.approx(numbers, rel=5e-3, abs=5e-3)


def test_every_discriminator_tells_how_its_logits_are_distributed(whole):
    last = ticks(whole[1])[-1]
    critics = [name for name in last if name.startswith("loss_d")]
    counts = [sum(row) for row in last.get("histograms", {}).values()]
    assert len(counts) >= 2 * len(critics) and all(counts)
