"""How an op with a fused backward pass stays differentiable to any order."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def differentiable_gradients(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor | None],
    needs: Sequence[bool],
    dy: Tensor,
) -> tuple[Tensor | None, ...]:
    """Gradients of `function(*inputs)` against `dy`, themselves differentiable.

    An op's backward calls this where autograd records it (`create_graph=True`): it repeats the
    forward pass in plain PyTorch, so that any further order is exact.

    The inputs are aliased first. Autograd would otherwise follow them to whatever they were
    computed from, and an input that depends on another (demodulation factors on styles) would be
    counted here and once more outside; `gradcheck` and `gradgradcheck` do not see it.

    Args:
        function: differentiable PyTorch, of the inputs alone.
        inputs: what the op was called with.
        needs: which inputs' gradients are wanted.
        dy: gradient of the result, of its shape.

    Returns:
        One gradient an input; None where `needs` is False or the input is None.
    """
    with torch.enable_grad():
        wanted = [need and x is not None for x, need in zip(inputs, needs, strict=True)]
        aliases = [
            x.view_as(x) if x is not None and want else x
            for x, want in zip(inputs, wanted, strict=True)
        ]
        y = function(*aliases)
        sources = [x for x, want in zip(aliases, wanted, strict=True) if x is not None and want]
        gradients = iter(
            torch.autograd.grad(y, sources, dy, create_graph=True, allow_unused=True)
            if sources
            else ()
        )
    return tuple(next(gradients) if want else None for want in wanted)
