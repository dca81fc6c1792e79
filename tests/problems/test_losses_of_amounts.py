"""Huber's, the quantile's and Poisson's loss against SciPy and scikit-learn, and against arithmetic of their own."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    d2_tweedie_score,
    mean_absolute_error,
    mean_pinball_loss,
    mean_poisson_deviance,
)

from nucleate import DataError, SpecError, load_problem
from nucleate.devices import float64
from nucleate.problems import (
    DEVIANCE,
    DEVIANCE_EXPLAINED,
    LOSSES,
    MAE,
    POISSON,
    Loss,
    Problem,
    get_loss,
    huber,
    quantile,
)

seeds = st.integers(0, 2**31 - 1)
levels = st.sampled_from([0.03, 0.5, 0.9])
deltas = st.sampled_from([0.05, 1.0, 20.0])
ROWS, TARGETS = 40, 2


def normal(seed, scale=3.0):
    rng = np.random.default_rng(seed)
    return scale * rng.standard_normal((ROWS, TARGETS)), rng.standard_normal((ROWS, TARGETS))


def counted(seed):
    rng = np.random.default_rng(seed)
    return 2 * rng.standard_normal((ROWS, TARGETS)), rng.poisson(rng.uniform(0.1, 9), (ROWS, TARGETS)).astype(float)


@given(seeds, deltas)
def test_hubers_loss_is_scipys(seed, delta):
    outputs, y = normal(seed)
    assert huber(delta)(outputs, y) == pytest.approx(
        scipy.special.huber(delta, outputs - y).sum(axis=1).mean(), rel=1e-12
    )


@given(seeds)
def test_hubers_loss_with_a_large_delta_is_the_squared_one_and_with_a_small_one_that_of_the_median(seed):
    outputs, y = normal(seed)
    assert huber(1e3)(outputs, y) == pytest.approx(LOSSES["squared"](outputs, y), rel=1e-12)
    assert huber(1e-7)(outputs, y) / 1e-7 == pytest.approx(2 * quantile(0.5)(outputs, y), rel=1e-5)


@given(seeds, levels)
def test_the_quantiles_loss_and_metric_are_scikit_learns(seed, level):
    outputs, y = normal(seed)
    loss = quantile(level)
    expected = mean_pinball_loss(y, outputs, alpha=level)
    assert loss(outputs, y) == pytest.approx(TARGETS * expected, rel=1e-12)
    assert loss.metric.value(outputs, y) == pytest.approx(expected, rel=1e-12)
    share, explained = (metric.value(outputs, y) for metric in loss.further)
    assert share == np.mean(y <= outputs)
    # scikit-learn's constant lies between two rows, where another one may be better.
    least = [min(np.maximum(level * (one - at), (level - 1) * (one - at)).mean() for at in one) for one in y.T]
    left = mean_pinball_loss(y, outputs, alpha=level, multioutput="raw_values")
    assert explained == pytest.approx(np.mean(1 - left / least), rel=1e-9, abs=1e-12)


@given(seeds)
def test_poissons_loss_is_half_the_deviance_and_its_metrics_are_scikit_learns(seed):
    outputs, y = counted(seed)
    rates = np.exp(outputs)
    np.testing.assert_allclose(POISSON.link(outputs), rates, rtol=1e-15)
    expected = [mean_poisson_deviance(one, rate) for one, rate in zip(y.T, rates.T, strict=True)]
    assert POISSON(outputs, y) == pytest.approx(sum(expected) / 2, rel=1e-11)
    assert DEVIANCE.value(rates, y) == pytest.approx(np.mean(expected), rel=1e-12)
    known = [d2_tweedie_score(one, rate, power=1) for one, rate in zip(y.T, rates.T, strict=True)]
    assert DEVIANCE_EXPLAINED.value(rates, y) == pytest.approx(np.mean(known), rel=1e-9)


@given(seeds)
def test_poissons_loss_is_the_likelihood_less_that_of_the_saturated_model(seed):
    outputs, y = counted(seed)
    likely = scipy.stats.poisson.logpmf(y, y).sum() - scipy.stats.poisson.logpmf(y, np.exp(outputs)).sum()
    assert POISSON(outputs, y) == pytest.approx(likely / ROWS, rel=1e-9)


@given(seeds, levels, deltas)
def test_each_loss_is_zero_for_what_is_predicted_perfectly_and_positive_for_all_else(seed, level, delta):
    outputs, y = normal(seed)
    for loss in (huber(delta), quantile(level)):
        assert loss(y, y) == 0
        assert loss(outputs, y) > 0
    outputs, y = counted(seed)
    y = y + 1
    assert POISSON(np.log(y), y) == pytest.approx(0, abs=1e-14)
    assert POISSON(outputs, y) > 0
    assert POISSON(np.full((3, 1), -40.0), np.zeros((3, 1))) == pytest.approx(0, abs=1e-15)


def test_in_single_precision_poissons_loss_loses_nothing_near_its_zero():
    """The textbook form takes numbers near the count from each other."""
    y = np.array([[1000.0]])
    for off in (1e-2, 1e-3, 1e-4):
        row = POISSON.rows(jnp.asarray(np.log(y) + off, "float32"), jnp.asarray(y, "float32"))
        given_off = float(np.float64(np.float32(np.log(1000.0) + off)) - np.log(1000.0))
        assert float(row[0]) >= 0
        assert float(row[0]) == pytest.approx(1000 * (np.expm1(given_off) - given_off), rel=0.02, abs=1e-4)


@pytest.mark.parametrize("loss", [huber(0.5), quantile(0.9), POISSON], ids=lambda loss: loss.name)
def test_residuals_are_the_slopes_that_differentiation_and_finite_differences_find(loss):
    outputs, y = normal(0, scale=1.0)
    y, step = counted(0)[1] if loss is POISSON else y, 1e-6
    with float64():
        above, below = (np.asarray(loss.rows(jnp.asarray(outputs + off), y)) for off in (step, -step))
        gradient = np.asarray(jax.grad(loss)(jnp.asarray(outputs), y))
    residual = loss.residual(outputs, y)
    np.testing.assert_allclose(residual, -ROWS * gradient, rtol=1e-12)
    np.testing.assert_allclose(residual.sum(axis=1), (below - above) / (2 * step), rtol=1e-6, atol=1e-8)


@given(seeds, levels)
def test_the_quantiles_slope_counts_the_rows_on_either_side(seed, level):
    outputs, y = normal(seed)
    np.testing.assert_allclose(quantile(level).residual(outputs, y), np.where(y > outputs, level, level - 1))


@given(seeds, levels, deltas)
def test_no_constant_is_better_than_the_best(seed, level, delta):
    around, y = normal(seed)
    for loss, of in ((huber(delta), y), (quantile(level), y), (POISSON, counted(seed)[1] + [[1, 0]])):
        best = loss.constant_loss(of)
        trials = [*around, *of, loss.constant_outputs(of) + 1e-3, loss.constant_outputs(of) - 1e-3]
        assert all(loss(np.broadcast_to(one, of.shape), of) >= best - 1e-12 for one in trials)


@given(seeds, st.sampled_from([1, 7, 19]))
def test_the_best_constant_of_a_quantile_covers_its_share_of_the_rows(seed, twentieths):
    y = np.random.default_rng(seed).standard_normal((ROWS, 1))
    loss = quantile(twentieths / 20)
    covered = loss.further[0].value(np.broadcast_to(loss.constant_outputs(y), y.shape), y)
    assert covered == pytest.approx(twentieths / 20, abs=1 / ROWS)


def test_the_best_constant_of_counts_is_their_mean_and_of_none_a_rate_of_zero():
    y = np.array([[1.0, 0.0], [3.0, 0.0]])
    np.testing.assert_allclose(POISSON.link(POISSON.constant_outputs(y)[None]), [[2.0, 0.0]], atol=1e-300)
    assert np.isfinite(POISSON.constant_loss(y))


@pytest.mark.parametrize("name", ["huber:0.5", "quantile:0.9", "quantile:0.123456789", "poisson"])
def test_a_loss_of_a_name_is_one_object_wherever_it_travels(name):
    loss = get_loss(name)
    assert loss.name == name
    assert loss.is_built_in
    assert all(one is loss for one in (get_loss(name, known=False), pickle.loads(pickle.dumps(loss)), copy.copy(loss)))


def test_a_name_without_its_parameter_has_the_default_and_a_files_own_loss_of_that_name_is_another():
    assert get_loss("huber") is huber(1) is get_loss("huber:1.0")
    assert get_loss("quantile") is quantile(0.5)
    # Files keep the parameter, so a plain name there is that of a loss of one's own.
    assert get_loss("huber", known=False).value is None
    assert not Loss("poisson", POISSON.value).is_built_in


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("quantile:0", r"The level of the loss quantile is 0\.0; it must be between 0 and 1, as in quantile:0\.5"),
        ("quantile:1", r"level .* is 1\.0; it must be between 0 and 1"),
        ("quantile:90", r"level .* is 90\.0; it must be between 0 and 1"),
        ("quantile:nan", r"level .* is nan; it must be between 0 and 1"),
        ("quantile:high", r"level .* is 'high'; it must be between 0 and 1"),
        ("huber:0", r"The delta of the loss huber is 0\.0; it must be a positive number"),
        ("huber:-1", r"delta .* is -1\.0; it must be a positive number"),
        ("huber:inf", r"delta .* is inf; it must be a positive number"),
        ("huber:", r"delta .* is ''; it must be a positive number"),
        ("squared:2", r"The loss squared has no parameter, and 'squared:2' gives one; leave '2' out"),
        ("poisson:2", r"The loss poisson has no parameter"),
        ("hubber:2", r"There is no loss 'hubber:2'; did you mean 'huber'\? Choose one of squared, huber"),
    ],
)
def test_a_parameter_out_of_range_or_of_a_loss_without_one_is_refused(name, sentence):
    with pytest.raises(SpecError, match=sentence):
        get_loss(name)


@pytest.mark.parametrize("given", ["0.9", None, True, [0.9], 1, 0])
def test_in_python_a_level_is_a_number_between_0_and_1(given):
    with pytest.raises(SpecError, match=r"The level of the loss quantile is .*; it must be between 0 and 1"):
        quantile(given)


def table(**columns):
    return pl.DataFrame({"x": np.arange(40.0) % 7, **columns})


COUNTED = np.arange(40) % 13


def test_counts_are_predicted_as_rates_in_their_own_units():
    problem = Problem.from_table(table(a=COUNTED, b=100 * COUNTED), target="a,b", loss="poisson")
    assert (problem.loss, problem.task, problem.outputs) == (POISSON, "regression", 2)
    # An output of zero predicts the mean of the training rows, whatever the unit.
    np.testing.assert_allclose(problem.train.y.mean(axis=0), 1)
    a, b = problem.predict(np.zeros((1, 2)))[0]
    assert b == pytest.approx(100 * a)
    raw = problem.preprocessing.in_units(problem.test.y)
    np.testing.assert_allclose(raw, raw.round(), atol=1e-9)
    outputs = np.random.default_rng(0).standard_normal(problem.test.y.shape)
    assert problem.metric(outputs, problem.test.y) == pytest.approx(
        np.mean([mean_poisson_deviance(raw[:, k], problem.predict(outputs)[:, k]) for k in range(2)])
    )
    plain = Problem.from_table(table(a=COUNTED), target="a", loss="poisson", standardize=False)
    np.testing.assert_array_equal(plain.predict(np.zeros((1, 1))), [[1.0]])


@pytest.mark.parametrize("loss", ["huber", "quantile:0.9"])
def test_amounts_are_standardized_for_the_others_and_several_are_judged_together(loss):
    problem = Problem.from_table(table(a=COUNTED + 0.5, b=100.0 * COUNTED), target="a,b", loss=loss)
    np.testing.assert_allclose(problem.train.y.std(axis=0), 1)
    raw, predicted = problem.preprocessing.in_units(problem.test.y), problem.predict(np.zeros(problem.test.y.shape))
    known = {"mae": mean_absolute_error(raw, predicted), "pinball_loss": mean_pinball_loss(raw, predicted, alpha=0.9)}
    assert problem.metric(np.zeros(problem.test.y.shape), problem.test.y) == pytest.approx(known[problem.metric_name])
    assert (problem.loss.metric == MAE) == (loss == "huber")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (COUNTED - 1, r"Target column 'y' has -1 \(4 rows with such values\), and the loss 'poisson' is for counts"),
        (np.where(COUNTED == 5, 2.5, COUNTED), r"has 2\.5 \(3 rows with such values\), and the loss 'poisson'"),
        ([f"v{k}" for k in COUNTED], r"is not numeric \(it holds 'v0'\), as the loss 'poisson' needs"),
        (COUNTED > 5, r"is not numeric \(it holds False\), as the loss 'poisson' needs"),
    ],
)
def test_what_are_no_counts_is_refused(values, sentence):
    with pytest.raises(DataError, match=sentence):
        Problem.from_table(table(y=values), target="y", loss=POISSON)


def test_a_drawn_set_has_no_counts_and_a_classification_no_loss_for_amounts():
    with pytest.raises(DataError, match="and the loss 'poisson' is for counts, which are whole numbers of 0 or more"):
        load_problem("sine-5d", loss=POISSON)
    assert load_problem("sine-5d", loss="huber:2").loss is huber(2)
    with pytest.raises(DataError, match="The loss 'huber:1' is for regression, not for classification"):
        load_problem("wine", task="classification", loss="huber")
    with pytest.raises(SpecError, match=r"There is no loss 'hubber'; did you mean 'huber'"):
        load_problem("wine", loss="hubber")


POISSONS = np.random.default_rng(0).poisson(2, 40)


@pytest.mark.parametrize(
    ("values", "noted"),
    [
        (POISSONS, True),
        (POISSONS + 1, False),
        (POISSONS - 1, False),
        (POISSONS + 0.5, False),
        (POISSONS.max() - POISSONS, False),
        (np.arange(40), False),
    ],
)
def test_of_whole_numbers_from_zero_on_a_note_says_what_suits_counts(values, noted):
    problem = Problem.from_table(table(y=values), target="y", task="regression")
    assert problem.loss is LOSSES["squared"]
    assert any("may count something" in note and "poisson" in note for note in problem.notes) == noted
