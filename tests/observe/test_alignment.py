"""Alignment is the cosine with a given direction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate import ArchitectureError
from nucleate.observe import alignment

from .planted import rotation


@given(st.integers(0, 2**32 - 1), st.integers(-900, 900))
def test_alignment_is_the_cosine_of_the_angle_from_every_side_and_at_every_scale(seed, exponent):
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, np.pi, 6)
    turn = rotation(rng, 4)
    vectors = np.column_stack([np.cos(angles), np.sin(angles), np.zeros((6, 2))]) @ turn
    for scale in (1.0, 2.0**exponent):
        np.testing.assert_allclose(alignment(scale * vectors, turn[0] / scale), np.cos(angles), atol=1e-14)
        np.testing.assert_allclose(alignment(vectors, -scale * turn[0]), -np.cos(angles), atol=1e-14)


def test_dead_neurons_are_not_aligned():
    np.testing.assert_array_equal(alignment(np.zeros((2, 3)), np.ones(3)), 0)


def test_a_target_without_the_bias_is_refused():
    with pytest.raises(ArchitectureError, match=r"shape \(3,\) for neurons with 4 entries, the bias included; give 4"):
        alignment(np.ones((2, 4)), np.ones(3))
