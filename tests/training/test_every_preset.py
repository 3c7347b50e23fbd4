"""Every preset continues exactly, with other workers too, and computes the same in parts."""

import json

import pytest

from ganvas.training import train

from .image_sets import assert_same_run
from .small_runs import KINDS, OF_PARTS, data_of_presets, every_phase, half

NOT_COMPARED = ("event", "s_per_kimg", "memory_gib", "histograms", "model")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The data set of each preset."""
    return data_of_presets(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def run(data):
    """Train a preset's small networks."""

    def train_small(preset, folder, *more):
        train(preset, data[preset], folder, [*every_phase(preset), *more], say=str)

    return train_small


@pytest.fixture(scope="module", params=KINDS)
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
