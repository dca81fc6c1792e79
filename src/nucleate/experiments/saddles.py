"""What experiments on the plateaus behind the first share: a teacher of several parts, and what is read of runs."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from nucleate.forecasting import StepForecast
from nucleate.problems import Problem

STRENGTHS = (1.0, 0.5, 0.25)
IN_USE = 0.3
"""A direction is in use when its singular value is above this share of the largest."""
Compared = tuple[StepForecast, float, bool]
"""A step as it was forecast and as it was measured, and whether the interval is declared to be in the regime."""


def linear_teacher(rows: int, inputs: int, places: int = 1) -> Problem:
    """Three outputs, each linear in the mean over the places of a row; none of the directions is an axis."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, places, inputs))
    left, right = (np.linalg.qr(rng.standard_normal((k, len(STRENGTHS))))[0] for k in (len(STRENGTHS), inputs))
    # Times this the mean has the variance of one place.
    y = places**0.5 * x.mean(axis=1) @ (right * STRENGTHS) @ left.T
    return Problem.from_arrays(x.reshape(rows, -1), y, name="teacher", standardize=False)


def count_in_use(vectors: Float[np.ndarray, "m k"]) -> int:
    """How many directions are in use."""
    values = np.linalg.svd(vectors, compute_uv=False)
    return int(np.sum(values > IN_USE * values[0]))


def half_way(steps: Int[np.ndarray, " t"], in_use: Int[np.ndarray, " t"], end: float, following: float) -> int:
    """The directions in use half way, in the logarithm of the step, from the end of a part to the next beginning."""
    return int(in_use[np.searchsorted(steps, (end * following) ** 0.5)])


def judge_forecasts(compared: Sequence[Compared], expected: int) -> tuple[float, float]:
    """The median relative error, NaN if not so many steps came, and the share of the intervals in the regime that hold.

    The share is NaN where none is in the regime.
    """
    errors = [abs(step.estimate / measured - 1) for step, measured, _ in compared]
    held = [step.lower <= measured <= step.upper for step, measured, in_regime in compared if in_regime]
    return float(np.median(errors)) if len(errors) == expected else np.nan, float(np.mean(held)) if held else np.nan
