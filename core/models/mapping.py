"""StyleGAN's mapping network, truncation and style mixing (Karras et al. 2019)."""

import torch
from torch import Tensor, nn

from .layers import FullyConnectedLayer, normalize_2nd_moment


def mix_styles(ws: Tensor, other: Tensor, crossover: int | Tensor) -> Tensor:
    """Take the layers before `crossover` from `ws` and the rest from `other` (Karras et al. 2019).

    Args:
        ws, other: [N, num_ws, w_dim].
        crossover: one layer index, or int64 [N], one for each sample; num_ws keeps `ws`.

    Raises:
        ValueError: shapes differ.
    """
    if ws.shape != other.shape or ws.ndim != 3:
        raise ValueError(
            "mix_styles: expected two tensors [N, num_ws, w_dim], "
            f"got {tuple(ws.shape)} and {tuple(other.shape)}"
        )
    cut = torch.as_tensor(crossover, device=ws.device).reshape(-1, 1, 1)
    layer = torch.arange(ws.shape[1], device=ws.device)[None, :, None]
    return torch.where(layer < cut, ws, other)


class MappingNetwork(nn.Module):
    """Maps latents and labels to w (Karras et al. 2019, section 2), always in the weights' dtype.

    Shapes: z [N, z_dim], c [N, c_dim] -> ws [N, num_ws, w_dim], or [N, w_dim] without num_ws.
    Without num_ws there is no `w_avg`, and without z_dim the labels alone are mapped.
    """

    w_avg: Tensor

    def __init__(
        self,
        *,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        num_ws: int | None,
        num_layers: int,
        lr_multiplier: float,
        w_avg_beta: float = 0.995,
    ) -> None:
        super().__init__()
        self.z_dim = z_dim
        self.c_dim = c_dim
        self.w_dim = w_dim
        self.num_ws = num_ws
        self.num_layers = num_layers
        self.w_avg_beta = w_avg_beta
        if c_dim > 0:
            self.embed = FullyConnectedLayer(c_dim, w_dim)
        features = z_dim + (w_dim if c_dim > 0 else 0)
        for index in range(num_layers):
            layer = FullyConnectedLayer(
                features, w_dim, activation="lrelu", lr_multiplier=lr_multiplier
            )
            self.add_module(f"fc{index}", layer)
            features = w_dim
        if num_ws is not None:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self,
        z: Tensor | None,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        """Map, then pull the first `truncation_cutoff` layers (None: all) towards `w_avg`.

        Raises:
            ValueError: z or c has the wrong shape, or c is missing.
        """
        inputs = []
        if self.z_dim > 0:
            if z is None or z.ndim != 2 or z.shape[1] != self.z_dim:
                raise ValueError(f"mapping: expected z [N, {self.z_dim}], got {_shape(z)}")
            inputs.append(normalize_2nd_moment(z.to(self._dtype())))
        if self.c_dim > 0:
            if c is None or c.ndim != 2 or c.shape[1] != self.c_dim:
                raise ValueError(f"mapping: expected labels c [N, {self.c_dim}], got {_shape(c)}")
            if inputs and c.shape[0] != inputs[0].shape[0]:
                raise ValueError(
                    f"mapping: expected {inputs[0].shape[0]} labels c, got {c.shape[0]}"
                )
            inputs.append(normalize_2nd_moment(self.embed(c)))
        w = torch.cat(inputs, dim=1)
        for index in range(self.num_layers):
            w = self.get_submodule(f"fc{index}")(w)
        if self.num_ws is None:
            return w
        ws = w[:, None, :].expand(-1, self.num_ws, -1)
        if truncation_psi == 1.0:
            return ws
        cutoff = self.num_ws if truncation_cutoff is None else truncation_cutoff
        layer = torch.arange(self.num_ws, device=w.device)[None, :, None]
        return torch.where(layer < cutoff, self.w_avg.lerp(ws, truncation_psi), ws)

    @torch.no_grad()
    def update_w_avg(self, ws: Tensor) -> None:
        """Move `w_avg` towards the mean of untruncated ws, [N, num_ws, w_dim] or [N, w_dim]."""
        w = ws[:, 0] if ws.ndim == 3 else ws
        mean = w.detach().to(self.w_avg.dtype).mean(dim=0)
        self.w_avg.copy_(mean.lerp(self.w_avg, self.w_avg_beta))

    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype


def _shape(x: Tensor | None) -> str:
    return "none" if x is None else str(tuple(x.shape))
