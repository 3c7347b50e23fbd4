"""Random damage to real files of every container: each one loads or is refused, nothing else.

GANVAS_FUZZ sets the number of damaged files for each format (2000 by default).
"""

import os
import random
import resource
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ganvas.core.checkpoints import inspect, load, save
from ganvas.core.errors import InputError
from ganvas.core.models.stylegan2 import Discriminator, Generator

from .checkpoint_files import legacy_bytes, rosinality_generator, stylegan_pickle

MUTANTS = int(os.environ.get("GANVAS_FUZZ", "2000"))
SPARE_BYTES = 1 << 30
SMALL = dict(img_resolution=4, channel_base=16, channel_max=4)
INTERESTING = [
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0xFFFF,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**62,
    2**63,
    2**64 - 1,
]
OPCODES = bytes(range(0x80, 0x98)) + b"()0.12BCGJKMNPQRXabcdehijloqrstu]}"


def write_files(folder: Path) -> None:
    torch.manual_seed(0)
    g = Generator(**SMALL, z_dim=4, w_dim=4, num_mapping_layers=1).eval().requires_grad_(False)
    d = Discriminator(**SMALL).eval().requires_grad_(False)
    state = g.state_dict()
    stylegan_pickle(folder / "ada.pkl", None, d, g)
    torch.save(state, folder / "zip.pt")
    torch.save({"g_ema": rosinality_generator(g), "args": None}, folder / "rosinality.pt")
    (folder / "legacy.pt").write_bytes(legacy_bytes({"params_ema": state}))
    save_file(state, folder / "foreign.safetensors")
    save(
        folder / "own.safetensors",
        arch="stylegan2-generator",
        config=asdict(g.config),
        tensors=state,
        training={},
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    write_files(folder)
    return folder


def mutant(data: bytes, rng: random.Random) -> bytes:
    """One to four random changes: bytes, numbers, opcodes, cuts, copies and moves of stretches."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(changed) or 1)
        length = rng.choice((1, 2, 4, 8, 16, rng.randrange(1, 200)))
        kind = rng.randrange(9)
        if kind == 0:
            changed[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            changed[at : at + 1] = bytes([changed[at] ^ (1 << rng.randrange(8))] if changed else [])
        elif kind == 2:
            number = rng.choice(INTERESTING)
            size = rng.choice((1, 2, 4, 8))
            changed[at : at + size] = (number % 2 ** (8 * size)).to_bytes(size, "little")
        elif kind == 3:
            changed[at : at + 1] = bytes([rng.choice(OPCODES)])
        elif kind == 4:
            del changed[at : at + length]
        elif kind == 5:
            changed[at:at] = rng.randbytes(length)
        elif kind == 6:
            source = rng.randrange(len(changed) or 1)
            changed[at:at] = changed[source : source + length]
        elif kind == 7:
            source = rng.randrange(len(changed) or 1)
            changed[at : at + length] = changed[source : source + length]
        elif rng.random() < 0.3:
            del changed[at:]
        else:
            changed[at : at + 4] = struct.pack("<f", rng.choice((0.0, -1.0, 3e38)))
    return bytes(changed)


@contextmanager
def little_memory() -> Iterator[None]:
    """Let this process take no more than `SPARE_BYTES` beyond what it has."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        yield
        return
    used = int(statm.read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + SPARE_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


FORMATS = [
    "ada.pkl",
    "zip.pt",
    "rosinality.pt",
    "legacy.pt",
    "foreign.safetensors",
    "own.safetensors",
]


@pytest.mark.parametrize("name", FORMATS)
def test_every_damaged_file_loads_or_is_refused(files, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    data = (files / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data)
    load(path)
    loaded = 0
    with little_memory():
        for index in range(MUTANTS):
            path.write_bytes(mutant(data, random.Random(f"{name} {index}")))
            operation = inspect if index % 10 == 0 else load
            try:
                operation(path)
                loaded += 1
            except InputError as error:
                assert str(error).startswith(str(path)) and "\n" not in str(error), index
            except BaseException as error:
                raise AssertionError(f"mutant {index} of {name}") from error
    assert 0 < loaded < MUTANTS
    assert [file.name for file in tmp_path.iterdir()] == [name]
