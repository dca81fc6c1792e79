"""Problems made of tables and arrays: what each part holds, and how outputs are judged."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate import DataError
from nucleate.problems import CROSS_ENTROPY, SQUARED, Loss, Preprocessing, Problem

seeds = st.integers(0, 2**31 - 1)


def houses(seed=0, n=60):
    rng = np.random.default_rng(seed)
    rooms = rng.integers(1, 9, n)
    return pl.DataFrame(
        {
            "rooms": rooms,
            "town": rng.choice(["Apia", "Bern", "Oslo"], n),
            "price": 100.0 * rooms + rng.standard_normal(n),
            "area": 20.0 * rooms + rng.standard_normal(n),
            "old": rng.random(n) < 0.5,
        }
    )


def parts(problem):
    return problem.train, problem.validation, problem.test


@settings(max_examples=15)
@given(seeds, seeds)
def test_the_parts_hold_every_row_once_and_training_is_standardized(seed, split_seed):
    table = houses(seed).with_columns(row=pl.int_range(pl.len()))
    raw = Problem.from_table(table, target="row", split_seed=split_seed, standardize=False)
    rows = np.concatenate([part.y[:, 0] for part in parts(raw)]).astype(int)
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(table)))

    problem = Problem.from_table(table, target="row", split_seed=split_seed)
    numeric = problem.train.x[:, [0, 4, 5]]
    for values in (numeric, problem.train.y):
        np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(values.std(axis=0), 1, rtol=1e-12)
    # What a model is given later goes the same way, to the last bit.
    start = 0
    later = Preprocessing.from_json(problem.preprocessing.to_json())
    for part in parts(problem):
        part_rows = rows[start : start + len(part.x)]
        np.testing.assert_array_equal(later.transform(table[part_rows]), part.x)
        np.testing.assert_allclose(later.decode(part.y)[:, 0], part_rows, atol=1e-9)
        start += len(part.x)


def test_columns_keep_their_order_and_the_target_is_no_input():
    problem = Problem.from_table(houses(), target="price")
    assert [column.name for column in problem.preprocessing.inputs] == ["rooms", "town", "area", "old"]
    assert [column.name for column in problem.preprocessing.targets] == ["price"]
    assert (problem.inputs, problem.outputs) == (1 + 3 + 1 + 2, 1)
    assert all(part.x.dtype == part.y.dtype == np.float64 for part in parts(problem))
    assert repr(problem) == "Problem(table, regression, 7 inputs, 1 output, 36 + 12 + 12 rows)"


def test_preprocessing_sees_the_training_part_only():
    table = houses()
    problem = Problem.from_table(table, target="price")
    train_rows = np.flatnonzero(
        [(problem.train.x[:, 4] == x).any() for x in problem.preprocessing.transform(table)[:, 4]]
    )
    assert len(train_rows) == len(problem.train.x)
    scrambled = table.with_row_index().with_columns(
        pl.when(pl.col("index").is_in(train_rows)).then(pl.col("area")).otherwise(pl.col("area") * 1e3)
    )
    again = Problem.from_table(scrambled.drop("index"), target="price")
    assert again.preprocessing == problem.preprocessing
    np.testing.assert_array_equal(again.train.x, problem.train.x)


def test_a_classification_is_one_hot_with_two_classes_as_with_more():
    two = Problem.from_table(houses(), target="old")
    assert (two.task, two.outputs, two.metric_name) == ("classification", 2, "accuracy")
    three = Problem.from_table(houses(), target="town")
    assert three.outputs == 3
    for problem in (two, three):
        for part in parts(problem):
            np.testing.assert_array_equal(np.sort(part.y, axis=1)[:, -1], 1)
            np.testing.assert_array_equal(part.y.sum(axis=1), 1)
    counts = np.array([part.y.sum(axis=0) / len(part.y) for part in parts(three)])
    assert np.ptp(counts, axis=0).max() < 0.2


def test_several_targets():
    problem = Problem.from_table(houses(), target="price,area")
    assert (problem.task, problem.inputs, problem.outputs) == ("regression", 6, 2)


def test_the_metric_of_a_regression_is_in_the_targets_own_units():
    table = houses()
    problem = Problem.from_table(table, target=["price", "area"])
    y = problem.test.y
    wrong = y + np.array([3.0, 0.0]) / np.array([column.std for column in problem.preprocessing.targets])
    assert problem.metric_name == "rmse"
    assert problem.metric(y, y) == 0
    assert problem.metric(wrong, y) == pytest.approx(np.sqrt(3.0**2 / 2))
    assert np.isnan(problem.metric(np.full_like(y, np.nan), y))


def test_the_metric_of_a_classification_is_the_share_of_right_labels():
    problem = Problem.from_table(houses(), target="town")
    y = problem.test.y
    outputs = 0.1 * y - 5
    assert problem.metric(jnp.asarray(outputs, "float32"), y) == 1
    outputs[:3] = 0.1 * np.roll(y[:3], 1, axis=1)
    assert problem.metric(outputs, y) == pytest.approx(1 - 3 / len(y))
    assert problem.metric(np.full_like(y, np.nan), y) == 0


@pytest.mark.parametrize(("target", "loss", "start"), [("price", SQUARED, 0.5), ("town", CROSS_ENTROPY, np.log(3))])
def test_the_loss_is_that_of_the_task(target, loss, start):
    problem = Problem.from_table(houses(), target=target)
    assert problem.loss is loss
    assert problem.loss(np.zeros(problem.train.y.shape), problem.train.y) == pytest.approx(start)


def test_a_loss_of_ones_own_is_carried_by_the_problem():
    robust = Loss("absolute", lambda outputs, y: jnp.sum(jnp.abs(outputs - y), axis=1))
    problem = Problem.from_table(houses(), target="price", loss=robust)
    assert (problem.loss, problem.task, problem.metric_name) == (robust, "regression", "rmse")


def test_the_hash_is_of_the_data_and_not_of_the_split():
    hashes = {
        Problem.from_table(houses(), target="price", split_seed=1, test=0.3).data_hash,
        Problem.from_table(houses(), target="town", standardize=False).data_hash,
    }
    assert len(hashes) == 1
    assert Problem.from_table(houses(1), target="price").data_hash not in hashes


def test_seeds_split_differently_and_a_seed_always_the_same():
    a, b, c = (Problem.from_table(houses(), target="price", split_seed=seed) for seed in (0, 1, 0))
    np.testing.assert_array_equal(a.train.x, c.train.x)
    assert not np.array_equal(a.train.y, b.train.y)


def test_what_was_decided_is_noted():
    table = houses().with_columns(planet=pl.lit("Earth"), y=pl.int_range(pl.len()) % 2)
    table[3, "rooms"] = None
    assert Problem.from_table(table, drop_missing=True).notes == (
        "No target was named, so column 'y' was taken.",
        "Left out 1 row with missing values (row 4).",
        "The target's 2 different whole numbers were taken as classes; set the task to regression for amounts.",
        "Left out constant input column 'planet'.",
    )
    assert Problem.from_table(houses(), target="price").notes == ()


def test_missing_values_are_refused_in_the_target_first():
    inputs = houses()
    inputs[3, "rooms"] = None
    table = inputs.clone()
    table[[3, 16, 59], "price"] = None
    with pytest.raises(
        DataError, match=r"^Target column 'price' has 3 missing values \(rows 4, 17, 60\)\. .*pass drop_missing=True"
    ):
        Problem.from_table(table, target="price")
    with pytest.raises(
        DataError, match=r"^Input column 'rooms' has 1 missing value \(row 4\)\. .*pass drop_missing=True"
    ):
        Problem.from_table(inputs, target="price")


def test_arrays_are_a_table_too():
    table = houses().select("rooms", "area", "price")
    from_arrays = Problem.from_arrays(
        table.select("rooms", "area").to_numpy(), table["price"].to_numpy(), name="houses"
    )
    from_table = Problem.from_table(table.cast(pl.Float64), target="price")
    assert from_arrays.name == "houses"
    for a, b in zip(parts(from_arrays), parts(from_table), strict=True):
        np.testing.assert_array_equal(a.x, b.x)
        np.testing.assert_array_equal(a.y, b.y)
    labels = np.where(np.arange(60) % 2, "odd", "even")
    assert Problem.from_arrays(np.random.default_rng(0).random((60, 2)), labels).task == "classification"


def test_a_problem_cannot_be_changed():
    problem = Problem.from_table(houses(), target="price")
    with pytest.raises(dataclasses.FrozenInstanceError):
        problem.name = "other"
    with pytest.raises(ValueError, match="frozen"):
        problem.preprocessing.inputs = ()


def test_parts_that_are_split_already_stay_as_they_are():
    table = pl.DataFrame({"a": np.arange(40.0), "b": 1.0, "town": ["x", "y"] * 20, "y": np.arange(40.0) ** 2})
    problem = Problem.from_parts(table[:25], table[25:30], table[30:], target="y")
    assert [len(part.x) for part in (problem.train, problem.validation, problem.test)] == [25, 5, 10]
    assert problem.preprocessing.inputs[0].mean == 12.0
    np.testing.assert_allclose(problem.preprocessing.decode(problem.test.y)[:, 0], np.arange(30.0, 40) ** 2)
    assert problem.notes == ("Left out constant input column 'b'.",)


def test_parts_that_cannot_be_used_are_said_in_a_sentence():
    table = pl.DataFrame({"a": np.arange(40.0), "y": np.arange(40.0) ** 2})
    with pytest.raises(DataError, match="The parts have 40, 5, 0 rows; each needs one or more"):
        Problem.from_parts(table, table[:5], table[:0], target="y")
    with pytest.raises(DataError, match="The parts differ in their columns"):
        Problem.from_parts(table, table.rename({"a": "b"}), table, target="y")
    labels = table.with_columns(y=pl.Series(["one", "two"] * 19 + ["three"] * 2))
    with pytest.raises(DataError, match="three"):
        Problem.from_parts(labels[:30], labels[30:35], labels[35:], target="y")
