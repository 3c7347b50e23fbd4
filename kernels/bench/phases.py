"""What is run and differentiated: an op forward, backward and twice, and a GAN's training phases.

Every function here is given the callables of one column, so that all columns do the same work.
The losses are those of StyleGAN2: non-saturating logistic, R1 (Mescheder et al. 2018, equation 9)
and path length (Karras et al. 2020, equation 4).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

Inputs = Mapping[str, Tensor]
Outputs = tuple[Tensor, ...]
Column = Callable[[Inputs], Outputs]

FORWARD, BACKWARD, R1 = "forward", "forward+backward", "r1"
PHASES = (FORWARD, BACKWARD, R1)
GRADIENT = "dy"  # name of the result's gradient among the inputs


def op_phase(phase: str, function: Callable[[Inputs], Tensor], wanted: Sequence[str]) -> Column:
    """The column that runs `function` of named inputs in one of `PHASES`.

    Args:
        phase: "forward" without a graph; "forward+backward" against the input "dy"; "r1": the
            squared norm of x's gradient, differentiated once more.
        function: the op, of the inputs by name; "x" is the image.
        wanted: inputs whose gradients are taken.

    Returns:
        A function of the inputs; it gives the result (not for "r1") and the gradients.
    """

    def forward(inputs: Inputs) -> Outputs:
        with torch.no_grad():
            return (function(inputs),)

    def backward(inputs: Inputs) -> Outputs:
        leaves = _leaves(inputs, wanted)
        y = function(leaves)
        sources = [leaves[name] for name in wanted]
        return y.detach(), *torch.autograd.grad(y, sources, inputs[GRADIENT])

    def r1(inputs: Inputs) -> Outputs:
        leaves = _leaves(inputs, [*wanted, GRADIENT])
        y = function(leaves)
        (dx,) = torch.autograd.grad(y, leaves["x"], leaves[GRADIENT], create_graph=True)
        sources = [leaves[name] for name in (*wanted, GRADIENT)]
        gradients = torch.autograd.grad(
            0.5 * dx.to(torch.promote_types(dx.dtype, torch.float32)).square().sum(),
            sources,
            allow_unused=True,
        )
        return tuple(
            torch.zeros_like(source) if gradient is None else gradient
            for source, gradient in zip(sources, gradients, strict=True)
        )

    return {FORWARD: forward, BACKWARD: backward, R1: r1}[phase]


def _leaves(inputs: Inputs, wanted: Sequence[str]) -> dict[str, Tensor]:
    return {
        name: tensor.detach().requires_grad_(True) if name in wanted else tensor
        for name, tensor in inputs.items()
    }


@dataclass(frozen=True)
class Networks:
    """One column's networks: mapping z -> ws, synthesis ws -> images, discriminator -> logits."""

    mapping: Callable[[Tensor], Tensor]
    synthesis: Callable[[Tensor], Tensor]
    discriminator: Callable[[Tensor], Tensor]
    g_parameters: Sequence[Tensor]
    d_parameters: Sequence[Tensor]


def train_generator(nets: Networks, inputs: Inputs) -> Outputs:
    """Loss of the generator and its gradients; inputs "z" [N, z_dim]."""
    logits = nets.discriminator(nets.synthesis(nets.mapping(inputs["z"])))
    loss = functional.softplus(-logits).mean()
    return _with_gradients(loss, nets.g_parameters)


def train_discriminator(nets: Networks, inputs: Inputs) -> Outputs:
    """Loss of the discriminator and its gradients; inputs "z" and "real" [N, 3, R, R]."""
    with torch.no_grad():
        fake = nets.synthesis(nets.mapping(inputs["z"]))
    loss = functional.softplus(-nets.discriminator(inputs["real"])).mean()
    loss = loss + functional.softplus(nets.discriminator(fake)).mean()
    return _with_gradients(loss, nets.d_parameters)


def regularise_discriminator(nets: Networks, inputs: Inputs) -> Outputs:
    """R1 at "real" and its gradients."""
    real = inputs["real"].detach().requires_grad_(True)
    logits = nets.discriminator(real)
    (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    loss = 0.5 * gradient.square().sum(dim=(1, 2, 3)).mean()
    return _with_gradients(loss, nets.d_parameters)


def regularise_generator(nets: Networks, inputs: Inputs) -> Outputs:
    """Path length against a target of 0 and its gradients; inputs "z" and "noise", an image.

    Half of the batch, as published.
    """
    some = max(1, inputs["z"].shape[0] // 2)
    ws = nets.mapping(inputs["z"][:some])
    images = nets.synthesis(ws)
    scale = 1 / math.sqrt(images.shape[2] * images.shape[3])
    directions = inputs["noise"][:some] * scale
    (gradient,) = torch.autograd.grad((images * directions).sum(), ws, create_graph=True)
    lengths = gradient.square().sum(dim=2).mean(dim=1).sqrt()
    return _with_gradients(lengths.square().mean(), nets.g_parameters)


# Each with its share of a step: the regularisers run every 16th and every 4th time.
TRAINING: dict[str, tuple[Callable[[Networks, Inputs], Outputs], float]] = {
    "G": (train_generator, 1.0),
    "D": (train_discriminator, 1.0),
    "R1": (regularise_discriminator, 1 / 16),
    "path length": (regularise_generator, 1 / 4),
}


def _with_gradients(loss: Tensor, parameters: Sequence[Tensor]) -> Outputs:
    gradients = torch.autograd.grad(loss, list(parameters), allow_unused=True)
    return (
        loss.detach(),
        *(
            torch.zeros_like(parameter) if gradient is None else gradient
            for parameter, gradient in zip(parameters, gradients, strict=True)
        ),
    )
