"""Damaged, hostile and foreign files: one clear sentence, no other exception, no code run."""

import json
import pickle
import zipfile
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from ganvas.core.checkpoints import inspect, load, save
from ganvas.core.checkpoints.header import MAX_HEADER_BYTES
from ganvas.core.errors import InputError
from ganvas.core.models.stylegan2 import Generator


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> bytes:
    torch.manual_seed(0)
    generator = Generator(
        z_dim=4, w_dim=4, img_resolution=4, channel_base=16, channel_max=4, num_mapping_layers=1
    )
    path = tmp_path_factory.mktemp("good") / "good.safetensors"
    save(
        path,
        arch="stylegan2-generator",
        config=asdict(generator.config),
        tensors=generator.state_dict(),
        training={"kimg": 1},
    )
    return path.read_bytes()


def split(data: bytes) -> tuple[dict, bytes]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def join(header, body: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def refusal(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message and len(message) < 500
    return message


def test_the_undamaged_file_loads(tmp_path, good):
    path = tmp_path / "good.safetensors"
    path.write_bytes(good)
    assert load(path).generator is not None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: d[:-1], "cut short"),
        (lambda d: d[:100], "announced in a file of 100 bytes"),
        (lambda d: d[:5], "too short"),
        (lambda d: d + b"x", "longer than its header says"),
        (lambda d: (2**63).to_bytes(8, "little") + d[8:], f"at most {MAX_HEADER_BYTES}"),
        (lambda d: (0).to_bytes(8, "little") + d[8:], "header of 0 bytes"),
        (lambda d: d[:8] + b"[" + d[9:], "not valid JSON"),
        (lambda d: d[:20] + b"\xff" + d[21:], "not UTF-8"),
        (lambda d: join(b"[" * 100_000, b""), "not valid JSON"),
        (lambda d: join(b"[1, 2]", b""), "expected a JSON object, got list"),
        (lambda d: join(b'{"a": NaN}', b""), "NaN is not JSON"),
        (lambda d: join(b'{"a": 1, "a": 2}', b""), "a key appears twice"),
        (lambda d: join(b'{"a": ' + b"9" * 5000 + b"}", b""), "not valid JSON"),
        (lambda d: join(rb'{"\ud800": {}}', b""), "not Unicode"),
    ],
)
def test_a_damaged_container_is_refused(tmp_path, good, damage, message):
    assert message in refusal(tmp_path / "m.safetensors", damage(good))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"dtype": "F31"}, "unknown dtype 'F31'"),
        ({"dtype": 32}, "unknown dtype 32"),
        ({"shape": [-1, 4]}, "whole numbers from 0, got -1"),
        ({"shape": [True]}, "whole numbers from 0, got True"),
        ({"shape": [2**64]}, "whole numbers from 0"),
        ({"shape": [2**40, 2**40]}, "its offsets span"),
        ({"shape": [1] * 9}, "9 dimensions"),
        ({"shape": "4"}, "shape must be a list, got str"),
        ({"data_offsets": [0]}, "must be [begin, end]"),
        ({"data_offsets": [8, 0]}, "must be [begin, end]"),
        ({"data_offsets": [4, 24]}, "its offsets span"),
        ({"extra": 1}, "expected dtype, shape and data_offsets"),
    ],
    ids=str,
)
def test_a_header_entry_that_makes_no_sense_is_refused(tmp_path, good, entry, message):
    header, body = split(good)
    header["mapping.w_avg"] = {**header["mapping.w_avg"], **entry}
    assert message in refusal(tmp_path / "m.safetensors", join(header, body))


def test_overlapping_and_missing_data_is_refused(tmp_path, good):
    header, body = split(good)
    first = next(name for name in header if header[name].get("data_offsets", [1])[0] == 0)
    shifted = json.loads(json.dumps(header))
    twin = dict(shifted[first])
    shifted["twin"] = twin
    assert "overlaps" in refusal(tmp_path / "m.safetensors", join(shifted, body))
    del header[first]
    assert "leaves a gap" in refusal(tmp_path / "m.safetensors", join(header, body))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"ganvas.format": "2"}, "ganvas format '2', expected 1"),
        ({"ganvas.arch": None}, "ganvas.arch is missing"),
        ({"ganvas.config": None}, "ganvas.config is missing"),
        ({"ganvas.arch": "stylegan9"}, "architecture 'stylegan9' is unknown"),
        ({"ganvas.config": "{"}, "ganvas.config: not valid JSON"),
        ({"ganvas.config": "[]"}, "ganvas.config: expected a JSON object, got list"),
        ({"ganvas.training": "3"}, "ganvas.training: expected a JSON object, got int"),
        ({"note": 3}, "metadata 'note' must be text"),
    ],
    ids=str,
)
def test_wrong_metadata_is_refused(tmp_path, good, metadata, message):
    header, body = split(good)
    entries = {**header["__metadata__"], **metadata}
    header["__metadata__"] = {k: v for k, v in entries.items() if v is not None}
    assert message in refusal(tmp_path / "m.safetensors", join(header, body))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"w_dim": 5}, "should have shape"),
        ({"img_resolution": 8}, "which the file lacks"),
        ({"num_mapping_layers": 0}, "no place for|does not describe"),
        ({"num_mapping_layers": 10**9}, "at most 64 accepted"),
        ({"img_resolution": 2**30}, "at most 4096 accepted"),
        ({"img_resolution": 0}, "does not describe a stylegan2-generator"),
        ({"img_resolution": "big"}, "does not describe a stylegan2-generator"),
        ({"colour": "blue"}, "does not describe a stylegan2-generator"),
        ({"architecture": {"a": 1}}, "config architecture must be"),
        ({"conv_clamp": "1e999"}, "a finite number is needed|does not describe"),
    ],
    ids=str,
)
def test_a_config_that_does_not_fit_the_weights_is_refused(tmp_path, good, change, message):
    header, body = split(good)
    config = {**json.loads(header["__metadata__"]["ganvas.config"]), **change}
    header["__metadata__"]["ganvas.config"] = json.dumps(config).replace('"1e999"', "1e999")
    text = refusal(tmp_path / "m.safetensors", join(header, body))
    assert any(part in text for part in message.split("|"))


@pytest.mark.parametrize("bad", [float("nan"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, good, bad):
    header, body = split(good)
    begin, _ = header["mapping.w_avg"]["data_offsets"]
    number = torch.tensor([bad]).numpy().tobytes()
    data = join(header, body[:begin] + number + body[begin + 4 :])
    assert "mapping.w_avg holds NaN or infinite" in refusal(tmp_path / "m.safetensors", data)


def test_whole_numbers_are_not_taken_for_weights(tmp_path, good):
    header, body = split(good)
    header["mapping.w_avg"]["dtype"] = "I32"
    text = refusal(tmp_path / "m.safetensors", join(header, body))
    assert "mapping.w_avg should hold torch.float32 numbers, got I32" in text


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("ganvas-executed-a-pickle"),))


def test_foreign_files_are_named_and_nothing_in_them_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"bomb": Bomb()}, "saved.pt")
    torch.save({"bomb": Bomb()}, "old.pt", _use_new_zipfile_serialization=False)
    Path("net.pkl").write_bytes(pickle.dumps(Bomb(), protocol=4))
    save_file({"x": torch.zeros(2)}, "plain.safetensors")
    Path("lfs.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    Path("page.safetensors").write_text("<!DOCTYPE html><title>404</title>")
    Path("empty.safetensors").touch()
    with zipfile.ZipFile("data.zip", "w") as archive:
        archive.writestr("dataset.json", "{}")
    Path("cut.zip").write_bytes(Path("data.zip").read_bytes()[:40])
    Path("noise.bin").write_bytes(bytes(range(1, 200)))
    Path("folder").mkdir()
    expected = {
        "saved.pt": "which no model file may use",
        "old.pt": "which no model file may use",
        "net.pkl": "which no model file may use",
        "plain.safetensors": "no known architecture has tensors such as x",
        "lfs.safetensors": "a Git LFS pointer",
        "page.safetensors": "a web page",
        "empty.safetensors": "an empty file",
        "data.zip": "this is a data set, not a model",
        "cut.zip": "the zip archive is damaged",
        "noise.bin": "header of",
        "folder": "got a folder",
        "missing": "'missing' was not found",
        "./missing": "no such file",
    }
    for name, message in expected.items():
        with pytest.raises(InputError, match=message):
            load(name)
    assert not Path("ganvas-executed-a-pickle").exists()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["F32", "F16", "I64", "1", "stylegan2-generator", "restore-unet", "skip"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)


def only_input_errors(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    for operation in (load, inspect):
        try:
            operation(path)
        except InputError as error:
            assert str(error)


FUZZ = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FUZZ
@given(data=st.data())
def test_any_change_of_bytes_loads_or_is_refused(tmp_path, good, data):
    changed = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(changed)))
        kind = data.draw(st.sampled_from(["set", "cut", "insert", "delete"]))
        if kind == "set" and position < len(changed):
            changed[position] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del changed[position:]
        elif kind == "insert":
            changed[position:position] = data.draw(st.binary(min_size=1, max_size=9))
        elif kind == "delete":
            del changed[position : position + data.draw(st.integers(1, 9))]
    only_input_errors(tmp_path / "m.safetensors", bytes(changed))


@FUZZ
@given(data=st.data())
def test_any_header_loads_or_is_refused(tmp_path, good, data):
    header, body = split(good)
    name = data.draw(st.sampled_from(sorted(header)))
    entry = header[name]
    key = data.draw(st.sampled_from([*sorted(entry), None]))
    if key is None:
        header[name] = data.draw(VALUES)
    else:
        entry[key] = data.draw(VALUES)
    only_input_errors(tmp_path / "m.safetensors", join(header, body))


@FUZZ
@given(data=st.data())
def test_any_config_loads_or_is_refused(tmp_path, good, data):
    header, body = split(good)
    metadata = header["__metadata__"]
    metadata["ganvas.arch"] = data.draw(st.sampled_from(["stylegan2-generator", "restore-unet"]))
    config = json.loads(metadata["ganvas.config"])
    for key in data.draw(st.lists(st.sampled_from(sorted(config)), max_size=3)):
        if data.draw(st.booleans()):
            config[key] = data.draw(VALUES | st.integers(-1, 70))
        else:
            config.pop(key, None)
    metadata["ganvas.config"] = json.dumps(config)
    only_input_errors(tmp_path / "m.safetensors", join(header, body))
