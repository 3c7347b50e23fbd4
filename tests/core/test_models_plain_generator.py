"""Generators without a mapping network: one way to call them, from the library, files and nodes."""

from dataclasses import asdict, fields

import pytest
import torch

import ganvas
from ganvas.core.checkpoints import save
from ganvas.core.checkpoints.registry import ARCHITECTURES
from ganvas.core.editing import closed_form_directions, principal_directions
from ganvas.core.errors import InputError
from ganvas.core.latents import sample_latents, synthesize
from ganvas.core.sampling import write_samples

from .random_networks import assert_double_agrees, randomised

# The smallest networks, and every field of the config at another value.
SMALL = {
    "mlp-gan-generator": (
        {"img_resolution": 8, "hidden": 12},
        {"z_dim": 7, "c_dim": 3, "img_resolution": 16, "img_channels": 1, "hidden": 9,
         "num_layers": 3},
    ),
    "dcgan-generator": (
        {"img_resolution": 16, "channel_base": 64},
        {"z_dim": 7, "c_dim": 3, "img_resolution": 32, "img_channels": 1, "channel_base": 96,
         "channel_max": 10},
    ),
    "r3gan-generator": (
        {"img_resolution": 8, "channel_base": 64, "channel_max": 16, "group_width": 8},
        {"z_dim": 7, "c_dim": 3, "img_resolution": 16, "img_channels": 1, "channel_base": 128,
         "channel_max": 24, "num_blocks": 1, "group_width": 4},
    ),
    "infogan-generator": (
        {"img_resolution": 16, "channel_base": 64},
        {"z_dim": 12, "c_dim": 6, "img_resolution": 32, "img_channels": 1, "num_categorical": 2,
         "num_categories": 3, "num_continuous": 1, "channel_base": 96, "channel_max": 10},
    ),
    "stackgan-generator": (
        {"img_resolution": 16, "c_dim": 2, "channel_base": 64},
        {"z_dim": 9, "c_dim": 3, "img_resolution": 32, "img_channels": 1, "embed_dim": 4,
         "channel_base": 96, "channel_max": 10, "num_blocks": 1},
    ),
}  # fmt: skip
ARCHS = list(SMALL)


def build(arch, number=0):
    torch.manual_seed(0)
    return randomised(ARCHITECTURES[arch](SMALL[arch][number]))


def inputs(generator, count=3):
    config = generator.config
    z = torch.randn(count, config.z_dim, generator=torch.Generator().manual_seed(1))
    c = torch.eye(config.c_dim)[torch.arange(count) % config.c_dim] if config.c_dim else None
    return z, c


def write(path, arch, number=0):
    generator = build(arch, number)
    config = asdict(generator.config)
    save(path, arch=arch, config=config, tensors=generator.state_dict(), training={})
    return generator


@pytest.mark.parametrize("arch", ARCHS)
def test_every_field_of_the_config_is_built_from(arch):
    default, other = build(arch), build(arch, 1)
    assert {field.name for field in fields(other.config)} == set(SMALL[arch][1])
    assert asdict(other.config) == SMALL[arch][1]
    same = [k for k, v in asdict(default.config).items() if v == SMALL[arch][1][k]]
    assert same == []
    again = type(other).from_config(other.config)
    again.load_state_dict(other.state_dict())
    z, c = inputs(other)
    assert torch.equal(again.eval()(z, c), other(z, c))


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("arch", ARCHS)
def test_images_have_the_size_of_the_config(arch, number):
    generator = build(arch, number)
    config = generator.config
    images = generator(*inputs(generator))
    assert images.shape == (3, config.img_channels, config.img_resolution, config.img_resolution)
    assert images.std() > 0.01


@pytest.mark.parametrize("arch", ARCHS)
def test_an_image_depends_on_its_own_latent_and_labels_alone(arch):
    generator = build(arch, 1)
    z, c = inputs(generator, 4)
    images = generator(z, c)
    torch.testing.assert_close(generator(z[1:2], c[1:2]), images[1:2], rtol=0, atol=1e-5)
    assert not torch.allclose(generator(z, c.roll(1, 0)), images)
    assert not torch.allclose(generator(z.roll(1, 0), c), images)
    assert_double_agrees(lambda_of(generator, c), z)


def lambda_of(generator, c):
    """The generator as a network of z alone, as `assert_double_agrees` takes it."""

    class OfZ(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = generator

        def forward(self, z):
            return self.inner(z, c)

    return OfZ()


@pytest.mark.parametrize("arch", ARCHS)
def test_a_call_is_mapping_and_synthesis(arch):
    generator = build(arch, 1)
    z, c = inputs(generator)
    ws = generator.mapping(z, c)
    assert ws.shape == (3, generator.num_ws, generator.config.w_dim)
    assert torch.equal(generator.synthesis(ws, noise_mode="none"), generator(z, c))


@pytest.mark.parametrize("arch", ARCHS)
def test_truncation_shortens_z_and_leaves_labels_alone(arch):
    generator = build(arch, 1)
    z, c = inputs(generator)
    half = generator(z, c, truncation_psi=0.5)
    assert torch.equal(half, generator(z * 0.5, c))
    assert torch.equal(generator(z, c, truncation_psi=0.5, truncation_cutoff=0), generator(z, c))
    average = generator(z, c[:1].expand(3, -1), truncation_psi=0)
    torch.testing.assert_close(average[0], average[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("arch", ARCHS)
def test_wrong_inputs_are_refused(arch):
    generator = build(arch, 1)
    z, c = inputs(generator)
    with pytest.raises(ValueError, match=r"expected z \[N, "):
        generator(z[:, 1:], c)
    with pytest.raises(ValueError, match="expected labels c"):
        generator(z, c[:2])
    with pytest.raises(ValueError, match=r"synthesis: expected ws \[N, 1, "):
        generator.synthesis(torch.zeros(1, 2, generator.config.w_dim))
    for key, value in (("z_dim", 0), ("img_resolution", 24), ("img_channels", 0)):
        with pytest.raises(InputError, match=f"config does not describe.*{key}"):
            ARCHITECTURES[arch](SMALL[arch][1] | {key: value})


@pytest.mark.parametrize("arch", ARCHS)
def test_a_file_loads_back_and_draws_seeds(arch, tmp_path):
    generator = write(tmp_path / "model.safetensors", arch)
    model = ganvas.load(tmp_path / "model.safetensors")
    z, c = inputs(generator)
    assert torch.equal(model.generator(z, c), generator(z, c))
    assert model.resolution == generator.config.img_resolution
    classes = generator.config.c_dim
    paths = list(
        write_samples(model, [0, 1], tmp_path / "out", class_index=0 if classes else -1, sheet=True)
    )
    assert [path.name for path in paths] == ["seed0000.png", "seed0001.png", "sheet.png"]


@pytest.mark.parametrize("arch", ARCHS)
def test_latents_are_drawn_and_synthesised_as_the_nodes_do(arch):
    generator = build(arch)
    index = 1 if generator.config.c_dim else -1
    latents = sample_latents(generator, "hash", seed=3, count=2, class_index=index)
    alone = sample_latents(generator, "hash", seed=4, count=1, class_index=index)
    assert torch.equal(latents.ws[1:], alone.ws)
    images = synthesize(generator, latents, "hash", chunk=1)
    torch.testing.assert_close(images[1:], synthesize(generator, alone, "hash"), rtol=0, atol=1e-5)


@pytest.mark.parametrize("arch", ARCHS)
def test_directions_are_found_by_ganspace_and_refused_by_sefa(arch):
    generator = build(arch)
    with pytest.raises(InputError, match=r"expected one with styles .* method ganspace finds"):
        closed_form_directions(generator, "hash", count=1)
    (direction,) = principal_directions(generator, "hash", count=1, samples=256)
    assert direction.vector.shape[-1] == generator.config.w_dim
