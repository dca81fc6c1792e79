"""Cosine similarity against scikit-learn, its order against planted blocks, its pairs against counting."""

from itertools import combinations

import numpy as np
import pytest
import sklearn.metrics.pairwise
from hypothesis import given
from hypothesis import strategies as st

from nucleate.observe import condensed_pairs, cosine_similarity, leading_order

from .planted import planted, rotation

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(1, 12), st.integers(1, 8))
def test_cosine_is_that_of_scikit_learn(seed, m, k):
    vectors = np.random.default_rng(seed).standard_normal((m, k))
    expected = sklearn.metrics.pairwise.cosine_similarity(vectors)
    np.testing.assert_allclose(cosine_similarity(vectors), expected, atol=1e-14)


@given(seeds, st.integers(-1000, 1000))
def test_cosine_minds_neither_scale_nor_rotation_and_follows_permutation_and_sign(seed, exponent):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((7, 4))
    cosine = cosine_similarity(vectors)
    lengths = 2.0 ** (exponent * rng.random((7, 1)))
    np.testing.assert_allclose(cosine_similarity(lengths * vectors), cosine, atol=1e-14)
    np.testing.assert_allclose(cosine_similarity(vectors @ rotation(rng, 4)), cosine, atol=1e-14)
    order, signs = rng.permutation(7), rng.choice([-1, 1], 7)
    np.testing.assert_allclose(cosine_similarity(vectors[order]), cosine[np.ix_(order, order)], atol=1e-15)
    np.testing.assert_array_equal(cosine_similarity(signs[:, None] * vectors), signs[:, None] * cosine * signs)


@given(seeds)
def test_cosine_is_symmetric_within_one_and_one_with_itself(seed):
    cosine = cosine_similarity(np.random.default_rng(seed).standard_normal((20, 2)))
    np.testing.assert_array_equal(cosine, cosine.T)
    assert np.abs(cosine).max() <= 1
    np.testing.assert_array_equal(cosine.diagonal(), 1)


@pytest.mark.parametrize("tiny", [np.float64(1e-200), np.float64(5e-324), np.float32(1e-45)])
def test_tiny_neurons_are_alive_and_only_zeros_are_dead(tiny):
    cosine = cosine_similarity(np.array([[tiny, 0], [tiny, tiny], [0, 0]]))
    half = np.sqrt(0.5)
    np.testing.assert_allclose(cosine, [[1, half, 0], [half, 1, 0], [0, 0, 0]], rtol=1e-15)


@given(seeds, st.integers(1, 9), st.integers(1, 9))
def test_order_shows_opposite_groups_as_blocks_the_larger_first(seed, m, more):
    rng = np.random.default_rng(seed)
    sides = rng.permutation(np.repeat([1.0, -1.0], [m + more, m]))
    vectors = sides[:, None] * rng.uniform(0.5, 2, (sides.size, 1)) * rng.standard_normal(5)
    order = leading_order(cosine_similarity(vectors))
    # Within a group all are equal, and keep their order.
    np.testing.assert_array_equal(order, np.concatenate([np.flatnonzero(sides > 0), np.flatnonzero(sides < 0)]))


@given(seeds)
def test_order_keeps_each_of_several_groups_together(seed):
    rng = np.random.default_rng(seed)
    vectors, truth = planted(rng, [9, 6, 3], 5)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    # Of orthogonal groups only the largest shows in the leading eigenvector: let them have something in common.
    ordered = truth[leading_order(cosine_similarity(unit + unit.mean(axis=0)))]
    assert np.count_nonzero(np.diff(ordered)) == 2


@given(seeds, st.integers(2, 8), st.floats(0.05, 0.95))
def test_condensed_pairs_is_the_counted_share(seed, m, threshold):
    vectors = np.random.default_rng(seed).standard_normal((m, 2))
    vectors[0] *= seed % 2
    pairs = [abs(cosine_similarity(vectors[[i, j]])[0, 1]) > threshold for i, j in combinations(range(m), 2)]
    assert condensed_pairs(vectors, threshold) == pytest.approx(np.mean(pairs))


def test_condensed_pairs_of_known_layers():
    line = np.outer([1.0, -2.0, 1e-200, 3e30], [0.6, 0.8])
    assert condensed_pairs(line) == 1
    assert condensed_pairs(line[:1]) == 1
    assert condensed_pairs(np.eye(4)) == 0
    assert condensed_pairs(np.zeros((4, 2))) == 0


def test_random_neurons_have_the_share_of_pairs_that_geometry_says():
    # In the plane the angle between two random lines is uniform on [0, pi / 2].
    vectors = np.random.default_rng(0).standard_normal((1500, 2))
    assert condensed_pairs(vectors, 0.9) == pytest.approx(np.arccos(0.9) / (np.pi / 2), abs=0.01)
