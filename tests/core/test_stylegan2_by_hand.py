"""StyleGAN2 written out once more in plain float64, from the description of published networks.

Every number of the networks is random, those included that start at 0 or 1 and that training keeps:
biases, noise strengths, the mean of w, and filters that are symmetric in no way.
"""

import math

import pytest
import torch
from torch.nn import functional

from ganvas.core.models.plans import plan_of
from ganvas.core.models.stylegan2 import Discriminator, Generator
from ganvas.core.models.stylegan2_plan import SynthesisPlan

SIZES = {"img_resolution": 16, "channel_base": 128, "channel_max": 12}
ROOT, HALF = math.sqrt(2), math.sqrt(0.5)
WIRINGS = ("skip", "resnet", "orig")


def random_state(network, seed=0, filters=True):
    """The network in float64 with all numbers random, and these numbers."""
    rng = torch.Generator().manual_seed(seed)
    state = network.state_dict()
    for name, tensor in state.items():
        if "filter" in name and not filters:
            continue
        noise = torch.randn(tensor.shape, generator=rng)
        bias = name.endswith("affine.bias")
        state[name] = 0.3 * noise + (1 if bias or "filter" in name else 0)
        if "mapping.fc" in name:
            state[name] = noise * 100  # is multiplied by the rate of .01
        if "filter" in name:
            state[name] /= state[name].sum()
    network.load_state_dict(state)
    network = network.double().eval().requires_grad_(False)
    return network, network.state_dict()


def normal(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def dense(state, name, x, rate=1.0):
    weight = state[f"{name}.weight"]
    return x @ weight.t() * (rate / math.sqrt(weight.shape[1])) + state[f"{name}.bias"] * rate


def activated(x, gain=1.0, clamp=None):
    y = torch.where(x < 0, 0.2 * x, x) * ROOT * gain
    return y if clamp is None else y.clamp(-clamp * gain, clamp * gain)


def limited(x, clamp):
    return x if clamp is None else x.clamp(-clamp, clamp)


def unit(x):
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def filtered(x, f):
    """Convolve, so that the filter is mirrored."""
    f = f.flip(0, 1).expand(x.shape[1], 1, *f.shape)
    return functional.conv2d(x, f, groups=x.shape[1])


def enlarged(x, f):
    n, c, h, w = x.shape
    wide = x.new_zeros(n, c, 2 * h, 2 * w)
    wide[:, :, ::2, ::2] = x
    return filtered(functional.pad(wide, (2, 1, 2, 1)), f) * 4


def reduced(x, f):
    return filtered(functional.pad(x, (1, 1, 1, 1)), f)[:, :, ::2, ::2]


def mapped(state, config, z, c, psi, cutoff, num_ws):
    x = unit(z)
    if config.c_dim:
        x = torch.cat([x, unit(dense(state, "mapping.embed", c))], dim=1)
    for index in range(config.num_mapping_layers):
        x = activated(dense(state, f"mapping.fc{index}", x, 0.01))
    mean = state["mapping.w_avg"]
    return [mean + psi * (x - mean) if layer < cutoff else x for layer in range(num_ws)]


def styled(state, name, x, w, *, up=False, gain=1.0, clamp=None, noise=None):
    """One sample after another, each with weights of its own."""
    weight, results = state[f"{name}.weight"], []
    styles = dense(state, f"{name}.affine", w)
    for sample, s in zip(x.split(1), styles, strict=True):
        own = weight * s[None, :, None, None]
        own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            wide = functional.conv_transpose2d(sample, own.transpose(0, 1), stride=2)
            wide = functional.pad(wide, (1, 1, 1, 1))
            results.append(filtered(wide, state[f"{name}.resample_filter"]) * 4)
        else:
            results.append(functional.conv2d(sample, own, padding=1))
    x = torch.cat(results)
    noise = state[f"{name}.noise_const"] if noise is None else noise
    x = x + noise * state[f"{name}.noise_strength"] + state[f"{name}.bias"][:, None, None]
    return activated(x, gain, clamp)


def coloured(state, name, x, w, clamp):
    weight = state[f"{name}.weight"]
    s = dense(state, f"{name}.affine", w) / math.sqrt(weight.shape[1])
    y = torch.einsum("oi,ni,nihw->nohw", weight[:, :, 0, 0], s, x)
    return limited(y + state[f"{name}.bias"][:, None, None], clamp)


def drawn(state, config, ws):
    clamp, layer = config.conv_clamp, 0
    x = image = None
    r = 4
    while r <= config.img_resolution:
        block = f"synthesis.b{r}"
        if r == 4:
            x = state[f"{block}.const"].expand(len(ws[0]), -1, -1, -1)
            x = styled(state, f"{block}.conv1", x, ws[0], clamp=clamp)
            layer = 1
        else:
            gain = HALF if config.architecture == "resnet" else 1.0
            before = x
            x = styled(state, f"{block}.conv0", x, ws[layer], up=True, clamp=clamp)
            x = styled(state, f"{block}.conv1", x, ws[layer + 1], gain=gain, clamp=clamp)
            if config.architecture == "resnet":
                weight = state[f"{block}.skip.weight"]
                wide = enlarged(before, state[f"{block}.skip.resample_filter"])
                wide = functional.conv2d(wide, weight / math.sqrt(weight.shape[1]))
                x = x + wide * HALF
            layer += 2
        if config.architecture == "skip" or r == config.img_resolution:
            part = coloured(state, f"{block}.torgb", x, ws[layer], clamp)
            if image is not None:
                part = part + enlarged(image, state[f"{block}.resample_filter"])
            image = part
        r *= 2
    return image


@pytest.mark.parametrize("architecture", WIRINGS)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"c_dim": 3, "num_mapping_layers": 1},
        {"img_channels": 1, "conv_clamp": 0.7},
        {"img_channels": 4, "channel_base": 50, "channel_max": 9},
    ],
    ids=str,
)
def test_generator(architecture, changes):
    settings = {**SIZES, "z_dim": 6, "w_dim": 10, "num_mapping_layers": 8, **changes}
    network, state = random_state(Generator(architecture=architecture, **settings))
    config = network.config
    z, c = normal(3, 6), normal(3, 3).abs() if config.c_dim else None  # no one-hot labels
    ws = mapped(state, config, z, c, 0.6, 4, network.num_ws)
    torch.testing.assert_close(network.mapping(z, c, 0.6, 4), torch.stack(ws, dim=1))
    torch.testing.assert_close(network(z, c, 0.6, 4), drawn(state, config, ws))


def test_a_plan_draws_with_the_files_filters():
    network, state = random_state(Generator(**SIZES, z_dim=6, w_dim=10), filters=False)
    f = normal(4, 4, seed=2).abs()
    for name in state:
        if name.endswith("resample_filter"):
            state[name].copy_(f / f.sum())
    ws = network.mapping(normal(2, 6))
    plan = SynthesisPlan(network.synthesis, dtype=torch.float64)
    torch.testing.assert_close(plan(ws), drawn(state, network.config, ws.unbind(dim=1)))


@pytest.mark.parametrize("architecture", ["skip", "resnet"])
def test_a_network_of_several_filters_is_drawn_without_a_plan(architecture):
    network, state = random_state(Generator(**SIZES, z_dim=6, w_dim=10, architecture=architecture))
    ws = network.mapping(normal(1, 6))
    assert plan_of(network) is network.synthesis
    torch.testing.assert_close(plan_of(network)(ws), drawn(state, network.config, ws.unbind(dim=1)))
    alike, _ = random_state(Generator(**SIZES, z_dim=6, w_dim=10), filters=False)
    assert isinstance(plan_of(alike), SynthesisPlan)


def convolved(state, name, x, clamp):
    weight = state[f"{name}.weight"]
    y = functional.conv2d(x, weight / math.sqrt(weight[0].numel()), padding=weight.shape[2] // 2)
    return activated(y + state[f"{name}.bias"][:, None, None], clamp=clamp)


def with_deviation(x, group_size, channels):
    """Sample n belongs to group n mod (N / size), as its logit reveals."""
    count, size = len(x), min(group_size, len(x))
    result = []
    for n in range(count):
        group = x[n % (count // size) :: count // size]
        assert len(group) == size
        deviation = (group.var(dim=0, unbiased=False) + 1e-8).sqrt()
        means = [part.mean().expand(1, 4, 4) for part in deviation.chunk(channels)]
        result.append(torch.cat([x[n], *means]))
    return torch.stack(result)


def scored(state, config, img, c):
    clamp, x, r = config.conv_clamp, None, config.img_resolution
    while r > 4:
        block = f"b{r}"
        if x is None or config.architecture == "skip":
            y = convolved(state, f"{block}.fromrgb", img, clamp)
            x = y if x is None else x + y
        if config.architecture == "skip":
            img = reduced(img, state[f"{block}.resample_filter"])
        before, x = x, convolved(state, f"{block}.conv0", x, clamp)
        weight = state[f"{block}.conv1.weight"]
        x = filtered(functional.pad(x, (2, 2, 2, 2)), state[f"{block}.conv1.resample_filter"])
        x = functional.conv2d(x, weight / math.sqrt(weight[0].numel()), stride=2)
        gain = HALF if config.architecture == "resnet" else 1.0
        x = activated(x + state[f"{block}.conv1.bias"][:, None, None], gain, clamp)
        if config.architecture == "resnet":
            weight = state[f"{block}.skip.weight"]
            small = reduced(before, state[f"{block}.skip.resample_filter"])
            x = x + functional.conv2d(small, weight / math.sqrt(weight.shape[1])) * HALF
        r //= 2
    if config.architecture == "skip":
        x = x + convolved(state, "b4.fromrgb", img, clamp)
    if config.mbstd_num_channels:
        x = with_deviation(x, config.mbstd_group_size or len(x), config.mbstd_num_channels)
    x = convolved(state, "b4.conv", x, clamp)
    logits = dense(state, "b4.out", activated(dense(state, "b4.fc", x.flatten(1))))
    if not config.c_dim:
        return logits
    m = unit(dense(state, "mapping.embed", c))
    for index in range(config.num_mapping_layers):
        m = activated(dense(state, f"mapping.fc{index}", m, 0.01))
    return (logits * m).sum(dim=1, keepdim=True) / math.sqrt(m.shape[1])


@pytest.mark.parametrize("architecture", WIRINGS)
@pytest.mark.parametrize(
    ("count", "changes"),
    [
        (8, {}),
        (3, {"c_dim": 3}),
        (1, {"c_dim": 3, "cmap_dim": 5, "num_mapping_layers": 2}),
        (4, {"img_channels": 1, "conv_clamp": 0.5, "mbstd_group_size": 2}),
        (6, {"mbstd_num_channels": 3, "mbstd_group_size": 3, "img_channels": 4}),
        (6, {"mbstd_group_size": None}),
        (2, {"mbstd_num_channels": 0}),
    ],
    ids=str,
)
def test_discriminator(architecture, count, changes):
    network, state = random_state(Discriminator(architecture=architecture, **SIZES | changes))
    config = network.config
    img = normal(count, config.img_channels, 16, 16)
    c = normal(count, 3, seed=2).abs() if config.c_dim else None
    torch.testing.assert_close(network(img, c), scored(state, config, img, c))
