"""The curves between the points of a path, beside SciPy's."""

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from nucleate.forecasting.judgement import PathReading, corrected_clock, interpolate
from nucleate.training import Rule


@pytest.mark.parametrize("points", [2, 3, 4, 12])
def test_the_cubic_between_points_is_scipys(points):
    rng = np.random.default_rng(points)
    for _ in range(20):
        # With level stretches, at which a cubic may not overshoot.
        x, y = np.sort(rng.uniform(0, 100, points)), rng.standard_normal(points) * rng.integers(0, 2, points)
        at = np.append(x, rng.uniform(x[0], x[-1], 20))
        assert interpolate(x, y, at) == pytest.approx(PchipInterpolator(x, y)(at), rel=1e-12, abs=1e-12)


def test_the_clock_is_the_integral_of_the_pace_and_stands_where_points_are_the_same():
    steps = np.array([0, 0, 5, 9, 40, 41])
    speed = np.array([1.0, 1.0, 0.8, 2.0, 9.0, np.nan])
    pace = 1 / np.clip(np.nan_to_num(speed), 0.2, 5.0)
    distinct, first = np.unique(steps, return_index=True)
    expected = PchipInterpolator(distinct.astype(float), pace[first]).antiderivative()(steps.astype(float))
    seen = PathReading(steps, np.ones(6), speed, np.zeros(6))
    assert corrected_clock(seen, Rule()) == pytest.approx(expected, rel=1e-12, abs=1e-12)
