"""Images from seeds: the published latents, independent of what else is drawn."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.core.checkpoints import load, save
from ganvas.core.devices import choose_device
from ganvas.core.errors import InputError
from ganvas.core.models.stylegan2 import Generator
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
