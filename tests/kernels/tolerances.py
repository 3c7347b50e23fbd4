"""How near a result must be to the float64 reference, one table for every kernel."""

import torch
from torch import Tensor

# Relative and absolute; bfloat16 allows one unit in the last place more than rounding, since
# Triton's interpreter truncates where a GPU rounds.
TOLERANCES: dict[torch.dtype, tuple[float, float]] = {
    torch.float64: (1e-10, 1e-10),
    torch.float32: (1e-4, 1e-5),
    torch.float16: (4e-3, 4e-3),
    torch.bfloat16: (3e-2, 3e-2),
}


def assert_near(result: Tensor, reference: Tensor, *, scale: float = 1.0) -> None:
    """Compare with a float64 reference by the tolerances of the result's dtype, times `scale`."""
    rtol, atol = TOLERANCES[result.dtype]
    torch.testing.assert_close(
        result.double(), reference.double(), rtol=rtol * scale, atol=atol * scale
    )
