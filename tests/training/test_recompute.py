"""Activation checkpointing: the same gradients in less memory."""

import pytest
import torch

from ganvas.core import checkpoints
from ganvas.core.errors import InputError
from ganvas.training import regularisers, train
from ganvas.training.config import override
from ganvas.training.distributed import Ranks
from ganvas.training.feed import Feed
from ganvas.training.images import SyntheticImages
from ganvas.training.presets import PRESETS
from ganvas.training.systems import build

PRESET = "stylegan2-faces-16"
ALONE = Ranks(0, 1, torch.device("cpu"))


def system_of(settings):
    config = override(PRESETS[PRESET].config, settings)
    return build(config, Feed(SyntheticImages(16), config, 0, 1), ALONE)


def gradients(system):
    """Gradients of R1 and of the path length penalty, in float64."""
    g, d = (system.networks[name].double() for name in "GD")
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    regularisers.r1_penalty(d(images, None), images).backward()
    ws = g.mapping(torch.randn(4, 8, dtype=torch.float64), None)
    drawn = g.synthesis(ws, noise_mode="random", generator=torch.arange(4))
    lengths = regularisers.path_lengths(drawn, ws, torch.ones_like(drawn))
    regularisers.path_length_penalty(lengths, 1.0).backward()
    return {
        f"{name}.{key}": p.grad
        for name, network in (("G", g), ("D", d))
        for key, p in network.named_parameters()
        if p.grad is not None
    }


def test_gradients_of_gradients_are_the_same_with_and_without(tiny):
    found = []
    for setting in ("false", "true"):
        torch.manual_seed(0)
        found.append(gradients(system_of([*tiny, f"checkpoint_activations={setting}"])))
    assert found[0].keys() == found[1].keys() and len(found[0]) > 20
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], rtol=1e-9, atol=1e-12, msg=name)


def test_a_run_trains_and_its_file_loads(tmp_path, images_zip, tiny):
    settings = [*tiny, "total_kimg=0.016", "checkpoint_activations=true"]
    result = train(PRESET, images_zip, tmp_path, settings, say=str)
    image = checkpoints.load(result.model).generator(torch.randn(2, 8))
    assert image.shape == (2, 3, 8, 8) and torch.isfinite(image).all()


def test_the_generator_keeps_less_for_its_backward_pass(tiny):
    kept = {}
    for setting in ("false", "true"):
        system = system_of([*tiny, "resolution=16", f"checkpoint_activations={setting}"])
        total = 0

        def count(tensor):
            nonlocal total
            total += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            system.networks["G"](torch.randn(8, 8), noise_mode="const")
        kept[setting] = total
    assert kept["true"] < 0.6 * kept["false"]


def test_running_statistics_move_once_a_step():
    """StackGAN's blocks have batch normalisation, whose buffers the second forward pass leaves."""
    small = ["resolution=16", "batch=4", "channel_base=64", "channel_max=8", "embed_dim=4"]
    config = override(PRESETS["stackgan-64"].config, [*small, "stage1_kimg=0.004", "amp=none"])
    found = []
    for on in (False, True):
        chosen = config.model_copy(update={"checkpoint_activations": on})
        system = build(chosen, Feed(SyntheticImages(16), chosen, 0, 1), ALONE)
        for step in range(3):
            system.step(step)
        found.append(system.state())
    assert any(name.endswith("running_mean") for name in found[0])
    for name, tensor in found[0].items():
        torch.testing.assert_close(tensor, found[1][name], msg=name)


def test_networks_without_blocks_are_refused(tmp_path, images_zip):
    with pytest.raises(InputError, match=r"checkpoint_activations=true needs networks made of bl"):
        train("mlp-gan", images_zip, tmp_path, ["resolution=16", "checkpoint_activations=true"])
    assert not list(tmp_path.iterdir())
