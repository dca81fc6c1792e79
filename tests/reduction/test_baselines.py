"""What a reduction is held against."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge

import nucleate
from nucleate.activations import get_activation
from nucleate.reduction import linear_model, narrow_network
from nucleate.reduction.baselines import STRENGTHS, fit_linear

from .networks import counts, drawn, mean_absolute_error, regression


def test_the_linear_model_learns_what_is_linear():
    rng = np.random.default_rng(0)
    problem = regression(rng, drawn((3, 2, 2), activation="linear"), rows=300, noise=0.1)
    baseline = linear_model(problem)
    assert (baseline.name, baseline.parameters, baseline.widths) == ("linear model", 8, ())
    assert baseline.test == pytest.approx(0.1, rel=0.2)


def test_it_classifies_too():
    baseline = linear_model(nucleate.load_problem("iris"))
    assert baseline.parameters == 15
    assert baseline.test >= 0.9


@pytest.mark.parametrize("name", ["diabetes", "linnerud"])
def test_for_squared_errors_it_is_ridge_regression(name):
    problem = nucleate.load_problem(name)
    x, y = problem.train.x, problem.train.y
    for strength, fit in zip(STRENGTHS, fit_linear(problem.loss, problem.train, STRENGTHS), strict=True):
        expected = Ridge(alpha=strength).fit(x, y)
        np.testing.assert_allclose(fit(x), expected.predict(x).reshape(y.shape), atol=1e-5)


@pytest.mark.parametrize("name", ["iris", "wine"])
def test_for_cross_entropy_it_is_logistic_regression(name):
    problem = nucleate.load_problem(name)
    x, labels = problem.train.x, problem.train.y.argmax(axis=1)
    for strength, fit in zip(STRENGTHS, fit_linear(problem.loss, problem.train, STRENGTHS), strict=True):
        expected = LogisticRegression(C=1 / strength, max_iter=20_000, tol=1e-9).fit(x, labels)
        np.testing.assert_allclose(problem.loss.link(fit(x)), expected.predict_proba(x), atol=1e-5)


def test_of_two_classes_it_is_logistic_regression_with_half_the_penalty():
    """Two outputs share what one would have: with w and -w each half of it, the squares add up to half."""
    problem = nucleate.load_problem("breast_cancer")
    x, labels = problem.train.x, problem.train.y.argmax(axis=1)
    (fit,) = fit_linear(problem.loss, problem.train, (1.0,))
    expected = LogisticRegression(C=2.0, max_iter=20_000, tol=1e-9).fit(x, labels)
    np.testing.assert_allclose(problem.loss.link(fit(x)), expected.predict_proba(x), atol=1e-5)


def test_a_loss_of_ones_own_has_a_linear_model_too():
    problem = counts(np.random.default_rng(0), lambda x: np.exp(x @ [0.5, -1.0, 0.2]))
    x, y = problem.train.x, problem.train.y[:, 0]
    for strength, fit in zip(STRENGTHS, fit_linear(problem.loss, problem.train, STRENGTHS), strict=True):
        # scikit-learn's penalty is alpha/2 |w|^2.
        expected = PoissonRegressor(alpha=strength / len(x), max_iter=10_000, tol=1e-10).fit(x, y)
        np.testing.assert_allclose(np.exp(fit(x)[:, 0]), expected.predict(x), rtol=1e-4, atol=1e-5)
    assert linear_model(problem).test < 0.8 * mean_absolute_error(y.mean(), problem.test.y)


def test_the_narrow_network_has_the_widths_asked_for_and_learns():
    problem = nucleate.load_problem("iris")
    baseline = narrow_network(problem, (3, 2), get_activation("tanh"))
    assert (baseline.name, baseline.widths, baseline.parameters) == (
        "narrow network",
        (3, 2),
        4 * 3 + 3 + 3 * 2 + 2 + 2 * 3 + 3,
    )
    assert baseline.validation > 0.9
