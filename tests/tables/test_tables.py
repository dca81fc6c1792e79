"""Tables made of arrays, and the hash that knows data again whatever file they came in."""

import numpy as np
import polars as pl
import pytest

from nucleate import DataError
from nucleate.tables.reading import table_from_array, table_from_arrays, table_hash

TABLE = pl.DataFrame({"a": [1, 2, 3], "b": [0.5, None, 1.5], "c": ["x", "y", None]})


def test_columns_are_named_by_number_and_one_target_is_y():
    table, targets = table_from_arrays(np.zeros((4, 2)), np.arange(4))
    assert table.columns == ["x1", "x2", "y"]
    assert targets == ("y",)
    table, targets = table_from_arrays(np.zeros((4, 1)), np.ones((4, 2)))
    assert table.columns == ["x1", "y1", "y2"]
    assert targets == ("y1", "y2")


def test_columns_keep_their_types():
    assert table_from_array(np.zeros((2, 1), "float32")).dtypes == [pl.Float32]
    assert table_from_array(np.array([["a"], ["b"]])).dtypes == [pl.String]
    mixed = np.array([[1, "a", True, 1, None], [2.5, "b", False, "z", 0.5]], object)
    assert table_from_array(mixed).dtypes == [pl.Float64, pl.String, pl.Boolean, pl.String, pl.Float64]


@pytest.mark.parametrize("shape", [(3,), (3, 0), (0, 3), (3, 2, 1)])
def test_inputs_that_are_no_rows_and_columns_are_refused(shape):
    with pytest.raises(DataError, match=r"inputs have shape .*; expected \(rows, columns\)"):
        table_from_array(np.zeros(shape))


@pytest.mark.parametrize("shape", [(4,), (), (3, 1, 1), (3, 0)])
def test_targets_that_do_not_fit_the_inputs_are_refused(shape):
    with pytest.raises(DataError, match=r"x has shape \(3, 2\) and y .*; they need the same number of rows"):
        table_from_arrays(np.zeros((3, 2)), np.zeros(shape))


@pytest.mark.parametrize(
    "other",
    [
        TABLE.with_columns(a=pl.Series([1, 2, 4])),
        TABLE.with_columns(a=pl.Series([1.0, 2.0, 3.0])),
        TABLE.with_columns(b=pl.Series([0.5, 0.0, 1.5])),
        TABLE.with_columns(b=pl.Series([0.5, float("nan"), 1.5])),
        TABLE.with_columns(c=pl.Series(["x", "z", None])),
        TABLE.rename({"c": "d"}),
        TABLE.select("b", "a", "c"),
        TABLE.reverse(),
        TABLE.head(2),
    ],
)
def test_the_hash_sees_every_value_type_name_and_the_order(other):
    assert table_hash(other) != table_hash(TABLE)


def test_the_hash_is_the_same_on_every_machine():
    assert table_hash(TABLE) == table_hash(TABLE.clone())
    assert table_hash(TABLE)[:16] == "420ed05e8255559b"


def test_the_hash_sees_whole_numbers_that_float64_takes_for_one():
    """As keys of groups or classes have them; those that float64 holds hash as ever."""
    large = [2**53 + 1, 2**63 - 1, None]
    one, other = (pl.DataFrame({"a": [first, *large[1:]]}) for first in (large[0], large[0] - 1))
    assert table_hash(one) != table_hash(other)
    assert table_hash(one) == table_hash(one.clone())
    unsigned = [pl.DataFrame({"a": pl.Series([2**64 - 1 - less], dtype=pl.UInt64)}) for less in (0, 1)]
    assert table_hash(unsigned[0]) != table_hash(unsigned[1])
