"""The losses against closed forms written in NumPy and SciPy, the residual against automatic differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from nucleate.problems import cross_entropy, residual, squared_error

seeds = st.integers(0, 2**31 - 1)
LOSSES = {"regression": squared_error, "classification": cross_entropy}


def draw(task, seed, scale=3.0):
    rng = np.random.default_rng(seed)
    n, c = rng.choice([(1, 2), (4, 3), (7, 2)])
    y = rng.standard_normal((n, c)) if task == "regression" else np.eye(c)[rng.integers(0, c, n)]
    return scale * rng.standard_normal((n, c)), y


@given(seeds)
def test_squared_error_is_half_the_mean_squared_distance(seed):
    outputs, y = draw("regression", seed)
    expected = sum(np.linalg.norm(f - t) ** 2 for f, t in zip(outputs, y, strict=True)) / (2 * len(y))
    assert float(squared_error(outputs, y)) == pytest.approx(expected, rel=1e-13)


@given(seeds, st.floats(1e-3, 1e3))
def test_cross_entropy_is_the_mean_negative_log_probability_of_the_label(seed, scale):
    outputs, y = draw("classification", seed, scale)
    expected = -np.mean(log_softmax(outputs, axis=1)[np.arange(len(y)), y.argmax(axis=1)])
    assert float(cross_entropy(outputs, y)) == pytest.approx(expected, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("task", LOSSES)
@given(seeds)
def test_the_residual_is_minus_n_times_the_gradient(task, seed):
    outputs, y = draw(task, seed)
    gradient = jax.grad(LOSSES[task])(jnp.asarray(outputs), y)
    np.testing.assert_allclose(residual(task, outputs, y), -len(y) * gradient, rtol=1e-12, atol=1e-14)


@given(seeds)
def test_at_zero_the_residual_is_the_target_or_the_label_minus_uniform(seed):
    outputs, y = draw("regression", seed)
    np.testing.assert_array_equal(residual("regression", 0 * outputs, y), y)
    outputs, y = draw("classification", seed)
    np.testing.assert_allclose(residual("classification", 0 * outputs, y), y - 1 / y.shape[1], atol=1e-15)


@pytest.mark.parametrize("loss", LOSSES.values())
def test_single_precision_stays_single(loss):
    assert loss(jnp.zeros((3, 2), "float32"), jnp.ones((3, 2), "float32")).dtype == jnp.float32
