"""Target directions: known in closed form for linear leading parts and quadratic forms, kinks and all for ReLU."""

import numpy as np
import pytest

from nucleate import InitScale, Network
from nucleate.theory import target_directions

SCALE = InitScale("epsilon", 1e-3)
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((30, 4)), RNG.standard_normal((30, 3))


def network_of(activation, outputs, hidden=(5,), bias=False):
    return Network.create(4, hidden, outputs, scale=SCALE, activation=activation, bias=bias)


def test_one_output_turns_to_the_mean_of_the_products():
    u = (Y[:, :1] * X).mean(axis=0)
    found = target_directions(network_of("tanh", 1, (5, 5)), X, Y[:, :1])
    np.testing.assert_allclose(found.directions, [u / np.linalg.norm(u)], rtol=1e-12)
    np.testing.assert_allclose(found.values, [np.linalg.norm(u)])


def test_several_outputs_turn_to_the_top_right_singular_vector():
    found = target_directions(network_of("tanh", 3), X, Y)
    _, values, right = np.linalg.svd(Y.T @ X / len(X))
    assert abs(found.directions[0] @ right[0]) == pytest.approx(1.0)
    np.testing.assert_allclose(found.values, values[:1])


def test_a_bias_of_the_first_layer_is_one_more_coordinate():
    found = target_directions(network_of("tanh", 1, bias=[True, False]), X, Y[:, :1])
    u = (Y[:, :1] * np.column_stack([X, np.ones(30)])).mean(axis=0)
    np.testing.assert_allclose(found.directions, [u / np.linalg.norm(u)], rtol=1e-12)


def test_multiplicity_two_has_two_axes_the_ends_of_a_quadratic_form():
    # w^T Q w on the sphere: four maxima of its modulus, two up to sign, when Q is indefinite.
    found = target_directions(network_of("xtanh", 1), X, Y[:, :1])
    values, vectors = np.linalg.eigh((X * Y[:, :1]).T @ X / len(X))
    ends = np.argsort(-np.abs(values[[0, -1]]))
    np.testing.assert_allclose(found.values, np.abs(values[[0, -1]][ends]), rtol=1e-9)
    cosines = np.abs(np.sum(found.directions * vectors[:, [0, -1]].T[ends], axis=1))
    np.testing.assert_allclose(cosines, 1.0, rtol=1e-9)


def test_relu_directions_are_maxima_and_scarce():
    found = target_directions(network_of("relu", 1), X, Y[:, :1])

    def height(w):
        return abs((np.maximum(X @ w, 0) * Y[:, 0]).mean())

    assert 2 <= len(found.values) <= 16
    for w, value in zip(found.directions, found.values, strict=True):
        assert height(w) == pytest.approx(value)
        for nearby in w + 1e-3 * RNG.standard_normal((50, 4)):
            assert height(nearby / np.linalg.norm(nearby)) <= value * (1 + 1e-6)


def test_the_direction_of_one_data_point_is_that_point():
    x = np.array([[3.0, 0.0, 4.0, 0.0]])
    for activation in ("tanh", "relu", "xtanh"):
        found = target_directions(network_of(activation, 1), x, [[2.0]])
        np.testing.assert_allclose(np.abs(found.directions), [[0.6, 0.0, 0.8, 0.0]], atol=1e-6)
