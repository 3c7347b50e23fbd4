"""Snapshot pairs: what is kept, what is removed, and what a failed write leaves."""

from pathlib import Path

import pytest
import torch

from ganvas.core.errors import InputError
from ganvas.core.models.stylegan2 import Generator
from ganvas.training import snapshot
from ganvas.training.errors import TrainingError
from ganvas.training.snapshot import ModelFile, State

SMALL = {
    "z_dim": 2, "w_dim": 2, "img_resolution": 4, "channel_base": 8, "channel_max": 2,
    "num_mapping_layers": 1,
}  # fmt: skip


def write(folder: Path, images: int, keep: int = 2) -> None:
    network = Generator(**SMALL)
    model = ModelFile("stylegan2-generator", SMALL, network.state_dict(), {"images": images})
    tensors = {"x": torch.full((3,), float(images))}
    state = State(tensors, {"threads": 1}, {"batch": 4}, "preset", images // 4, images)
    folder.mkdir(exist_ok=True)
    snapshot.write(folder, model, state, keep)


def test_state_comes_back_as_it_was(tmp_path):
    write(tmp_path, 8)
    state = snapshot.read(snapshot.find_state(tmp_path))
    assert state.tensors["x"].tolist() == [8, 8, 8]
    assert (state.preset, state.step, state.images) == ("preset", 2, 8)
    assert (state.config, state.counters) == ({"batch": 4}, {"threads": 1})


def test_only_the_newest_pairs_are_kept(tmp_path):
    for images in (4, 8, 12, 16):
        write(tmp_path, images, keep=2)
    names = sorted(path.name for path in tmp_path.glob("*-*.safetensors"))
    assert names == [
        "model-0000000012.safetensors",
        "model-0000000016.safetensors",
        "training-state-0000000012.safetensors",
        "training-state-0000000016.safetensors",
    ]
    newest = (tmp_path / "model-0000000016.safetensors").read_bytes()
    assert (tmp_path / "model.safetensors").read_bytes() == newest


def test_clean_removes_what_no_pointer_names(tmp_path):
    write(tmp_path, 4)
    (tmp_path / "model-0000000008.safetensors").write_bytes(b"half a snapshot")
    (tmp_path / ".training-state-0000000008-abc.safetensors").write_bytes(b"unfinished")
    (tmp_path / "model.safetensors").write_bytes(b"older")
    (tmp_path / "notes.txt").write_text("mine")
    snapshot.clean(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "latest.json", "model.safetensors", "model-0000000004.safetensors",
        "training-state-0000000004.safetensors", "notes.txt",
    }  # fmt: skip
    good = (tmp_path / "model-0000000004.safetensors").read_bytes()
    assert (tmp_path / "model.safetensors").read_bytes() == good


def test_full_disk_is_one_sentence_and_keeps_the_last_pair(tmp_path, monkeypatch):
    write(tmp_path, 4)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*arguments: object, **keywords: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshot, "save_file", full)
    with pytest.raises(TrainingError, match=r"could not be written .*No space left"):
        write(tmp_path, 8)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    after.pop("model-0000000008.safetensors")
    assert after == before
    assert snapshot.latest(tmp_path)["images"] == 4


@pytest.mark.parametrize("text", ["", "[]", '{"step": 1}', "\udcff"])
def test_damaged_pointer_is_an_input_error(tmp_path, text):
    (tmp_path / "latest.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match="is damaged"):
        snapshot.latest(tmp_path)


def test_pointer_cannot_name_files_elsewhere(tmp_path):
    (tmp_path / "latest.json").write_text(
        '{"step": 1, "images": 4, "model": "../../etc/m", "state": "/etc/s"}'
    )
    pointer = snapshot.latest(tmp_path)
    assert (pointer["model"], pointer["state"]) == ("m", "s")


def test_truncated_state_is_an_input_error(tmp_path):
    write(tmp_path, 4)
    path = snapshot.find_state(tmp_path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match="not a readable training state"):
        snapshot.read(path)
