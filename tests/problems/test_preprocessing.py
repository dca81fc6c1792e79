"""Preprocessing: what it does to columns, that it can be undone, and that it survives the trip through JSON."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate import DataError
from nucleate.problems import Column, Preprocessing

seeds = st.integers(0, 2**31 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
labels = st.lists(st.one_of(st.booleans(), st.integers(), finite, st.text()), unique=True, max_size=4).map(tuple)
columns = st.one_of(
    st.builds(Column, name=st.text(), kind=st.just("numeric"), mean=finite, std=finite),
    st.builds(Column, name=st.text(), kind=st.just("categorical"), categories=labels),
    st.builds(Column, name=st.text(), kind=st.just("constant")),
)
several = st.lists(columns, max_size=4).map(tuple)

TABLE = pl.DataFrame(
    {
        "rooms": [1.0, 2.0, 4.0, 5.0],
        "town": ["Bern", "Apia", "Bern", "Oslo"],
        "old": [True, False, False, True],
        "planet": [3, 3, 3, 3],
        "price": [10.0, 20.0, 30.0, 40.0],
    }
)
KINDS = {"rooms": "numeric", "town": "categorical", "old": "categorical", "planet": "constant"}
FITTED = Preprocessing.fit(TABLE, KINDS, {"price": "numeric"})
CLASSES = Preprocessing.fit(TABLE, {"rooms": "numeric"}, {"town": "categorical"})


@given(seeds, st.integers(-6, 6))
def test_numeric_columns_have_mean_zero_and_deviation_one_on_the_training_rows(seed, exponent):
    rng = np.random.default_rng(seed)
    x = 10.0**exponent * (rng.standard_normal((rng.integers(3, 40), 3)) + rng.uniform(-3, 3, 3))
    table = pl.DataFrame(x, schema=["a", "b", "y"])
    fitted = Preprocessing.fit(table, {"a": "numeric", "b": "numeric"}, {"y": "numeric"})
    for values in (fitted.transform(table), fitted.transform_target(table)):
        np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(values.std(axis=0), 1, rtol=1e-12)
    np.testing.assert_allclose(fitted.decode(fitted.transform_target(table))[:, 0], x[:, 2], rtol=1e-12)


def test_categories_and_truth_values_are_one_hot_and_constant_columns_vanish():
    rooms = (np.array([1, 2, 4, 5]) - 3) / np.sqrt(2.5)
    towns = [[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]  # Apia, Bern, Oslo
    old = [[0, 1], [1, 0], [1, 0], [0, 1]]
    np.testing.assert_array_equal(FITTED.transform(TABLE), np.hstack([rooms[:, None], towns, old]))


def test_a_category_that_training_did_not_have_is_zero_everywhere():
    new = pl.DataFrame({"rooms": [3.0], "town": ["Lima"], "old": [True]})
    np.testing.assert_array_equal(FITTED.transform(new), [[0, 0, 0, 0, 0, 1]])


def test_a_table_is_read_by_name_and_an_array_by_position():
    shuffled = TABLE.select("price", "old", "town", "rooms")
    array = np.array(TABLE.drop("price").rows(), object)
    np.testing.assert_array_equal(FITTED.transform(shuffled), FITTED.transform(TABLE))
    np.testing.assert_array_equal(FITTED.transform(array), FITTED.transform(TABLE))


@pytest.mark.parametrize("value", [0.1, -7.3e-5, 1e20])
def test_a_column_constant_on_the_training_rows_becomes_zero_there(value):
    train = pl.DataFrame({"a": [value] * 10, "y": range(10)})
    fitted = Preprocessing.fit(train, {"a": "numeric"}, {"y": "numeric"})
    np.testing.assert_array_equal(fitted.transform(train), np.zeros((10, 1)))
    np.testing.assert_array_equal(fitted.transform(pl.DataFrame({"a": [value + 1]})), [[value + 1 - value]])


def test_a_spread_too_small_to_square_does_not_divide_by_zero():
    train = pl.DataFrame({"a": [1e-200, 2e-200], "y": [0.0, 1.0]})
    assert np.isfinite(Preprocessing.fit(train, {"a": "numeric"}, {"y": "numeric"}).transform(train)).all()


def test_without_standardization_numbers_stay_as_they_are():
    fitted = Preprocessing.fit(TABLE, {"rooms": "numeric"}, {"price": "numeric"}, standardize=False)
    np.testing.assert_array_equal(fitted.transform(TABLE)[:, 0], TABLE["rooms"])
    np.testing.assert_array_equal(fitted.transform_target(TABLE)[:, 0], TABLE["price"])


def test_outputs_are_turned_back_into_labels():
    assert CLASSES.labels
    np.testing.assert_array_equal(CLASSES.decode(CLASSES.transform_target(TABLE)), TABLE["town"])


@pytest.mark.parametrize("values", [[1, 2, 3], [0.5, 1.0, 2.0], [True, False, True], ["b", "a", "c"]])
def test_labels_keep_their_type_through_json(values):
    table = pl.DataFrame({"a": [1.0, 2.0, 3.0], "y": values})
    fitted = Preprocessing.fit(table, {"a": "numeric"}, {"y": "categorical"})
    back = Preprocessing.from_json(fitted.to_json()).decode(fitted.transform_target(table)).tolist()
    assert back == values
    assert [type(value) for value in back] == [type(value) for value in values]


@given(several, several.filter(bool))
def test_json_gives_back_the_same_preprocessing_to_the_last_bit(inputs, targets):
    given_ = Preprocessing(inputs=inputs, targets=targets)
    back = Preprocessing.from_json(given_.to_json())
    assert back == given_
    # Equality does not see the sign of zero, nor the type of a number.
    assert repr(back) == repr(given_)


@pytest.mark.parametrize("text", ["", "{}", '{"inputs": [], "targets": [{"name": "y"}]}', FITTED.to_json()[:-1]])
def test_a_damaged_json_is_refused(text):
    with pytest.raises(DataError, match=r"preprocessing kept with the model is damaged \(.*\); save the model again"):
        Preprocessing.from_json(text)


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        (
            {"room": [1.0], "town": ["Bern"], "old": [True]},
            "no column 'rooms', which the model reads; did you mean 'room'",
        ),
        ({"rooms": ["a"], "town": ["Bern"], "old": [True]}, "'rooms' is categorical, but it was numeric in training"),
        ({"rooms": [1.0], "town": [None], "old": [True]}, r"Input column 'town' has 1 missing value"),
        ({"rooms": [np.nan], "town": ["Bern"], "old": [True]}, r"Input column 'rooms' has 1 missing value \(row 1\)"),
        ({"rooms": [np.inf], "town": ["Bern"], "old": [True]}, r"'rooms' is infinite or beyond 1e\+100 in row 1"),
    ],
)
def test_new_rows_that_do_not_suit_are_refused(new, sentence):
    with pytest.raises(DataError, match=sentence):
        FITTED.transform(pl.DataFrame(new))


def test_an_array_with_other_columns_is_refused():
    with pytest.raises(DataError, match=r"The inputs have shape \(2, 3\); expected \(rows, 4\)"):
        FITTED.transform(np.zeros((2, 3)))


def test_the_span_is_that_of_the_rows_that_count():
    rows = pl.DataFrame({"a": [1, 2, None, 90], "b": ["x", "y", "x", "y"], "y": [1.0, 2.0, 3.0, 4.0]})
    weights = np.array([1.0, 1.0, 1.0, 0.0])
    fitted = Preprocessing.fit(
        rows, {"a": "numeric", "b": "categorical"}, {"y": "numeric"}, impute="median", weights=weights
    )
    assert [column.span for column in fitted.inputs] == [(1.0, 2.0), None]
    assert Preprocessing.from_json(fitted.to_json()) == fitted
    assert fitted.beyond(rows).to_dict(as_series=False) == {"a": [False, False, False, True]}


def test_texts_alone_have_no_span():
    rows = pl.DataFrame({"b": ["x", "y", "x"], "y": [1.0, 2.0, 3.0]})
    fitted = Preprocessing.fit(rows, {"b": "categorical"}, {"y": "numeric"})
    assert fitted.beyond(rows).width == 0
