"""Sums of directions, and directions without what others do."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InputError
from .directions import Direction, check_same_generator

NOTHING_LEFT = 1e-4
"""Part of a direction's length below which what remains of it counts as rounding."""


def combine_directions(directions: Sequence[Direction], weights: Sequence[float]) -> Direction:
    """Add directions of one generator, each times its weight.

    The sum covers the layers of all of them; in a layer that one of them leaves alone, only the
    others count.

    Args:
        directions: at least one.
        weights: one number for each.

    Raises:
        InputError: they belong to different generators, or cancel each other out.
    """
    head = directions[0]
    for k, each in enumerate(directions):
        _check_partner(each, head, name=_socket(k))
    first = min(each.first_layer for each in directions)
    last = max(each.last_layer for each in directions)
    rows = torch.zeros(last - first + 1, head.vector.shape[-1])
    largest = 0.0
    for each, weight in zip(directions, weights, strict=True):
        part = weight * each.rows
        rows[each.first_layer - first : each.last_layer - first + 1] += part
        largest = max(largest, float(part.norm()))
    if float(rows.norm()) <= NOTHING_LEFT * largest:
        raise InputError("weights: the directions cancel each other out, nothing is left to apply")
    return Direction(_plain(rows), first, last, head.model_hash, _sum_name(directions, weights))


def project_out(direction: Direction, others: Sequence[Direction]) -> Direction:
    """Remove from a direction, layer by layer, all that lies along the others.

    An edit along the result moves a latent in no layer along any of the others: "older" without
    "glasses". Others need not be orthogonal to each other, and those that are not in a layer leave
    it alone.

    Args:
        direction: what is left over keeps its length, so an equal strength does less.
        others: directions of the same generator.

    Raises:
        InputError: they belong to different generators, or nothing is left.
    """
    for k, each in enumerate(others):
        _check_partner(each, direction, name=_socket(k + 1))
    rows = direction.rows.double().clone()
    for k in range(len(rows)):
        layer = direction.first_layer + k
        present = [
            each.rows[layer - each.first_layer]
            for each in others
            if each.first_layer <= layer <= each.last_layer
        ]
        if present:
            basis = _orthonormal(torch.stack(present).double())
            rows[k] -= basis.T @ (basis @ rows[k])
    if float(rows.norm()) <= NOTHING_LEFT * float(direction.rows.norm()):
        raise InputError(
            "direction: nothing is left of it; the other directions hold all that it does"
        )
    name = f"{direction.name} without {', '.join(each.name for each in others)}"
    first, last = direction.first_layer, direction.last_layer
    return Direction(_plain(rows.float()), first, last, direction.model_hash, name)


def _check_partner(direction: Direction, other: Direction, *, name: str) -> None:
    """Refuse a direction of another generator, or of another width, as a foreign file may hold."""
    check_same_generator(direction, other.model_hash, name=name)
    if direction.vector.shape[-1] != other.vector.shape[-1]:
        raise InputError(
            f"{name}: expected {other.vector.shape[-1]} numbers in each layer, "
            f"got {direction.vector.shape[-1]}"
        )


def _orthonormal(vectors: Tensor) -> Tensor:
    """Orthonormal rows that span the same space as the rows of `vectors`, repetitions dropped."""
    lengths = vectors.norm(dim=1, keepdim=True)
    scaled = vectors / lengths.clamp(min=torch.finfo(vectors.dtype).tiny)
    _, sizes, basis = torch.linalg.svd(scaled, full_matrices=False)
    return basis[sizes > NOTHING_LEFT]


def _plain(rows: Tensor) -> Tensor:
    """One vector where all layers have the same, else the rows."""
    return rows[0].clone() if bool((rows == rows[0]).all()) else rows


def _socket(number: int) -> str:
    """The input that a direction came by, as nodes call it."""
    return f"direction_{chr(ord('a') + number)}" if number else "direction"


def _sum_name(directions: Sequence[Direction], weights: Sequence[float]) -> str:
    return " + ".join(f"{w:g} {d.name}" for d, w in zip(directions, weights, strict=True))
