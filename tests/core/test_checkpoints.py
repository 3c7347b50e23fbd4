"""Model files: what is written can be read, described and found again."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import ganvas
from ganvas.core.checkpoints import (
    ARCHITECTURES,
    convert,
    find_model,
    finding,
    inspect,
    list_models,
    load,
    resolve_model,
    save,
)
from ganvas.core.errors import InputError
from ganvas.core.models.stylegan2 import Generator
from ganvas.core.models.unet import RestorationUNet

SMALL = dict(z_dim=6, w_dim=8, img_resolution=8, channel_base=64, channel_max=8)


def small_generator(seed: int = 0, **changes) -> Generator:
    torch.manual_seed(seed)
    return Generator(**{**SMALL, "num_mapping_layers": 2, **changes}).eval()


def write(path: Path, model, arch: str = "stylegan2-generator", **keywords) -> Path:
    keywords.setdefault("tensors", model.state_dict())
    keywords.setdefault("training", {"preset": "test", "kimg": 1.5})
    save(path, arch=arch, config=asdict(model.config), **keywords)
    return path


def test_a_loaded_generator_makes_the_same_images(tmp_path):
    original = small_generator()
    model = load(write(tmp_path / "g.safetensors", original))
    z = torch.randn(3, 6)
    assert model.arch == "stylegan2-generator"
    assert model.network is None and model.discriminator is None
    assert isinstance(model.generator, Generator)
    assert not model.generator.training
    assert not any(p.requires_grad for p in model.generator.parameters())
    with torch.no_grad():
        torch.testing.assert_close(model.generator(z), original(z), rtol=0, atol=0)


def test_a_loaded_restorer_gives_the_same_image(tmp_path):
    torch.manual_seed(1)
    original = RestorationUNet(base_channels=4, num_levels=2).eval()
    model = load(write(tmp_path / "u.safetensors", original, "restore-unet"))
    assert model.generator is None and isinstance(model.network, RestorationUNet)
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(model.network(x), original(x), rtol=0, atol=0)


@pytest.mark.parametrize(
    "change",
    [
        {"z_dim": 7},
        {"w_dim": 5},
        {"c_dim": 3},
        {"img_resolution": 16},
        {"img_channels": 1},
        {"channel_base": 32},
        {"channel_max": 4},
        {"num_mapping_layers": 3},
        {"architecture": "resnet"},
        {"architecture": "orig"},
        {"conv_clamp": 256.0},
        {"mapping_lr_multiplier": 0.1},
        {"w_avg_beta": 0.9},
    ],
    ids=str,
)
def test_every_hyperparameter_survives_the_file(tmp_path, change):
    original = small_generator(**change)
    loaded = load(write(tmp_path / "g.safetensors", original)).generator
    assert loaded is not None
    assert loaded.config == original.config
    assert all(
        torch.equal(a, b)
        for a, b in zip(loaded.state_dict().values(), original.state_dict().values(), strict=True)
    )


def smallest(entry):
    """The architecture with its defaults, and what has none."""
    told = ({}, {"img_resolution": 32}, {"img_resolution": 64, "c_dim": 3})
    for config in told[:-1]:
        try:
            return entry(config)
        except InputError:
            continue
    return entry(told[-1])


def test_every_architecture_can_be_rebuilt_from_its_own_config():
    for entry in ARCHITECTURES.values():
        with torch.device("meta"):
            module = smallest(entry)
            again = entry(json.loads(json.dumps(asdict(module.config))))  # as in a file
        assert again.config == module.config


def test_the_descriptor_carries_metadata_training_and_the_files_hash(tmp_path):
    path = write(tmp_path / "g.safetensors", small_generator(), extra={"licence": "CC0 \u2713"})
    model = ganvas.load(path)
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert model.metadata["licence"] == "CC0 \u2713"
    assert model.metadata["ganvas.format"] == "1"
    assert model.training == {"preset": "test", "kimg": 1.5}
    assert model.path == path
    assert model.image_range == (-1.0, 1.0) and model.channel_order == "RGB"


def test_the_same_content_gives_the_same_bytes(tmp_path):
    generator = small_generator()
    first = write(tmp_path / "a.safetensors", generator)
    backwards = dict(reversed(list(generator.state_dict().items())))
    second = write(tmp_path / "b.safetensors", generator, tensors=backwards)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool]
)
def test_the_safetensors_library_reads_what_is_written(tmp_path, dtype):
    tensors = {
        "matrix": torch.arange(6).reshape(2, 3).t().to(dtype),  # not contiguous
        "scalar": torch.ones((), dtype=dtype),
        "empty": torch.zeros(0, 4, dtype=dtype),
        "odd": torch.ones(3, dtype=torch.uint8),
    }
    path = tmp_path / "t.safetensors"
    save(path, arch="restore-unet", config={}, tensors=tensors, training={})
    loaded = load_file(path)
    assert set(loaded) == set(tensors)
    assert all(torch.equal(loaded[k], v) and loaded[k].dtype == v.dtype for k, v in tensors.items())
    with safe_open(path, framework="pt") as reader:
        assert json.loads(reader.metadata()["ganvas.config"]) == {}


def test_half_precision_files_load_as_float32(tmp_path):
    original = small_generator()
    halves = {k: v.half() if v.is_floating_point() else v for k, v in original.state_dict().items()}
    loaded = load(write(tmp_path / "h.safetensors", original, tensors=halves)).generator
    assert loaded is not None
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == original.state_dict()[name].dtype
        assert torch.equal(tensor, halves[name].to(tensor.dtype))


def test_loading_leaves_the_random_numbers_of_the_caller_alone(tmp_path):
    path = write(tmp_path / "g.safetensors", small_generator())
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    load(path)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, bad):
    generator = small_generator()
    tensors = generator.state_dict()
    tensors["mapping.fc0.weight"] = tensors["mapping.fc0.weight"].clone().fill_(bad)
    target = tmp_path / "g.safetensors"
    with pytest.raises(ValueError, match=r"save: mapping\.fc0\.weight holds NaN"):
        write(target, generator, tensors=tensors)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"tensors": {"x": torch.zeros(2, dtype=torch.complex64)}}, "dtype torch.complex64"),
        ({"training": {"kimg": float("nan")}}, "training must be plain JSON"),
        ({"training": {"path": Path("x")}}, "training must be plain JSON"),
        ({"extra": {"ganvas.arch": "other"}}, "reserved"),
        ({"arch": "stylegan2-generater"}, "did you mean stylegan2-generator"),
    ],
)
def test_save_refuses_what_it_cannot_store(tmp_path, keywords, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "g.safetensors", small_generator(), **keywords)
    assert list(tmp_path.iterdir()) == []


def test_inspect_describes_a_model_without_building_it(tmp_path):
    generator = small_generator()
    path = write(tmp_path / "g.safetensors", generator)
    report = inspect(path)
    state = generator.state_dict()
    floats = torch.cat([t.flatten() for t in state.values() if t.is_floating_point()])
    assert report.arch == "stylegan2-generator"
    assert report.config["img_resolution"] == 8
    assert report.training["preset"] == "test"
    assert report.parameters == sum(t.numel() for t in state.values())
    assert {t.name: t.shape for t in report.tensors} == {
        k: tuple(v.shape) for k, v in state.items()
    }
    assert report.dtypes == {"F32": len(state)}
    assert report.file_bytes == path.stat().st_size
    assert report.weight_range == (float(floats.min()), float(floats.max())) and report.finite
    assert report.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert json.loads(json.dumps(report.as_dict()))["arch"] == "stylegan2-generator"
    text = report.as_text()
    assert "mapping.fc0.weight" in text and "img_resolution = 8" in text


def test_inspect_describes_safetensors_of_other_programs(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.tensor([1.0, float("nan"), -2.0]), "n": torch.arange(3)}, path)
    report = inspect(path)
    assert report.arch is None and report.image_range is None
    assert report.weight_range == (-2.0, 1.0) and not report.finite
    assert "without ganvas metadata" in report.as_text()
    assert "NaN or infinite" in report.as_text()


def test_models_are_found_shipped_ones_first_and_by_architecture(tmp_path, monkeypatch):
    demo, mine = tmp_path / "demo", tmp_path / "mine"
    monkeypatch.setattr(finding, "DEMO_FOLDER", demo)
    write(demo / "faces.safetensors", small_generator())
    write(mine / "faces.safetensors", small_generator(1))
    write(mine / "sub" / "other.safetensors", small_generator(2))
    unet = RestorationUNet(base_channels=4, num_levels=2)
    write(mine / "unet.safetensors", unet, "restore-unet")
    (mine / "broken.safetensors").write_bytes(b"nonsense")
    assert list_models([mine], "stylegan2-generator") == [
        "faces.safetensors",
        "sub/other.safetensors",
    ]
    assert list_models([mine], "restore-unet") == ["unet.safetensors"]
    assert "broken.safetensors" in list_models([mine])
    assert find_model("faces", [mine]) == demo / "faces.safetensors"
    assert find_model("sub/other.safetensors", [mine]) == mine / "sub" / "other.safetensors"
    monkeypatch.setenv("GANVAS_MODELS", str(mine))
    assert resolve_model("unet") == mine / "unet.safetensors"
    assert resolve_model(str(mine / "unet.safetensors")) == mine / "unet.safetensors"


def test_a_replaced_file_is_listed_under_its_new_architecture(tmp_path):
    path = write(tmp_path / "m.safetensors", small_generator())
    assert "m.safetensors" in list_models([tmp_path], "stylegan2-generator")
    write(path, RestorationUNet(base_channels=4, num_levels=2), "restore-unet")
    assert "m.safetensors" not in list_models([tmp_path], "stylegan2-generator")
    assert "m.safetensors" in list_models([tmp_path], "restore-unet")


@pytest.mark.parametrize(
    "name", ["../secret", "a/../../secret", "/etc/secret", "C:secret", "..\\secret", "a\0b"]
)
def test_model_names_cannot_leave_the_model_folders(tmp_path, name):
    inside = tmp_path / "models"
    inside.mkdir()
    write(tmp_path / "secret.safetensors", small_generator())
    with pytest.raises(InputError, match="inside the model folders"):
        find_model(name, [inside])


def test_an_unknown_model_name_gets_the_nearest_names(tmp_path):
    write(tmp_path / "portraits.safetensors", small_generator())
    with pytest.raises(InputError, match=r"'portrait' was not found; did you mean portraits\?$"):
        find_model("portrait", [tmp_path])
    with pytest.raises(InputError, match=r"'x' was not found \(at hand: .*portraits\)$"):
        find_model("x", [tmp_path])


def test_one_resolver_for_all_doors(tmp_path, monkeypatch):
    """A shipped model goes by its name, or by its preset's, of the same words in another order."""
    demo = tmp_path / "demo"
    monkeypatch.setattr(finding, "DEMO_FOLDER", demo)
    file = write(demo / "faces-tiny-16.safetensors", small_generator())
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "models" / "sub" / "mine.safetensors", small_generator(2))
    assert load("sub/mine").path == Path("models/sub/mine.safetensors")
    with pytest.raises(InputError, match=r"^sub/yours: no such file"):
        load("sub/yours")
    for name in ("faces-tiny-16", "tiny-faces-16", "faces-tiny-16.safetensors"):
        assert load(name).path == file and inspect(name).path == str(file)
        assert convert(name, tmp_path / "copy.safetensors").weights_equal
        assert find_model(name) == file
    write(tmp_path / "faces-tiny-16", small_generator(1))
    assert load("faces-tiny-16").path == Path("faces-tiny-16")
    for door in (load, inspect, lambda name: convert(name, tmp_path / "new.safetensors")):
        with pytest.raises(InputError, match=r"'face-tiny-16' was not found; did you mean faces-"):
            door("face-tiny-16")
        with pytest.raises(InputError, match=r"^demo: expected a model file or the name .* folder"):
            door("demo")
    assert not (tmp_path / "new.safetensors").exists()


def test_the_files_own_licence_is_told(tmp_path):
    network = small_generator()
    for licence in ("", "MIT"):
        path = tmp_path / "g.safetensors"
        save(
            path,
            arch="stylegan2-generator",
            config=asdict(network.config),
            tensors=network.state_dict(),
            training={"licence": licence},
        )
        assert load(path).licence == inspect(path).licence
        assert ("NVIDIA" in load(path).licence) == (licence == "")
        assert licence in load(path).licence


@pytest.mark.parametrize("text", ["# Notes\n", "{}", "ü" * 300, "\ufeffname,value\r\n1,2\r\n"])
def test_a_text_file_is_called_one(tmp_path, text):
    path = tmp_path / "model.pt"
    path.write_text(text, encoding="utf-8")
    for door in (load, inspect):
        with pytest.raises(InputError, match=r"this is a text file, not a model file$"):
            door(path)


def test_a_device_that_is_not_there_is_refused(tmp_path):
    path = write(tmp_path / "g.safetensors", small_generator())
    for device in ("nonsense", "cuda:99", torch.device("cuda:99")):
        with pytest.raises(InputError, match=r"device: (expected .*'nonsense'|cuda:99 is not)"):
            load(path, device=device)
