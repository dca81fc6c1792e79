"""The leading part of any model, read off as its parameters are scaled, held against the closed forms."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nucleate import ArchitectureError, InitScale, Network, devices
from nucleate.theory import (
    correlation,
    correlation_potential,
    degree,
    leading_part,
    near_zero,
    path_moment,
)


class Foreign(eqx.Module):
    """A network that nobody knows to be one."""

    network: Network

    def __call__(self, x):
        return self.network(x)


class Plain(eqx.Module):
    """A model by a function of its parameters."""

    p: Any
    function: Any = eqx.field(static=True)

    def __call__(self, x):
        return self.function(self.p, x)


def network_of(activation, bias=False, eps=0.1):
    scale = InitScale("epsilon", eps)
    return Network.create(3, [5, 4], 2, scale=scale, activation=activation, bias=bias, seed=1, dtype="float64")


ROWS = np.random.default_rng(0).standard_normal((12, 3))


def centered(outputs):
    return np.asarray(outputs) - np.mean(outputs, axis=0)


@pytest.mark.parametrize("bias", [False, [True, False, False], True], ids=["no bias", "first bias", "all biases"])
@pytest.mark.parametrize("activation", ["tanh", "relu", "xtanh", "silu"])
def test_it_is_the_closed_form_of_a_network_but_for_what_does_not_depend_on_the_inputs(activation, bias):
    network = network_of(activation, bias)
    near = near_zero(Foreign(network), ROWS)
    expected = centered(leading_part(network, ROWS))
    assert (near.degree, near.lowest) == (degree(network), 1 if bias is True else degree(network))
    with devices.float64():
        # Between the readings' rounding, where constants are far larger, and the next powers.
        np.testing.assert_allclose(centered(near.leading(ROWS)), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_a_value_at_zero_is_a_constant_of_lower_degree_and_stays_in_the_model_near_zero():
    network = network_of("softplus", eps=0.01)
    near = near_zero(Foreign(network), ROWS)
    assert (near.degree, near.lowest) == (3, 1)
    with devices.float64():
        own, found = np.asarray(network(ROWS)), np.asarray(near(jnp.asarray(ROWS)))
    np.testing.assert_allclose(found, own, rtol=2e-3)
    assert np.abs(centered(own)).max() < 0.01 * np.abs(own).max()


def test_its_gradient_is_that_of_the_closed_form_and_it_is_homogeneous_where_it_is_moved():
    network = network_of("tanh")
    residuals = np.random.default_rng(1).standard_normal((12, 2))
    with devices.float64():
        near = near_zero(Foreign(network), ROWS)
        moved, far = jax.tree.map(lambda leaf: jnp.asarray(leaf) + 0.02, (near, network))
        slope = jax.jit(jax.grad(correlation))
        found, expected = (jax.tree.leaves(slope(model, ROWS, residuals)) for model in (moved, far))
        for mine, closed in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, closed, rtol=1e-7, atol=1e-12)
        far = jax.tree.map(lambda leaf: 30 * leaf, near)
        np.testing.assert_allclose(far.leading(ROWS), 27000 * near.leading(ROWS), rtol=1e-9)


def test_it_is_a_potential_of_the_flow_as_a_networks_is():
    network, residuals = network_of("tanh"), np.random.default_rng(1).standard_normal((12, 2))
    values = []
    for model in (Foreign(network), network):
        potential, start, power = correlation_potential(model, ROWS, residuals)
        values.append(float(potential(start)))
        assert power == 3
    assert values[0] == pytest.approx(values[1], rel=1e-9)


def attention(p, x):
    """One head over four tokens of three numbers, a residual stream and a readout at the last position."""
    X = x.reshape(-1, 4, 3)
    logits = (X @ p["Q"]) @ jnp.swapaxes(X @ p["K"], 1, 2)
    stream = jax.nn.softmax(logits, axis=-1) @ X @ p["V"] + (X if "residual" in p else 0)
    return jnp.tanh(stream[:, -1] @ p["W1"]) @ p["W2"]


def attention_model(residual):
    rng = np.random.default_rng(0)
    shapes = {"Q": (3, 2), "K": (3, 2), "V": (3, 3), "W1": (3, 4), "W2": (4, 1)} | (
        {"residual": (1,)} if residual else {}
    )
    return Plain({name: 0.1 * rng.standard_normal(shape) for name, shape in shapes.items()}, attention)


@pytest.mark.parametrize("blocks", [0, 1], ids=["residual stream", "no residual stream"])
def test_attention_has_the_degree_and_the_moment_of_its_shortest_path(blocks):
    model, rng = attention_model(residual=blocks == 0), np.random.default_rng(1)
    x, residuals = rng.standard_normal((9, 12)), rng.standard_normal((9, 1))
    p = model.p
    product = (p["V"] if blocks else np.eye(3)) @ p["W1"] @ p["W2"]
    moment = path_moment(x.reshape(9, 4, 3), residuals, blocks=blocks)
    assert degree(model, x) == 2 + blocks
    assert float(correlation(model, x, residuals)) == pytest.approx(np.sum(product.T * moment), rel=1e-6)


REFUSED = {
    "a norm without eps": (
        Plain({"W": np.ones((3, 1))}, lambda p, x: x @ p["W"] / jnp.linalg.norm(x @ p["W"], axis=0)),
        "stay as they are",
    ),
    "no inputs": (Plain({"b": np.ones(1)}, lambda p, x: 0 * x[:, :1] + p["b"]), "the same for all rows"),
    "a power that is none": (Plain({"W": np.ones((3, 1))}, lambda p, x: jnp.abs(x @ p["W"]) ** 1.5), "2^1.5"),
    "a division by zero": (Plain({"W": np.ones((3, 1))}, lambda p, x: x @ p["W"] / (0 * p["W"][0])), "NaN"),
    "zeros": (Plain({"W": np.zeros((3, 1))}, lambda p, x: x @ p["W"]), "all zero"),
}


@pytest.mark.parametrize(("model", "says"), REFUSED.values(), ids=REFUSED)
def test_a_model_without_a_leading_part_is_refused(model, says):
    with pytest.raises(ArchitectureError) as refusal:
        near_zero(model, ROWS)
    assert says in str(refusal.value)


def test_constants_of_lower_degree_have_no_flow_on_one_scalar():
    model = Foreign(network_of("tanh", bias=True))
    with pytest.raises(ArchitectureError, match="constants of degree 1"):
        correlation_potential(model, ROWS, np.ones((12, 2)))
    with pytest.raises(ArchitectureError, match="one for each"):
        correlation_potential(Foreign(network_of("tanh")), ROWS, np.ones((12, 1)))
    with pytest.raises(ArchitectureError, match="rows of x"):
        degree(model)
