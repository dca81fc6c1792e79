"""The three ranks against closed forms, and what all of them have in common."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate.observe import effective_rank, numerical_rank, stable_rank

from .planted import rotation

ALL = [stable_rank, effective_rank, numerical_rank]
seeds = st.integers(0, 2**32 - 1)


def with_singular_values(rng, values, m, k):
    return rotation(rng, m)[:, : len(values)] @ np.diag(values) @ rotation(rng, k)[: len(values)]


@given(seeds, st.floats(0.01, 0.99))
def test_ranks_of_two_singular_values(seed, ratio):
    matrix = with_singular_values(np.random.default_rng(seed), [1, ratio], 4, 6)
    p = 1 / (1 + ratio)
    assert stable_rank(matrix) == pytest.approx(1 + ratio**2)
    assert effective_rank(matrix) == pytest.approx(p**-p * (1 - p) ** (p - 1))
    assert numerical_rank(matrix, ratio * 0.999) == 2
    assert numerical_rank(matrix, ratio * 1.001) == 1


def test_ranks_of_geometric_singular_values():
    # Infinitely many 1, 1/2, 1/4, ... : sum of squares 4/3; entropy sum of 2^-k k log 2 = 2 log 2.
    values = 0.5 ** np.arange(60)
    assert stable_rank(np.diag(values)) == pytest.approx(4 / 3)
    assert effective_rank(np.diag(values)) == pytest.approx(4)
    assert numerical_rank(np.diag(values)) == 7


@given(seeds, st.integers(1, 8), st.integers(1, 8))
def test_numerical_rank_at_the_tolerance_of_rounding_is_that_of_numpy(seed, rank, k):
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((9, rank)) @ rng.standard_normal((rank, k))
    assert numerical_rank(matrix, 9 * np.finfo(float).eps) == np.linalg.matrix_rank(matrix)


@pytest.mark.parametrize("rank", ALL)
@given(seed=seeds, exponent=st.integers(-560, 560))
def test_a_rank_minds_neither_scale_nor_side_nor_order(rank, seed, exponent):
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((5, 7))
    expected = rank(matrix)
    changed = [
        2.0**exponent * matrix,
        -matrix,
        matrix.T,
        matrix[rng.permutation(5)],
        rotation(rng, 5) @ matrix @ rotation(rng, 7),
    ]
    assert [rank(other) for other in changed] == pytest.approx([expected] * 5)


@given(seeds, st.integers(1, 9), st.integers(1, 9))
def test_ranks_lie_between_one_and_the_smaller_side(seed, m, k):
    matrix = np.random.default_rng(seed).standard_cauchy((m, k))
    for rank in ALL:
        assert 1 - 1e-12 <= rank(matrix) <= min(m, k) + 1e-12
    assert stable_rank(matrix) <= effective_rank(matrix) + 1e-12


@pytest.mark.parametrize("rank", ALL)
@pytest.mark.parametrize("scale", [1.0, 1e-170, 1e-300])
def test_known_ranks_at_every_scale(rank, scale):
    assert rank(scale * np.eye(6)) == pytest.approx(6)
    assert rank(scale * np.outer([1.0, -2.0, 3.0], [1.0, 0.5])) == pytest.approx(1)
    assert rank(np.zeros((3, 4))) == 0
