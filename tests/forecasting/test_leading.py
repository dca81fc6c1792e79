"""The leading part: what replaces training in a forecast does the same as the network at small parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate import InitScale, Network, load_problem
from nucleate.devices import float64, on_host
from nucleate.forecasting.departure import restore
from nucleate.forecasting.leading import compress, large_and_small_rows, leading


@given(st.integers(1, 60), st.integers(1, 5), st.integers(1, 3), st.integers(0, 1000))
def test_compressed_data_give_every_linear_function_its_loss_and_gradient(n, d, c, seed):
    rng = np.random.default_rng(seed)
    x, y, weight = (rng.standard_normal(shape) for shape in ((n, d), (n, c), (d, c)))
    small_x, small_y = compress(x, y)
    assert len(small_x) <= min(n, d + c)

    # In NumPy: every example has its own shapes, and would be compiled anew.
    def loss_and_gradient(x, y):
        error = x @ weight - y
        return (error**2).sum() / (2 * len(x)), x.T @ error / len(x)

    (loss, gradient), (small_loss, small_gradient) = loss_and_gradient(x, y), loss_and_gradient(small_x, small_y)
    np.testing.assert_allclose(small_loss, loss, rtol=1e-10)
    np.testing.assert_allclose(small_gradient, gradient, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("activation", ["tanh", "gelu", "sigmoid", "softplus", "relu", "selu", "xtanh", "linear"])
@pytest.mark.parametrize("bias", [[False] * 3, [True, False, False]])
def test_the_leading_part_has_the_networks_gradient_at_small_parameters(activation, bias):
    problem = load_problem("diabetes")
    network = Network.create(
        10, [8, 6], 1, scale=InitScale("epsilon", 1e-4), activation=activation, bias=bias, dtype="float64"
    )
    lead_part = leading([network], problem)

    def gradient(network, x, y):
        loss = lambda network: problem.loss(network(jnp.asarray(x)), jnp.asarray(y))  # noqa: E731
        return restore(jax.grad(loss)(network), template)

    template = network
    with float64():
        own = on_host(gradient(network, problem.train.x, problem.train.y))
        lead = on_host(gradient(lead_part.networks[0], lead_part.stepped.x, lead_part.stepped.y))
    # On centred targets a bias has no gradient at leading order: errors count against the largest of the gradient.
    size = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(own))
    for a, b in zip(jax.tree.leaves(own), jax.tree.leaves(lead), strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=2e-3 * size)


def test_data_are_compressed_to_inputs_and_outputs_where_the_leading_part_is_linear():
    problem = load_problem("diabetes")
    small = InitScale("epsilon", 1e-3)
    linear = leading([Network.create(10, [8, 6], 1, scale=small, bias=[True, False, False])], problem)
    assert linear.stepped.x.shape == (12, 11)
    assert leading([Network.create(10, [8, 6], 1, scale=small, activation="relu")], problem).stepped.x.shape == (
        len(problem.train.x),
        10,
    )
    many = leading([Network.create(61, [8, 6], 10, scale=small)], load_problem("digits"))
    assert len(many.stepped.x) == 1024


@pytest.mark.parametrize("tail", [2.1, 4.0, 50.0])
def test_the_rows_compared_stand_for_the_moments_however_heavy_the_tails(tail):
    rng = np.random.default_rng(0)
    x = rng.standard_t(tail, (20_000, 4))
    y = x @ rng.standard_normal((4, 1)) + rng.standard_normal((20_000, 1))
    rows, weights = large_and_small_rows(x, y, 512)
    assert len(rows) <= 512
    assert weights.sum() == pytest.approx(1)
    for whole, few in ((x, x[rows]), (y, y[rows])):
        np.testing.assert_allclose((x[rows].T * weights) @ few, x.T @ whole / len(x), atol=0.1 * np.mean(whole**2))
    assert weights @ np.sum(x[rows] ** 4, axis=1) == pytest.approx(np.mean(np.sum(x**4, axis=1)), rel=0.1)


def test_few_rows_are_all_compared_and_count_alike():
    rows, weights = large_and_small_rows(np.ones((7, 2)), np.ones((7, 1)), 8)
    assert list(rows) == list(range(7))
    assert set(weights) == {1 / 7}


def test_restoring_gives_back_the_network_bit_for_bit():
    network = Network.create(10, [8, 6], 1, scale=InitScale("gain", 1.0), bias=[True, False, False], dtype="float64")
    back = restore(leading([network], load_problem("diabetes")).networks[0], network)
    assert jax.tree.structure(back) == jax.tree.structure(network)
    for a, b in zip(jax.tree.leaves(network), jax.tree.leaves(back), strict=True):
        np.testing.assert_array_equal(a, b)
