"""Clusters of directions: found where planted, the partition that scikit-learn finds, the same from every side."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import AgglomerativeClustering

from nucleate.observe import cosine_similarity, directions

from .planted import planted, rotation, same_partition

seeds = st.integers(0, 2**32 - 1)
sizes = st.lists(st.integers(1, 6), min_size=1, max_size=5)


@given(seeds, sizes)
def test_planted_directions_are_found_largest_first(seed, sizes):
    vectors, truth = planted(np.random.default_rng(seed), sizes, 6, noise=1e-3)
    found = directions(vectors, signed=True)
    assert found.count == len(sizes)
    assert same_partition(found.labels, truth)
    np.testing.assert_array_equal(np.bincount(found.labels), sorted(sizes, reverse=True))


@given(seeds, sizes)
def test_opposite_vectors_are_one_direction_without_sign_and_two_with(seed, sizes):
    rng = np.random.default_rng(seed)
    vectors, truth = planted(rng, sizes, 6, noise=1e-3)
    sides = rng.choice([-1, 1], truth.size)
    vectors *= sides[:, None]
    assert same_partition(directions(vectors, signed=False).labels, truth)
    assert same_partition(directions(vectors, signed=True).labels, sides * (truth + 1))


@given(seeds, st.booleans(), st.floats(0.3, 0.99))
def test_the_partition_is_that_of_scikit_learn(seed, signed, threshold):
    vectors = np.random.default_rng(seed).standard_normal((15, 3))
    cosine = cosine_similarity(vectors)
    clustering = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=1 - threshold
    )
    expected = clustering.fit_predict(1 - (cosine if signed else np.abs(cosine)))
    assert same_partition(directions(vectors, signed=signed, threshold=threshold).labels, expected)


@given(seeds, st.booleans(), st.integers(-900, 900))
def test_directions_turn_with_the_vectors_and_mind_neither_order_nor_length(seed, signed, exponent):
    rng = np.random.default_rng(seed)
    vectors, _ = planted(rng, [5, 3, 2], 4, opposite=True, noise=1e-2)
    found = directions(vectors, signed=signed)
    turn, order = rotation(rng, 4), rng.permutation(10)
    np.testing.assert_allclose(directions(vectors @ turn, signed=signed).centres, found.centres @ turn, atol=1e-12)
    assert same_partition(directions(vectors[order], signed=signed).labels, found.labels[order])
    lengths = 2.0 ** (exponent * rng.random((10, 1)))
    np.testing.assert_array_equal(directions(lengths * vectors, signed=signed).labels, found.labels)


@given(seeds, st.booleans())
def test_a_centre_is_the_unit_vector_nearest_to_its_neurons_on_the_side_of_most(seed, signed):
    rng = np.random.default_rng(seed)
    vectors, _ = planted(rng, [6, 3], 5, opposite=not signed, noise=0.03)
    found = directions(vectors, signed=signed)
    np.testing.assert_allclose(np.linalg.norm(found.centres, axis=1), 1)
    for label, centre in enumerate(found.centres):
        unit = vectors[found.labels == label] / np.linalg.norm(vectors[found.labels == label], axis=1, keepdims=True)
        assert (unit @ centre).sum() > 0
        others = centre + 0.01 * rng.standard_normal((50, 5))
        others /= np.linalg.norm(others, axis=1, keepdims=True)
        assert np.square(unit @ centre).sum() >= np.square(unit @ others.T).sum(axis=0).max()


def test_dead_neurons_belong_to_no_direction():
    vectors = np.array([[0.0, 0.0], [0.0, 1e-300], [0.0, 0.0], [0.0, 2.0]])
    found = directions(vectors, signed=True)
    np.testing.assert_array_equal(found.labels, [-1, 0, -1, 0])
    np.testing.assert_allclose(found.centres, [[0, 1]], rtol=1e-15)


@pytest.mark.parametrize("alive", [0, 1])
def test_a_layer_with_no_neuron_alive_or_one_has_as_many_directions(alive):
    vectors = np.zeros((3, 2))
    vectors[:alive, 1] = -2.0
    found = directions(vectors, signed=False)
    assert found.count == alive
    np.testing.assert_array_equal(found.labels, [0, -1, -1] if alive else -1)
    np.testing.assert_allclose(found.centres, np.array([[0.0, -1.0]])[:alive])


@pytest.mark.parametrize(("angle", "count"), [(18.0, 1), (18.4, 2)])
def test_two_neurons_are_one_direction_up_to_the_threshold(angle, count):
    # arccos(0.95) is 18.19 degrees.
    radians = np.deg2rad(angle)
    vectors = np.array([[1.0, 0.0], [np.cos(radians), np.sin(radians)]])
    assert directions(vectors, signed=True).count == count
    assert directions(vectors, signed=True, threshold=0.9).count == 1


def test_a_direction_with_as_many_neurons_on_both_sides_points_with_the_first():
    pair = np.array([[-3.0, 4.0], [6.0, -8.0]])
    np.testing.assert_allclose(directions(pair, signed=False).centres, [[-0.6, 0.8]])
    np.testing.assert_allclose(directions(pair[::-1], signed=False).centres, [[0.6, -0.8]])
