"""Losses against closed forms written in NumPy and SciPy, residuals against automatic differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.metrics import balanced_accuracy_score, log_loss, mean_absolute_error, r2_score

from nucleate import SpecError
from nucleate.devices import float64
from nucleate.problems import (
    ACCURACY,
    BALANCED_ACCURACY,
    CROSS_ENTROPY,
    LOG_LOSS,
    LOSSES,
    MAE,
    POISSON,
    R2,
    RMSE,
    SQUARED,
    Loss,
    Metric,
    get_loss,
)

seeds = st.integers(0, 2**31 - 1)


def absolute(outputs, y):
    return jnp.sum(jnp.abs(outputs - y), axis=1)


def draw(loss, seed, scale=3.0):
    rng = np.random.default_rng(seed)
    n, c = rng.choice([(1, 2), (4, 3), (7, 2)])
    of_loss = {CROSS_ENTROPY: np.eye(c)[rng.integers(0, c, n)], POISSON: rng.poisson(2, (n, c)).astype(float)}
    y = of_loss.get(loss, rng.standard_normal((n, c)))
    return scale * rng.standard_normal((n, c)), y


@given(seeds)
def test_squared_error_is_half_the_mean_squared_distance(seed):
    outputs, y = draw(SQUARED, seed)
    expected = sum(np.linalg.norm(f - t) ** 2 for f, t in zip(outputs, y, strict=True)) / (2 * len(y))
    assert SQUARED(outputs, y) == pytest.approx(expected, rel=1e-13)


@given(seeds, st.floats(1e-3, 1e3))
def test_cross_entropy_is_the_mean_negative_log_probability_of_the_label(seed, scale):
    outputs, y = draw(CROSS_ENTROPY, seed, scale)
    expected = -np.mean(log_softmax(outputs, axis=1)[np.arange(len(y)), y.argmax(axis=1)])
    assert CROSS_ENTROPY(outputs, y) == pytest.approx(expected, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("loss", LOSSES.values())
@given(seeds)
def test_the_residual_is_minus_n_times_the_gradient_and_truth_less_prediction(loss, seed):
    outputs, y = draw(loss, seed)
    with float64():
        gradient = np.asarray(jax.grad(loss)(jnp.asarray(outputs), y))
    np.testing.assert_allclose(loss.residual(outputs, y), -len(y) * gradient, rtol=1e-12, atol=1e-14)
    if loss in (SQUARED, CROSS_ENTROPY, POISSON):
        np.testing.assert_allclose(loss.residual(outputs, y), y - loss.link(outputs), rtol=1e-10, atol=1e-12)


@given(seeds)
def test_links_predict_amounts_as_they_are_and_classes_by_softmax(seed):
    outputs, _ = draw(SQUARED, seed)
    np.testing.assert_array_equal(SQUARED.link(outputs), outputs)
    np.testing.assert_allclose(CROSS_ENTROPY.link(outputs), softmax(outputs, axis=1), rtol=1e-13)


@pytest.mark.parametrize("loss", LOSSES.values())
@given(seeds)
def test_no_other_constant_outputs_have_a_smaller_loss(loss, seed):
    outputs, y = draw(loss, seed)
    best = loss.constant_loss(y)
    if loss.smooth is None:
        # Found anew without the closed form, and from around it.
        numerical = Loss("again", loss.value, loss.link, loss.metric)
        assert numerical.constant_loss(y) == pytest.approx(best, rel=1e-4, abs=1e-3)
    assert all(loss(np.broadcast_to(row, y.shape), y) >= best - 1e-12 for row in outputs)


def test_the_best_constant_of_a_loss_of_ones_own_is_found_numerically():
    def cost(outputs, y):
        return jnp.sum(jnp.logaddexp(outputs - y, y - outputs), axis=1)

    y = np.array([[0.0], [1.0], [5.0]])
    exact = minimize_scalar(lambda c: np.logaddexp(c - y, y - c).mean(), tol=1e-10)
    own = Loss("log-cosh", cost)
    np.testing.assert_allclose(own.constant_outputs(y), [exact.x], atol=1e-5)
    assert own.constant_loss(y) == pytest.approx(exact.fun, rel=1e-9)


def test_the_best_constant_is_found_over_hundreds_of_outputs_too():
    """Of windows of classes it is the frequencies at each place, whose loss is their mean entropy."""
    places, kinds = 40, 8
    y = np.eye(kinds)[np.random.default_rng(0).integers(kinds, size=(60, places))]

    def cost(outputs, y):
        logits, true = (part.reshape(len(y), places, kinds) for part in (outputs, y))
        return -jnp.mean(jnp.sum(true * jax.nn.log_softmax(logits, axis=2), axis=2), axis=1)

    shares = y.mean(axis=0)
    assert shares.min() > 0
    found = Loss("windows", cost).constant_loss(y.reshape(len(y), -1))
    assert found == pytest.approx(-(shares * np.log(shares)).sum(axis=1).mean(), rel=1e-9)


def pinball(level):
    def cost(outputs, y):
        over = y - outputs
        return jnp.sum(jnp.maximum(level * over, (level - 1) * over), axis=1)

    return Loss(f"my quantile {level}", cost)


@pytest.mark.parametrize("level", [0.05, 0.5, 0.8])
@pytest.mark.parametrize("shift", [0.0, 40.0])
def test_at_kinks_the_best_constant_of_a_loss_of_ones_own_is_the_quantile(level, shift):
    rng = np.random.default_rng(0)
    y = shift + rng.lognormal(0, 1.5, (57, 3))
    np.testing.assert_allclose(
        pinball(level).constant_outputs(y), np.quantile(y, level, axis=0, method="inverted_cdf"), rtol=1e-8
    )


def test_of_an_even_number_of_rows_every_median_is_a_best_constant_and_weights_count():
    own, y = Loss("my absolute", absolute), np.array([[0.0], [1.0], [1.5], [9.0]])
    assert own.constant_loss(y) == pytest.approx(np.abs(y - 1.2).mean(), rel=1e-12)
    weights = np.array([1.0, 1.0, 1.0, 4.0])
    np.testing.assert_allclose(own.constant_outputs(y, weights), [9.0], rtol=1e-8)
    np.testing.assert_allclose(own.constant_outputs(np.full((5, 2), 2.5)), [2.5, 2.5], rtol=1e-8)


def test_a_kink_across_the_outputs_is_found_too():
    """Distances from the corners of a square and its middle add up to the least in the middle."""
    own = Loss("distance", lambda outputs, y: jnp.sqrt(jnp.sum((outputs - y) ** 2, axis=1) + 1e-30))
    y = np.array([[1.3, 1.7], [-0.7, 1.7], [1.3, -0.3], [-0.7, -0.3], [0.3, 0.7]])
    np.testing.assert_allclose(own.constant_outputs(y), [0.3, 0.7], atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES.values())
def test_single_precision_stays_single_in_compiled_code(loss):
    rows = jax.jit(loss.rows)(jnp.zeros((3, 2), "float32"), jnp.ones((3, 2), "float32"))
    assert rows.dtype == jnp.float32


def test_metrics_are_turned_so_that_smaller_is_better():
    truth = np.eye(2)[[0, 1, 1]]
    assert ACCURACY.value(np.array([[2.0, 1.0], [0.0, np.nan], [3.0, 4.0]]), truth) == pytest.approx(2 / 3)
    assert RMSE.value(np.zeros((2, 1)), np.array([[3.0], [4.0]])) == pytest.approx(np.sqrt(12.5))
    assert (ACCURACY.cost(0.9), RMSE.cost(0.9)) == (-0.9, 0.9)


def test_losses_are_known_by_name_and_others_only_named():
    assert get_loss("squared") is SQUARED
    own = Loss("absolute", absolute)
    assert get_loss(own) is own
    with pytest.raises(
        SpecError, match="There is no loss 'absolute'; choose one of squared, huber, quantile, poisson, "
    ):
        get_loss("absolute")
    named = get_loss("absolute", known=False)
    assert named.name == "absolute"
    with pytest.raises(SpecError, match="'absolute' is known by its name alone; pass it as a Loss object"):
        named(np.zeros((1, 1)), np.zeros((1, 1)))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (lambda f, y: jnp.sum((f - y) ** 2), r"gives an array of shape \(\) for 5 rows; it must give one number a row"),
        (lambda f, y: (f - y.ravel()) ** 2, r"gives an array of shape \(5, 5\)"),
        (lambda f, y: jnp.sum((f - y) ** 2, axis=1) - 9, r"is -9 for a row; no cost may be negative"),
        (lambda f, y: jnp.sqrt(jnp.sum(f - y, axis=1)), "its gradient is NaN or infinite where outputs are zero"),
        (lambda f: f, "cannot be computed .* takes outputs and targets of shape"),
        (lambda f, y: None, "cannot be computed"),
    ],
)
def test_what_is_no_cost_of_each_row_is_refused(value, sentence):
    y = np.linspace(0, 1, 5)[:, None]
    with pytest.raises(SpecError, match=f"The loss 'own' .*{sentence}|The loss 'own' {sentence}"):
        Loss("own", value).check(y)


def test_a_proper_loss_passes():
    Loss("absolute", absolute).check(np.ones((4, 2)))


def test_further_metrics_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    true, predicted = rng.standard_normal((2, 30, 2))
    assert MAE.value(predicted, true) == pytest.approx(mean_absolute_error(true, predicted))
    assert R2.value(predicted, true) == pytest.approx(r2_score(true, predicted))
    labels, chances = rng.choice(3, 40, p=[0.8, 0.1, 0.1]), rng.dirichlet(np.ones(3), 40)
    known = balanced_accuracy_score(labels, chances.argmax(axis=1))
    assert BALANCED_ACCURACY.value(chances, np.eye(3)[labels]) == pytest.approx(known)
    assert LOG_LOSS.value(chances, np.eye(3)[labels]) == pytest.approx(log_loss(labels, chances))


def test_the_share_of_variance_explained_of_one_value_is_not_known():
    assert np.isnan(R2.value(np.zeros((5, 1)), np.ones((5, 1))))
    # The mean of twenty times 0.1 is off by rounding.
    assert np.isnan(R2.value(np.zeros((20, 1)), np.full((20, 1), 0.1)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": ""}, "A loss's name is ''; give a text"),
        ({"name": 3}, "A loss's name is 3; give a text"),
        ({"metric": "rmse"}, "The metric of the loss 'mine' is 'rmse'; give a Metric, such as nucleate.problems.RMSE"),
        ({"link": "identity"}, "The link of the loss 'mine' is 'identity'; give a Link"),
        ({"value": 3.0}, "The value of the loss 'mine' is 3.0; give a function of outputs and targets"),
        (
            {"best_constant": 3},
            "The best_constant of the loss 'mine' is 3; give a function of the targets, or leave it",
        ),
        ({"further": ("rmse",)}, r"The further of the loss 'mine' is \('rmse',\); give a tuple of Metrics, such as"),
        ({"further": RMSE}, r"The further of the loss 'mine' is Metric\(.*; give a tuple of Metrics, such as"),
        (
            {"domain": "counts"},
            "The domain of the loss 'mine' is 'counts'; give a Domain, such as nucleate.problems.COU",
        ),
        ({"smooth": 1}, "The smooth of the loss 'mine' is 1; give a function of outputs and targets, or leave it out"),
        ({"is_quadratic": "no"}, "The is_quadratic of the loss 'mine' is 'no'; give True or False"),
    ],
)
def test_a_definition_that_does_not_hold_is_refused_where_it_is_made(changes, said):
    with pytest.raises(SpecError, match=said):
        Loss(**{"name": "mine", "value": lambda o, y: jnp.sum(jnp.abs(o - y), axis=1), **changes})


def test_half_the_squared_distance_is_quadratic_however_it_is_written():
    mine = Loss("mine", lambda o, y: jnp.sum((o - y) * (o - y), axis=1) / 2, is_quadratic=True)
    assert mine(np.zeros((2, 1)), np.ones((2, 1))) == 0.5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": ""}, "A metric's name is ''; give a text"),
        ({"name": None}, "A metric's name is None; give a text"),
        ({"value": 3}, "The value of the metric 'mine' is 3; give a function of predictions and truth"),
        ({"each": "rows"}, "The each of the metric 'mine' is 'rows'; give a function, or leave it out"),
        ({"of_mean": None}, "The of_mean of the metric 'mine' is None; give a function, or leave it out"),
        ({"larger_is_better": "yes"}, "The larger_is_better of the metric 'mine' is 'yes'; give True or False"),
    ],
)
def test_a_metric_is_checked_where_it_is_made(changes, said):
    with pytest.raises(SpecError, match=said):
        Metric(**{"name": "mine", "value": lambda predicted, true: 0.0, **changes})


def fails(y):
    raise RuntimeError("it failed")


@pytest.mark.parametrize(
    ("best", "said"),
    [
        (fails, r"cannot be computed \(RuntimeError: it failed\); it takes targets of shape \(n, c\)"),
        (lambda y: np.full(2, np.nan), "gives NaN or infinity; it must give a number for each output"),
    ],
)
def test_a_best_constant_that_is_none_is_refused_before_training(best, said):
    mine = Loss("mine", lambda o, y: jnp.sum(jnp.abs(o - y), axis=1), best_constant=best)
    for call in (mine.constant_outputs, mine.check):
        with pytest.raises(SpecError, match=f"The best_constant of the loss 'mine' {said}"):
            call(np.zeros((4, 2)))


@pytest.mark.parametrize("best", [lambda y: 0.5, lambda y: np.zeros((3, 3))])
def test_a_best_constant_of_another_shape_is_refused(best):
    mine = Loss("mine", lambda o, y: jnp.sum(jnp.abs(o - y), axis=1), best_constant=best)
    with pytest.raises(SpecError, match="The best_constant of the loss 'mine' gives an array of shape"):
        mine.constant_outputs(np.zeros((4, 2)))


@pytest.mark.parametrize(
    ("value", "outputs"),
    [
        (lambda o, y: jnp.sum(abs(o - y), axis=1), 1),
        (lambda o, y: jnp.sum(jnp.where(abs(o - y) < 4, 0.5 * (o - y) ** 2, 4 * abs(o - y) - 8), axis=1), 1),
        (lambda o, y: 0.5 * jnp.sum(jnp.array([1.0, 5.0])[: o.shape[1]] * (o - y) ** 2, axis=1), 2),
    ],
)
def test_what_is_quadratic_nearby_or_of_one_output_alone_is_refused_with_the_data(value, outputs):
    y = np.random.default_rng(0).standard_normal((20, outputs))
    for scale in (1.0, 1e6):
        with pytest.raises(SpecError, match="The loss 'mine' is said to be quadratic, and its cost is not half"):
            Loss("mine", value, is_quadratic=True).check(scale * y)
    for scale in (1e-6, 1.0, 1e6):
        half = Loss("half", lambda o, y: jnp.sum((o - y) * (o - y), axis=1) / 2, is_quadratic=True)
        half.check(scale * y)
