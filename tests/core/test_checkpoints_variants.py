"""Published networks in less usual files: other dtypes, old PyTorch, no noise, wrappers, notes."""

import pickle
import sys
import types

import pytest
import torch

from ganvas.core.checkpoints import convert, inspect, load
from ganvas.core.errors import InputError
from ganvas.core.models import stylegan1
from ganvas.core.models.pix2pix_unet import Pix2PixUNet
from ganvas.core.models.stylegan2 import Discriminator, Generator

from .checkpoint_files import (
    discriminator_init,
    generator_init,
    persistent,
    rosinality_generator,
    write_pickle,
)
from .random_networks import randomised
from .test_models_stylegan1 import lernapparat, rosinality

SIZE = dict(img_resolution=16, channel_base=64, channel_max=8)
LATENT = dict(z_dim=6, w_dim=7, num_mapping_layers=2)
Z = torch.randn(2, 6, generator=torch.Generator().manual_seed(1))


def generator(**changes):
    torch.manual_seed(0)
    return randomised(Generator(**{**SIZE, **LATENT, **changes}))


def saved(path, value):
    torch.save(value, path)
    return path


def stylegan1_files():
    return {"lernapparat": lernapparat(16), "rosinality": rosinality(16)}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", ["stylegan2", "lernapparat", "rosinality"])
def test_weights_of_another_dtype_are_folded_in_float32(tmp_path, kind, dtype):
    """Rounding the scaled weights to the file's dtype once more would cost up to 1e-3."""
    files = {"stylegan2": rosinality_generator(generator()), **stylegan1_files()}
    stored = {name: tensor.to(dtype) for name, tensor in files[kind].items()}
    other = load(saved(tmp_path / "other.pt", stored))
    same = load(saved(tmp_path / "f32.pt", {n: t.float() for n, t in stored.items()}))
    torch.testing.assert_close(other.generator(Z), same.generator(Z), rtol=0, atol=1e-5)


def test_a_file_without_mean_takes_the_rate_that_is_given(tmp_path):
    path = saved(tmp_path / "g.pt", rosinality_generator(generator()))
    usual, other = load(path), load(path, mapping_lr_multiplier=0.1)
    for model in (usual, other):
        z = torch.randn(4096, 6, generator=torch.Generator().manual_seed(3))
        mean = model.generator.mapping(z)[:, 0].mean(dim=0)
        torch.testing.assert_close(model.generator.mapping.w_avg, mean, rtol=0.1, atol=0.1)
    assert not torch.allclose(usual.generator.mapping.w_avg, other.generator.mapping.w_avg)


def test_statistics_without_a_counter_load(tmp_path):
    network = randomised(Pix2PixUNet(num_downs=5, ngf=4))
    old = {n: t for n, t in network.state_dict().items() if "num_batches" not in n}
    model = load(saved(tmp_path / "latest_net_G.pth", old))
    img = torch.rand(1, 3, 32, 32)
    for bn in ("batch", "running"):
        assert torch.equal(model.network(img, bn=bn), network(img, bn=bn))


def test_a_network_without_noise_draws_the_same_in_every_mode(tmp_path):
    network = generator()
    state = network.state_dict()
    for name in list(state):
        if "noise" in name:
            del state[name]
    model = load(saved(tmp_path / "g.pt", state))
    image = model.generator(Z)
    assert torch.equal(image, network(Z, noise_mode="none"))
    assert torch.equal(image, model.generator(Z, noise_mode="random"))
    del network.state_dict()["mapping.w_avg"]
    state["synthesis.b8.conv1.noise_strength"] = torch.ones(())
    with pytest.raises(InputError, match="noise_const"):
        load(saved(tmp_path / "half.pt", state))


def test_prefixes_of_compiled_and_wrapped_networks_are_dropped(tmp_path):
    network = generator()
    for prefix in ("_orig_mod.", "module.", "G_ema.module.", "_orig_mod.module."):
        state = {prefix + name: tensor for name, tensor in network.state_dict().items()}
        assert torch.equal(load(saved(tmp_path / "g.pt", state)).generator(Z), network(Z))


def test_generator_and_discriminator_of_one_state_dict_are_told_apart(tmp_path):
    g, d = generator(), randomised(Discriminator(**SIZE))
    for names in (("G", "D"), ("generator", "discriminator"), ("netG", "netD"), ("g_ema", "d")):
        state = {
            f"{prefix}.{name}": tensor
            for prefix, network in zip(names, (g, d), strict=True)
            for name, tensor in network.state_dict().items()
        }
        state["loss.weight"] = torch.zeros(2)
        model = load(saved(tmp_path / "last.ckpt", {"state_dict": state, "epoch": 3}))
        img = model.generator(Z)
        assert torch.equal(img, g(Z)) and torch.equal(model.discriminator(img), d(img))
        assert len(model.networks) == 3 and "rest" in model.networks and not model.notes


def test_a_discriminator_that_is_not_known_does_not_keep_its_generator_from_loading(tmp_path):
    g, d = generator(), randomised(Discriminator(**SIZE)).state_dict()
    broken = {name: tensor for name, tensor in d.items() if name != "b4.fc.weight"}
    odd = {**d, "b8.conv0.weight": torch.zeros(7, 8, 3, 3), "b16.conv0.weight": torch.zeros(9, 4)}
    for other, reason in (
        (broken, "of no known architecture"),
        (odd, "b16.conv0.weight should have 4 dimensions"),
    ):
        path = saved(tmp_path / "g.pt", {"G_ema": g.state_dict(), "D": other})
        model = load(path)
        assert model.discriminator is None and torch.equal(model.generator(Z), g(Z))
        (note,) = model.notes
        assert note.startswith(f"the file's discriminator is left out: {reason}")
    with pytest.raises(InputError, match="4 dimensions"):
        load(path, conv_clamp=256)
    with pytest.raises(InputError, match="4 dimensions"):
        load(path, network="discriminator")


def test_the_mean_of_w_beside_an_encoders_file_is_taken(tmp_path):
    """pSp and e4e keep one mean for each of the layers, all equal, and the generator inside."""
    names = {f"decoder.{n}": t for n, t in rosinality_generator(generator()).items()}
    mean = torch.randn(7)
    for stored in (mean, mean[None], mean.repeat(6, 1)):
        model = load(saved(tmp_path / "e.pt", {"state_dict": names, "latent_avg": stored}))
        assert torch.equal(model.generator.mapping.w_avg, mean) and model.notes == ()
    stored = torch.randn(6, 7)
    with pytest.raises(InputError, match="latent_avg holds another mean"):
        load(saved(tmp_path / "e.pt", {"state_dict": names, "latent_avg": stored}))


def stylegan_pickle(path, **attributes):
    """Generator and discriminator whose two highest blocks ran in float16."""
    from dataclasses import asdict

    torch.manual_seed(0)
    g, d = generator(conv_clamp=256), randomised(Discriminator(**SIZE, conv_clamp=256))
    for module, prefix in ((g.synthesis, "b"), (d, "b")):
        for r in (4, 8, 16):
            block = module.get_submodule(f"{prefix}{r}")
            block.use_fp16 = r > 4
    for name, value in attributes.items():
        setattr(g.synthesis.b8.conv1, name, value)
    init = discriminator_init(asdict(d.config))
    init["epilogue_kwargs"] = {"mbstd_group_size": None}
    value = {
        "G_ema": persistent(g, generator_init(asdict(g.config))),
        "D": persistent(d, init),
    }
    return write_pickle(path, value), g, d


def test_float16_layers_are_told_and_run_in_float32(tmp_path):
    path, g, _ = stylegan_pickle(tmp_path / "net.pkl")
    model = load(path)
    assert {p.dtype for p in model.generator.parameters()} == {torch.float32}
    assert torch.equal(model.generator(Z), g(Z))
    note = "2 of its blocks were trained in float16; all run in float32 here"
    assert model.notes == (f"generator_ema: {note}", f"discriminator: {note}")
    assert inspect(path).notes == model.notes
    assert f"note        generator_ema: {note}" in inspect(path).as_text()
    alone = load(path, network="generator_ema")
    assert alone.notes == (note,)
    convert(path, tmp_path / "own.safetensors", network="generator_ema")
    assert load(tmp_path / "own.safetensors").notes == (note,)
    convert(path, tmp_path / "first.safetensors")
    assert load(tmp_path / "first.safetensors").notes == (f"generator_ema: {note}",)


def test_a_group_of_none_is_the_whole_batch(tmp_path):
    path, _, _ = stylegan_pickle(tmp_path / "net.pkl")
    discriminator = load(path).discriminator
    assert discriminator.config.mbstd_group_size is None
    torch.manual_seed(0)
    again = Discriminator(**SIZE, conv_clamp=256, mbstd_group_size=6).eval()
    again.load_state_dict(discriminator.state_dict())
    img = torch.randn(6, 3, 16, 16)
    assert torch.equal(again(img), discriminator(img))


def test_another_activation_is_refused_by_its_layer(tmp_path):
    path, _, _ = stylegan_pickle(tmp_path / "net.pkl", activation="swish")
    with pytest.raises(InputError, match=r"only lrelu .*synthesis\.b8\.conv1\.activation is 'sw"):
        load(path)


@pytest.mark.parametrize("kind", ["lernapparat", "rosinality"])
def test_what_is_made_up_is_told(tmp_path, kind):
    tensors = stylegan1_files()[kind]
    model = load(saved(tmp_path / "g.pt", tensors))
    assert [note.split(":")[0] for note in model.notes] == [
        "the file has no mean of w",
        "the file has no noise images",
    ]
    assert isinstance(model.generator, stylegan1.Generator)
    full = {"g_ema": rosinality_generator(generator()), "latent_avg": torch.zeros(7)}
    assert load(saved(tmp_path / "full.pt", full)).notes == ()


def plain_module(self) -> None:
    torch.nn.Module.__init__(self)
    self.Model = torch.nn.ModuleList([torch.nn.Conv2d(3, 4, 1), torch.nn.Linear(4, 5)])


@pytest.mark.parametrize("module", ["training.networks", "R3GAN.Networks", "legacy.R3GAN.Networks"])
def test_r3gan_pickles_are_named_and_refused(tmp_path, monkeypatch, module):
    members = {"__init__": plain_module, "__module__": module}
    plain = type("Generator", (torch.nn.Module,), members)
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        name = ".".join(parts[:end])
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    vars(sys.modules[module])["Generator"] = plain
    path = tmp_path / "network-snapshot.pkl"
    optimizer = torch.optim.Adam(plain().parameters())
    content = {"G": plain(), "G_ema": plain(), "cur_nimg": 1, "G_opt": optimizer.state_dict()}
    path.write_bytes(pickle.dumps(content))
    for name in list(sys.modules):
        if name in (module, parts[0]):
            monkeypatch.delitem(sys.modules, name)
    with pytest.raises(InputError, match=r"a pickle of R3GAN's own program, whose tensors ganvas"):
        load(path)
    report = inspect(path)
    assert report.arch is None and "R3GAN" in report.summary
    assert report.networks[0].class_name == "R3GAN Generator"


NAMED = {
    "a GPEN restorer": [
        "ecd0.0.0.weight",
        *(f"generator.{n}" for n in rosinality_generator(generator())),
    ],
    "a BigGAN generator": ["shared.weight", "blocks.0.0.bn1.gain.weight"],
    "a YOLO detector": ["model.0.conv.weight", "model.22.dfl.conv.weight"],
    "a SwinIR or HAT network": ["layers.0.residual_group.blocks.0.attn.qkv.weight"],
    "an Inception network": ["Mixed_5b.branch1x1.conv.weight"],
    "a face parsing network": ["cp.resnet.conv1.weight"],
    "a RetinaFace detector": ["module.BboxHead.0.conv1x1.weight"],
    "a face recognition network": ["layer1.0.prelu.weight"],
    "a CLIP or other text model": ["visual.transformer.resblocks.0.attn.in_proj_weight"],
    "a Stable Diffusion checkpoint": ["model.diffusion_model.time_embed.0.weight"],
}


@pytest.mark.parametrize("kind", NAMED)
def test_networks_of_other_kinds_are_named(tmp_path, kind):
    tensors = {name: torch.zeros(2, 2) for name in NAMED[kind]}
    with pytest.raises(InputError, match=f"this seems to be {kind}.*, which ganvas does not use"):
        load(saved(tmp_path / "x.pth", tensors))


def test_a_pickle_of_another_programs_class_is_named(tmp_path):
    body = b"\x80\x02cultralytics.nn.tasks\nDetectionModel\nq\x00)\x81q\x01."
    (tmp_path / "yolo.pt").write_bytes(body)
    with pytest.raises(InputError, match=r"seems to be a YOLO detector.*; nothing was run"):
        load(tmp_path / "yolo.pt")


def test_tensors_outside_the_network_are_told(tmp_path):
    network = generator()
    state = {f"decoder.{name}": tensor for name, tensor in network.state_dict().items()}
    state |= {"encoder.x.weight": torch.zeros(2), "encoder.x.bias": torch.zeros(2)}
    model = load(saved(tmp_path / "e4e.pt", state))
    assert torch.equal(model.generator(Z), network(Z))
    assert model.notes == ("2 tensors whose names lack decoder. are not of it: left out",)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"channel_base": 63}, "channel_base=63 does not give .*; channel_base=64 does"),
        ({"channel_max": 9}, "channel_max=9 does not give .*; channel_max=8 does"),
        ({"channel_base": "wide"}, "channel_base='wide' does not give"),
        ({"conv_clamp": 0}, "conv_clamp should be above 0, or none, got 0"),
        ({"conv_clamp": "x"}, "conv_clamp should be a number, got 'x'"),
    ],
    ids=str,
)
def test_what_is_given_is_heeded_or_refused(tmp_path, given, reason):
    tall = saved(tmp_path / "g.pt", generator().state_dict())
    with pytest.raises(InputError, match=reason):
        load(tall, **given)
    flat = generator(channel_base=1 << 20).state_dict()  # as wide at every size
    assert load(saved(tmp_path / "f.pt", flat), channel_base=999).config["channel_base"] == 999
