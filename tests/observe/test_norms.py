"""Norms at every scale that float64 has."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate.observe.norms import norm, row_norms, unit_rows

exponents = st.integers(-1000, 1000)


@given(st.integers(0, 2**32 - 1), exponents)
def test_norms_scale_exactly_by_powers_of_two(seed, exponent):
    rows = np.random.default_rng(seed).standard_normal((4, 3))
    np.testing.assert_allclose(row_norms(rows), np.linalg.norm(rows, axis=1), rtol=1e-14)
    assert norm(rows) == pytest.approx(np.linalg.norm(rows), rel=1e-14)
    scale = 2.0**exponent
    np.testing.assert_allclose(row_norms(scale * rows), scale * row_norms(rows), rtol=1e-15)
    np.testing.assert_allclose(unit_rows(scale * rows), unit_rows(rows), rtol=1e-15)


def test_the_smallest_numbers_of_both_dtypes_have_a_direction():
    for smallest in (np.float32(1e-45), np.float64(5e-324)):
        np.testing.assert_array_equal(unit_rows(np.array([[0, smallest]])), [[0, 1]])


def test_zeros_have_norm_zero_and_stay_zeros():
    zeros = np.zeros((2, 3))
    assert norm(zeros) == 0
    np.testing.assert_array_equal(row_norms(zeros), 0)
    np.testing.assert_array_equal(unit_rows(zeros), 0)
