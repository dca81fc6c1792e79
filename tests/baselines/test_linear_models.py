"""Linear models under the losses for amounts: they are scikit-learn's, or no small change makes them better."""

import numpy as np
import pytest
from sklearn.linear_model import PoissonRegressor, QuantileRegressor

from nucleate.baselines.models import constant, fit_linear
from nucleate.problems import Problem

pytestmark = pytest.mark.slow

ROWS = 200
RNG = np.random.default_rng(0)
X = RNG.standard_normal((ROWS, 3))
RATES = np.exp(X @ [0.5, -0.8, 0.0] + 2)
COUNTS = RNG.poisson(np.stack([RATES, RATES[::-1]], axis=1)).astype(float)
AMOUNTS = X @ [1.0, -2.0, 0.5] + RNG.standard_t(2, ROWS)


@pytest.mark.parametrize("strength", [100.0, 0.01])
def test_for_counts_it_is_poisson_regression_of_each_target(strength):
    problem = Problem.from_arrays(X, COUNTS, loss="poisson")
    x, y = problem.train.x, problem.train.y
    (fit,) = fit_linear(problem.loss, problem.train, (strength,))
    for target, predicted in zip(y.T, problem.loss.link(fit(x)).T, strict=True):
        expected = PoissonRegressor(alpha=strength / len(x), max_iter=10_000, tol=1e-9).fit(x, target)
        np.testing.assert_allclose(predicted, expected.predict(x), rtol=1e-5)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_for_a_quantile_hardly_anything_is_left_to_what_linear_programming_finds(level):
    problem = Problem.from_arrays(X, AMOUNTS, loss=f"quantile:{level}")
    x, y = problem.train.x, problem.train.y
    (fit,) = fit_linear(problem.loss, problem.train, (1e-4,))
    exact = QuantileRegressor(quantile=level, alpha=0).fit(x, y[:, 0]).predict(x)[:, None]
    assert problem.loss(exact, y) - 1e-9 <= problem.loss(fit(x), y) <= 1.001 * problem.loss(exact, y)
    assert np.mean(y <= fit(x)) == pytest.approx(level, abs=4 / len(x))


def test_under_hubers_loss_the_pull_of_all_rows_is_that_of_the_penalty():
    """Where the gradient vanishes: bounded residuals against inputs, and their sum."""
    problem = Problem.from_arrays(X, AMOUNTS, loss="huber:0.3")
    x, y = problem.train.x, problem.train.y
    (fit,) = fit_linear(problem.loss, problem.train, (1.0,))
    weights = fit(np.eye(3)) - fit(np.zeros((1, 3)))
    pulls = np.clip(y - fit(x), -0.3, 0.3)
    np.testing.assert_allclose(x.T @ pulls, weights, atol=1e-4 * len(x))
    assert pulls.sum() == pytest.approx(0, abs=1e-4 * len(x))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [("poisson", np.mean), ("quantile:0.9", lambda y: np.quantile(y, 0.9, method="inverted_cdf"))],
)
def test_the_constant_is_the_mean_of_counts_and_the_quantile_of_amounts(loss, expected):
    problem = Problem.from_arrays(X, COUNTS[:, 0], loss=loss)
    raw = problem.preprocessing.in_units(problem.train.y)
    (outputs,) = constant(problem).seeds
    assert problem.predict(outputs(X[:1]))[0, 0] == pytest.approx(expected(raw), rel=1e-12)
