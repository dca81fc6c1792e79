"""Forecasts of convolutions, transformers and models of one's own, held against their training."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from nucleate import ConvNetwork, InitScale, Problem, SpecError, Transformer, forecast
from nucleate.forecasting import forecast_many, measure_outcomes
from nucleate.forecasting.models import growth_step

pytestmark = pytest.mark.slow

SEEDS = range(2)


def attention_problem(n=80):
    """Targets that a softmax gives, of which even averages fit a part."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 4, 3))
    Q, K = 1.5 * rng.standard_normal((2, 3, 3))
    weights = np.exp(np.einsum("nd,de,nke->nk", X[:, -1], Q @ K.T / 3**0.5, X))
    y = np.einsum("nk,nkd->nd", weights / weights.sum(axis=1, keepdims=True), X) @ rng.standard_normal(3)
    return Problem.from_arrays(X.reshape(n, -1), y / y.std(), task="regression", validation=0.1, test=0.1)


PROBLEM = attention_problem()


def attention(eps, seed=0):
    options = {"embedding": False, "positions": False, "project": False, "unembedding": "none"}
    scale = InitScale("epsilon", eps)
    return Transformer.create((4, 3), 1, scale=scale, mlp=6, residual=False, causal=False, seed=seed, **options)


def convolution(eps, seed=0):
    return ConvNetwork.create((4, 3), [5], 1, scale=InitScale("epsilon", eps), kernel=2, readout="flatten", seed=seed)


class OwnAttention(eqx.Module):
    """A variant of attention that nobody derived anything for: weights that need not add up to one."""

    Q: Any
    K: Any
    V: Any
    w: Any

    def __call__(self, x):
        X = x.reshape(-1, 4, 3)
        logits = jnp.einsum("nd,de,nke->nk", X[:, -1], self.Q @ self.K.T, X)
        return jnp.tanh(jnp.einsum("nk,nkd->nd", jax_sigmoid(logits), X) @ self.V) @ self.w


def jax_sigmoid(z):
    return 1 / (1 + jnp.exp(-z))


def own(eps, seed=0):
    rng = np.random.default_rng(seed)
    shapes = ((3, 2), (3, 2), (3, 4), (4, 1))
    return OwnAttention(*((eps * rng.standard_normal(shape)).astype("float32") for shape in shapes))


@pytest.mark.parametrize(
    ("make", "eps"), [(attention, 0.05), (convolution, 0.003), (own, 0.003)], ids=["attention", "convolution", "own"]
)
def test_in_the_regime_the_measured_drops_lie_in_the_intervals_and_the_directions_are_those_forecast(make, eps):
    models = [make(eps, seed) for seed in SEEDS]
    forecasts = forecast_many(models, PROBLEM, learning_rates=[0.1] * len(SEEDS), horizon=5000, keys=False)
    for expected, found in zip(forecasts, measure_outcomes(models, PROBLEM, forecasts), strict=True):
        assert expected.in_regime
        step = expected.drop_steps[0.1]
        assert step.lower <= found.drop_steps[0.1] <= step.upper
        assert step.estimate == pytest.approx(found.drop_steps[0.1], rel=0.03)
        condensed = [one for one in expected.matrices if one.share > 0.6]
        assert condensed
        for one in condensed:
            assert found.matrices[one.name] > 0.99


def test_keys_and_queries_double_when_and_where_it_is_forecast():
    models = [attention(0.05, seed) for seed in SEEDS]
    forecasts = forecast_many(models, PROBLEM, learning_rates=[0.1] * len(SEEDS), horizon=5000)
    for expected, found in zip(forecasts, measure_outcomes(models, PROBLEM, forecasts), strict=True):
        ((forecast_of_keys,), (measured,)) = expected.keys, found.keys
        assert forecast_of_keys.doubled.lower <= measured.doubled <= forecast_of_keys.doubled.upper
        # Keys come after all else.
        assert forecast_of_keys.doubled.estimate > expected.drop_steps[0.3].estimate
        assert min(measured.query, measured.key) > 0.9


def test_at_a_standard_start_it_says_that_it_is_out_of_its_regime():
    assert not forecast(attention(0.5), PROBLEM, learning_rate=0.1, horizon=500, keys=False).in_regime


def test_matrices_are_told_by_name_and_queries_and_keys_do_not_condense_first():
    expected = forecast(attention(0.05), PROBLEM, learning_rate=0.1, horizon=5000, keys=False)
    by_name = {one.name: one for one in expected.matrices}
    assert set(by_name) == {"query1", "key1", "value1", "mlp_in1"}
    assert by_name["query1"].condenses is None
    assert by_name["value1"].condenses < expected.drop_steps[0.1].estimate
    assert by_name["value1"].incoming.shape == (3,)


def test_stairs_are_of_networks_alone():
    with pytest.raises(SpecError, match="leave out the stairs"):
        forecast(attention(0.05), PROBLEM, learning_rate=0.1, stairs=2)


def test_a_growth_is_read_between_evaluations_and_is_none_where_it_never_came():
    steps, grown = np.array([0, 10, 20]), np.array([1.0, 1.0, 4.0])
    assert growth_step(steps, grown, 2.0) == pytest.approx(15)
    assert growth_step(steps, grown, 5.0) is None
