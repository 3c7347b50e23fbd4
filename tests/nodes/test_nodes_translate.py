"""Translate Image, Autoencode and the nodes that load their models."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from ganvas.core import checkpoints
from ganvas.core.errors import InputError
from ganvas.core.images import read_image, save_png
from ganvas.core.models.cyclegan_resnet import CycleGANResNet
from ganvas.core.models.patchgan import PatchGAN
from ganvas.core.models.pix2pix_unet import Pix2PixUNet
from ganvas.core.models.vae import VAE
from ganvas.core.translation import find_images, translate_files
from ganvas.nodes import registry
from ganvas.nodes.context import Context, Host


def write(path: Path, arch: str, *networks: torch.nn.Module, names: tuple[str, ...] = ()) -> None:
    tensors = {}
    for network, prefix in zip(networks, [f"{name}." for name in names] or [""], strict=True):
        tensors |= {prefix + key: value for key, value in network.state_dict().items()}
    config = asdict(networks[0].config)
    checkpoints.save(path, arch=arch, config=config, tensors=tensors, training={}, networks=names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models")
    unet = Pix2PixUNet(num_downs=6, ngf=4, norm="instance")
    write(path / "pix2pix.safetensors", "pix2pix-unet", unet)
    ways = [CycleGANResNet(ngf=4, num_blocks=1) for _ in range(2)]
    names = ("A_to_B", "B_to_A")
    write(path / "cycle.safetensors", "cyclegan-resnet", *ways, names=names)
    grey = CycleGANResNet(ngf=4, num_blocks=0, in_channels=1, out_channels=1)
    write(path / "grey.safetensors", "cyclegan-resnet", grey)
    six = CycleGANResNet(ngf=4, num_blocks=0, in_channels=6)
    write(path / "six.safetensors", "cyclegan-resnet", six)
    small = {"img_resolution": 16, "z_dim": 4, "base_channels": 4}
    write(path / "vae.safetensors", "vae", VAE(**small))
    write(path / "cvae.safetensors", "vae", VAE(**small, c_dim=2))
    write(path / "patches.safetensors", "patchgan", PatchGAN(ndf=4))
    return path


@pytest.fixture
def host(folder, tmp_path) -> Host:
    return Host(tmp_path / "in", tmp_path / "out", tmp_path / "temp", (folder,))


@pytest.fixture
def call(host):
    def run(name, **inputs):
        return registry()[f"Ganvas_{name}"].function(Context(host), **inputs)

    return run


def images(count=3, height=21, width=34, channels=3):
    return torch.rand(count, height, width, channels, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["pix2pix", "cycle", "grey"])
def test_translations_keep_the_batch_and_any_size(call, name):
    translator = call("LoadTranslator", model=f"{name}.safetensors")
    image = images()
    before = image.clone()
    made = call("TranslateImage", translator=translator, image=image, chunk_size=2)
    assert made.shape == image.shape and made.dtype == torch.float32
    assert float(made.min()) >= 0 and float(made.max()) <= 1
    assert torch.equal(image, before)
    alone = call("TranslateImage", translator=translator, image=image[1:2])
    torch.testing.assert_close(made[1:2], alone, rtol=0, atol=1e-4)


def test_the_node_gives_what_the_network_gives(call, folder):
    translator = call("LoadTranslator", model="cycle.safetensors", network="B_to_A")
    image = images(1)
    network = checkpoints.load(folder / "cycle.safetensors", network="B_to_A").network
    expected = network(image.permute(0, 3, 1, 2) * 2 - 1).permute(0, 2, 3, 1).add(1).div(2)
    made = call("TranslateImage", translator=translator, image=image)
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-5)
    other = call("LoadTranslator", model="cycle.safetensors")
    assert not torch.equal(call("TranslateImage", translator=other, image=image), made)


def test_dropout_is_seeded_by_the_image(call):
    translator = call("LoadTranslator", model="pix2pix.safetensors")
    image = images(2, 64, 64)
    plain = call("TranslateImage", translator=translator, image=image, seed=5)
    assert torch.equal(plain, call("TranslateImage", translator=translator, image=image))
    dropped = call("TranslateImage", translator=translator, image=image, dropout=True, seed=5)
    assert not torch.allclose(dropped, plain)
    second = call("TranslateImage", translator=translator, image=image[1:], dropout=True, seed=6)
    torch.testing.assert_close(dropped[1:], second, rtol=0, atol=1e-4)


def test_an_unknown_network_is_refused(call):
    with pytest.raises(InputError, match=r"no network 'left', only A_to_B, B_to_A"):
        call("LoadTranslator", model="cycle.safetensors", network="left")


def test_images_too_small_are_refused_by_the_sockets_name(call):
    translator = call("LoadTranslator", model="cycle.safetensors")
    with pytest.raises(InputError, match=r"^image: expected .* at least 8 x 8 pixels, got 9 x 5"):
        call("TranslateImage", translator=translator, image=images(1, 5, 9))


def test_models_of_another_kind_are_refused_with_the_node_that_takes_them(call):
    with pytest.raises(InputError, match=r"vae\.safetensors is a vae .*; Load Autoencoder takes"):
        call("LoadTranslator", model="vae.safetensors")
    with pytest.raises(InputError, match=r"cycle\.safetensors is a cyclegan-resnet .*; Load Trans"):
        call("LoadAutoencoder", model="cycle.safetensors")
    with pytest.raises(InputError, match=r"is a patchgan .*expected an image translation model$"):
        call("LoadTranslator", model="patches.safetensors")
    with pytest.raises(InputError, match="grey or RGB images, got a cyclegan-resnet with in_chan"):
        call("LoadTranslator", model="six.safetensors")


@pytest.mark.parametrize("size", [(16, 16), (21, 34), (64, 64)])
def test_autoencoding_keeps_the_batch_and_any_size(call, size):
    autoencoder = call("LoadAutoencoder", model="vae.safetensors")
    image = images(3, *size)
    made = call("Autoencode", autoencoder=autoencoder, image=image, chunk_size=2)
    assert made.shape == image.shape
    assert float(made.min()) >= 0 and float(made.max()) <= 1
    if size == (16, 16):
        expected = autoencoder.network(image.permute(0, 3, 1, 2) * 2 - 1)
        expected = expected.permute(0, 2, 3, 1).add(1).div(2)
        torch.testing.assert_close(made, expected, rtol=0, atol=1e-5)


def test_latents_are_drawn_by_the_images_seed(call):
    autoencoder = call("LoadAutoencoder", model="vae.safetensors")
    image = images(2, 16, 16)
    mean = call("Autoencode", autoencoder=autoencoder, image=image)
    drawn = call("Autoencode", autoencoder=autoencoder, image=image, sample=True, seed=3)
    assert not torch.allclose(mean, drawn, atol=1e-4)
    second = call("Autoencode", autoencoder=autoencoder, image=image[1:], sample=True, seed=4)
    torch.testing.assert_close(drawn[1:], second, rtol=0, atol=1e-5)


def test_labels_reach_the_network_and_are_checked(call):
    autoencoder = call("LoadAutoencoder", model="cvae.safetensors")
    image = images(1, 16, 16)
    one, other = (
        call("Autoencode", autoencoder=autoencoder, image=image, label=label)
        for label in ("1, 0", "0 1")
    )
    assert not torch.equal(one, other)
    for label in ("", "1", "1, 2, 3", "1, nan", "one, two"):
        with pytest.raises(InputError, match=r"^label: expected"):
            call("Autoencode", autoencoder=autoencoder, image=image, label=label)
    plain = call("LoadAutoencoder", model="vae.safetensors")
    with pytest.raises(InputError, match="takes no label, got 1"):
        call("Autoencode", autoencoder=plain, image=image, label="1")


def test_files_and_folders_are_translated_into_a_folder(folder, tmp_path):
    source, out = tmp_path / "photos", tmp_path / "out"
    sizes = {"a.png": (16, 20), "b.png": (16, 20), "sub/c.png": (33, 12)}
    for number, (name, size) in enumerate(sizes.items()):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        save_png(source / name, images(number + 1, *size)[-1])
    (source / "note.txt").write_text("no image")
    model = checkpoints.load(folder / "cycle.safetensors")
    found = find_images([source])
    written = list(translate_files(model, found, out, chunk=2))
    assert written == [out / name for name in sizes]
    for name, size in sizes.items():
        assert read_image(out / name).shape == (*size, 3)
    alone = list(translate_files(model, find_images([source / "b.png"]), tmp_path / "alone"))
    difference = read_image(alone[0]) - read_image(out / "b.png")
    assert float(difference.abs().max()) <= 1.01 / 255


def test_files_that_cannot_be_translated_are_refused(folder, tmp_path):
    model = checkpoints.load(folder / "cycle.safetensors")
    save_png(tmp_path / "x.png", images(1, 16, 16)[0])
    (tmp_path / "empty").mkdir()
    (tmp_path / "two").mkdir()
    save_png(tmp_path / "two" / "x.png", images(1, 16, 16)[0])
    with pytest.raises(InputError, match="no images in this folder"):
        find_images([tmp_path / "empty"])
    with pytest.raises(InputError, match="expected an image file or a folder of them, got nothing"):
        find_images([tmp_path / "missing.png"])
    with pytest.raises(InputError, match=r"would both be written to x\.png"):
        find_images([tmp_path / "x.png", tmp_path / "two"])
    with pytest.raises(InputError, match="is an input itself"):
        list(translate_files(model, find_images([tmp_path / "x.png"]), tmp_path))
    with pytest.raises(InputError, match="expected an image translation model, got a vae"):
        other = checkpoints.load(folder / "vae.safetensors")
        list(translate_files(other, find_images([tmp_path / "x.png"]), tmp_path / "out"))
    assert not (tmp_path / "out").exists()
