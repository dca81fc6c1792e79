"""Rows that are copies of others, and rows that are alike by chance."""

import numpy as np
import pytest

from nucleate.problems import Problem, Split
from nucleate.problems.copies import copies_in


@pytest.mark.parametrize("times", [2, 10])
def test_measured_rows_that_come_again_are_copies(times):
    rows = np.random.default_rng(0).standard_normal((50, 3))
    which = np.random.default_rng(1).permutation(np.repeat(np.arange(50), times))
    found = copies_in(rows[which])
    assert len(np.unique(found)) == 50
    # The same partition, whatever its numbers.
    assert len(np.unique(np.column_stack([found, which]), axis=0)) == 50


def test_few_rows_that_come_again_among_many_are_copies():
    """Digits of 17 shades of grey: no column tells a row, all of them together do."""
    rows = np.random.default_rng(0).integers(0, 17, (200, 64)).astype(float)
    found = copies_in(np.vstack([rows, rows[:3]]))
    np.testing.assert_array_equal(found[-3:], found[:3])
    assert len(np.unique(found)) == 200
    assert copies_in(rows) is None


@pytest.mark.parametrize("seed", range(20))
def test_rows_of_few_values_are_measurements_each(seed):
    """Class, sex, age group and outcome: 60 passengers have hardly a row of their own."""
    random = np.random.default_rng(seed)
    rows = np.column_stack([random.integers(0, many, 60) for many in (3, 2, 2, 2)]).astype(float)
    assert len(np.unique(rows, axis=0)) < 30
    assert copies_in(rows) is None


def test_rows_are_counted_that_are_in_another_part_too():
    x = np.arange(12.0)[:, None]
    train, validation, test = (Split(x[rows], x[rows]) for rows in ([0, 1, 2], [3, 4, 5], [2, 3, 6, 7]))
    assert test.count_in(train) == 1
    assert test.count_in(train, validation) == 2
    assert test.copies is None


def test_targets_tell_rows_of_the_same_inputs_apart():
    random = np.random.default_rng(0)
    x = np.repeat(random.standard_normal((30, 2)), 2, axis=0)
    problem = Problem.from_arrays(x, random.standard_normal(60))
    assert problem.train.copies is None
