"""The interpolative decomposition, its error and its bound."""

import numpy as np
import scipy.linalg.interpolative
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate.reduction import Affine, WideLayer
from nucleate.reduction.interpolation import interpolate, interpolation_bound
from nucleate.reduction.layers import activate, affine_layers

from .networks import drawn

seeds = st.integers(0, 2**32 - 1)


def layer_of(network, x, at=0):
    layers = affine_layers(network)
    signal = x
    for before in layers[:at]:
        signal = activate(network.activation, before(signal))
    features = activate(network.activation, layers[at](signal))
    target = layers[at + 1](features)
    return WideLayer(network.activation, layers[at], layers[at + 1], features, target, np.ones(target.shape[1]))


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(1, 7))
def test_the_error_told_is_the_error_made(seed, width):
    rng = np.random.default_rng(seed)
    layer = layer_of(drawn((3, 8, 8), seed=seed % 1000), rng.standard_normal((50, 3)))
    # Read by the identity, the next layer's pre-activations are the interpolated activations themselves.
    identity = layer._replace(outgoing=Affine(np.eye(8), np.zeros(8)))
    incoming, outgoing, lost = interpolate(identity)(width)
    kept = [int(np.flatnonzero((layer.incoming.weights == row).all(axis=1))[0]) for row in incoming.weights]
    error = np.linalg.norm(layer.features - outgoing(layer.features[:, kept])) / len(layer.features) ** 0.5
    np.testing.assert_allclose(lost, error, rtol=1e-6, atol=1e-12)
    as_the_network_reads = interpolate(layer)(width).outgoing.weights
    np.testing.assert_allclose(as_the_network_reads, layer.outgoing.weights @ outgoing.weights, atol=1e-10)


def test_it_is_scipys_decomposition():
    layer = layer_of(drawn((3, 8, 8)), np.random.default_rng(0).standard_normal((50, 3)))
    order, projection = scipy.linalg.interpolative.interp_decomp(layer.features, 4, rand=False)
    incoming, _, lost = interpolate(layer)(4)
    assert {tuple(row) for row in incoming.weights} == {tuple(row) for row in layer.incoming.weights[order[:4]]}
    again = scipy.linalg.interpolative.reconstruct_matrix_from_id(layer.features[:, order[:4]], order, projection)
    np.testing.assert_allclose(lost, np.linalg.norm(layer.features - again) / 50**0.5, rtol=1e-9)


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(1, 6), st.integers(1, 6), st.sampled_from(["tanh", "relu", "gelu"]))
def test_outputs_move_by_no_more_than_the_bound(seed, first, second, activation):
    rng = np.random.default_rng(seed)
    network = drawn((3, 7, 7, 2), activation=activation, seed=seed % 1000, gain=1.5)
    layers, x = affine_layers(network), rng.standard_normal((40, 3))
    signal, errors, incoming = x, [], layers[0]
    for at, width in enumerate((first, second)):
        features = activate(network.activation, incoming(signal))
        layer = WideLayer(network.activation, incoming, layers[at + 1], features, features, np.ones(7))
        narrow = interpolate(layer)(width)
        signal, incoming = activate(network.activation, narrow.incoming(signal)), narrow.outgoing
        errors.append(narrow.trace)
    moved = np.linalg.norm(incoming(signal) - np.asarray(network(x))) / len(x) ** 0.5
    assert moved <= interpolation_bound(errors, layers, network.activation.lipschitz) * (1 + 1e-9) + 1e-12


def test_as_many_neurons_as_the_rank_lose_nothing():
    rng = np.random.default_rng(0)
    network = drawn((4, 9, 3), activation="linear")
    layer = layer_of(network, rng.standard_normal((50, 4)))
    for width in (5, 7):
        incoming, outgoing, lost = interpolate(layer)(width)
        assert lost < 1e-12
        x = rng.standard_normal((20, 4))
        np.testing.assert_allclose(outgoing(incoming(x)), network(x), atol=1e-9)
