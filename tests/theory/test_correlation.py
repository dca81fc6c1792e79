"""The general form: one scalar of degree D whose gradient is the loss's, for every activation, depth, bias and loss."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate import Activation, ArchitectureError, InitScale, Network, activation_names, devices, get_activation
from nucleate.theory import (
    State,
    blowup_time,
    correlation,
    correlation_blowup_time,
    correlation_potential,
    degree,
    energy,
    leading_part,
    linear_blowup_time,
    moment_form,
)

pytestmark = pytest.mark.slow

BIASES = {"no bias": False, "first bias": [True, False, False], "all biases": True}
KINDS = ("tanh", "relu", "xtanh")
every_activation_and_bias = pytest.mark.parametrize(
    ("activation", "bias"),
    [(name, False) for name in activation_names() if get_activation(name).value == 0]
    + [(name, BIASES[bias]) for name in KINDS for bias in ("first bias", "all biases")],
)


def network_of(activation, bias=False, seed=1, hidden=(5, 4), outputs=2, eps=1.0):
    scale = InitScale("epsilon", eps)
    return Network.create(3, hidden, outputs, scale=scale, activation=activation, bias=bias, seed=seed, dtype="float64")


def data(outputs=2, seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((20, 3)), rng.standard_normal((20, outputs))
    return x, y - y.mean(axis=0)


def norm(tree):
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))


def with_fitted_mean(network, x):
    """An output bias is where it goes at once: the outputs' mean is zero."""
    if network.biases[-1] is None:
        return network
    *biases, last = network.biases
    return dataclasses.replace(network, biases=(*biases, last - network(x).mean(axis=0)))


def squared_loss(network, x, y):
    return jnp.mean(jnp.sum((network(x) - y) ** 2, axis=1)) / 2


def cross_entropy(network, x, labels):
    return -jnp.mean(jnp.sum(labels * jax.nn.log_softmax(network(x)), axis=1))


@devices.in_float64
def distances_to_gradient_of_loss(loss, target, residuals, network, scales, x):
    @jax.jit
    def distance(small):
        ascent = jax.grad(correlation)(small, x, residuals)
        descent = jax.grad(loss)(small, x, target)
        return norm(jax.tree.map(jnp.add, ascent, descent)) / norm(ascent)

    smaller = [jax.tree.map(lambda leaf, eps=eps: eps * leaf, network) for eps in scales]
    return [float(distance(with_fitted_mean(small, x))) for small in smaller]


@every_activation_and_bias
def test_it_is_the_gradient_of_the_squared_loss_as_the_scale_goes_to_zero(activation, bias):
    x, y = data()
    network = network_of(activation, bias)
    errors = distances_to_gradient_of_loss(squared_loss, y, y, network, (1e-2, 1e-3), x)
    assert errors[1] < 0.2 * errors[0]
    assert errors[1] < 0.01


@pytest.mark.parametrize("activation", KINDS)
def test_cross_entropy_is_its_label_minus_uniform(activation):
    x, _ = data()
    labels = np.eye(2)[np.arange(20) % 2]
    network = network_of(activation)
    errors = distances_to_gradient_of_loss(cross_entropy, labels, labels - 0.5, network, (1e-2, 1e-3), x)
    assert errors[1] < 0.2 * errors[0]


@jax.jit
def value_and_slope(potential, theta):
    return jax.value_and_grad(potential)(theta)


@every_activation_and_bias
@settings(max_examples=3)
@given(st.integers(0, 2**31 - 1), st.floats(0.1, 10.0))
@devices.in_float64
def test_it_is_homogeneous_so_size_grows_by_twice_the_degree_times_it(activation, bias, seed, factor):
    x, y = data()
    potential, network, D = correlation_potential(network_of(activation, bias, seed), x, y)
    scaled = jax.tree.map(lambda leaf: factor * leaf, network)
    C, gradient = value_and_slope(potential, network)
    np.testing.assert_allclose(value_and_slope(potential, scaled)[0], factor**D * C, rtol=1e-9, atol=1e-12 * factor**D)
    # Euler: <theta, grad C> = D C, which makes N' = 2 D C along the flow.
    inner = sum(np.sum(a * b) for a, b in zip(jax.tree.leaves(network), jax.tree.leaves(gradient), strict=True))
    np.testing.assert_allclose(inner, D * C, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("activation", ["tanh", "leaky_relu", "xtanh"])
@settings(max_examples=10)
@given(st.integers(0, 2**31 - 1))
@devices.in_float64
def test_along_the_flow_it_never_decreases_nor_does_its_ratio_to_size(activation, seed):
    x, y = data()
    potential, network, D = correlation_potential(network_of(activation, seed=seed), x, y)
    C, field = value_and_slope(potential, network)
    N, dN = size_and_growth(network, field)
    dC = norm_squared(field)
    assert dC >= 0
    # (log rho)' = C' / C - D / 2 N' / N, multiplied by C N.
    assert dC * N - C * D / 2 * dN >= -1e-9 * dC * N


@jax.jit
def size_and_growth(theta, field):
    return jax.jvp(norm_squared, (theta,), (field,))


@jax.jit
def norm_squared(tree):
    return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree))


@devices.in_float64
def test_three_layers_of_tanh_are_the_effective_dynamics():
    x, y = data(outputs=1)
    network = network_of("tanh", outputs=1, eps=1e-3)
    u = (y * x).mean(axis=0)
    kappa, v = np.linalg.norm(u), u / np.linalg.norm(u)
    W1, W2, W3 = network.weights
    state = State(W3[0], W2, W1 @ v)
    np.testing.assert_allclose(correlation(network, x, y), kappa * energy(state), rtol=1e-12)
    moved = jax.jit(jax.grad(correlation))(network, x, y).weights[0]
    np.testing.assert_allclose(moved - np.outer(moved @ v, v), 0, atol=1e-15)
    # The orthogonal part of W1 makes N larger, not T* different: it does not enter.
    effective, general = blowup_time(*state), correlation_blowup_time(network, x, y)
    np.testing.assert_allclose(general.estimate * kappa, effective.estimate, rtol=1e-10)


def test_a_smooth_activation_asks_no_more_of_the_data_than_its_moment():
    x, y = data()
    y = y + 0.3
    network = network_of("gelu", [True, False, False])
    weights, M = moment_form(network, x, y)
    product = weights[2] @ weights[1] @ weights[0]
    np.testing.assert_allclose(np.sum(product * M), correlation(network, x, y), rtol=1e-12)
    general, linear = correlation_blowup_time(network, x, y), linear_blowup_time(weights, M)
    assert general.lower <= linear.upper
    assert linear.lower <= general.upper


def test_degrees_multiply_layer_by_layer():
    cubic = Activation("cubic", lambda z: z**3, 3, 1.0, 1.0)
    assert [degree(network_of(cubic, hidden=hidden)) for hidden in ([4], [4, 4])] == [4, 13]
    assert degree(network_of("relu", hidden=[4, 4, 4])) == 4
    # Around a bias the second activation is linear: 1 + (1 + (1 + 2)) from the inside out, not 1 + 2 (1 + 2).
    assert degree(network_of("xtanh", bias=True)) == 5


def test_what_has_no_leading_part_is_refused():
    x, y = data()
    with pytest.raises(ArchitectureError, match="expected"):
        correlation_potential(network_of("tanh"), x, y[:, :1])
    with pytest.raises(ArchitectureError, match="subtract the mean"):
        correlation_potential(network_of("tanh", bias=True), x, y + 1)
    with pytest.raises(ArchitectureError, match="at zero"):
        correlation_potential(network_of(Activation("cosine", jnp.cos, 2, -0.5, -0.5, value=1.0)), x, y)
    with pytest.raises(
        ArchitectureError, match=r"sigmoid is 0.5 at zero, so its flow is not gradient ascent on one sca"
    ):
        moment_form(network_of("sigmoid"), x, y - y.mean(axis=0))
    with pytest.raises(ArchitectureError, match=r"has an activation that is 0.5 at zero, .* subtract the mean"):
        correlation_potential(network_of("sigmoid"), x, y + 1)
    with pytest.raises(ArchitectureError, match="no slope"):
        moment_form(network_of("relu"), x, y)
    with pytest.raises(ArchitectureError, match="NaN"):
        correlation_potential(network_of("tanh"), x * np.nan, y)


def test_the_leading_part_of_a_homogeneous_network_is_the_network():
    x, _ = data()
    network = network_of("relu")
    np.testing.assert_allclose(leading_part(network, x), network(x), rtol=1e-12)
