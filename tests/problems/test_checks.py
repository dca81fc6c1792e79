"""What raw columns must be, each fault in a sentence of its own."""

import datetime

import numpy as np
import polars as pl
import pytest

from nucleate import DataError, Problem
from nucleate.problems.checks import complete_rows, input_kinds, kind_of, leave_out, refuse_infinite, refuse_missing
from nucleate.problems.columns import lines_of

DAY = datetime.date(2020, 2, 29)


@pytest.mark.parametrize(
    ("values", "dtype", "kind"),
    [
        ([1, 2], pl.Int8, "numeric"),
        ([1, 2], pl.Float32, "numeric"),
        ([1, 2], pl.Decimal(10, 2), "numeric"),
        (["a", "b"], pl.String, "categorical"),
        (["a", "b"], pl.Categorical, "categorical"),
        ([True, False], pl.Boolean, "categorical"),
    ],
)
def test_numbers_are_numeric_and_text_and_truth_values_are_categories(values, dtype, kind):
    assert kind_of(pl.Series("a", values).cast(dtype)) == kind


@pytest.mark.parametrize(
    "values",
    [[datetime.time(12)], ["2020-02-29", None], ["29/2/2020"], ["2020-02-29 12:30:00"]],
)
def test_times_and_texts_of_dates_in_a_table_are_refused(values):
    with pytest.raises(
        DataError, match=r"Column 'when' holds dates or times\. Turn it into numbers, such as days since"
    ):
        kind_of(pl.Series("when", values))


@pytest.mark.parametrize("value", [DAY, datetime.datetime(2020, 2, 29, 12)])
def test_dates_are_numbers(value):
    assert kind_of(pl.Series("when", [value])) == "numeric"


@pytest.mark.parametrize("values", [[[1, 2]], [{"u": 1}], [b"raw"]])
def test_other_types_are_refused_by_name(values):
    with pytest.raises(
        DataError, match=r"Column 'a' holds values of type (List|Struct|Binary).*; turn it into numbers"
    ):
        kind_of(pl.Series("a", values))


def test_missing_values_are_refused_with_their_columns_and_rows():
    table = pl.DataFrame({"price": [1.0, None, 3.0, float("nan"), 5.0]})
    with pytest.raises(
        DataError, match=r"^Target column 'price' has 2 missing values \(rows 2, 4\)\. Drop or fill them"
    ):
        refuse_missing(table, "Target")
    table = pl.DataFrame({"a": [None] * 9, "b": ["x"] * 9, "c": [None] + [1] * 8})
    with pytest.raises(DataError, match=r"Input columns 'a', 'c' have 10 missing values \(rows 1, 2, 3 and 6 more\)"):
        refuse_missing(table, "Input")


def test_rows_with_missing_values_can_be_left_out_with_a_note():
    table = pl.DataFrame({"a": [1.0, None, 3.0, float("nan")], "b": ["x", "y", "z", "u"]})
    complete, notes = complete_rows(table)
    assert table.filter(complete).rows() == [(1.0, "x"), (3.0, "z")]
    assert notes == ["Left out 2 rows with missing values (rows 2, 4)."]
    assert complete_rows(table.filter(complete))[1] == []


def test_data_without_a_complete_row_are_refused():
    with pytest.raises(DataError, match="No row is without a missing value: column 'b' lacks 3 of 3"):
        complete_rows(pl.DataFrame({"a": [1, None, 2], "b": [None, None, None]}))


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e101])
def test_infinite_values_are_refused_with_their_rows(value):
    with pytest.raises(DataError, match=r"Column 'a' is infinite or beyond 1e\+100 in row 3; correct or delete"):
        refuse_infinite(pl.DataFrame({"a": [1.0, None, value, float("nan")], "b": [1, 2, 3, 4]}))


def test_a_column_with_one_value_is_constant():
    table = pl.DataFrame({"a": [1, 1, 1, 1], "b": ["x", "y", "x", "y"], "c": [1.0, 2.0, 3.0, 4.0], "d": ["x"] * 4})
    assert input_kinds(table) == {"a": "constant", "b": "categorical", "c": "numeric", "d": "constant"}


def test_inputs_that_never_vary_are_refused():
    with pytest.raises(DataError, match="Input columns 'a', 'b' never vary; add one that does"):
        input_kinds(pl.DataFrame({"a": [1, 1], "b": ["x", "x"]}))


def test_a_column_of_identifiers_is_refused():
    with pytest.raises(
        DataError,
        match=r"Column 'id' is text with 30 different values in 30 training rows.*leave it out: without='id'",
    ):
        input_kinds(pl.DataFrame({"id": [f"u{k}" for k in range(30)], "a": range(30)}))


def test_the_value_that_keeps_a_column_from_being_numeric_is_named():
    with pytest.raises(DataError, match="different values in 30 training rows, of which 'unknown' is not a number"):
        input_kinds(pl.DataFrame({"a": [str(k) for k in range(29)] + ["unknown"]}))


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("No.", "--without 'No.' ("),
        ("id", "--without id ("),
        ("a b", "--without 'a b' ("),
        ("番号", "--without '番号' ("),
    ],
)
def test_a_column_to_be_left_out_can_be_copied_from_the_end_of_a_sentence(name, flag):
    assert flag in leave_out(name)


def test_an_ideographic_space_is_shown_and_what_moves_the_cursor_is_escaped():
    table = pl.DataFrame({"place": ["東京都　北区", "a\x1b[2J"] * 10, "y": range(20)})
    (line, _) = lines_of(Problem.from_table(table, target="y").columns)
    assert "東京都　北区" in line
    assert "\x1b" not in line
