"""Other depths: two layers in closed form and without blow-up, and the escape laws, measured on trained networks."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate import ArchitectureError, InitScale, devices
from nucleate.network import Network
from nucleate.theory import (
    BlowupKind,
    blowup_time,
    chain_potential,
    linear_blowup_time,
    linear_potential,
    moment_form,
    states_at_times,
    two_layer_solution,
)

pytestmark = pytest.mark.slow


@given(st.integers(0, 2**31 - 1))
@devices.in_float64
def test_two_layers_grow_exponentially_in_closed_form(seed):
    # The derivative of the solution is the field at the solution, and it starts where it should.
    rng = np.random.default_rng(seed)
    W1, W2, M = rng.standard_normal((4, 3)), rng.standard_normal((2, 4)), rng.standard_normal((2, 3))
    time = rng.uniform(0, 3)

    def at(t):
        return tuple(weight[0] for weight in two_layer_solution_traced(W1, W2, M, t))

    solution, change = jax.jvp(at, (time,), (1.0,))
    field = jax.grad(linear_potential)(solution, M)
    for found, expected in zip(change, field, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    for found, expected in zip(two_layer_solution([W1, W2], M, [0.0]), (W1, W2), strict=True):
        np.testing.assert_allclose(found[0], expected, atol=1e-12)


def two_layer_solution_traced(W1, W2, M, t):
    return two_layer_solution([W1, W2], M, t[None])


def test_two_layers_never_blow_up_through_the_same_interface():
    time = blowup_time([1.0, 2.0], [3.0, -1.0])
    assert time.kind == BlowupKind.GROWS_FOREVER
    assert np.isinf(time[:3]).all()
    assert blowup_time(np.ones((5, 2)), np.ones((5, 2))).kind.shape == (5,)
    assert linear_blowup_time([np.ones((2, 3))], np.ones((2, 3))).kind == BlowupKind.GROWS_FOREVER


def test_two_layers_along_the_target_are_hyperbolic_functions():
    a, b = np.array([1.0, -2.0]), np.array([0.5, 3.0])
    trajectory = states_at_times((a, b), [0.0, 2.0])
    np.testing.assert_allclose(trajectory.layers[0][1], a * np.cosh(2) + b * np.sinh(2), rtol=1e-9)
    np.testing.assert_allclose(trajectory.layers[1][1], b * np.cosh(2) + a * np.sinh(2), rtol=1e-9)


@given(st.integers(0, 2**31 - 1))
def test_the_chain_is_the_deep_linear_network_of_one_output(seed):
    rng = np.random.default_rng(seed)
    a, W3, W2, b = (rng.standard_normal(shape) for shape in ((2,), (2, 3), (3, 2), (2,)))
    network = linear_potential((b[:, None], W2, W3, a[None]), np.ones((1, 1)))
    np.testing.assert_allclose(chain_potential((a, W3, W2, b)), network, rtol=1e-12, atol=1e-13)


def test_four_layers_on_the_balanced_ray_blow_up_after_half_the_inverse_square_of_their_size():
    # theta = R u with u fixed: R' = R^3.
    v = np.array([0.6, 0.8])
    time = blowup_time(2 * v, 2 * np.outer(v, v), 2 * np.outer(v, v), 2 * v)
    assert float(time.estimate) == pytest.approx(1 / 8, rel=1e-12)
    assert time.lower <= 1 / 8 <= time.upper


def test_weights_and_moment_that_do_not_fit_are_refused():
    with pytest.raises(ArchitectureError, match="do not fit"):
        linear_blowup_time([np.ones((2, 3)), np.ones((1, 2))], np.ones((1, 2)))


X = np.random.default_rng(0).standard_normal((12, 2))
Y = X @ np.array([[1.0], [0.5]]) + 0.3 * np.sin(3 * X[:, :1])
LAYERS = {2: [4], 3: [4, 4], 4: [4, 4, 4]}


@devices.in_float64
@eqx.filter_jit
def escape(network):
    """When gradient flow on the squared loss has lowered it by a tenth; every step of it is training."""
    x, y = jnp.asarray(X), jnp.asarray(Y)

    def loss(network):
        return jnp.mean((network(x) - y) ** 2) / 2

    def field(t, network, args):
        return jax.tree.map(jnp.negative, jax.grad(loss)(network))

    def dropped(t, y, args, **_):
        return loss(y) - 0.9 * loss(network)

    return diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        diffrax.Tsit5(),
        t0=0.0,
        t1=jnp.inf,
        dt0=0.1,
        y0=network,
        event=diffrax.Event(dropped, optimistix.Newton(rtol=1e-6, atol=1e-6)),
        stepsize_controller=diffrax.PIDController(rtol=1e-7, atol=1e-12),
        max_steps=100_000,
    ).ts[-1]


def network_of(depth, eps):
    scale = InitScale("epsilon", eps)
    return Network.create(2, LAYERS[depth], 1, scale=scale, seed=3, dtype="float64")


def test_trained_networks_of_two_layers_escape_after_the_logarithm_of_the_scale():
    scales = np.array([1e-2, 1e-4, 1e-6])
    times = [float(escape(network_of(2, eps))) for eps in scales]
    _, M = moment_form(network_of(2, 1.0), X, Y)
    slopes = np.diff(times) / np.diff(np.log(1 / scales))
    np.testing.assert_allclose(slopes, 1 / np.linalg.norm(M), rtol=0.02)


@pytest.mark.parametrize(("depth", "scales"), [(3, [1e-3, 3e-4]), (4, [1e-2, 3e-3])])
def test_deeper_trained_networks_escape_after_the_scale_to_the_power_two_minus_depth(depth, scales):
    times = np.array([float(escape(network_of(depth, eps))) for eps in scales])
    slope = np.diff(np.log(times)) / np.diff(np.log(1 / np.array(scales)))
    np.testing.assert_allclose(slope, depth - 2, rtol=0.03)
    # And the blow-up time of the leading flow is that time, up to what the last stretch takes.
    predicted = [float(linear_blowup_time(*moment_form(network_of(depth, eps), X, Y)).estimate) for eps in scales]
    np.testing.assert_allclose(times, predicted, rtol=0.05)
