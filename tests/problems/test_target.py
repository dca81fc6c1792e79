"""Which column is the target, and which loss suits it."""

import numpy as np
import polars as pl
import pytest

from nucleate import DataError
from nucleate.problems import CROSS_ENTROPY, SQUARED
from nucleate.problems.checks import choose_loss, choose_targets, infer_loss, target_kinds


@pytest.mark.parametrize(
    ("columns", "target", "chosen"),
    [
        (["a", "b", "c"], None, ("c",)),
        (["a", "y", "c"], None, ("y",)),
        (["y", "target", "c"], None, ("target",)),
        (["a", "b", "c"], "a", ("a",)),
        (["a", "b", "c"], "c, a", ("c", "a")),
        (["a", "b, c", "c"], "b, c", ("b, c",)),
        (["a", "b, c", "c"], ["b", "c"], ("b, c",)),
        (["a", "b, c", "c"], ["c", "b", "c"], ("c", "b, c")),
        (["a", " b", "b,  c,d"], "b,c , d", ("b,  c,d",)),
        (["a", "b", "c"], ["b", "a"], ("b", "a")),
        (["a", "売上 金額"], "売上　金額", ("売上 金額",)),
        (["a", "売上　金額"], "売上 金額", ("売上　金額",)),
        (["売上　金額", "売上 金額"], "売上　金額", ("売上　金額",)),
        (["売上　金額", "売上 金額"], "売上 金額", ("売上 金額",)),
    ],
)
def test_the_target_is_what_was_named_or_the_likeliest_column(columns, target, chosen):
    assert choose_targets(columns, target) == chosen


def test_a_target_that_is_not_there_is_refused_with_the_close_names():
    with pytest.raises(DataError, match="There is no target column 'Prise'; did you mean 'price'"):
        choose_targets(["rooms", "price", "town"], "Prise")
    with pytest.raises(DataError, match="no target column 'q'; the data have columns 'rooms', 'price', 'town'"):
        choose_targets(["rooms", "price", "town"], "q")


def test_an_empty_list_of_targets_is_refused():
    with pytest.raises(DataError, match="The list of target columns is empty; name one or more of columns 'a', 'b'"):
        choose_targets(["a", "b"], [])


@pytest.mark.parametrize(("columns", "target"), [(["a"], None), (["a", "b"], "a,b")])
def test_a_target_that_leaves_no_inputs_is_refused(columns, target):
    with pytest.raises(DataError, match=r"Beside the target columns? 'a'.* there is no input column"):
        choose_targets(columns, target)


def test_data_without_columns_are_refused():
    with pytest.raises(DataError, match="no columns"):
        choose_targets([], None)


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b"] * 20, "classification"),
        ([True, False] * 20, "classification"),
        ([0, 1] * 10, "classification"),
        ([0.0, 1.0] * 10, "classification"),
        (list(range(20)) * 10, "classification"),
        (list(range(21)) * 10, "regression"),
        ([0, 1] * 9, "regression"),
        ([0.0, 0.5] * 20, "regression"),
        (np.linspace(0, 1, 40), "regression"),
    ],
)
def test_the_task_is_inferred_from_the_target(values, task):
    assert infer_loss(pl.DataFrame({"y": values}))[0].link.task == task


def test_numbers_taken_as_classes_are_noted():
    assert infer_loss(pl.DataFrame({"y": ["a", "b"] * 20}))[1] == []
    assert "2 different whole numbers were taken as classes" in infer_loss(pl.DataFrame({"y": [0, 1] * 20}))[1][0]


def test_several_targets_are_a_regression():
    assert infer_loss(pl.DataFrame({"y1": [0, 1] * 20, "y2": [0, 1] * 20}))[0] is SQUARED


@pytest.mark.parametrize(
    ("table", "task", "sentence"),
    [
        ({"y": [1.0, 2.0]}, "ranking", "There is no task 'ranking'; choose regression or classification"),
        ({"y": [2.5] * 9}, "regression", "Target column 'y' is 2.5 in every row"),
        ({"y": ["a"] * 9}, "classification", "Target column 'y' is 'a' in every row"),
        ({"y": ["1", "2", "dear"] * 9}, "regression", r"Target column 'y' is not numeric \(it holds 'dear'\)"),
        ({"y": [True, False]}, "regression", r"Target column 'y' is not numeric \(it holds True\)"),
        ({"y": [0, 1], "z": [0, 1]}, "classification", "target of a classification is one column, and 2 were named"),
        (
            {"y": ["a"] * 9 + ["b"] * 2},
            "classification",
            r"'y' has 1 class with fewer than 3 rows \('b' has 2\) among its 2 classes",
        ),
        (
            {"y": [str(k) for k in range(9)] + ["N.V."]},
            "classification",
            r"among its 10 classes, of which 'N.V.' is not a number\. Merge or delete rare classes",
        ),
    ],
)
def test_a_target_that_does_not_suit_the_task_is_refused(table, task, sentence):
    with pytest.raises(DataError, match=sentence):
        target_kinds(pl.DataFrame(table), choose_loss(pl.DataFrame(table), task, None)[0])


def test_a_loss_decides_the_task_and_may_not_contradict_it():
    targets = pl.DataFrame({"y": [0, 1] * 20})
    assert choose_loss(targets, None, SQUARED) == (SQUARED, [])
    assert choose_loss(targets, "classification", None)[0] is CROSS_ENTROPY
    with pytest.raises(DataError, match="The loss 'squared' is for regression, not for classification"):
        choose_loss(targets, "classification", SQUARED)


def test_dates_are_no_target():
    days = pl.select(day=pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 1, 9)))
    with pytest.raises(DataError, match="Target column 'day' holds dates; name a target of amounts or of classes"):
        target_kinds(days, SQUARED)
