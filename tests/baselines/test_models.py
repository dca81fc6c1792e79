"""What a reduction is held against."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge

import nucleate
from nucleate.activations import get_activation
from nucleate.baselines import (
    Contender,
    Entrant,
    compare,
    compare_entrants,
    constant,
    hold_against,
    judge,
    linear,
    narrow,
)
from nucleate.baselines.models import STRENGTHS, fit_linear
from nucleate.problems import Problem
from tests.reduction.networks import counts, drawn, mean_absolute_error, regression

pytestmark = pytest.mark.slow


def test_the_linear_model_learns_what_is_linear():
    rng = np.random.default_rng(0)
    problem = regression(rng, drawn((3, 2, 2), activation="linear"), rows=300, noise=0.1)
    baseline = linear(problem).alone(problem)
    assert (baseline.name, baseline.parameters, baseline.widths) == ("linear model", 8, ())
    assert baseline.test == pytest.approx(0.1, rel=0.2)


def test_it_classifies_too():
    iris = nucleate.load_problem("iris")
    baseline = linear(iris).alone(iris)
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
    assert linear(problem).alone(problem).test < 0.8 * mean_absolute_error(y.mean(), problem.test.y)


def test_the_narrow_network_has_the_widths_asked_for_and_learns():
    problem = nucleate.load_problem("iris")
    baseline = narrow(problem, (3, 2), get_activation("tanh")).alone(problem)
    assert (baseline.name, baseline.widths, baseline.parameters) == (
        "narrow network",
        (3, 2),
        4 * 3 + 3 + 3 * 2 + 2 + 2 * 3 + 3,
    )
    assert baseline.validation > 0.9


def test_the_best_constant_is_the_mean_or_the_commonest_class():
    numbers, classes = nucleate.load_problem("diabetes"), nucleate.load_problem("breast_cancer")
    y = numbers.preprocessing.in_units(numbers.test.y)
    mean = numbers.preprocessing.in_units(numbers.train.y).mean()
    assert constant(numbers).alone(numbers).test == pytest.approx(np.sqrt(np.mean((y - mean) ** 2)))
    commonest = classes.train.y.mean(axis=0).argmax()
    guess = constant(classes).alone(classes)
    assert guess.test == pytest.approx(classes.test.y[:, commonest].mean())
    assert guess.further["balanced_accuracy"] == 0.5


def noisy(seed, rows=100):
    rng = np.random.default_rng(seed)
    return Problem.from_arrays(rng.standard_normal((rows, 2)), rng.standard_normal(rows))


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"), [(0.5, 0.1, "better"), (0.1, 0.5, "worse"), (0.5, 0.5, "alike")]
)
def test_models_are_compared_in_both_directions(ours, theirs, verdict):
    problem = noisy(0, rows=200)
    true = problem.test.y
    rng = np.random.default_rng(1)
    network, other = (true + size * rng.standard_normal(true.shape) for size in (ours, theirs))
    comparison = compare(problem, network, [other])
    assert (comparison.rows, comparison.verdict) == (40, verdict)
    assert comparison.lower <= comparison.other - comparison.network <= comparison.upper


def test_two_models_that_are_equally_good_are_seldom_told_apart():
    """Of 100 pairs of equal models a 95 % interval may call 5 different; 12 or more have a chance below 1 %."""
    told = 0
    for seed in range(100):
        problem, rng = noisy(seed), np.random.default_rng(1000 + seed)
        true = problem.test.y
        network, other = (true + rng.standard_normal(true.shape) for _ in range(2))
        told += compare(problem, network, [other]).verdict != "alike"
    assert told < 12


def test_the_noise_of_seeds_counts():
    problem = noisy(0)
    true = problem.test.y
    rng = np.random.default_rng(1)
    network, lucky, unlucky = (true + size * rng.standard_normal(true.shape) for size in (0.5, 0.1, 2.0))
    assert compare(problem, network, [lucky]).verdict == "better"
    assert compare(problem, network, [lucky, unlucky, unlucky]).verdict == "alike"


def ignorant(problem, rng):
    """A model that knows nothing: on each part errors of its own, as large as those of any other."""
    errors = {id(part.x): part.y + rng.standard_normal(part.y.shape) for part in (problem.validation, problem.test)}
    return lambda x: errors[id(x)]


def cost(problem, model):
    part = problem.validation
    return problem.metric(model(part.x), part.y)


def test_what_was_chosen_on_validation_is_told_from_its_equals_as_seldom_as_stated():
    """The best of 20 equal networks against another: 5 % is stated, and 12 of 100 have a chance below 1 %.

    On the rows that chose it and these together it was told apart in 14, each time as the better one.
    """
    told = 0
    for seed in range(100):
        problem, rng = noisy(seed), np.random.default_rng(1000 + seed)
        chosen = min((ignorant(problem, rng) for _ in range(20)), key=lambda model: cost(problem, model))
        (baseline,) = hold_against(problem, [chosen], [Contender("other", (), 1, (ignorant(problem, rng),))])
        told += baseline.comparison.verdict != "alike"
    assert told < 12


def test_what_is_said_of_the_best_validated_seed_holds_for_all_baselines_together():
    """Of five equal seeds the best beside six equal baselines: that one of these is told apart, 5 % of the time.

    In 200 draws 19 or more have a chance of 1 %.
    """
    told, by_itself = 0, 0
    for seed in range(200):
        problem, rng = noisy(seed), np.random.default_rng(1000 + seed)
        chosen = min((ignorant(problem, rng) for _ in range(5)), key=lambda model: cost(problem, model))
        others = [Contender("other", (), 1, (ignorant(problem, rng),)) for _ in range(6)]
        for among in (1, 6):
            baselines = hold_against(problem, [chosen], others, among=among)
            differs = any(baseline.comparison.verdict != "alike" for baseline in baselines)
            told, by_itself = (told + differs, by_itself) if among == 6 else (told, by_itself + differs)
    assert told < 19 < by_itself


def test_of_rows_that_are_copies_equal_models_are_told_apart_as_seldom_as_stated():
    """Each of 20 rows stands there five times: 5 % is stated, and 12 of 100 have a chance below 1 %.

    As 100 rows of their own, they would tell apart half of the pairs.
    """
    told, by_itself = 0, 0
    for seed in range(100):
        problem, rng = noisy(seed), np.random.default_rng(1000 + seed)
        problem = replace(problem, test=problem.test.only(np.repeat(np.arange(20), 5)))
        true = problem.test.y
        network, other = (true + np.repeat(rng.standard_normal((20, 1)), 5, axis=0) for _ in range(2))
        comparison = compare(problem, network, [other])
        told += comparison.verdict != "alike"
        assert "on 100 rows (20 of them different)" in str(comparison)
        alone = [Entrant([judge(problem.loss.metric, model, true)], varies=False) for model in (network, other)]
        by_itself += compare_entrants(problem.loss.metric, 100, *alone).verdict != "alike"
    assert told < 12 < by_itself
