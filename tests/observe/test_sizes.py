"""Amplitudes and contributions: closed forms, and what leaves them as they are."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate import InitScale, Network, get_activation
from nucleate.observe import amplitudes, contributions

seeds = st.integers(0, 2**31 - 1)


def network_of(*weights, biases=None, activation="tanh"):
    biases = biases or (None,) * len(weights)
    return Network(tuple(map(np.asarray, weights)), biases, get_activation(activation))


def test_amplitude_is_the_product_of_what_comes_in_and_what_goes_out():
    network = network_of([[3.0], [0.0]], [[1.0, 2.0]], [[5.0], [12.0]], biases=(np.array([4.0, 1.0]), None, None))
    first, second = amplitudes(network)
    np.testing.assert_allclose(first, [5 * 1, 1 * 2])
    np.testing.assert_allclose(second, [np.sqrt(5) * 13])


@settings(max_examples=10)
@given(seeds)
def test_relu_neurons_keep_both_when_scale_moves_through_them(seed):
    rng = np.random.default_rng(seed)
    network = Network.create(4, [6, 5], 2, scale=InitScale("gain", 1.0), activation="relu", dtype="float64", seed=seed)
    x, factors = rng.standard_normal((20, 4)), np.exp(rng.uniform(-5, 5, 6))
    first, second, last = network.weights
    moved = replace(network, weights=(factors[:, None] * first, second / factors, last))
    np.testing.assert_allclose(amplitudes(moved)[0], amplitudes(network)[0], rtol=1e-12)
    np.testing.assert_allclose(contributions(moved, x)[0], contributions(network, x)[0], rtol=1e-12)


@settings(max_examples=10)
@given(seeds)
def test_contribution_is_the_standard_deviation_of_what_a_neuron_adds_to_the_next_layer(seed):
    network = Network.create(3, [5, 4], 2, scale=InitScale("gain", 1.0), bias=True, dtype="float64", seed=seed)
    x = np.random.default_rng(seed).standard_normal((30, 3))
    entering = network.pre_activations(x.T)
    for layer, contribution in enumerate(contributions(network, x), start=1):
        for k, got in enumerate(contribution):
            added = np.outer(network.weights[layer][:, k], np.tanh(entering[layer - 1][k]))
            assert got == pytest.approx(np.sqrt(added.var(axis=1).sum()), rel=1e-12)


def test_contributions_of_a_tiny_float32_network_are_those_of_its_linear_part():
    # In float32 the second layer's activations, 1e-60, would be zero.
    network = Network.create(3, [4, 4], 1, scale=InitScale("epsilon", 1e-30))
    x = np.random.default_rng(0).standard_normal((20, 3))
    first, second, last = (np.asarray(weight, np.float64) for weight in network.weights)
    expected = (second @ first @ x.T).std(axis=1) * np.abs(last[0])
    np.testing.assert_allclose(contributions(network, x)[1], expected, rtol=1e-12)


def test_a_denormal_float32_network_contributes():
    network = network_of(np.full((2, 1), 1e-42, np.float32), np.ones((1, 2), np.float32))
    np.testing.assert_allclose(contributions(network, np.array([[1.0], [-1.0]]))[0], float(np.float32(1e-42)))
