"""Whole runs with tiny networks: progress, snapshots, stopping, and equality of equal runs."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch

from ganvas.core import checkpoints
from ganvas.core.errors import InputError
from ganvas.training import html, losses, snapshot, train
from ganvas.training.config import override
from ganvas.training.distributed import Ranks
from ganvas.training.errors import TrainingError
from ganvas.training.presets import PRESETS
from ganvas.training.report import Reporter
from ganvas.training.resume import compare

from .image_sets import smooth_images, write_images

PRESET = "stylegan2-faces-16"


def silent(text: str) -> None:
    """Swallow progress lines."""


def records(folder: Path, event: str) -> list[dict]:
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [r for r in map(json.loads, lines) if r["event"] == event]


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return snapshot.read(snapshot.find_state(folder)).tensors


def assert_same_run(a: Path, b: Path) -> None:
    first, second = tensors(a), tensors(b)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    one, two = (checkpoints.load(folder / "model.safetensors") for folder in (a, b))
    state = two.generator.state_dict()
    assert all(
        torch.equal(value, state[name]) for name, value in one.generator.state_dict().items()
    )


def test_a_run_leaves_a_model_a_log_and_grids(tmp_path, images_zip, tiny):
    said: list[str] = []
    result = train(PRESET, images_zip, tmp_path / "run", [*tiny, "swd_images=8"], say=said.append)
    folder = tmp_path / "run"
    assert (result.outcome, result.images, result.folder) == ("finished", 64, folder)
    assert result.model == folder / "model.safetensors"

    model = checkpoints.load(result.model)
    assert model.arch == "stylegan2-generator"
    assert model.training["preset"] == PRESET
    assert model.training["images"] == 64
    assert model.generator(torch.randn(2, 8)).shape == (2, 3, 8, 8)

    ticks = records(folder, "tick")
    assert [r["images"] for r in ticks] == list(range(8, 65, 8))
    assert {"loss_g", "loss_d", "s_per_kimg", "memory_gib"} <= ticks[0].keys()
    assert sum("r1" in r for r in ticks) == 4
    assert sum("path_length" in r for r in ticks) == 3
    shots = records(folder, "snapshot")
    assert [r["images"] for r in shots] == [24, 48, 64]
    assert all("swd_mean" in r for r in shots)
    assert any("s/kimg" in line and "GiB" in line for line in said)

    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "reals.png", "samples-0000000024.png", "latest.json"} <= names
    assert {n for n in names if n.startswith("model-")} == {
        "model-0000000048.safetensors",
        "model-0000000064.safetensors",
    }
    assert not any(name.startswith(".") for name in names)


@pytest.mark.parametrize(
    "changes",
    [["workers=2"], ["channels_last=true", "keep=1"]],
    ids=["two workers", "other housekeeping"],
)
def test_housekeeping_does_not_change_the_numbers(tmp_path, images_zip, tiny, changes):
    for name, extra in (("a", []), ("b", changes)):
        train(PRESET, images_zip, tmp_path / name, [*tiny, *extra], say=silent)
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_gradient_accumulation_gives_the_same_losses(tmp_path, images_zip, tiny):
    for name, extra in (("a", []), ("b", ["grad_accum=2"])):
        train(PRESET, images_zip, tmp_path / name, [*tiny, *extra, "pl_batch_shrink=1"], say=silent)
    for one, two in zip(*(records(tmp_path / n, "tick") for n in "ab"), strict=True):
        for key in ("loss_d", "loss_g", "logits_real", "logits_fake"):
            assert two[key] == pytest.approx(one[key], rel=2e-3, abs=2e-3)


@pytest.mark.parametrize("augment", ["ada", "diffaugment"])
def test_augmented_run_continues_exactly(tmp_path, images_zip, tiny, augment):
    settings = [*tiny, f"augment={augment}", "augment_p=0.3", "ada_interval=2", "amp=bf16"]
    train(PRESET, images_zip, tmp_path / "a", settings, say=silent)
    train(PRESET, images_zip, tmp_path / "b", [*settings, "total_kimg=0.024"], say=silent)
    train(PRESET, images_zip, tmp_path / "b", settings, say=silent)
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_ctrl_c_writes_a_snapshot_and_the_run_continues_exactly(tmp_path, images_zip, tiny):
    train(PRESET, images_zip, tmp_path / "a", tiny, say=silent)
    before = signal.getsignal(signal.SIGINT)

    def interrupt(text: str) -> None:
        if text.startswith("kimg") and "0.03 of" in text:
            os.kill(os.getpid(), signal.SIGINT)

    stopped = train(PRESET, images_zip, tmp_path / "b", tiny, say=interrupt)
    assert stopped.outcome == "interrupted"
    assert 32 <= stopped.images < 64
    assert signal.getsignal(signal.SIGINT) == before
    assert snapshot.latest(tmp_path / "b")["images"] == stopped.images
    finished = train(PRESET, images_zip, tmp_path / "b", tiny, say=silent)
    assert finished.outcome == "finished"
    assert_same_run(tmp_path / "a", tmp_path / "b")
    assert [r["images"] for r in records(tmp_path / "b", "tick")] == list(range(8, 65, 8))


def test_nan_stops_the_run_and_keeps_the_last_good_snapshot(
    tmp_path, images_zip, tiny, monkeypatch
):
    original, calls = losses.generator_loss, []

    def poisoned(logits):
        calls.append(1)
        return original(logits) * (float("nan") if len(calls) == 6 else 1)

    monkeypatch.setattr(losses, "generator_loss", poisoned)
    with pytest.raises(TrainingError) as caught:
        train(PRESET, images_zip, tmp_path / "run", tiny, say=silent)
    message = str(caught.value)
    assert "loss_g nan" in message
    assert "training-state-0000000024.safetensors" in message
    assert snapshot.latest(tmp_path / "run")["images"] == 24
    monkeypatch.undo()
    finished = train(PRESET, images_zip, tmp_path / "run", tiny, say=silent)
    assert finished.outcome == "finished"


@pytest.mark.parametrize("file", ["log.jsonl", "samples-0000000048.png", "report.html"])
def test_a_full_disk_is_one_sentence_and_the_run_continues(
    tmp_path, images_zip, tiny, monkeypatch, file
):
    full = OSError(28, "No space left on device")
    shots = []
    if file == "log.jsonl":

        def log(self, event, images, values):
            if images == 32:
                raise full

        monkeypatch.setattr(Reporter, "log", log)
    elif file == "report.html":

        def write_report(*args):
            shots.append(1)
            if len(shots) == 2:
                raise full

        monkeypatch.setattr(html, "write_report", write_report)
    else:

        def grid(self, name, images, columns):
            if name == file:
                raise full

        monkeypatch.setattr(Reporter, "grid", grid)
    settings = [*tiny, "report=true"]
    with pytest.raises(TrainingError) as caught:
        train(PRESET, images_zip, tmp_path / "run", settings, say=silent)
    last = 48 if file == "report.html" else 24
    assert f"{tmp_path / 'run'} could not be written to (No space left" in str(caught.value)
    assert f"last good snapshot is {tmp_path / 'run' / f'training-state-{last:010}'}" in str(
        caught.value
    )
    monkeypatch.undo()
    finished = train(PRESET, images_zip, tmp_path / "run", tiny, say=silent)
    assert finished.outcome == "finished"


def test_nan_before_any_snapshot_says_so(tmp_path, images_zip, tiny, monkeypatch):
    monkeypatch.setattr(losses, "discriminator_loss", lambda a, b: (a.sum() + b.sum()) * torch.nan)
    with pytest.raises(TrainingError, match="no snapshot yet"):
        train(PRESET, images_zip, tmp_path / "run", tiny, say=silent)
    assert snapshot.latest(tmp_path / "run") is None


@pytest.mark.parametrize("preset", [PRESET, "restore-unet"])
def test_dry_run_takes_two_steps_with_every_phase_and_leaves_nothing(preset, tiny):
    settings = [t for t in tiny if t.split("=")[0] in ("resolution", "amp", "threads")]
    if preset == PRESET:
        settings += ["channel_base=32", "channel_max=4", "pl_weight=1", "augment=ada"]
    else:
        settings += ["base_channels=4", "channel_max=8", "num_levels=2", "d_channels=4"]
        settings[0] = "resolution=32"
    said: list[str] = []
    result = train(preset, None, None, settings, dry_run=True, say=said.append)
    images = 8 if preset == PRESET else 4  # two steps of one stddev group, or of two images
    assert (result.outcome, result.images, result.model) == ("finished", images, None)
    assert not result.folder.exists()
    assert sum(line.startswith("kimg") for line in said) == 2
    assert any(line.startswith("snapshot") for line in said)
    assert "r1" in " ".join(said)


def test_new_run_refuses_a_folder_with_a_run(tmp_path, images_zip, tiny):
    train(PRESET, images_zip, tmp_path / "run", [*tiny, "total_kimg=0.008"], say=silent)
    with pytest.raises(InputError, match="already holds a run"):
        train(PRESET, images_zip, tmp_path / "run", tiny, resume=None, say=silent)


def test_continuing_names_what_cannot_change(tmp_path, images_zip, tiny):
    short = [*tiny, "total_kimg=0.008"]
    train(PRESET, images_zip, tmp_path / "run", short, say=silent)
    with pytest.raises(InputError, match=r"seed=0 \(now 1\)"):
        train(PRESET, images_zip, tmp_path / "run", [*short, "seed=1"], say=silent)
    with pytest.raises(InputError, match="other networks"):
        train(PRESET, images_zip, tmp_path / "run", [*short, "w_dim=4"], say=silent)
    with pytest.raises(InputError, match="is stylegan2-faces-16, not stylegan2-faces-32"):
        train("stylegan2-faces-32", images_zip, tmp_path / "run", tiny, say=silent)
    said: list[str] = []
    train(PRESET, images_zip, tmp_path / "run", [*tiny, "lr=0.001"], say=said.append)
    assert any("continuing with lr=0.001, was 0.0025" in line for line in said)
    assert not any("other data" in line for line in said)
    others = write_images(tmp_path / "others", smooth_images(20, 1))
    longer = [*tiny, "total_kimg=0.072"]
    with pytest.raises(
        InputError, match=r"got others \(hash .*, was .*\); to go on with these, na"
    ):
        train(PRESET, others, tmp_path / "run", longer, say=silent)
    folder = tmp_path / "run"
    train(PRESET, others, folder, longer, resume=folder, say=said.append)
    assert any("continuing on other data: hash" in line for line in said)
    assert train(PRESET, others, folder, longer, say=silent).images == 72  # from now on its own


@pytest.mark.parametrize("what", ["missing", "no state", "not safetensors"])
def test_nothing_to_continue_from_is_an_input_error(tmp_path, images_zip, tiny, what):
    path = tmp_path / "state.safetensors"
    if what == "no state":
        checkpoints_like = {"x": torch.zeros(1)}
        from safetensors.torch import save_file

        save_file(checkpoints_like, path)
    elif what == "not safetensors":
        path.write_bytes(b"garbage")
    with pytest.raises(InputError, match="train: "):
        train(PRESET, images_zip, tmp_path / "run", tiny, resume=path, say=silent)


def test_resume_from_an_older_snapshot(tmp_path, images_zip, tiny):
    train(PRESET, images_zip, tmp_path / "a", [*tiny, "keep=9"], say=silent)
    state = tmp_path / "a" / "training-state-0000000024.safetensors"
    train(PRESET, images_zip, tmp_path / "b", tiny, resume=state, say=silent)
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_data_and_folder_are_required(tmp_path, images_zip, tiny):
    with pytest.raises(InputError, match="--data is missing"):
        train(PRESET, None, tmp_path / "run", tiny, say=silent)
    with pytest.raises(InputError, match="--outdir is missing"):
        train(PRESET, images_zip, None, tiny, say=silent)
    with pytest.raises(InputError, match="no such folder or zip"):
        train(PRESET, tmp_path / "nothing", tmp_path / "run", tiny, say=silent)


def test_a_run_that_cannot_start_leaves_no_folder(tmp_path, images_zip, tiny):
    wrong = {"data": [tmp_path / "nothing"], "init": [images_zip, f"init={tmp_path / 'no'}"]}
    for data, *settings in wrong.values():
        with pytest.raises(InputError):
            train(PRESET, data, tmp_path / "new" / "run", [*tiny, *settings], say=silent)
        assert list(tmp_path.iterdir()) == []


def test_output_folder_that_cannot_be_made(tmp_path, images_zip, tiny):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be made"):
        train(PRESET, images_zip, tmp_path / "file" / "run", tiny, say=silent)


def test_a_disk_that_is_really_full_leaves_the_last_good_snapshot(tmp_path, images_zip, tiny):
    """Files beyond a limit fail as on a full disk, in whatever library writes them."""
    resource = pytest.importorskip("resource", reason="limits are those of POSIX")
    folder, limits = tmp_path / "run", resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(text: str) -> None:
        if text.startswith("snapshot"):
            state = folder / "training-state-0000000024.safetensors"
            resource.setrlimit(resource.RLIMIT_FSIZE, (state.stat().st_size // 2, limits[1]))

    try:
        with pytest.raises(TrainingError, match="earlier snapshots are untouched"):
            train(PRESET, images_zip, folder, tiny, say=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert snapshot.latest(folder)["images"] == 24
    assert not list(folder.glob(".*"))
    train(PRESET, images_zip, folder, tiny, say=silent)
    train(PRESET, images_zip, tmp_path / "whole", tiny, say=silent)
    assert_same_run(folder, tmp_path / "whole")


def test_a_disk_that_is_full_at_the_start_is_one_sentence(tmp_path, images_zip, tiny, monkeypatch):
    def grid(self, name, images, columns):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Reporter, "grid", grid)
    with pytest.raises(TrainingError, match=r"not be written to \(No space left.*no snapshot yet"):
        train(PRESET, images_zip, tmp_path / "run", tiny, say=silent)


def test_a_run_that_has_moved_is_told_so(tmp_path, images_zip, tiny):
    train(PRESET, images_zip, tmp_path, [*tiny, "total_kimg=0.008"], say=silent)
    state = snapshot.read(snapshot.find_state(tmp_path))
    config = override(PRESETS[PRESET].config, tiny)
    same, two = (Ranks(0, world, torch.device("cpu")) for world in (1, 2))
    torch.set_num_threads(1)
    assert compare(PRESET, config, state, same) == []
    expected = ["the last bits of the numbers may differ now (ranks: 2, was 1)"]
    assert compare(PRESET, config, state, two) == expected
