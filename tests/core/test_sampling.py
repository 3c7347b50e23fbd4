"""Images from seeds: the published latents, independent of what else is drawn."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.core.checkpoints import load, save
from ganvas.core.devices import choose_device
from ganvas.core.editing import apply_direction, closed_form_directions
from ganvas.core.editing.sefa import style_weights
from ganvas.core.errors import InputError
from ganvas.core.latents import sample_latents, synthesize
from ganvas.core.models import pggan as pggan_module
from ganvas.core.models import stylegan1 as stylegan1_module
from ganvas.core.models import stylegan3 as stylegan3_module
from ganvas.core.models.stylegan2 import Generator
from ganvas.core.models.unet import RestorationUNet
from ganvas.core.sampling import latents_from_seeds, parse_seeds, sample_images, write_samples


def generator(**changes) -> Generator:
    torch.manual_seed(0)
    settings = dict(z_dim=6, w_dim=8, img_resolution=8, channel_base=64, channel_max=8)
    return Generator(**{**settings, "num_mapping_layers": 2, **changes}).eval()


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0-3", [0, 1, 2, 3]),
        ("7", [7]),
        ("3, 1,1", [3, 1, 1]),
        ("0-1,40,5-6", [0, 1, 40, 5, 6]),
        ("4294967295", [2**32 - 1]),
    ],
)
def test_seed_lists_are_read(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text",
    ["", "a", "1-", "-1", "3-1", "1,,2", "1.5", "4294967296", "0-4294967295", "\u0663"],
)
def test_other_seed_lists_are_refused(text):
    with pytest.raises(InputError, match="seeds"):
        parse_seeds(text)


def test_latents_are_those_of_the_published_tools():
    z = latents_from_seeds([5, 0], 6)
    expected = np.concatenate([np.random.RandomState(k).randn(1, 6) for k in (5, 0)])
    np.testing.assert_array_equal(z.numpy(), expected.astype(np.float32))


@pytest.mark.parametrize("noise_mode", ["const", "random", "none"])
def test_a_seeds_image_does_not_depend_on_the_others(noise_mode):
    network = generator()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.5)
    options = {"psi": 0.7, "noise_mode": noise_mode}
    together = list(sample_images(network, [3, 8, 5], chunk=2, **options))
    alone = list(sample_images(network, [5], **options))
    torch.testing.assert_close(together[2], alone[0], rtol=0, atol=2e-6)
    assert float((together[0] - together[2]).abs().max()) > 0.01


def test_an_image_is_what_the_generator_makes_of_the_latent():
    network = generator()
    (image,) = sample_images(network, [4], psi=0.5)
    with torch.no_grad():
        direct = network(latents_from_seeds([4], 6), truncation_psi=0.5)[0]
    torch.testing.assert_close(image, (direct / 2 + 0.5).clamp(0, 1))


def test_classes_must_fit_the_generator():
    with pytest.raises(InputError, match="class"):
        list(sample_images(generator(), [0], class_index=1))
    with pytest.raises(InputError, match="class"):
        list(sample_images(generator(c_dim=3), [0], class_index=3))
    images = [next(sample_images(generator(c_dim=3), [0], class_index=k)) for k in (0, 1)]
    assert float((images[0] - images[1]).abs().max()) > 1e-3
    with pytest.raises(InputError, match="noise_mode"):
        list(sample_images(generator(), [0], noise_mode="loud"))


def test_written_samples_carry_seed_and_model(tmp_path):
    network = generator()
    path = tmp_path / "g.safetensors"
    save(
        path,
        arch="stylegan2-generator",
        config=asdict(network.config),
        tensors=network.state_dict(),
        training={},
    )
    model = load(path)
    written = list(write_samples(model, [2, 11, 12], tmp_path / "out", psi=0.7, sheet=True))
    names = ["seed0002.png", "seed0011.png", "seed0012.png", "sheet.png"]
    assert [file.name for file in written] == names
    with Image.open(written[1]) as image:
        assert image.size == (8, 8)
        assert image.text["ganvas.seed"] == "11"
        assert image.text["ganvas.model"] == model.sha256
    with Image.open(written[3]) as image:
        assert image.size == (18, 18)


def test_device_names_are_checked():
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") in ("cpu", "cuda")
    for name in ("gpu", "cuda:x", "cuda:99", ""):
        with pytest.raises(InputError, match="device"):
            choose_device(name)


@pytest.mark.parametrize("psi", [float("nan"), float("inf"), 1e30])
def test_a_psi_out_of_all_bounds_is_named(psi):
    with pytest.raises(InputError, match=r"psi: expected a number of -10..10"):
        next(sample_images(generator(), [0], psi=psi))


def stylegan3(**changes):
    torch.manual_seed(1)
    settings = dict(z_dim=6, w_dim=8, img_resolution=32, channel_base=128, channel_max=4)
    settings["output_scale"] = 4.0  # contrast that an untrained network lacks
    network = stylegan3_module.Generator(**{**settings, **changes}).eval().requires_grad_(False)
    network.synthesis.input.affine.weight.normal_()
    return network


def stylegan1(**changes):
    torch.manual_seed(2)
    settings = dict(z_dim=6, w_dim=8, img_resolution=16, channel_base=64, channel_max=8)
    network = stylegan1_module.Generator(num_mapping_layers=2, **{**settings, **changes})
    return network.eval().requires_grad_(False)


def pggan(**changes):
    torch.manual_seed(3)
    settings = dict(z_dim=6, img_resolution=16, channel_base=64, channel_max=8)
    network = pggan_module.Generator(**{**settings, **changes})
    return network.eval().requires_grad_(False)


OTHERS = {
    "stylegan3-generator": stylegan3,
    "stylegan1-generator": stylegan1,
    "pggan-generator": pggan,
}


def saved(tmp_path, arch, network):
    path = tmp_path / f"{arch}.safetensors"
    config = asdict(network.config)
    save(path, arch=arch, config=config, tensors=network.state_dict(), training={})
    return load(path)


@pytest.mark.parametrize("arch", OTHERS)
def test_every_generator_draws_what_it_makes_of_the_published_latent(tmp_path, arch):
    model = saved(tmp_path, arch, OTHERS[arch]())
    psi = 1.0 if arch == "pggan-generator" else 0.7
    (file,) = write_samples(model, [4], tmp_path / "out")  # without psi
    z = torch.from_numpy(np.random.RandomState(4).randn(1, 6)).float()
    direct = model.generator(z, truncation_psi=psi)[0].add(1).mul(127.5).clamp(0, 255)
    with Image.open(file) as image:
        assert image.text["ganvas.psi"] == f"{psi:g}"
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    torch.testing.assert_close(pixels.float(), direct, rtol=0, atol=0.51)
    assert float(direct.std()) > 1


@pytest.mark.parametrize("arch", OTHERS)
def test_every_conditional_generator_needs_a_class_that_it_has(tmp_path, arch):
    model = saved(tmp_path, arch, OTHERS[arch](c_dim=3))
    images = []
    for index in (0, 2):
        (file,) = write_samples(model, [4], tmp_path / str(index), class_index=index)
        images.append(file.read_bytes())
    assert images[0] != images[1]
    for index, got in ((-1, "none is given"), (3, "got 3")):
        with pytest.raises(InputError, match=rf"{arch} has 3 classes; .*--class 0\.\.2, {got}"):
            next(write_samples(model, [4], tmp_path / "no", class_index=index))


def test_what_is_no_generator_is_named(tmp_path):
    model = saved(tmp_path, "restore-unet", RestorationUNet(base_channels=4, num_levels=2))
    with pytest.raises(InputError, match=r"this is a restore-unet \(restoration U-Net.*cannot"):
        next(write_samples(model, [0], tmp_path / "out"))


def test_pggan_has_no_w():
    network = pggan()
    with pytest.raises(InputError, match=r"psi: this generator has no W .* must be 1, got 0.7"):
        next(sample_images(network, [0], psi=0.7))
    with pytest.raises(InputError, match=r"^generator: this one \(PGGAN\)"):
        sample_latents(network, "hash", seed=0, count=1)
    with pytest.raises(InputError, match=r"^generator: this one \(PGGAN\)"):
        closed_form_directions(network, "hash", count=1)


@pytest.mark.parametrize("build", [stylegan3, stylegan1])
def test_directions_of_every_style_based_generator_move_its_images(build):
    network = build()
    directions = closed_form_directions(network, "hash", count=2, first_layer=1)
    vectors = torch.stack([direction.vector for direction in directions]).double()
    torch.testing.assert_close(
        float(vectors[0] @ vectors[1]), 0.0, rtol=0, atol=1e-5 * float(vectors.norm())
    )
    assert directions[0].value >= directions[1].value > 0
    assert directions[0].last_layer == network.num_ws - 1
    latents = sample_latents(network, "hash", seed=0, count=1)
    moved = apply_direction(latents, directions[0], [0.0, 2.0])
    images = synthesize(network, moved, "hash")
    torch.testing.assert_close(images[:1], synthesize(network, latents, "hash"))
    assert float((images[1] - images[0]).abs().mean()) > 1e-4


@pytest.mark.parametrize("build", [stylegan3, stylegan1, generator])
def test_style_weights_are_what_latents_become_styles_by(build):
    network = build()
    weights = style_weights(network)
    assert len(weights) == network.num_ws
    assert all(weight.shape[1] == 8 and weight.dtype == torch.float64 for weight in weights)
    name = {stylegan3: "synthesis.input", stylegan1: "synthesis.b4.layer0"}.get(
        build, "synthesis.b4.conv1"
    )
    affine = network.get_submodule(name).affine
    w = torch.randn(2, 8)
    difference = (affine(w[:1]) - affine(w[1:]))[0].double()
    torch.testing.assert_close(weights[0] @ (w[0] - w[1]).double(), difference, atol=1e-5, rtol=0)
