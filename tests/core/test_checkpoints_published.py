"""Published formats: StyleGAN pickles, rosinality, torch.save files of either age, wrappers."""

import argparse
import tracemalloc
from collections import OrderedDict
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ganvas.core.checkpoints import convert, inspect, list_models, load
from ganvas.core.checkpoints.containers import read_container
from ganvas.core.checkpoints.published import FAMILIES, detect
from ganvas.core.errors import InputError
from ganvas.core.models.stylegan2 import Discriminator, Generator

from .checkpoint_files import (
    Persistent,
    legacy_bytes,
    persistent,
    rosinality_discriminator,
    rosinality_generator,
    stylegan_pickle,
    write_pickle,
)

SIZE = dict(img_resolution=16, channel_base=64, channel_max=8)
MAPPING = dict(z_dim=6, w_dim=7, num_mapping_layers=2)
Z = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))


def perturbed(module, seed: int):
    """Every weight moved off its start, so that a lost or swapped one changes the output."""
    rng = torch.Generator().manual_seed(seed)
    for tensor in module.parameters():
        tensor.data += 0.3 * torch.randn(tensor.shape, generator=rng)
    if isinstance(module, Generator):
        module.mapping.w_avg.copy_(torch.randn(module.mapping.w_avg.shape, generator=rng))
    return module.eval().requires_grad_(False)


def generator(seed: int = 0, **changes) -> Generator:
    torch.manual_seed(seed)
    return perturbed(Generator(**{**SIZE, **MAPPING, **changes}), seed)


def discriminator(seed: int = 0, **changes) -> Discriminator:
    torch.manual_seed(seed)
    return perturbed(Discriminator(**{**SIZE, **changes}), seed)


def images_of(model, c_dim: int = 0, psi: float = 0.7) -> torch.Tensor:
    c = torch.eye(c_dim)[:3] if c_dim else None
    with torch.no_grad():
        return model(Z, c, truncation_psi=psi)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_stylegan_pickle_gives_its_three_networks(tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    g, g_ema = generator(1, conv_clamp=256.0), generator(2, conv_clamp=256.0)
    d = discriminator(3, conv_clamp=256.0, mbstd_group_size=2)
    path = stylegan_pickle(tmp_path / "net.pkl", g, d, g_ema, protocol=protocol)
    model = load(path)
    assert model.format == "StyleGAN pickle" and model.arch == "stylegan2-generator"
    assert set(model.networks) == {"generator_ema", "generator", "discriminator"}
    assert model.generator.config == g_ema.config and model.discriminator.config == d.config
    assert torch.equal(images_of(model.generator), images_of(g_ema))
    img = torch.randn(4, 3, 16, 16)
    assert torch.equal(model.discriminator(img), d(img))
    raw = load(path, network="generator")
    assert torch.equal(images_of(raw.generator), images_of(g)) and raw.discriminator is None
    alone = load(path, network="discriminator")
    assert alone.arch == "stylegan2-discriminator" and alone.generator is None
    assert torch.equal(alone.discriminator(img), d(img))
    assert model.training["training_set_kwargs"] == {"path": "faces.zip", "max_size": 10}
    assert model.resolution == 16 and "NVIDIA" in model.licence and model.dtypes == {"F32": 140}
    assert not Path("ganvas-executed-module-src").exists()


GENERATOR_CHANGES = [
    {"z_dim": 5},
    {"w_dim": 5},
    {"c_dim": 3},
    {"img_resolution": 32},
    {"img_resolution": 8},
    {"img_channels": 1},
    {"img_channels": 4},
    {"channel_base": 48},
    {"channel_base": 40, "channel_max": 512},
    {"channel_max": 5},
    {"num_mapping_layers": 1},
    {"architecture": "resnet"},
    {"architecture": "orig"},
    {"conv_clamp": 256.0},
]
DISCRIMINATOR_CHANGES = [
    {"c_dim": 3},
    {"c_dim": 3, "cmap_dim": 5},
    {"img_resolution": 32},
    {"img_channels": 1},
    {"img_channels": 4},
    {"channel_base": 48},
    {"channel_max": 5},
    {"architecture": "skip"},
    {"architecture": "orig"},
    {"conv_clamp": 256.0},
    {"mbstd_group_size": 2},
    {"mbstd_num_channels": 2},
    {"mbstd_num_channels": 0},
]


@pytest.mark.parametrize("flat", [False, True], ids=["nested", "flat"])
@pytest.mark.parametrize("change", GENERATOR_CHANGES, ids=str)
def test_every_hyperparameter_of_a_pickled_generator_is_found(tmp_path, change, flat):
    original = generator(**change)
    model = load(stylegan_pickle(tmp_path / "g.pkl", None, None, original, flat=flat))
    assert model.generator.config == original.config
    assert all(
        torch.equal(tensor, original.state_dict()[name])
        for name, tensor in model.generator.state_dict().items()
    )


@pytest.mark.parametrize("change", DISCRIMINATOR_CHANGES, ids=str)
def test_every_hyperparameter_of_a_pickled_discriminator_is_found(tmp_path, change):
    original = discriminator(**change)
    model = load(stylegan_pickle(tmp_path / "d.pkl", None, original))
    assert model.discriminator.config == original.config


def same_function(config, other, network: type) -> bool:
    """Whether two configs build networks of the same shapes and settings beyond them."""
    with torch.device("meta"):
        a, b = network(**config).state_dict(), network(**other).state_dict()
    settings = ("conv_clamp", "mbstd_group_size", "architecture", "w_avg_beta")
    return {k: v.shape for k, v in a.items()} == {k: v.shape for k, v in b.items()} and all(
        config.get(key) == other.get(key) for key in settings
    )


@pytest.mark.parametrize("change", GENERATOR_CHANGES, ids=str)
def test_a_bare_state_dict_says_all_but_the_clamp(tmp_path, change):
    original = generator(**change)
    path = tmp_path / "g.pt"
    torch.save(original.state_dict(), path)
    given = {"conv_clamp": change["conv_clamp"]} if "conv_clamp" in change else {}
    model = load(path, **given)
    assert same_function(model.config, asdict(original.config), Generator)
    c_dim = original.config.c_dim
    if original.config.z_dim == 6:
        assert torch.equal(images_of(model.generator, c_dim), images_of(original, c_dim))


@pytest.mark.parametrize(
    ("resolution", "base", "parameters"),
    [(256, 16384, 24767458), (1024, 32768, 30370060)],
)
def test_published_sizes_are_inferred(resolution, base, parameters):
    with torch.device("meta"):
        network = Generator(img_resolution=resolution, channel_base=base)
    assert sum(p.numel() for p in network.parameters()) == parameters
    shapes = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    family = detect(shapes)
    assert family is not None and family.id == "stylegan2-generator"
    assert family.infer(shapes, None, {}) == asdict(network.config)


def test_channels_that_follow_no_rule_are_refused(tmp_path):
    state = generator().state_dict()
    for name in list(state):
        if name.startswith("synthesis.b8.conv1"):
            state[name] = torch.zeros([3 if size == 8 else size for size in state[name].shape])
    torch.save(state, tmp_path / "g.pt")
    with pytest.raises(InputError, match="channels do not follow min"):
        load(tmp_path / "g.pt")


def rosinality(g, g_ema, d) -> dict:
    return {
        "g": rosinality_generator(g),
        "g_ema": rosinality_generator(g_ema),
        "d": rosinality_discriminator(d),
        "g_optim": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.002}]},
        "args": argparse.Namespace(size=16, batch=4),
        "latent_avg": g_ema.mapping.w_avg.clone(),
    }


@pytest.mark.parametrize("age", ["zip", "legacy"])
def test_a_rosinality_file_gives_the_same_images(tmp_path, age):
    g, g_ema, d = generator(1, z_dim=6, w_dim=6), generator(2, w_dim=6), discriminator(3)
    value, path = rosinality(g, g_ema, d), tmp_path / "r.pt"
    if age == "zip":
        torch.save(value, path)
    else:
        path.write_bytes(legacy_bytes(value))
    model = load(path)
    torch.testing.assert_close(images_of(model.generator), images_of(g_ema), rtol=0, atol=2e-5)
    img = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(model.discriminator(img), d(img), rtol=0, atol=1e-5)
    raw = load(path, network="generator").generator
    torch.testing.assert_close(images_of(raw, psi=1.0), images_of(g, psi=1.0), rtol=0, atol=2e-5)
    report = inspect(path)
    assert report.arch == "stylegan2-generator" and len(report.networks) == 3
    assert report.training["args"] == {"size": 16, "batch": 4} and report.training["optimizer"]


def test_a_rosinality_file_without_mean_and_noise_gets_both_always_the_same(tmp_path):
    original = generator(1, w_dim=6)
    state = rosinality_generator(original)
    state = {name: tensor for name, tensor in state.items() if not name.startswith("noises.")}
    torch.save({"g_ema": state}, tmp_path / "r.pt")
    first, second = load(tmp_path / "r.pt").generator, load(tmp_path / "r.pt").generator
    assert torch.equal(images_of(first), images_of(second))
    z = torch.from_numpy(np.random.RandomState(5).randn(20000, 6)).float()
    mean = first.mapping(z)[:, 0].mean(dim=0)
    torch.testing.assert_close(first.mapping.w_avg, mean, rtol=0, atol=0.1)
    assert 0.5 < float(first.synthesis.b16.conv1.noise_const.std()) < 1.5


WRAPPERS = {
    "params_ema": lambda s: {"params": {k: v * 0 for k, v in s.items()}, "params_ema": s},
    "params-ema": lambda s: {"params-ema": s},
    "params": lambda s: {"params": s, "iter": 5},
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "model": lambda s: {"model": {"state_dict": s}, "optimizer": {"state": {}, "param_groups": []}},
    "module.": lambda s: {f"module.{k}": v for k, v in s.items()},
    "netG.": lambda s: {**{f"netG.{k}": v for k, v in s.items()}, "netD.x": torch.zeros(2)},
    "module.netG.": lambda s: {"state_dict": {f"module.netG.{k}": v for k, v in s.items()}},
    "unknown": lambda s: {"my_network": s, "note": "x"},
    "ordered": lambda s: OrderedDict(s),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("age", ["zip", "legacy"])
def test_wrapped_state_dicts_are_unwrapped(tmp_path, wrap, age):
    original, path = generator(4), tmp_path / "w.pth"
    value = wrap(dict(original.state_dict()))
    if age == "zip":
        torch.save(value, path)
    else:
        path.write_bytes(legacy_bytes(value))
    assert torch.equal(images_of(load(path).generator), images_of(original))


def test_foreign_safetensors_load_by_their_names(tmp_path):
    original = generator(5)
    save_file(dict(original.state_dict()), tmp_path / "g.safetensors")
    assert torch.equal(images_of(load(tmp_path / "g.safetensors").generator), images_of(original))


def test_filters_that_a_file_leaves_out_are_added(tmp_path):
    original, d = generator(6, architecture="resnet"), discriminator(6)
    for name, network in (("g.pt", original), ("d.pt", d)):
        state = network.state_dict()
        kept = {k: v for k, v in state.items() if not k.endswith("resample_filter")}
        torch.save(kept, tmp_path / name)
    assert torch.equal(images_of(load(tmp_path / "g.pt").generator), images_of(original))
    img = torch.randn(4, 3, 16, 16)
    assert torch.equal(load(tmp_path / "d.pt").discriminator(img), d(img))


DTYPES = [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]


@pytest.mark.parametrize("age", ["zip", "legacy"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tensors_are_what_torch_reads(tmp_path, age, dtype):
    base = (torch.arange(24) % 7).to(dtype)
    value = {
        "plain": base.reshape(2, 3, 4),
        "transposed": base.reshape(4, 6).t(),
        "part": base[5:9],
        "every second": base[::2],
        "expanded": base[:1].expand(9),
        "scalar": base[3],
        "empty": base[:0].reshape(0, 4),
        "parameter": torch.nn.Parameter(base, requires_grad=False),
    }
    path = tmp_path / "t.pt"
    if age == "zip":
        torch.save(value, path)
    else:
        path.write_bytes(legacy_bytes(value))
    expected = torch.load(path, weights_only=True)
    with read_container(path) as container:
        found = {k: v.read() for k, v in container.networks["network"].tensors.items()}
    assert set(found) == set(expected)
    for name, tensor in found.items():
        assert tensor.dtype == expected[name].dtype and torch.equal(tensor, expected[name])


def test_the_memory_of_loading_stays_near_the_files_size(tmp_path):
    torch.manual_seed(0)
    network = Generator(img_resolution=64, channel_base=16384, channel_max=512).eval()
    state = network.state_dict()
    torch.save(state, tmp_path / "g.pt")
    save_file(state, tmp_path / "g.safetensors")
    stylegan_pickle(tmp_path / "g.pkl", network)
    (tmp_path / "old.pt").write_bytes(legacy_bytes(state))
    for path in sorted(tmp_path.iterdir()):
        tracker = _TensorBytes()
        tracemalloc.start()
        with tracker:
            load(path)
        peak = tracemalloc.get_traced_memory()[1] + tracker.peak
        tracemalloc.stop()
        assert peak <= 1.3 * path.stat().st_size, f"{path.suffix}: {peak / path.stat().st_size}"


class _TensorBytes(torch.utils._python_dispatch.TorchDispatchMode):
    """Follows the bytes of all live tensor storages that operations make."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = self.peak = 0
        self.seen: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        import weakref

        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if not isinstance(tensor, torch.Tensor) or tensor.is_meta:
                continue
            storage = tensor.untyped_storage()
            key, size = storage._cdata, storage.nbytes()
            if key in self.seen:
                continue
            self.seen.add(key)
            self.alive += size
            self.peak = max(self.peak, self.alive)
            weakref.finalize(storage, self._free, key, size)
        return result

    def _free(self, key: int, size: int) -> None:
        self.seen.discard(key)
        self.alive -= size


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_conversion_keeps_weights_and_output(tmp_path, dtype):
    original = generator(7, conv_clamp=256.0)
    source = stylegan_pickle(tmp_path / "g.pkl", generator(8), discriminator(8), original)
    done = convert(source, tmp_path / "g.safetensors", dtype=dtype)
    model = load(tmp_path / "g.safetensors")
    assert model.generator.config == original.config
    assert model.metadata["source.sha256"] == load(source).sha256
    assert done.weights_equal == (dtype == "fp32")
    assert done.output_difference is not None and done.output_range is not None
    if dtype == "fp32":
        assert done.output_difference == 0
        assert torch.equal(images_of(model.generator), images_of(original))
    else:
        assert done.output_difference <= 0.1 * done.output_range
    assert model.licence == load(source).licence


def test_conversion_of_a_chosen_network(tmp_path):
    source = stylegan_pickle(tmp_path / "g.pkl", generator(1), discriminator(2), generator(3))
    done = convert(source, tmp_path / "d.safetensors", network="discriminator")
    assert done.arch == "stylegan2-discriminator" and done.weights_equal
    assert load(tmp_path / "d.safetensors").discriminator is not None


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"dtype": "int8"}, "expected a dtype of fp32, bf16, fp16"),
        ({"network": "G"}, "no network 'G', only generator_ema"),
        ({"given": {"colour": 3}}, "colour cannot be given"),
        ({"given": {"conv_clamp": "much"}}, "conv_clamp"),
        ({"given": {"device": "cpu"}}, "device cannot be given"),
    ],
    ids=str,
)
def test_a_conversion_that_cannot_be_done_writes_nothing(tmp_path, keywords, message):
    source = stylegan_pickle(tmp_path / "g.pkl", None, None, generator())
    with pytest.raises(InputError, match=message):
        convert(source, tmp_path / "out.safetensors", **keywords)
    assert [file.name for file in tmp_path.iterdir()] == ["g.pkl"]


def test_weights_that_fp16_cannot_hold_are_refused(tmp_path):
    network = generator()
    network.synthesis.b4.const.data.fill_(1e6)
    source = stylegan_pickle(tmp_path / "g.pkl", None, None, network)
    with pytest.raises(InputError, match="too large for fp16"):
        convert(source, tmp_path / "out.safetensors", dtype="fp16")


def test_models_of_all_formats_are_listed(tmp_path):
    stylegan_pickle(tmp_path / "a.pkl", None, None, generator())
    torch.save(generator().state_dict(), tmp_path / "b.pt")
    torch.save({"x": torch.zeros(2)}, tmp_path / "c.pth")
    (tmp_path / "d.pkl").write_bytes(b"\x80\x04nonsense")
    assert list_models([tmp_path], "stylegan2-generator")[-2:] == ["a.pkl", "b.pt"]


NAMED = {
    "a LoRA": ["lora_unet_down.lora_up.weight"],
    "a Stable Diffusion checkpoint": ["model.diffusion_model.input_blocks.0.0.weight"],
    "the VAE of a diffusion model": ["post_quant_conv.weight", "encoder.conv_in.weight"],
    "a CLIP or other text model": ["text_model.encoder.layers.0.mlp.fc1.weight"],
    "the state of an optimizer": ["0.exp_avg"],
}


@pytest.mark.parametrize("kind", NAMED)
def test_files_of_other_programs_are_named(tmp_path, kind):
    state = {name: torch.zeros(2, 2) for name in NAMED[kind]}
    save_file(state, tmp_path / "x.safetensors")
    torch.save({"state_dict": state}, tmp_path / "x.ckpt")
    for name in ("x.safetensors", "x.ckpt"):
        with pytest.raises(InputError, match=f"this seems to be {kind}"):
            load(tmp_path / name)
        assert f"seems to be {kind}" in inspect(tmp_path / name).summary


def test_optimizers_tensorflow_and_unknown_classes_are_named(tmp_path):
    torch.save({"optimizer": {"state": {}, "param_groups": []}}, tmp_path / "o.pt")
    with pytest.raises(InputError, match="the state of an optimizer, which holds no network"):
        load(tmp_path / "o.pt")
    (tmp_path / "tf.pkl").write_bytes(b"\x80\x03cdnnlib.tflib.network\nNetwork\nq\x00)\x81.")
    with pytest.raises(InputError, match="TensorFlow era"):
        load(tmp_path / "tf.pkl")

    class Unheard(torch.nn.Module):
        pass

    network = Unheard()
    network.weight = torch.nn.Parameter(torch.zeros(2))
    write_pickle(tmp_path / "u.pkl", {"G": persistent(network)})
    with pytest.raises(InputError, match="class Unheard are of an architecture not known"):
        load(tmp_path / "u.pkl")
    assert inspect(tmp_path / "u.pkl").networks[0].class_name == "Unheard"
    write_pickle(tmp_path / "n.pkl", {"G": Persistent({"state": {}})})
    with pytest.raises(InputError, match="wrong arguments"):
        load(tmp_path / "n.pkl")


def test_every_family_belongs_to_an_architecture():
    from ganvas.core.checkpoints import ARCHITECTURES

    for family in FAMILIES:
        assert family.id in ARCHITECTURES
        assert not family.detect({}) and not family.detect({"weight": (1,)})
