"""The three ranks against closed forms, and what all of them have in common."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate import ArchitectureError
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


@pytest.mark.parametrize("least", [1e-1, 1e-3, 1e-4, 2e-5, 1e-5, 1e-6, 1e-9, 0.0])
@pytest.mark.parametrize("tail", ["geometric", "flat"])
@pytest.mark.parametrize("shape", [(120, 120), (130, 230)])
def test_ranks_of_large_matrices_hold_to_ten_digits_however_small_the_least_values(shape, tail, least):
    values = np.r_[1.0, np.full(shape[0] - 1, least)] if tail == "flat" else np.geomspace(1, max(least, 1e-30), 120)
    matrix = with_singular_values(np.random.default_rng(0), values, *shape)
    # LAPACK's singular values are exact to some 1e-16 of the largest.
    known = np.linalg.svd(matrix, compute_uv=False)
    shares = known[known > 0] / known.sum()
    assert stable_rank(matrix) == pytest.approx(np.square(known).sum() / known[0] ** 2, rel=1e-10)
    assert effective_rank(matrix.T) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-10)
    assert numerical_rank(matrix, least * 1.001 + 1e-12) == np.count_nonzero(known > (least * 1.001 + 1e-12) * known[0])


@pytest.mark.parametrize("rank", ALL)
@pytest.mark.parametrize("side", [3, 150])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_has_no_rank(rank, side, value):
    matrix = np.ones((side, side))
    matrix[1, 2] = value
    with pytest.raises(ArchitectureError, match="NaN or infinite entries"):
        rank(matrix)


@pytest.mark.parametrize("rank", ALL)
def test_a_vector_is_no_matrix(rank):
    with pytest.raises(ArchitectureError, match="has 1 axes; expected 2"):
        rank(np.ones(3))


@given(seeds, st.integers(1, 9), st.integers(1, 9))
def test_ranks_lie_between_one_and_the_smaller_side(seed, m, k):
    matrix = np.random.default_rng(seed).standard_cauchy((m, k))
    for rank in ALL:
        assert 1 - 1e-12 <= rank(matrix) <= min(m, k) + 1e-12
    assert stable_rank(matrix) <= effective_rank(matrix) + 1e-12


@pytest.mark.parametrize("rank", ALL)
@pytest.mark.parametrize("scale", [1.0, 1e-170, 1e-300, 1e300])
def test_known_ranks_at_every_scale(rank, scale):
    for side in (6, 150):
        assert rank(scale * np.eye(side)) == pytest.approx(side)
        assert rank(scale * np.ones((side, side))) == pytest.approx(1)
    assert rank(scale * np.outer([1.0, -2.0, 3.0], [1.0, 0.5])) == pytest.approx(1)
    assert rank(np.zeros((3, 4))) == 0
