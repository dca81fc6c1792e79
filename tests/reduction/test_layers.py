"""A network taken apart into NumPy and put together again."""

import jax
import numpy as np
import pytest

from nucleate.activations import get_activation
from nucleate.devices import in_float64
from nucleate.reduction.layers import activate, affine_layers, network_of, slope

from .networks import drawn


def test_a_network_survives_being_taken_apart():
    network = drawn((3, 5, 4, 2), bias=[True, False, True])
    again = network_of(affine_layers(network), network.activation, "float64")
    assert repr(again) == repr(network)
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(network), strict=True))


def test_its_layers_compute_what_it_computes():
    network = drawn((3, 5, 4, 2))
    x = np.random.default_rng(0).standard_normal((7, 3))
    first, second, last = affine_layers(network)
    hidden = activate(network.activation, second(activate(network.activation, first(x))))
    np.testing.assert_allclose(last(hidden), network(x), rtol=1e-12)


@pytest.mark.parametrize("name", ["tanh", "relu", "gelu"])
@pytest.mark.parametrize("shape", [(1,), (3, 7), (300, 300)])
def test_activations_and_slopes_are_those_of_jax_at_any_shape(name, shape):
    activation, z = get_activation(name), np.random.default_rng(0).standard_normal(shape)
    np.testing.assert_allclose(activate(activation, z), activation(z), rtol=1e-12, atol=1e-15)
    expected = in_float64(jax.jit(jax.vmap(jax.grad(activation.function))))(z.ravel()).reshape(shape)
    np.testing.assert_allclose(slope(activation, z), expected, rtol=1e-12, atol=1e-15)
