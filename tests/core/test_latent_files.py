"""Files of latents and directions: round trips, equal bytes, and everything that is not one."""

from __future__ import annotations

import pytest
import torch

from ganvas.core.checkpoints.saving import write_tensors
from ganvas.core.editing import Direction
from ganvas.core.errors import InputError
from ganvas.core.latent_files import load_direction, load_latents, save_direction, save_latents
from ganvas.core.latents import Latents

HASH = "0123456789abcdef" * 4
META = {"ganvas.format": "1", "ganvas.kind": "latents", "ganvas.model": HASH, "ganvas.space": "W"}


@pytest.mark.parametrize("space", ["W", "W+"])
def test_latents_come_back(tmp_path, space):
    latents = Latents(torch.randn(3, 5, 4), space, HASH)
    save_latents(tmp_path / "a.safetensors", latents)
    save_latents(tmp_path / "b.safetensors", latents)
    back = load_latents(tmp_path / "a.safetensors")
    assert torch.equal(back.ws, latents.ws)
    assert (back.space, back.model_hash) == (space, HASH)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize("shape", [(4,), (3, 4)])
def test_directions_come_back(tmp_path, shape):
    direction = Direction(torch.randn(shape), 2, 4, HASH, "older, without «glasses»", 0.75)
    save_direction(tmp_path / "a.safetensors", direction)
    back = load_direction(tmp_path / "a.safetensors")
    assert torch.equal(back.vector, direction.vector)
    for field in ("first_layer", "last_layer", "model_hash", "name", "value"):
        assert getattr(back, field) == getattr(direction, field)


def test_one_kind_is_not_taken_for_the_other(tmp_path):
    file = tmp_path / "a.safetensors"
    save_latents(file, Latents(torch.zeros(1, 2, 3), "W", HASH))
    with pytest.raises(InputError, match="expected saved direction, got a file of latents"):
        load_direction(file)
    save_direction(file, Direction(torch.zeros(3), 0, 1, HASH))
    with pytest.raises(InputError, match="expected saved latents, got a file of a direction"):
        load_latents(file)
    write_tensors(file, {"x": torch.zeros(1)}, {"ganvas.arch": "pggan-generator"})
    with pytest.raises(InputError, match="got a model"):
        load_latents(file)


@pytest.mark.parametrize(
    "tensors,changes,message",
    [
        ({"ws": torch.zeros(1, 2, 3)}, {"ganvas.format": "2"}, "newer ganvas"),
        ({"ws": torch.zeros(1, 2, 3)}, {"ganvas.model": "x"}, "which generator"),
        ({"ws": torch.zeros(1, 2, 3)}, {"ganvas.space": "Z"}, "space W or W"),
        ({"ws": torch.zeros(2, 3)}, {}, "unexpected shape"),
        ({"ws": torch.zeros(0, 2, 3)}, {}, "unexpected shape"),
        ({"ws": torch.zeros(1, 2, 3, dtype=torch.int32)}, {}, "real numbers"),
        ({"w": torch.zeros(1, 2, 3)}, {}, "called ws"),
        ({"ws": torch.zeros(1, 2, 3), "x": torch.zeros(1)}, {}, "one tensor"),
    ],
)
def test_files_that_contradict_themselves_are_refused(tmp_path, tensors, changes, message):
    file = tmp_path / "a.safetensors"
    write_tensors(file, tensors, META | changes)
    with pytest.raises(InputError, match=rf"a\.safetensors: .*{message}"):
        load_latents(file)


@pytest.mark.parametrize(
    "about",
    [
        "",
        "[]",
        '{"first_layer": 3, "last_layer": 2, "name": "", "value": 0}',
        '{"first_layer": 0, "last_layer": 2, "name": "", "value": 0}',
        '{"first_layer": 0, "last_layer": 1, "name": 5, "value": 0}',
        '{"first_layer": 0, "last_layer": 1, "name": "", "value": 1e999}',
        '{"first_layer": "0", "last_layer": 1, "name": "", "value": 0}',
    ],
)
def test_directions_that_contradict_themselves_are_refused(tmp_path, about):
    file = tmp_path / "a.safetensors"
    meta = META | {"ganvas.kind": "direction", "ganvas.direction": about}
    write_tensors(file, {"vector": torch.zeros(2, 3)}, meta)
    with pytest.raises(InputError, match=r"a\.safetensors: "):
        load_direction(file)


def test_damaged_and_missing_files_are_refused(tmp_path):
    file = tmp_path / "a.safetensors"
    save_latents(file, Latents(torch.ones(2, 3, 4), "W", HASH))
    whole = file.read_bytes()
    for cut in (0, 7, 40, len(whole) - 1):
        file.write_bytes(whole[:cut])
        with pytest.raises(InputError):
            load_latents(file)
    infinite = whole[:-4] + b"\x00\x00\x80\x7f"
    file.write_bytes(infinite)
    with pytest.raises(InputError, match="NaN or infinite"):
        load_latents(file)
    with pytest.raises(InputError, match="no such file"):
        load_latents(tmp_path / "b.safetensors")
