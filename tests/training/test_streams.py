"""Random numbers are functions of the sample; parts of a batch keep its groups."""

import numpy as np
import pytest
import torch

from ganvas.training.streams import Stream, normal, numbers, parts, uniforms


def test_draws_do_not_depend_on_the_batch():
    whole = normal(3, Stream.Z, numbers(0, 8), (5,))
    assert torch.equal(normal(3, Stream.Z, np.array([6, 2]), (5,)), whole[[6, 2]])
    flat = uniforms(3, Stream.CLEAN, numbers(0, 8), 2)
    assert torch.equal(uniforms(3, Stream.CLEAN, np.array([6, 2]), 2), flat[[6, 2]])


def test_draws_differ_by_seed_stream_and_sample():
    sample = numbers(0, 2)
    first = normal(0, Stream.Z, sample, (4,))
    assert not torch.equal(first, normal(1, Stream.Z, sample, (4,)))
    assert not torch.equal(first, normal(0, Stream.Z_MIX, sample, (4,)))
    assert not torch.equal(first[0], first[1])


def test_draws_are_standard():
    values = normal(0, Stream.Z, numbers(0, 400), (100,))
    assert abs(values.mean().item()) < 0.02
    assert abs(values.std().item() - 1) < 0.02
    flat = uniforms(0, Stream.CLEAN, numbers(0, 5000), 2)
    assert flat.min() >= 0 and flat.max() < 1
    assert abs(flat.mean().item() - 0.5) < 0.02


def test_numbers_continue_from_step_to_step():
    assert numbers(2, 4).tolist() == [8, 9, 10, 11]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_parts_keep_the_stddev_groups(count: int):
    """The groups that the discriminator forms in a part are groups of the whole batch."""
    batch, group = 16, 4
    whole = {frozenset(column) for column in np.arange(batch).reshape(group, -1).T.tolist()}
    cut = parts(batch, group, count)
    assert sorted(np.concatenate(cut).tolist()) == list(range(batch))
    found = {frozenset(c) for part in cut for c in part.reshape(group, -1).T.tolist()}
    assert found == whole


def test_parts_refuse_to_break_a_group():
    with pytest.raises(ValueError, match="no multiple"):
        parts(12, 4, 2)
