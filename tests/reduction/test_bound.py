"""The deterministic bound of merging, attacked by gradient ascent over the box and the ball it is for."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate.devices import in_float64
from nucleate.reduction import MERGE, Ball, Box
from nucleate.reduction.bound import merge_bound
from nucleate.reduction.layers import WideLayer, activate, affine_layers, network_of, slope

from .networks import drawn, with_copies

pytestmark = pytest.mark.slow

ACTIVATIONS = ["tanh", "relu", "leaky_relu", "xtanh", "gelu", "sigmoid", "elu", "selu", "softplus_shifted"]


def merged(network, hidden):
    layers, done, mergings = affine_layers(network), [], []
    incoming = layers[0]
    for width, outgoing in zip(hidden, layers[1:], strict=True):
        layer = WideLayer(network.activation, incoming, outgoing, np.empty((0, 0)), np.empty((0, 0)), np.empty(0))
        narrow = MERGE.prepare(layer)(width)
        mergings.append(narrow.trace)
        done.append(narrow.incoming)
        incoming = narrow.outgoing
    return network_of([*done, incoming], network.activation, "float64"), mergings


@in_float64
def attack(network, small, inside, starts):
    """The largest change of the outputs found by projected gradient ascent."""

    def moved(x):
        return jnp.abs(network(x[None]) - small(x[None])).max()

    climb = jax.jit(jax.vmap(jax.grad(moved)))
    x = inside(starts)
    for step in np.geomspace(0.5, 0.01, 40):
        slope = climb(x)
        x = inside(x + step * slope / (jnp.linalg.norm(slope, axis=1, keepdims=True) + 1e-12))
    return jax.vmap(moved)(x).max()


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(ACTIVATIONS), st.sampled_from([(2,), (3, 2), (3, 3, 2)]), st.booleans())
def test_no_input_moves_the_outputs_further(seed, activation, hidden, in_ball):
    rng = np.random.default_rng(seed)
    network = drawn((2, *[5] * len(hidden), 2), activation=activation, seed=seed, gain=1.2)
    small, mergings = merged(network, hidden)
    starts = 2 * rng.standard_normal((64, 2))
    if in_ball:
        centre, radius = rng.standard_normal(2), rng.uniform(0.1, 2)
        domain = Ball(centre, radius)

        def inside(x):
            away = x - centre
            return centre + away * jnp.minimum(1.0, radius / (jnp.linalg.norm(away, axis=1, keepdims=True) + 1e-12))
    else:
        domain = Box(-rng.uniform(0.1, 2, 2), rng.uniform(0.1, 2, 2))

        def inside(x):
            return jnp.clip(x, domain.low, domain.high)

    bound = merge_bound(affine_layers(network), mergings, network.activation, domain)
    assert attack(network, small, inside, starts) <= bound.max() * (1 + 1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_is_tight_where_nothing_changes(activation):
    network = with_copies(drawn((2, 3, 2, 1), activation=activation), 2, np.random.default_rng(0), resize=False)
    _, mergings = merged(network, (3, 2))
    bound = merge_bound(affine_layers(network), mergings, network.activation, Box(-np.ones(2), np.ones(2)))
    # Singular vectors give the norms back to the last digit but one, and then the grid's spacing counts.
    assert bound.max() < 0.1


@pytest.mark.parametrize("domain", [Box(np.array([-1.0, 0.0]), np.array([1.0, 2.0])), Ball(np.array([0.0, 1.0]), 0.5)])
def test_the_reach_of_an_affine_function_is_attained(domain):
    layer = affine_layers(drawn((2, 4, 1)))[0]
    middle, radius = domain.reach(layer)
    angles = np.linspace(0, 2 * np.pi, 2000)
    circle = np.column_stack([np.cos(angles), np.sin(angles)])
    if isinstance(domain, Ball):
        points = domain.centre + domain.radius * circle
    else:
        half = (domain.high - domain.low) / 2
        points = (domain.high + domain.low) / 2 + half * np.clip(1.5 * circle, -1, 1)
    values = layer(points)
    np.testing.assert_allclose(values.max(axis=0), middle + radius, rtol=1e-3)
    np.testing.assert_allclose(values.min(axis=0), middle - radius, rtol=1e-3)
    assert (np.abs(values - middle) <= radius + 1e-9).all()


def test_slopes_never_exceed_the_lipschitz_constants():
    z = np.linspace(-12, 12, 20001)
    for name in ACTIVATIONS:
        activation = drawn((1, 1, 1), activation=name).activation
        steepest = np.abs(slope(activation, z)).max()
        assert steepest <= activation.lipschitz * (1 + 1e-12)
        assert steepest > 0.99 * activation.lipschitz
    assert activate(activation, np.zeros(1)) == 0


def exact(layers, x):
    """Outputs of a tanh network by 50-digit arithmetic."""
    with mpmath.workdps(50):
        h = [mpmath.mpf(float(value)) for value in x]
        for place, layer in enumerate(layers):
            rows = [[mpmath.mpf(float(w)) for w in row] for row in layer.weights]
            h = [mpmath.fdot(row, h) + mpmath.mpf(float(b)) for row, b in zip(rows, layer.bias, strict=True)]
            h = [mpmath.tanh(value) for value in h] if place + 1 < len(layers) else h
        return h


@pytest.mark.parametrize("hidden", [(5,), (5, 5)])
def test_rounding_is_in_the_bound_where_nothing_else_is(hidden):
    network = drawn((2, *hidden, 2), seed=3, gain=1.2)
    small, mergings = merged(network, hidden)
    domain = Box(-np.ones(2), np.ones(2))
    bound = merge_bound(affine_layers(network), mergings, network.activation, domain)
    rng = np.random.default_rng(0)
    seen = 0.0

    @in_float64
    def apart(x):
        return np.abs(np.asarray(network(x[None])) - np.asarray(small(x[None])))

    for x in rng.uniform(-1, 1, (20, 2)):
        before, after = (exact(affine_layers(one), x) for one in (network, small))
        seen = max(seen, *(float(abs(a - b)) for a, b in zip(before, after, strict=True)))
        computed = apart(x)
        seen = max(seen, float(computed.max()))
    assert 0 < seen <= bound.max()


def test_a_network_of_equal_neurons_has_a_bound_of_a_few_roundings():
    network = drawn((2, 1, 1), seed=3)
    _, mergings = merged(network, (1,))
    layers, domain = affine_layers(network), Box(-np.ones(2), np.ones(2))
    narrow, wide = (
        merge_bound(layers, mergings, network.activation, domain, dtype) for dtype in ("float64", "float32")
    )
    assert 0 < narrow.max() < 0.1
    assert wide.max() > narrow.max() + 1e-8
