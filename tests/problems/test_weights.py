"""Rows of different weight: a whole weight is the row repeated, in all that is fitted, trained, chosen and judged."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate import DataError, SpecError
from nucleate.baselines import constant, linear
from nucleate.baselines.comparison import judge_outputs
from nucleate.problems import (
    ACCURACY,
    BALANCED_ACCURACY,
    CROSS_ENTROPY,
    LOG_LOSS,
    LOSSES,
    MAE,
    R2,
    RMSE,
    SQUARED,
    Loss,
    Metric,
    Problem,
    Split,
    describe_data,
)

seeds = st.integers(0, 2**31 - 1)


def homes(seed, n=24, classes=False):
    """Rows of whole weights, with a gap of either kind; each class and town is there often enough."""
    rng = np.random.default_rng(seed)
    town = rng.permutation(["Apia", "Bern", "Bern", None] * (n // 4)).tolist()
    rooms = pl.Series(rng.integers(1, 9, n).astype(float)).set(pl.Series(rng.random(n) < 0.2), None)
    price = rng.permutation(["dear", "fair", "cheap"] * (n // 3)) if classes else rng.normal(3, 2, n)
    # In all draws as many rows come of it, so that what is compiled for one serves the others.
    weights = rng.permutation([1, 2, 3] * (n // 3))
    return pl.DataFrame({"rooms": rooms, "town": town, "price": price, "weight": weights})


def repeated(table):
    """Each row as often as it weighs."""
    return table[np.repeat(np.arange(len(table)), table["weight"].to_numpy())].drop("weight")


def pair(seed, impute="median", **asked):
    """The same problem by weights and by rows that are repeated."""
    tables = [homes(seed + part, **asked) for part in range(3)]
    options = {"target": "price", "impute": impute}
    weighted = Problem.from_parts(*tables, weights="weight", **options)
    return weighted, Problem.from_parts(*map(repeated, tables), **options)


def parts(problem):
    return problem.train, problem.validation, problem.test


def outputs_like(part, seed):
    return np.random.default_rng(seed).standard_normal(part.y.shape)


def grown(values, part):
    return np.repeat(values, part.weights.astype(int), axis=0)


@pytest.mark.parametrize("impute", ["median", "mean", "most_frequent"])
@settings(max_examples=15)
@given(seeds)
def test_what_is_fitted_is_that_of_repeated_rows(impute, seed):
    weighted, plain = pair(seed, impute)
    for ours, theirs in zip(weighted.preprocessing.inputs, plain.preprocessing.inputs, strict=True):
        assert (ours.mean, ours.std) == pytest.approx((theirs.mean, theirs.std))
        assert ours.categories == theirs.categories
        assert ours.fill == (pytest.approx(theirs.fill) if isinstance(theirs.fill, float) else theirs.fill)
    for ours, theirs in zip(parts(weighted), parts(plain), strict=True):
        np.testing.assert_allclose(grown(ours.x, ours), theirs.x, atol=1e-12)
        np.testing.assert_allclose(grown(ours.y, ours), theirs.y, atol=1e-12)


@pytest.mark.parametrize("loss", [*LOSSES.values()], ids=[*LOSSES])
@settings(max_examples=10)
@given(seed=seeds)
def test_losses_gradients_and_constants_are_those_of_repeated_rows(loss, seed):
    rng = np.random.default_rng(seed)
    outputs, weights = rng.normal(size=(18, 3)), rng.permutation([1.0, 2.0, 3.0] * 6)
    y = np.eye(3)[rng.permutation(18) % 3] if loss is CROSS_ENTROPY else rng.poisson(2.0, (18, 3)).astype(float)
    more = partial(np.repeat, repeats=weights.astype(int), axis=0)
    assert loss(outputs, y, weights) == pytest.approx(loss(more(outputs), more(y)))
    assert loss.constant_loss(y, weights) == pytest.approx(loss.constant_loss(more(y)), rel=1e-6)
    total = np.zeros_like(outputs)
    np.add.at(total, np.repeat(np.arange(18), weights.astype(int)), loss.residual(more(outputs), more(y)))
    np.testing.assert_allclose(18 * total / weights.sum(), loss.residual(outputs, y, weights), atol=1e-12)


METRICS = [RMSE, MAE, R2, ACCURACY, BALANCED_ACCURACY, LOG_LOSS]
METRICS += [metric for loss in LOSSES.values() for metric in (loss.metric, *loss.further) if metric not in METRICS]


@pytest.mark.parametrize("metric", METRICS, ids=[metric.name for metric in METRICS])
@settings(max_examples=10)
@given(seed=seeds)
def test_metrics_are_those_of_repeated_rows(metric, seed):
    rng = np.random.default_rng(seed)
    weights, of_classes = rng.integers(1, 4, 20), metric in (ACCURACY, BALANCED_ACCURACY, LOG_LOSS)
    predicted = rng.dirichlet(np.ones(3), 20) if of_classes else rng.gamma(2.0, size=(20, 3))
    true = np.eye(3)[rng.integers(0, 3, 20)] if of_classes else rng.poisson(2.0, (20, 3)).astype(float)
    more = partial(np.repeat, repeats=weights, axis=0)
    assert metric(predicted, true, weights.astype(float)) == pytest.approx(metric(more(predicted), more(true)))
    # The scale of weights means nothing.
    assert metric(predicted, true, 1e-3 * weights) == pytest.approx(metric(predicted, true, weights.astype(float)))


@pytest.mark.parametrize("classes", [False, True], ids=["amounts", "classes"])
def test_baselines_are_those_of_repeated_rows(classes):
    weighted, plain = pair(0, classes=classes)
    for make in (constant, linear):
        ours, theirs = (make(problem).seeds[0](problem.test.x) for problem in (weighted, plain))
        np.testing.assert_allclose(grown(ours, weighted.test), theirs, atol=1e-4)
        value = judge_outputs(weighted, ours, weighted.test).value
        assert value == pytest.approx(judge_outputs(plain, theirs, plain.test).value, abs=1e-4)


def test_weights_of_one_change_nothing():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 3)), rng.standard_normal(60)
    weighted, plain = Problem.from_arrays(x, y, weights=np.full(60, 7.0)), Problem.from_arrays(x, y)
    for ours, theirs in zip(parts(weighted), parts(plain), strict=True):
        np.testing.assert_allclose(ours.x, theirs.x, atol=1e-14)
        np.testing.assert_allclose(ours.y, theirs.y, atol=1e-14)
    assert plain.train.weights is None


def test_a_column_of_weights_is_no_input_and_rows_of_weight_zero_are_left_out():
    table = homes(0, n=60).drop_nulls().with_row_index("row")
    table = table.with_columns(weight=pl.when(pl.col("row") < 3).then(0).otherwise("weight"))
    problem = Problem.from_table(table, target="row", weights="weight", standardize=False)
    kept = sorted(np.concatenate([part.y[:, 0] for part in parts(problem)]).astype(int))
    assert kept == [*range(3, len(table))]
    for part in parts(problem):
        assert part.weights.tolist() == table["weight"].to_numpy()[part.y[:, 0].astype(int)].tolist()
    assert not any(name.startswith("weight") for name in problem.preprocessing.encoded_inputs)
    assert "Rows count as column 'weight' says; left out 3 rows of weight 0." in problem.notes
    assert any("weights of the rows" in line for line in describe_data(problem))


def test_weights_that_leave_few_rows_to_tell_a_mean_are_noted():
    rng = np.random.default_rng(0)
    problem = Problem.from_arrays(
        rng.standard_normal((60, 2)), rng.standard_normal(60), weights=10.0 ** (np.arange(60) % 5)
    )
    assert any("so unequal that the 36 training rows tell a mean as" in note for note in problem.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pl.when(pl.col("weight") > 2).then(-1.5).otherwise("weight"), "'weight' has the weight -1.5 in rows"),
        (pl.when(pl.col("weight") > 2).then(np.inf).otherwise("weight"), "'weight' has the weight inf in rows"),
        (pl.when(pl.col("weight") > 2).then("weight"), "Column 'weight' has no weight in rows"),
        (pl.when(pl.col("weight") > 2).then(np.nan).otherwise("weight"), "Column 'weight' has no weight in rows"),
        (pl.lit(0), "Every weight of column 'weight' is 0, so no row counts"),
        (pl.lit("much"), "Column 'weight' holds String, and weights are numbers of 0 or more"),
        (pl.lit(True), "Column 'weight' holds Boolean, and weights are numbers of 0 or more"),
    ],
    ids=["negative", "infinite", "missing", "nan", "zero", "text", "truth"],
)
def test_weights_that_cannot_be_are_refused(change, message):
    table = homes(0, n=60).drop_nulls().with_columns(weight=change)
    with pytest.raises(DataError, match=message):
        Problem.from_table(table, target="price", weights="weight")


def test_a_column_has_one_role():
    table = homes(0, n=60).drop_nulls()
    for asked, message in (
        ({"target": "price", "weights": "price"}, "Column 'price' is the target and has the weights of the rows too"),
        (
            {"target": "price", "weights": "weight", "split_by": "weight"},
            "'weight' has the weights and says the groups",
        ),
        ({"target": "price", "weights": "weight", "without": "weight"}, "no input anyway; take it out of `without`"),
        ({"target": "price", "weights": "wieght"}, "There is no column for `weights` 'wieght'; did you mean 'weight'"),
        ({"target": "price", "weights": "weight,rooms"}, "There are 2 columns for `weights`; name one"),
    ):
        with pytest.raises(DataError, match=message):
            Problem.from_table(table, **asked)
    with pytest.raises(DataError, match=r"weights have shape \(3,\) and dtype float64; give one number for each"):
        Problem.from_arrays(np.zeros((9, 1)), np.zeros(9), weights=np.ones(3))


def test_weights_go_with_ones_own_rows():
    table = homes(0, n=60).drop_nulls()
    problem = Problem.from_table(table[:30], test=table[30:], target="price", weights="weight")
    assert problem.test.weights.tolist() == table["weight"][30:].to_list()
    with pytest.raises(DataError, match="The test rows have no column 'weight'"):
        Problem.from_table(table[:30], test=table[30:].drop("weight"), target="price", weights="weight")


def test_a_metric_of_ones_own_says_whether_it_takes_weights():
    plain = Metric("mean", lambda predicted, true: float(np.mean(predicted - true)))
    predicted, true, weights = np.ones((4, 1)), np.zeros((4, 1)), np.arange(4.0)
    assert plain(predicted, true) == 1.0
    with pytest.raises(SpecError, match=r"The metric 'mean' takes no weights; .* third argument"):
        plain(predicted, true, weights)
    weighing = Metric("mean", lambda predicted, true, weights=None: float(np.average(predicted - true, 0, weights)[0]))
    assert weighing(np.arange(4.0)[:, None], true, weights) == pytest.approx(14 / 6)


def test_of_a_loss_of_ones_own_the_best_constant_weighs_rows_too():
    def pseudo_huber(outputs, y):
        return jnp.sum(jnp.sqrt(1 + (outputs - y) ** 2) - 1, axis=1)

    y, weights = np.array([[0.0], [3.0], [4.0]]), np.array([2.0, 1.0, 3.0])
    told = Loss("told", pseudo_huber, best_constant=lambda y: y.mean(axis=0))
    more = np.repeat(y, weights.astype(int), axis=0)
    found = Loss("found", pseudo_huber)
    assert told.constant_outputs(y, weights) == pytest.approx(found.constant_outputs(more), abs=1e-4)


def test_the_cost_of_mini_batches_is_that_of_all_rows_on_average():
    """Rows are drawn uniformly and weigh in the loss, so the mean over the batches of an epoch is the whole loss."""
    from nucleate import InitScale, Network
    from nucleate.models import take_apart
    from nucleate.optimizers import GD
    from nucleate.training import Rule, engine

    rng = np.random.default_rng(0)
    part = Split(rng.normal(size=(12, 2)), rng.normal(size=(12, 1)), weights=rng.uniform(0, 3, 12))
    network = Network.create(2, [3], 1, scale=InitScale("gain", 1.0), dtype="float64")
    parameters, frame = take_apart(network)
    data = engine.place_data(part, part, "float64")
    program = engine.Program(frame, SQUARED, Rule(GD))
    with jax.enable_x64(True):
        whole = float(program.cost(parameters, data.x, data.y, data.weights))
        batches = [
            float(program.cost(parameters, data.x[:, rows], data.y[rows], data.weights[rows]))
            for rows in np.split(rng.permutation(12), 3)
        ]
    assert whole == pytest.approx(SQUARED(np.asarray(network(part.x)), part.y, part.weights))
    assert np.mean(batches) == pytest.approx(whole)
