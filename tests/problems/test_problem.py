"""Problems made of tables and arrays: what each part holds, and how outputs are judged."""

import dataclasses
import datetime

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate import DataError
from nucleate.problems import CROSS_ENTROPY, SQUARED, Loss, Preprocessing, Problem, describe_data, split_rows
from nucleate.problems.splitting import part_sizes

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
    assert Problem.from_table(houses(), target="price", without="rooms,area").notes == ()


def test_what_is_constant_on_the_training_rows_is_left_out():
    table = houses()
    train = split_rows(part_sizes(60, 0.2, 0.2), 0).train
    rare = pl.Series("rare", np.where(np.isin(np.arange(60), train), 5.0, 1e6))
    problem = Problem.from_table(table.with_columns(rare), target="price")
    assert problem.preprocessing.inputs[-1].kind == "constant"
    assert "Left out input column 'rare', constant on the training rows." in problem.notes


@pytest.mark.parametrize("table", [{"x": [1.0, 2.0], "y": [0.0, 1.0]}, "houses.csv", np.ones((9, 2))])
def test_another_table_than_one_of_polars_is_refused(table):
    with pytest.raises(DataError, match=r"The table is of type \w+; give a polars DataFrame"):
        Problem.from_table(table, target="y")


def test_columns_can_be_left_out_by_name():
    table = houses().rename({"old": "old, or new"})
    problem = Problem.from_table(table, target="price", without=["town", "area"])
    assert [column.name for column in problem.preprocessing.inputs] == ["rooms", "old, or new"]
    assert Problem.from_table(table, target="price", without="old, or new").inputs == 5
    with pytest.raises(DataError, match="There is no column 'twon'; did you mean 'town'"):
        Problem.from_table(table, target="price", without="twon")
    with pytest.raises(DataError, match="The target column 'price' cannot be left out too; take it out of `without`"):
        Problem.from_table(table, target="price", without="town,price")


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
    table = pl.DataFrame({"a": np.arange(40.0), "b": 1.0, "town": ["x", "y"] * 20, "y": (np.arange(40.0) - 9) ** 2})
    problem = Problem.from_parts(table[:25], table[25:30], table[30:], target="y")
    assert [len(part.x) for part in (problem.train, problem.validation, problem.test)] == [25, 5, 10]
    assert problem.preprocessing.inputs[0].mean == 12.0
    np.testing.assert_allclose(problem.preprocessing.decode(problem.test.y)[:, 0], (np.arange(30.0, 40) - 9) ** 2)
    assert problem.notes[0] == "Left out constant input column 'b'."


def test_parts_that_cannot_be_used_are_said_in_a_sentence():
    table = pl.DataFrame({"a": np.arange(40.0), "y": np.arange(40.0) ** 2})
    with pytest.raises(DataError, match="The parts have 40, 5, 0 rows; each needs one or more"):
        Problem.from_parts(table, table[:5], table[:0], target="y")
    with pytest.raises(DataError, match="The parts differ in their columns"):
        Problem.from_parts(table, table.rename({"a": "b"}), table, target="y")
    labels = table.with_columns(y=pl.Series(["one", "two"] * 19 + ["three"] * 2))
    with pytest.raises(DataError, match="three"):
        Problem.from_parts(labels[:30], labels[30:35], labels[35:], target="y")


def with_gaps():
    table = houses()
    table[[3, 16, 30, 59], "rooms"] = None
    table[[4, 16], "town"] = None
    return table.drop("area")


@pytest.mark.parametrize(("impute", "statistic"), [("median", np.median), ("mean", np.mean)])
def test_missing_inputs_are_imputed_from_the_training_rows_alone(impute, statistic):
    table = with_gaps()
    train = table[split_rows(part_sizes(60, 0.2, 0.2), 0).train]
    problem = Problem.from_table(table, target="price", impute=impute)
    rooms, town, _ = problem.preprocessing.inputs
    fill = statistic(train["rooms"].drop_nulls().to_numpy())
    assert rooms.fill == fill
    assert town.fill == train["town"].drop_nulls().mode().sort()[0]
    full = table.with_columns(pl.col("rooms").fill_null(fill), pl.col("town").fill_null(town.fill))
    np.testing.assert_array_equal(problem.preprocessing.transform(table), problem.preprocessing.transform(full))
    assert sum(len(part.x) for part in parts(problem)) == 60
    assert f"Column 'rooms' was imputed by {impute} ({fill:g}) of the training rows." in problem.notes
    # Changing rows outside the training part changes nothing that is fitted.
    elsewhere = pl.int_range(60).is_in(split_rows(part_sizes(60, 0.2, 0.2), 0).train.tolist()).not_()
    moved = table.with_columns(rooms=pl.when(elsewhere).then(pl.col("rooms") * 50).otherwise("rooms"))
    assert Problem.from_table(moved, target="price", impute=impute).preprocessing == problem.preprocessing


def test_a_model_that_imputes_keeps_what_it_needs():
    problem = Problem.from_table(with_gaps(), target="price", impute="most_frequent")
    back = Preprocessing.from_json(problem.preprocessing.to_json())
    assert back == problem.preprocessing
    again = Problem.from_table(with_gaps(), preprocessing=back)
    np.testing.assert_array_equal(again.test.x, problem.test.x)
    with pytest.raises(DataError, match="The model imputes by most_frequent, not by mean; leave impute out"):
        Problem.from_table(with_gaps(), preprocessing=back, impute="mean")


def test_a_target_is_never_imputed():
    table = with_gaps()
    table[7, "price"] = None
    with pytest.raises(
        DataError, match=r"Target column 'price' has 1 missing value .*Only inputs are imputed; pass drop_missing=True"
    ):
        Problem.from_table(table, target="price", impute="mean")
    problem = Problem.from_table(table, target="price", impute="mean", drop_missing=True)
    assert sum(len(part.x) for part in parts(problem)) == 59
    with pytest.raises(DataError, match="cannot be imputed by 'zero'; choose median, mean, most_frequent"):
        Problem.from_table(table, target="price", impute="zero")


def test_without_imputation_the_refusal_names_the_flag():
    with pytest.raises(DataError, match=r"Input columns 'rooms', 'town' have 6 missing values .* impute='median'"):
        Problem.from_table(with_gaps(), target="price")


def test_the_rows_that_were_left_out_are_left_out_again_for_the_model():
    # The gap is in a column that the model does not read; with another split its test rows would be training rows.
    table = houses().with_columns(planet=pl.Series([None, *["Earth"] * 59]))
    problem = Problem.from_table(table, target="price", drop_missing=True)
    again = Problem.from_table(table, drop_missing=True, preprocessing=problem.preprocessing)
    np.testing.assert_array_equal(again.test.x, problem.test.x)


def test_the_table_of_columns_says_what_became_of_each():
    table = with_gaps().with_columns(
        planet=pl.lit("Earth"),
        nothing=pl.lit(None),
        day=pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 2, 29)),
        tag=1,
    )
    problem = Problem.from_table(table, target="price", impute="median", without="tag")
    known = {row["column"]: row for row in problem.columns.to_dicts()}
    became = {name: row["became"] for name, row in known.items()}
    assert became["rooms"].startswith("kept, imputed by median (")
    assert became["town"].startswith("one-hot into 3, imputed by most_frequent ('")
    assert became["planet"] == "left out: constant in training"
    assert became["nothing"] == "left out: empty"
    assert became["tag"] == "left out, as asked"
    assert became["day"] == "kept, as days since 1970-01-01"
    assert became["price"] == "target"
    assert (known["rooms"]["missing"], known["rooms"]["kind"], known["rooms"]["range"]) == (4, "number", "1 to 8")
    assert (known["town"]["kind"], known["town"]["range"]) == ("text", "Apia, Bern, Oslo")
    assert known["day"]["range"] == "2024-01-01 to 2024-02-29"
    assert known["old"]["kind"] == "truth"
    lines = describe_data(problem)
    assert any(line.startswith("Column rooms") and "4 missing" in line for line in lines)


def test_a_table_of_many_columns_is_not_printed_unasked():
    x = np.random.default_rng(0).standard_normal((60, 30))
    problem = Problem.from_arrays(x, x[:, 0] * x[:, 1])
    assert not any(line.startswith("Column") for line in describe_data(problem))
    assert len(problem.columns) == 31


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("impute", [None, "median", "mean", "most_frequent"])
def test_columns_of_every_type_are_read_and_imputed(impute):
    rng = np.random.default_rng(0)
    full = pl.DataFrame(
        {
            "whole": rng.integers(0, 250, 60).astype(np.uint8),
            "short": rng.standard_normal(60).astype(np.float32),
            "decimal": pl.Series(rng.random(60)).cast(pl.Decimal(10, 2)),
            "day": pl.Series([datetime.datetime(2024, 1, 1, hour % 24) for hour in range(60)]),
            "truth": rng.random(60) < 0.5,
            "text": rng.choice(["x", " x", "y"], 60),
            "category": pl.Series(rng.choice(["a", "b"], 60)).cast(pl.Categorical),
        }
    )
    gaps = [pl.when(pl.Series(rng.random(60) < 0.8)).then(pl.col(name)).alias(name) for name in full.columns]
    table = (full.with_columns(gaps) if impute else full).with_columns(y=rng.random(60))
    problem = Problem.from_table(table, target="y", impute=impute)
    assert problem.inputs == 4 + 2 + 2 + 2
    assert all(np.isfinite(part.x).all() for part in parts(problem))
    imputed = sum("imputed by" in note for note in problem.notes)
    # Where many are alike, one sentence has the others.
    assert imputed == (3 if impute else 0)
