"""Networks with every weight random, and the way of their tensors through a published family."""

import json
from dataclasses import asdict

import torch


def randomised(network, seed=0):
    """Give all parameters and buffers values of a trained network's size, norms and biases too."""
    rng = torch.Generator().manual_seed(seed)
    state = network.state_dict()
    for name, tensor in state.items():
        numbers = torch.randn(tensor.shape, generator=rng)
        if name.endswith("running_var"):
            numbers = numbers.square() + 0.5
        elif name.endswith("num_batches_tracked"):
            numbers = torch.zeros_like(tensor)
        elif tensor.ndim >= 2 and "noises" not in name and "embedding" not in name:
            numbers = numbers / max(tensor[0].numel(), 1) ** 0.5
        elif tensor.ndim < 2:
            numbers = (1 if "norm" in name and name.endswith("weight") else 0) + 0.3 * numbers
        state[name] = numbers.to(tensor.dtype)
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def shapes_of(tensors):
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def reloaded(family, tensors, network_class, **given):
    """Detect, infer, translate and load tensors; the config goes through JSON as in a file."""
    shapes = shapes_of(tensors)
    assert family.detect(shapes)
    config = json.loads(json.dumps(family.infer(shapes, None, given)))
    network = network_class(**config)
    network.load_state_dict(family.translate(tensors, config))
    return network.eval().requires_grad_(False)


def assert_round_trip(family, network, *inputs, **given):
    """What is inferred from a network's own tensors rebuilds it, with an equal config."""
    again = reloaded(family, network.state_dict(), type(network), **given)
    assert asdict(again.config) == asdict(network.config)
    assert type(network).from_config(network.config).config == network.config
    assert torch.equal(again(*inputs), network(*inputs))


def assert_batch_independent(network, img, atol=1e-5):
    torch.testing.assert_close(network(img)[1:2], network(img[1:2]), rtol=0, atol=atol)


def published_size(build):
    """(tensors, parameters) of what `build` builds, without memory."""
    with torch.device("meta"):
        network = build()
    return len(network.state_dict()), sum(p.numel() for p in network.parameters())


def assert_double_agrees(network, img, atol=1e-4):
    """float32 is near float64, which also shows that no dtype is fixed."""
    single = network(img)
    double = network.double()(img.double())
    network.float()
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=atol)
