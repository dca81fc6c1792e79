"""How many directions there are, by what the neurons along them contribute."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from nucleate.observe import directions_in_use

from .planted import planted, rotation

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.lists(st.integers(1, 6), min_size=1, max_size=5), st.booleans())
def test_it_is_the_entropy_of_the_planted_directions(seed, sizes, signed):
    rng = np.random.default_rng(seed)
    vectors, truth = planted(rng, sizes, 6, opposite=not signed, noise=1e-3)
    contributions = rng.exponential(size=truth.size)
    by_direction = [contributions[truth == direction].sum() for direction in range(len(sizes))]
    expected = np.exp(scipy.stats.entropy(by_direction))
    assert directions_in_use(vectors, contributions, signed=signed) == pytest.approx(expected)


@given(seeds, st.integers(-500, 500))
def test_it_minds_neither_order_nor_scale_nor_rotation_nor_doubling(seed, exponent):
    rng = np.random.default_rng(seed)
    vectors, truth = planted(rng, [4, 3, 2], 4, opposite=True, noise=1e-2)
    contributions, order, scale = rng.exponential(size=truth.size), rng.permutation(truth.size), 2.0**exponent
    expected = directions_in_use(vectors, contributions, signed=False)
    changed = [
        (vectors[order], contributions[order]),
        (-scale * vectors, scale * contributions),
        (vectors @ rotation(rng, 4), contributions),
        (np.tile(vectors, (2, 1)), np.tile(contributions, 2)),
    ]
    assert [directions_in_use(*both, signed=False) for both in changed] == pytest.approx([expected] * 4)


@pytest.mark.parametrize("m", [1, 2, 7])
def test_one_when_all_point_one_way_and_m_when_all_differ(m):
    assert directions_in_use(np.outer(np.arange(1.0, m + 1), np.ones(3)), np.ones(m), signed=True) == 1
    assert directions_in_use(np.eye(m), np.ones(m), signed=True) == pytest.approx(m)


def test_nothing_contributes():
    assert directions_in_use(np.eye(3), np.zeros(3), signed=True) == 0
    assert directions_in_use(np.zeros((3, 2)), np.ones(3), signed=True) == 0


def test_opposite_neurons_are_two_only_where_the_sign_counts():
    opposite = np.array([[1.0, 2.0], [-1.0, -2.0]])
    assert directions_in_use(opposite, np.ones(2), signed=True) == 2
    assert directions_in_use(opposite, np.ones(2), signed=False) == 1
