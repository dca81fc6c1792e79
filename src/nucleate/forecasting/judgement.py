"""What was seen along the leading part's path makes the loss curve, the drops with their intervals, and the regime."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from nucleate.forecasting.expected import StepForecast
from nucleate.training import Rule, engine

SHORTEST_PLATEAU = 20
"""Steps below which there is no plateau to speak of, and rounding to whole steps alone costs several percent."""
LARGEST_CORRECTION, LARGEST_ACROSS = 0.05, 0.1
"""The theory's regime: the departure from the leading part changes the time by less, and bends the path by less."""
BETWEEN = 3
"""Where the network is read on its own way, it is so many times from one of these points to the next."""
_FRACTIONS = (0.3, 0.6, 0.8, 0.9, 1.0)
_BEYOND = (0.15, 0.5, 1.0)


class PathReading(NamedTuple):
    """What was seen of a run at some steps of its leading part's path."""

    points: Int[np.ndarray, " points"]
    loss: Float[np.ndarray, " points"]
    speed: Float[np.ndarray, " points"]
    across: Float[np.ndarray, " points"]


class Judgement(NamedTuple):
    """The part of a `Forecast` that comes of it, in its terms."""

    drop_steps: dict[float, StepForecast | None]
    left_by: int | None
    in_regime: bool
    correction: float
    across: float
    steps: Float[np.ndarray, " t"]
    loss: Float[np.ndarray, " t"]


def points_to_read(drops: Int[np.ndarray, " drops"], end: int) -> Int[np.ndarray, " points"]:
    """Steps at which the network is read: on the plateau, between the drops, and beyond the last as far again."""
    first, second, third = (int(step) if step >= 0 else end for step in drops)
    between = np.array([1 / 3, 2 / 3, 1.0])
    points = np.concatenate(
        [
            [0],
            first * np.array(_FRACTIONS),
            first + (second - first) * between,
            second + (third - second) * between,
            third + 1 + (third - second) * np.array(_BEYOND),
        ]
    )
    return points.round().astype(np.int64)


def points_between(points: Int[np.ndarray, "runs points"]) -> Int[np.ndarray, "runs more"]:
    """The points, and evenly spaced ones between."""
    known = np.arange(points.shape[1])
    wanted = np.arange(known[-1] * BETWEEN + 1) / BETWEEN
    return np.array([np.interp(wanted, known, run) for run in points]).round().astype(np.int64)


def point_of_drop(drops: Int[np.ndarray, " drops"]) -> int:
    """Which of the points is that at which the loss has fallen by 10 %, or the last before the simulation was left."""
    return len(_FRACTIONS) + (3 if drops[1] >= 0 else 6)


def judge(
    seen: PathReading,
    drops: Int[np.ndarray, " drops"],
    plateau: float,
    rule: Rule,
    watched: bool,
) -> Judgement:
    """Correct the drops of the leading part by what was seen, and say how far to trust them.

    The drops are steps, -1 where there is none; the plateau is its loss as a share of that at the start. Where the loss
    was ``watched``, it was read at some steps only, as `engine.WATCHED` says, and in training it then is too.
    """
    clock = corrected_clock(seen, rule) if rule.optimizer.follows_gradient else seen.points.astype(float)
    steps, loss = _curve(clock, seen.loss)
    # The falls that take more than the best constant output.
    telling = [1 - amount <= (1 - engine.DROPS[0]) * plateau for amount in engine.DROPS]
    main = next((index for index in (1, 0, 2) if drops[index] >= 0 and telling[index]), None)
    in_regime, correction, across, left_by = False, np.nan, np.nan, None
    drop_steps: dict[float, StepForecast | None] = dict.fromkeys(engine.DROPS)
    for index, amount in enumerate(engine.DROPS):
        simulated = int(drops[index])
        if simulated < 0:
            continue
        reached = np.flatnonzero(loss <= (1 - amount) * seen.loss[0])
        estimate = float(steps[reached[0]]) if reached.size else max(float(steps[-1]), simulated)
        bend = mean_until(seen.points, seen.across, simulated)
        if not np.isfinite(bend):
            # The network's own gradient is infinite, of which the leading part says nothing.
            continue
        # Between the uncorrected step and the corrected, and as far again as the correction itself is in doubt.
        margin = 1 + 0.5 * abs(estimate - simulated) + 0.25 * bend * estimate
        if watched:
            margin += 2 * max(estimate // engine.WATCHED - 1, 0)
        forecast = step_between(estimate, simulated, margin)
        if not reached.size:
            # All that is known is that the leading part falls so far and the network not yet.
            forecast = replace(forecast, upper=int(np.ceil(2 * max(estimate, simulated) + margin)))
        drop_steps[amount] = forecast
        left_by = forecast.upper if telling[index] else None
        if index == main:
            correction, across = estimate / max(simulated, 1) - 1, bend
            in_regime = bool(
                reached.size
                and simulated >= SHORTEST_PLATEAU
                and abs(correction) <= LARGEST_CORRECTION
                and across <= LARGEST_ACROSS
            )
    return Judgement(drop_steps, left_by, in_regime, correction, across, steps, loss)


def step_between(estimate: float, other: float, margin: float) -> StepForecast:
    """An estimate, with an interval that holds it and another one, and so much beyond both."""
    lower, upper = min(estimate, other) - margin, max(estimate, other) + margin
    return StepForecast(int(np.ceil(estimate)), max(int(np.floor(lower)), 0), int(np.ceil(upper)))


def corrected_clock(seen: PathReading, rule: Rule) -> Float[np.ndarray, " points"]:
    """The integral of dt / s along the path, where t is what the schedule has made of the steps."""
    # Where the path is left altogether the speed means nothing, or is NaN; the bounds keep the clock running.
    pace = 1 / np.clip(np.nan_to_num(seen.speed), 0.2, 5.0)
    distinct, first, places = np.unique(rule.passed(seen.points), return_index=True, return_inverse=True)
    pace, gaps = pace[first], np.diff(distinct)
    slopes = monotone_slopes(distinct, pace)
    between = gaps * (pace[1:] + pace[:-1]) / 2 - gaps**2 * np.diff(slopes) / 12
    return rule.reached(np.append(0.0, np.cumsum(between))[places])


def _curve(
    clock: Float[np.ndarray, " points"], seen: Float[np.ndarray, " points"]
) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]:
    """The loss between the points, by interpolation of the logarithm of its fall."""
    fallen = 1 - seen / seen[0]
    # At too large a rate a path soon leaves the numbers; it is known as far as it stays among them.
    usable = (fallen > 0) & np.isfinite(fallen) & np.isfinite(clock) & np.append(True, np.diff(clock) > 0)
    if usable.sum() < 2:
        return clock[[0]], seen[[0]]
    steps = np.linspace(0, clock[usable][-1], 400)
    inside = np.maximum(steps, clock[usable][0])
    logarithm = interpolate(clock[usable], np.log(fallen[usable]), inside)
    return steps, seen[0] * (1 - np.exp(logarithm) * (steps / inside) ** 2)


def monotone_slopes(x: Float[np.ndarray, " k"], y: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """The slopes at two or more points by which a cubic goes up and down only where the points do.

    As of `scipy.interpolate.PchipInterpolator` (Fritsch and Butland 1984, doi:10.1137/0905021), whose import takes
    longer than the rest of a forecast.
    """
    gaps = np.diff(x)
    chords = np.diff(y) / gaps
    if len(chords) == 1:
        return np.repeat(chords, 2)
    left, right, by = chords[:-1], chords[1:], 2 * gaps[1:] + gaps[:-1]
    turns = np.sign(left) * np.sign(right) <= 0
    with np.errstate(divide="ignore", invalid="ignore"):
        # A weighted harmonic mean.
        means = (3 * (gaps[1:] + gaps[:-1])) / (by / left + (gaps[1:] + 2 * gaps[:-1]) / right)
    ends = [_end_slope(gaps[at], gaps[beside], chords[at], chords[beside]) for at, beside in ((0, 1), (-1, -2))]
    return np.concatenate([ends[:1], np.where(turns, 0.0, means), ends[1:]])


def _end_slope(gap: float, beside: float, chord: float, next_chord: float) -> float:
    """Of the parabola through the three points at an end, but never against the chord, nor far steeper."""
    slope = ((2 * gap + beside) * chord - gap * next_chord) / (gap + beside)
    if np.sign(slope) != np.sign(chord):
        return 0.0
    if np.sign(chord) != np.sign(next_chord) and abs(slope) > 3 * abs(chord):
        return 3 * chord
    return slope


def interpolate(
    x: Float[np.ndarray, " k"], y: Float[np.ndarray, " k"], at: Float[np.ndarray, " t"]
) -> Float[np.ndarray, " t"]:
    """The cubic with `monotone_slopes` at numbers from the first point to the last.

    Examples
    --------
    >>> interpolate(np.array([0.0, 1.0, 3.0]), np.array([0.0, 1.0, 1.0]), np.array([0.5, 2.0]))
    array([0.66666667, 1.        ])
    """
    slopes, places = monotone_slopes(x, y), np.clip(np.searchsorted(x, at, "right") - 1, 0, len(x) - 2)
    gaps, moved = np.diff(x), at - x[places]
    chords = np.diff(y) / gaps
    bends = (slopes[:-1] + slopes[1:] - 2 * chords) / gaps
    cubes, squares = (bends / gaps)[places], ((chords - slopes[:-1]) / gaps - bends)[places]
    values: np.ndarray = y[places] + moved * (slopes[places] + moved * (squares + moved * cubes))
    return values


def mean_until(points: Int[np.ndarray, " points"], values: Float[np.ndarray, " points"], end: int) -> float:
    """The mean of a quantity over the path up to a step."""
    known = points <= end
    if not np.isfinite(values[known]).all():
        return np.inf
    if points[known][-1] == 0:
        return float(values[0])
    return float(np.trapezoid(values[known], points[known]) / points[known][-1])
