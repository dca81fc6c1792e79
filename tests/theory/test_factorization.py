"""Deep matrix factorization: what the measurements predict. What training then does: tests/experiments."""

import numpy as np
import pytest

from nucleate import ArchitectureError, SpecError
from nucleate.theory import (
    completion_loss,
    draw_factors,
    escape_time,
    forecast_factorization,
    sensing_loss,
)


def test_escape_times_at_depth_two_in_closed_form():
    # One known entry: a = b = eps exp(3 t).
    loss = completion_loss([0], [0], [3.0])
    assert float(escape_time(loss, [[[1e-3]], [[1e-3]]], 1.0)) == pytest.approx(np.log(1e3) / 3, rel=1e-9)
    assert np.isinf(escape_time(loss, [[[0.0]], [[0.0]]], 1.0))


LOSS = completion_loss([0, 7], [1, 7], [1.0, 2.0])


def test_what_does_not_fit_is_refused():
    with pytest.raises(ArchitectureError, match="one length"):
        completion_loss([0, 1], [0], [1.0])
    for rows in ([-1], [0.5]):
        with pytest.raises(ArchitectureError, match="whole numbers from 0 on"):
            completion_loss(rows, [0], [1.0])
    for loss in (completion_loss([5], [0], [1.0]), sensing_loss(np.ones((1, 3, 3)), [1.0])):
        with pytest.raises(ArchitectureError, match=r"do not fit a matrix of the factors' shape \(2, 2\)"):
            forecast_factorization(loss, draw_factors((2, 2), 3, 0.1))
    with pytest.raises(ArchitectureError, match="one value for each"):
        sensing_loss(np.ones((2, 1, 1)), [1.0])
    with pytest.raises(ArchitectureError, match="do not fit"):
        forecast_factorization(LOSS, [np.ones((3, 2)), np.ones((2, 2))])
    with pytest.raises(SpecError, match="depth"):
        draw_factors((2, 2), 0, 1.0)
    with pytest.raises(SpecError, match="height"):
        escape_time(LOSS, draw_factors((8, 8), 2, 1.0), 0.0)
