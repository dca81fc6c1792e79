"""Merging by direction: exact where neurons really are copies, and told what cannot be merged."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate.network import Network
from nucleate.reduction import MERGE, Groups, WideLayer, groups
from nucleate.reduction.layers import activate, affine_layers

from .networks import drawn, with_copies

seeds = st.integers(0, 2**32 - 1)


def wide_layer(network, incoming, outgoing):
    return WideLayer(network.activation, incoming, outgoing, np.empty((0, 0)), np.empty((0, 0)), np.empty(0))


def merged(network, hidden):
    layers, done = affine_layers(network), []
    incoming = layers[0]
    for width, outgoing in zip(hidden, layers[1:], strict=True):
        narrow = MERGE.prepare(wide_layer(network, incoming, outgoing))(width)
        done.append(narrow.incoming)
        incoming = narrow.outgoing
    return [*done, incoming]


def apply(layers, activation, x):
    for layer in layers[:-1]:
        x = activate(activation, layer(x))
    return layers[-1](x)


@settings(max_examples=15, deadline=None)
@given(seeds, st.sampled_from(["relu", "leaky_relu", "linear"]), st.integers(2, 4))
def test_copies_of_a_homogeneous_neuron_merge_exactly_whatever_their_norms(seed, activation, copies):
    rng = np.random.default_rng(seed)
    network = drawn((3, 4, 3, 2), activation=activation, seed=seed % 1000)
    wide = with_copies(network, copies, rng, resize=True)
    small = merged(wide, (4, 3))
    x = rng.standard_normal((30, 3))
    np.testing.assert_allclose(apply(small, network.activation, x), network(x), rtol=1e-6, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(seeds, st.sampled_from(["tanh", "xtanh", "sigmoid_shifted", "gelu", "silu"]))
def test_copies_of_any_neuron_merge_exactly_up_to_a_sign_that_the_activation_does_not_mind(seed, activation):
    rng = np.random.default_rng(seed)
    network = drawn((3, 4, 3, 2), activation=activation, seed=seed % 1000)
    wide = with_copies(network, 3, rng, resize=False)
    parity = network.activation.parity
    if parity != "none":
        # Turning a neuron round changes its outgoing weights' sign for an odd activation, nothing for an even one.
        signs = [rng.choice([-1.0, 1.0], len(w)) for w in wide.weights[:-1]]
        weights = [np.asarray(w) for w in wide.weights]
        biases = [np.asarray(b) for b in wide.biases]
        for at, sign in enumerate(signs):
            weights[at], biases[at] = weights[at] * sign[:, None], biases[at] * sign
            weights[at + 1] = weights[at + 1] * (sign if parity == "odd" else 1.0)
        wide = Network(tuple(weights), tuple(biases), wide.activation)
    small = merged(wide, (4, 3))
    x = rng.standard_normal((30, 3))
    np.testing.assert_allclose(apply(small, network.activation, x), network(x), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("activation", ["sigmoid", "softplus"])
def test_what_neurons_give_at_zero_stays_with_the_next_layer(activation):
    # Near zero s(z) is s(0) + s'(0) z: neurons of one direction and any norms merge but for what is of higher order.
    rng = np.random.default_rng(0)
    network = drawn((3, 1, 2), activation=activation, gain=1e-3, bias=False)
    sizes = np.array([0.5, 1.0, 2.0, 4.0])
    first = sizes[:, None] * np.asarray(network.weights[0])
    wide = Network((first, rng.standard_normal((2, 4))), (None, None), network.activation)
    x = rng.standard_normal((30, 3))
    varying = np.std(wide(x), axis=0)
    np.testing.assert_allclose(apply(merged(wide, (1,)), network.activation, x), wide(x), atol=0.01 * varying.min())


def test_opposite_relus_stay_apart():
    network = Network(
        (np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([[1.0, 1.0]])),
        (None, None),
        drawn((1, 1, 1), activation="relu").activation,
    )
    small = merged(network, (2,))
    x = np.array([[1.0, 5.0], [-2.0, 0.0]])
    np.testing.assert_allclose(apply(small, network.activation, x), [[1.0], [2.0]])


@pytest.mark.parametrize("activation", ["tanh", "relu", "xtanh"])
def test_dead_neurons_and_a_single_one_are_no_trouble(activation):
    network = drawn((2, 3, 1), activation=activation, bias=False)
    weights = (network.weights[0] * [[1.0], [0.0], [1.0]], network.weights[1])
    incoming, outgoing = affine_layers(Network(weights, network.biases, network.activation))
    for width in (1, 2, 3):
        narrow = MERGE.prepare(wide_layer(network, incoming, outgoing))(width)
        assert len(narrow.incoming.weights) <= width
        assert np.isfinite(narrow.outgoing.weights).all()


def test_groups_are_of_what_neurons_do_and_say_so():
    rng = np.random.default_rng(0)
    network = with_copies(drawn((3, 2, 2, 1), activation="relu"), 5, rng, resize=True)
    first, second = groups(network, rng.standard_normal((600, 3)))
    assert first.sizes == second.sizes == (5, 5)
    assert str(first) == "layer 1: 5 neurons act as one, 5 neurons act as one (less than 0.1 % of its variance lost)"
    many = Groups(2, np.repeat(np.arange(5), [4, 3, 2, 2, 1]), loss=0.02)
    assert str(many).endswith("2 neurons act as one, 1 more group of 2 or fewer, 1 alone (2 % of its variance lost)")
    assert str(Groups(1, np.array([0, 1, -1]), loss=0.0)) == "layer 1: 2 alone, 1 dead"


@pytest.mark.parametrize("bias", [10.0, 100.0])
def test_relus_that_a_common_bias_makes_similar_do_not_act_as_one(bias):
    rng = np.random.default_rng(0)
    network = drawn((5, 6, 1), activation="relu")
    network = Network(network.weights, (np.full(6, bias), network.biases[1]), network.activation)
    (found,) = groups(network, rng.standard_normal((300, 5)))
    assert found.sizes == (1,) * 6
    assert found.loss == 0
