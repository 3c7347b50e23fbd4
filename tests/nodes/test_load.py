"""The nodes that load models: every file is listed, and runs or is refused by what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.random import RandomState

from ganvas.core import checkpoints
from ganvas.core.errors import InputError
from ganvas.core.models import pggan, stylegan2, stylegan3
from ganvas.core.models.cyclegan_resnet import CycleGANResNet
from ganvas.core.models.gfpgan import GFPGAN
from ganvas.core.models.rrdbnet import RRDBNet
from ganvas.core.models.srvgg import SRVGG
from ganvas.core.models.unet import RestorationUNet
from ganvas.core.restoration import convention_of
from ganvas.core.restoration.networks import Convention
from ganvas.nodes import registry
from ganvas.nodes.context import Context, Host

SAVED = {
    "stylegan3.pt": lambda: stylegan3.Generator(
        z_dim=6, w_dim=8, img_resolution=32, channel_base=128, channel_max=4
    ),
    "pggan.pth": lambda: pggan.Generator(
        z_dim=6, img_resolution=16, channel_base=64, channel_max=8
    ),
    "x2.pth": lambda: RRDBNet(scale=2, unshuffle=2, num_feat=4, num_block=1, num_grow_ch=2),
    "compact.pth": lambda: SRVGG(num_feat=4, num_conv=1, scale=2),
    "gfpgan.pth": lambda: GFPGAN(out_size=32, num_style_feat=8, narrow=1 / 64),
    "horse.pth": lambda: CycleGANResNet(ngf=4, num_blocks=2),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    for name, build in SAVED.items():
        torch.save(build().state_dict(), folder / name)
    torch.save({"lora_unet_x.lora_up.weight": torch.zeros(2)}, folder / "lora.ckpt")
    (folder / "broken.pkl").write_bytes(b"nonsense")
    (folder / "notes.txt").write_text("no model")
    return folder


@pytest.fixture
def context(models, tmp_path) -> Context:
    return Context(Host(tmp_path / "in", tmp_path / "out", tmp_path / "temp", (models,)))


def call(context: Context, name: str, **inputs: Any) -> Any:
    return registry()[f"Ganvas_{name}"].function(context, **inputs)


@pytest.mark.parametrize(
    ("node", "fitting"),
    [
        ("LoadGenerator", ["pggan.pth", "stylegan3.pt"]),
        ("LoadRestorer", ["compact.pth", "gfpgan.pth", "x2.pth"]),
    ],
)
def test_all_files_are_listed_and_those_that_fit_come_first(context, node, fitting):
    widget, given = registry()[f"Ganvas_{node}"].widgets
    assert given.name == "given" and given.optional and given.default == ""
    names = widget.list_options(context.host)
    mine = [name for name in names if not name.startswith("faces-")]
    assert mine[: len(fitting)] == fitting
    assert set(mine) == {*SAVED, "lora.ckpt", "broken.pkl"}
    assert len(set(names)) == len(names)
    shipped = [name for name in names if name.startswith("faces-")]
    assert not shipped or names[0] in shipped


@pytest.mark.parametrize(
    ("node", "name", "reason"),
    [
        ("LoadGenerator", "x2.pth", r"is a rrdbnet \(.*expected a generator; Load Restorer takes"),
        ("LoadRestorer", "pggan.pth", r"is a pggan-gen.*expected a restoration model; Load Gen"),
        (
            "LoadRestorer",
            "horse.pth",
            r"is a cyclegan-resnet \(.*expected a restoration model; Load Translator takes it$",
        ),
        ("LoadGenerator", "lora.ckpt", r": this seems to be a LoRA"),
        ("LoadRestorer", "broken.pkl", r": "),
    ],
)
def test_a_file_that_does_not_fit_is_named_with_the_widget(context, node, name, reason):
    with pytest.raises(InputError, match=rf"^model: {name}:? ?{reason}") as refusal:
        call(context, node, model=name)
    assert str(context.host.model_folders[0]) not in str(refusal.value)


def test_the_sampling_nodes_draw_with_stylegan3(context, models):
    generator = call(context, "LoadGenerator", model="stylegan3.pt")
    latents = call(context, "SampleLatents", generator=generator, seed=5, count=2)
    images = call(context, "Synthesize", generator=generator, latents=latents, noise_mode="random")
    z = torch.cat([published_z(k) for k in (5, 6)])
    expected = checkpoints.load(models / "stylegan3.pt").generator(z, truncation_psi=0.7)
    torch.testing.assert_close(
        images, expected.add(1).div(2).clamp(0, 1).permute(0, 2, 3, 1), rtol=0, atol=1e-5
    )
    direction, found = call(context, "FindDirections", generator=generator, count=3)
    edited = call(context, "ApplyDirection", latents=latents, direction=direction, strengths="0,2")
    assert len(found) == 3 and len(edited) == 4


def published_z(seed: int) -> torch.Tensor:
    return torch.from_numpy(RandomState(seed).randn(1, 6)).float()


def test_a_generator_without_w_is_refused_by_its_socket(context):
    generator = call(context, "LoadGenerator", model="pggan.pth")
    with pytest.raises(InputError, match=r"^generator: this one \(PGGAN\)"):
        call(context, "SampleLatents", generator=generator)
    with pytest.raises(InputError, match=r"^generator: this one \(PGGAN\)"):
        call(context, "FindDirections", generator=generator)


@pytest.mark.parametrize("name", ["x2.pth", "compact.pth", "gfpgan.pth"])
@pytest.mark.parametrize("size", [(32, 32), (13, 22)])
def test_every_restorer_keeps_batch_and_size(context, name, size):
    restorer = call(context, "LoadRestorer", model=name)
    image = torch.rand(3, *size, 3)
    before = image.clone()
    whole = call(context, "RestoreFaces", restorer=restorer, image=image, chunk_size=2)
    assert whole.shape == image.shape and torch.equal(image, before)
    alone = call(context, "RestoreFaces", restorer=restorer, image=image[1:2])
    torch.testing.assert_close(whole[1:2], alone, rtol=0, atol=1e-4)


def test_super_resolution_sees_0_to_1_and_faces_minus_1_to_1(context):
    image = torch.rand(1, 32, 32, 3)
    unit = image.permute(0, 3, 1, 2)
    restorer = call(context, "LoadRestorer", model="x2.pth")
    restored = call(context, "RestoreFaces", restorer=restorer, image=image)
    expected = torch.nn.functional.avg_pool2d(restorer.network(unit), 2).clamp(0, 1)
    torch.testing.assert_close(restored.permute(0, 3, 1, 2), expected, rtol=0, atol=1e-5)
    restorer = call(context, "LoadRestorer", model="gfpgan.pth")
    restored = call(context, "RestoreFaces", restorer=restorer, image=image)
    expected = restorer.network(unit * 2 - 1).add(1).div(2).clamp(0, 1)
    torch.testing.assert_close(restored.permute(0, 3, 1, 2), expected, rtol=0, atol=1e-5)


class Recorder(torch.nn.Module):
    """The identity, which keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, img: torch.Tensor) -> torch.Tensor:
        self.seen = img
        return img


def test_faces_of_another_size_are_brought_to_the_networks_and_back():
    network = Recorder()
    column = torch.linspace(-1, 1, 24)[:, None]
    images = column.expand(2, 3, 24, 16).contiguous()
    result = Convention(0.0, 1.0, size=48).apply(network, images)
    assert network.seen.shape == (2, 3, 48, 48)
    assert float(network.seen.min()) >= 0 and float(network.seen.max()) <= 1
    torch.testing.assert_close(result, images, rtol=0, atol=0.02)
    small = Convention(size=8).apply(network, images)
    assert network.seen.shape == (2, 3, 8, 8) and small.shape == images.shape
    same = Convention().apply(network, images)
    assert torch.equal(same, images)


def model_of(arch: str, network: torch.nn.Module, **config: Any) -> checkpoints.Model:
    entry = checkpoints.ARCHITECTURES[arch]
    return checkpoints.Model(
        arch, config, {}, "hash", Path("x"), network=network, image_range=entry.image_range
    )


def test_each_architectures_convention():
    network = RestorationUNet(base_channels=4, num_levels=2)
    plain, face = Convention(), Convention(size=512)
    assert convention_of(model_of("restore-unet", network, img_channels=3)) == plain
    assert convention_of(model_of("restoreformer", network)) == face
    assert convention_of(model_of("codeformer", network, img_resolution=512)) == face
    assert convention_of(model_of("gfpgan", network, out_size=512)) == face
    for arch in ("rrdbnet", "srvgg"):
        assert convention_of(model_of(arch, network)) == Convention(0.0, 1.0)
    with pytest.raises(InputError, match=r"RGB images, got a srvgg with in_channels 1"):
        convention_of(model_of("srvgg", network, in_channels=1))
    with pytest.raises(InputError, match="expected a restoration model, got a patchgan"):
        convention_of(model_of("patchgan", network))


def test_what_a_file_does_not_say_can_be_given(context, models):
    torch.manual_seed(0)
    network = stylegan2.Generator(
        z_dim=6, w_dim=8, img_resolution=16, channel_base=64, channel_max=8, conv_clamp=0.25
    )
    torch.save(network.state_dict(), models / "clamped.pth")
    plain = call(context, "LoadGenerator", model="clamped.pth")
    same = call(context, "LoadGenerator", model="clamped.pth", given=" \n")
    told = call(
        context, "LoadGenerator", model="clamped.pth", given="conv_clamp=0.25, w_avg_beta=1"
    )
    assert plain.config == same.config and plain.config["conv_clamp"] is None
    assert (told.config["conv_clamp"], told.config["w_avg_beta"]) == (0.25, 1)
    z = published_z(1)
    assert torch.equal(told.generator(z), network.eval()(z))
    (models / "clamped.pth").unlink()


def test_a_file_that_needs_what_is_given_gets_it(context, models):
    network = SRVGG(num_feat=4, num_conv=1, scale=2, activation="relu")
    torch.save(network.state_dict(), models / "needs.pth")
    with pytest.raises(InputError, match=r"^model: needs\.pth: activation cannot be inferred .*=V"):
        call(context, "LoadRestorer", model="needs.pth")
    model = call(context, "LoadRestorer", model="needs.pth", given="activation=relu")
    assert model.config["activation"] == "relu"
    with pytest.raises(InputError, match=r"^model: needs\.pth is a srvgg .*; Load Restorer takes"):
        call(context, "LoadGenerator", model="needs.pth", given="activation=relu")
    (models / "needs.pth").unlink()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("conv_clamp", r"^given: expected KEY=VALUE such as conv_clamp=256, got 'conv_clamp'$"),
        ("conv_clamp=1 conv_clamp=2", r"^given: conv_clamp is given twice$"),
        ("colour=red", r"^model: pggan\.pth: colour cannot be given for a pggan-gen.*: c_dim, "),
        ("c_dim=red", r"^model: pggan\.pth: c_dim should be a whole number, got 'red'$"),
    ],
)
def test_what_cannot_be_given_is_refused(context, given, reason):
    with pytest.raises(InputError, match=reason):
        call(context, "LoadGenerator", model="pggan.pth", given=given)
    with pytest.raises(InputError, match=r"a ganvas file says everything itself; a was given"):
        call(context, "LoadGenerator", model="faces-stylegan2-64", given="a=1")


def test_restoring_can_enlarge(context):
    restorer = call(context, "LoadRestorer", model="gfpgan.pth")
    image = torch.rand(2, 16, 12, 3)
    result = call(context, "RestoreFaces", restorer=restorer, image=image, upscale=2)
    assert result.shape == (2, 32, 24, 3)
    with pytest.raises(InputError, match=r"^image: .* more than the limit"):
        vast = torch.zeros(1).expand(5, 3000, 3000, 3)
        call(context, "RestoreFaces", restorer=restorer, image=vast, upscale=8)
