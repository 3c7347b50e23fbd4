"""Adam, its state as named tensors, and gradients averaged over ranks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .distributed import Ranks


def adam(module: nn.Module, lr: float, betas: tuple[float, float]) -> torch.optim.Adam:
    """Adam with epsilon 1e-8 over all parameters of a module, in one fused pass."""
    return torch.optim.Adam(module.parameters(), lr=lr, betas=betas, eps=1e-8, fused=True)


def step(optimizer: torch.optim.Adam, module: nn.Module, ranks: Ranks) -> None:
    """Average the gradients over ranks, update, and forget them."""
    ranks.mean_([p.grad for p in module.parameters() if p.grad is not None])
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def state_tensors(optimizer: torch.optim.Adam, module: nn.Module, prefix: str) -> dict[str, Tensor]:
    """Moments and step counts as `<prefix>.<parameter>.<moment>`."""
    return {
        f"{prefix}.{name}.{moment}": value
        for name, parameter in module.named_parameters()
        for moment, value in optimizer.state.get(parameter, {}).items()
    }


def load_state_tensors(
    optimizer: torch.optim.Adam, module: nn.Module, prefix: str, tensors: dict[str, Tensor]
) -> None:
    """Restore what `state_tensors` gave, on the parameters' devices and in their memory format.

    Raises:
        KeyError: a parameter has only part of its moments.
    """
    for name, parameter in module.named_parameters():
        if f"{prefix}.{name}.step" not in tensors:
            continue
        device = parameter.device
        optimizer.state[parameter] = {
            "step": tensors[f"{prefix}.{name}.step"].clone().to(device),
            **{
                moment: torch.empty_like(parameter).copy_(tensors[f"{prefix}.{name}.{moment}"])
                for moment in ("exp_avg", "exp_avg_sq")
            },
        }
