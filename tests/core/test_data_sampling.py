"""Counter-based numbers and the order in which images are seen."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganvas.core.data import batch_indices, domain_indices, mirror_flags
from ganvas.core.data.counter import hash64, permute, torch_seeds, uniform


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 60), batch=st.integers(1, 17), seed=st.integers(0, 2**63))
def test_each_epoch_shows_every_image_once(n, batch, seed):
    steps = -(-3 * n // batch)
    seen = torch.cat([batch_indices(seed, step, batch, n) for step in range(steps)])
    for epoch in range(3):
        assert sorted(seen[epoch * n : (epoch + 1) * n].tolist()) == list(range(n))


def test_a_step_needs_no_history():
    forwards = [batch_indices(5, step, 8, 101) for step in range(40)]
    backwards = [batch_indices(5, step, 8, 101) for step in reversed(range(40))]
    assert all(torch.equal(a, b) for a, b in zip(forwards, reversed(backwards), strict=True))


def test_batches_of_another_size_walk_the_same_order():
    by_four = torch.cat([batch_indices(5, step, 4, 50) for step in range(30)])
    by_six = torch.cat([batch_indices(5, step, 6, 50) for step in range(20)])
    assert torch.equal(by_four, by_six)


def test_epochs_and_seeds_have_orders_of_their_own():
    first, second = batch_indices(5, 0, 500, 500), batch_indices(5, 1, 500, 500)
    other = batch_indices(6, 0, 500, 500)
    for a, b in ((first, second), (first, other), (first, torch.arange(500))):
        assert int((a == b).sum()) < 10


def test_every_place_of_the_order_is_uniform():
    n, runs = 5, 2000
    counts = torch.zeros(n, n)
    places, seeds = np.tile(np.arange(n), runs), np.repeat(np.arange(runs), n)
    drawn = permute(places, n, seeds, 1, 0)  # as batch_indices(seed, 0, n, n), all seeds at once
    assert torch.equal(drawn[-n:], batch_indices(runs - 1, 0, n, n))
    counts.index_put_((torch.from_numpy(places), drawn), torch.ones(1), accumulate=True)
    expected = runs / n
    chi_squared = float(((counts - expected) ** 2 / expected).sum())
    assert chi_squared < 45  # 16 degrees of freedom, probability below 2e-4


def test_the_order_is_fixed_for_good():
    assert batch_indices(0, 0, 8, 20000).tolist() == [
        10777, 2467, 10166, 4698, 567, 18311, 1746, 15251,
    ]  # fmt: skip
    assert mirror_flags(0, 0, 8).tolist() == [True, False, False, True, False, False, True, True]


def test_mirror_flags_are_fair_and_independent_of_the_order():
    flags = torch.cat([mirror_flags(3, step, 64) for step in range(200)])
    assert flags.dtype == torch.bool
    assert abs(float(flags.float().mean()) - 0.5) < 0.02
    assert torch.equal(mirror_flags(3, 7, 64), flags[7 * 64 : 8 * 64])
    indices = torch.cat([batch_indices(3, step, 64, 2) for step in range(200)])
    assert abs(float((flags == indices.bool()).float().mean()) - 0.5) < 0.02


@pytest.mark.parametrize("step,batch,n", [(-1, 4, 10), (0, 0, 10), (0, 4, 0)])
def test_impossible_steps_are_refused(step, batch, n):
    with pytest.raises(ValueError, match=r"expected, got"):
        batch_indices(0, step, batch, n)


def test_hash_is_splitmix64():
    # The published first outputs of SplitMix64 from state 0.
    assert int(hash64(0)[0]) == 0xE220A8397B1DCDAF


def test_keys_of_any_kind_agree():
    values = [0, 5, -1, 2**40]
    expected = hash64(values, 3)
    assert np.array_equal(hash64(torch.tensor(values), 3), expected)
    assert np.array_equal(hash64(np.array(values), 3), expected)
    assert [int(hash64(value, 3)[0]) for value in values] == expected.tolist()
    assert hash64(3, 5) != hash64(5, 3)


def test_uniform_numbers_fill_the_unit_interval():
    u = uniform(np.arange(20000), 9)
    assert u.min() >= 0 and u.max() < 1
    assert abs(u.mean() - 0.5) < 0.01 and abs(u.var() - 1 / 12) < 0.003
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.03


def test_torch_seeds_are_accepted_by_generators():
    for seed in torch_seeds(range(100)):
        assert torch.Generator().manual_seed(seed).initial_seed() == seed


@pytest.mark.parametrize("key", [torch.tensor([0.5]), np.array([0.5])])
def test_float_keys_are_refused(key):
    with pytest.raises(TypeError, match="integers"):
        hash64(key)


def test_permute_refuses_positions_outside():
    with pytest.raises(ValueError, match="range"):
        permute([0, 7], 7, 1)


@settings(max_examples=25, deadline=None)
@given(
    n_a=st.integers(1, 25), n_b=st.integers(1, 25), batch=st.integers(1, 9), seed=st.integers(0, 99)
)
def test_each_domain_walks_its_own_epochs(n_a, n_b, batch, seed):
    steps = -(-2 * max(n_a, n_b) // batch)
    drawn = [domain_indices(seed, step, batch, n_a, n_b) for step in range(steps)]
    for side, n in ((0, n_a), (1, n_b)):
        seen = torch.cat([pair[side] for pair in drawn])
        for epoch in range(2):
            assert sorted(seen[epoch * n : (epoch + 1) * n].tolist()) == list(range(n))
    alone = torch.cat([batch_indices(seed, step, batch, n_a) for step in range(steps)])
    assert torch.equal(torch.cat([a for a, _ in drawn]), alone)


def test_domains_of_one_length_are_not_paired():
    drawn = [domain_indices(1, step, 50, 50, 50) for step in range(40)]
    same = sum(int((a == b).sum()) for a, b in drawn)
    assert same < 80  # 40 expected by chance


@settings(max_examples=8, deadline=None)
@given(batch=st.sampled_from([1, 2, 3, 4, 6, 12]), ranks=st.sampled_from([1, 2, 3]))
def test_draws_depend_on_neither_batch_nor_ranks(batch, ranks):
    for draw in (
        lambda step, size: torch.stack(domain_indices(7, step, size, 11, 17), 1),
        lambda step, size: batch_indices(7, step, size, 13),
    ):
        one = torch.cat([draw(step, 1) for step in range(24)])
        split = [draw(step, batch).chunk(ranks) for step in range(24 // batch)]
        assert torch.equal(torch.cat([part for parts in split for part in parts]), one)


def test_empty_domains_are_refused():
    with pytest.raises(ValueError, match="n_b >= 1"):
        domain_indices(0, 0, 4, 3, 0)
