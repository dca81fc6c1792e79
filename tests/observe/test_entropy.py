"""The effective number against SciPy's entropy, and its bounds."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from nucleate.observe.norms import effective_number

sizes = st.lists(st.floats(0, 1e3, allow_subnormal=False), min_size=1, max_size=8).filter(any)


@given(sizes, st.integers(-900, 900))
def test_it_is_the_exponential_of_scipys_entropy_at_every_scale(sizes, exponent):
    sizes = np.array(sizes)
    expected = np.exp(scipy.stats.entropy(sizes / sizes.max()))
    assert effective_number(sizes) == pytest.approx(expected)
    assert 1 - 1e-12 <= effective_number(sizes) <= np.count_nonzero(sizes) + 1e-12
    normal = sizes / sizes.max() + 1.0
    assert effective_number(2.0**exponent * normal) == pytest.approx(effective_number(normal))


@given(st.integers(1, 50))
def test_equal_sizes_count_fully_and_zeros_not_at_all(k):
    assert effective_number(np.ones(k)) == pytest.approx(k)
    assert effective_number(np.eye(k)[0]) == 1
    assert effective_number(np.zeros(k)) == 0
