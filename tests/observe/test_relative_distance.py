"""The relative distance of the phase diagram."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate.observe import relative_distance

from .planted import rotation


@given(st.integers(0, 2**32 - 1), st.floats(0, 100), st.integers(-900, 900))
def test_a_step_of_known_length_from_every_start_at_every_scale(seed, length, exponent):
    rng = np.random.default_rng(seed)
    start, turn, scale = rng.standard_normal((3, 5)), rotation(rng, 5), 2.0**exponent
    step = rng.standard_normal((3, 5))
    now = start + length * np.linalg.norm(start) / np.linalg.norm(step) * step
    for factor in (1.0, scale, -scale):
        assert relative_distance(factor * now @ turn, factor * start @ turn) == pytest.approx(length, abs=1e-13)


def test_growth_by_a_factor_is_the_factor_less_one():
    start = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    assert relative_distance(1000 * start, start) == pytest.approx(999, rel=1e-6)


def test_from_zero_all_movement_is_infinite():
    assert relative_distance(np.ones(3), np.zeros(3)) == np.inf
    assert relative_distance(np.zeros(3), np.zeros(3)) == 0
