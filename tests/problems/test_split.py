"""The split: a partition of the rows, the same for a seed everywhere, with every class's share in every part."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate import DataError
from nucleate.problems.splitting import Sizes, part_sizes, split_rows

seeds = st.integers(0, 2**31 - 1)
sizes = st.builds(Sizes, st.integers(4, 60), st.integers(4, 30), st.integers(4, 30))


@given(sizes, seeds)
def test_every_row_is_in_exactly_one_part(sizes, seed):
    rows = split_rows(sizes, seed)
    assert tuple(map(len, rows)) == sizes
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(sum(sizes)))


@given(st.lists(st.integers(10, 40), min_size=2, max_size=4), seeds)
def test_every_part_has_its_share_of_every_class_to_within_a_row(class_sizes, seed):
    labels = np.repeat(np.arange(len(class_sizes)), class_sizes)
    rows = split_rows(part_sizes(len(labels), 0.2, 0.2), seed, labels)
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(len(labels)))
    for part in rows:
        share = len(part) / len(labels)
        for label, size in enumerate(class_sizes):
            assert abs((labels[part] == label).sum() - share * size) < 2


def test_a_seed_gives_the_same_rows_on_every_machine():
    assert split_rows(Sizes(12, 4, 4), seed=0).test.tolist() == [1, 9, 14, 15]
    assert split_rows(Sizes(12, 4, 4), seed=0, labels=np.repeat(["a", "b"], 10)).test.tolist() == [1, 9, 14, 15]
    assert split_rows(Sizes(12, 4, 4), seed=1).test.tolist() != [1, 9, 14, 15]


def test_each_row_is_as_likely_in_each_part():
    labels = np.repeat(["a", "b"], [6, 14])
    in_test = np.zeros(20)
    for seed in range(2000):
        in_test[split_rows(Sizes(12, 4, 4), seed, labels).test] += 1
    # Four deviations of a binomial around its mean.
    np.testing.assert_allclose(in_test / 2000, 0.2, atol=4 * np.sqrt(0.2 * 0.8 / 2000) + 0.02)


@pytest.mark.parametrize(("validation", "test"), [(0.0, 0.2), (0.2, 1.0), (-0.1, 0.2), (0.6, 0.5), (0.2, float("nan"))])
def test_fractions_out_of_range_are_refused(validation, test):
    with pytest.raises(
        DataError, match=f"{validation} for validation and {test} for test; each must be between 0 and 1"
    ):
        part_sizes(100, validation, test)


def test_parts_of_too_few_rows_are_refused():
    assert part_sizes(20, 0.2, 0.2) == (12, 4, 4)
    with pytest.raises(
        DataError, match=r"17 usable rows: 11 for training, 3 for validation and 3 for test, .* 4 or more"
    ):
        part_sizes(17, 0.2, 0.2)
    with pytest.raises(DataError, match=r"Add rows; 12 are the fewest\. .* truth table, repeat each of them"):
        part_sizes(11, 0.2, 0.2)


@pytest.mark.parametrize("rows", range(12, 18))
def test_the_fractions_that_are_advised_are_enough(rows):
    with pytest.raises(DataError) as refused:
        part_sizes(rows, 0.2, 0.2)
    validation, test = re.search(r"--validation-fraction (\S+) --test-fraction (\S+)", refused.value.args[0]).groups()
    assert min(part_sizes(rows, float(validation), float(test))) >= 4


def test_a_class_that_no_training_row_has_is_refused():
    labels = np.repeat(["a", "b"], [37, 3])
    with pytest.raises(DataError, match="No row of class 'b' is left for training"):
        split_rows(part_sizes(40, 0.45, 0.42), 0, labels)


def test_a_negative_seed_is_refused():
    with pytest.raises(DataError, match="split seed is -1"):
        split_rows(Sizes(12, 4, 4), -1)
