"""What came of forecasts: the networks trained through their first descent, and what is measured of them there."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from nucleate.forecasting.expected import Forecast, StepForecast
from nucleate.forecasting.forecasts import condensed
from nucleate.forecasting.models import matrices_of, norm_of_keys, same_axis
from nucleate.forecasting.simulation import Simulation
from nucleate.forecasting.stairs import follow, joining, linear_modes
from nucleate.models import take_apart
from nucleate.network import Network
from nucleate.problems import Problem
from nucleate.training import engine


@dataclass(frozen=True)
class StairOutcome:
    """What training did on a stair: when it began and ended, and the share of neurons that joined; None: not so far.

    Parameters
    ----------
    begins, ends : int or None
    share : float or None
    """

    begins: int | None
    ends: int | None
    share: float | None


@dataclass(frozen=True)
class KeyOutcome:
    """When keys and queries of a block had doubled, None: not so far; and ``|cos|`` to the directions forecast then.

    Parameters
    ----------
    doubled : int or None
    query, key : float or None
    """

    doubled: int | None
    query: float | None
    key: float | None


@dataclass(frozen=True)
class Outcome:
    """What training did, in the terms of a `Forecast`.

    ``drop_steps`` are None where the loss did not fall so far in the steps that were trained; ``condensed_share`` and
    ``sides`` are those of the step at which the loss had fallen by 10 %, or of the last.

    Parameters
    ----------
    drop_steps : dict of float to (int or None)
    condensed_share : float
    sides : array of shape (m_1,)
    stairs : tuple of StairOutcome
        One for each stair that was forecast.
    matrices : dict of str to float
        For each matrix that was forecast, ``|cos|`` between its direction and the one forecast. Of models that are no
        network, of which share and sides are None.
    keys : tuple of KeyOutcome
        One for each block whose keys and queries were forecast.
    """

    drop_steps: dict[float, int | None]
    condensed_share: float | None
    sides: Int[np.ndarray, " m_1"] | None
    stairs: tuple[StairOutcome, ...] = ()
    matrices: dict[str, float] = field(default_factory=dict)
    keys: tuple[KeyOutcome, ...] = ()

    def same_sides(self, forecast: Forecast) -> float | None:
        """The share of the first layer's neurons that ended on the side forecast; None where none was.

        Parameters
        ----------
        forecast : Forecast
            Made before this outcome.

        Returns
        -------
        float or None
        """
        if forecast.sides is None or self.sides is None:
            return None
        return float(np.mean(self.sides == forecast.sides))


def measure_outcomes(
    networks: Sequence[Network], problem: Problem, forecasts: Sequence[Forecast], *, steps: int | None = None
) -> list[Outcome]:
    """Train the networks through their first descent as the forecasts suppose, and say what came of it.

    Training ends with the 30 % drop, or at twice the latest step forecast; where a drop has no forecast, not before
    ``steps`` either, by default the forecasts' horizon.

    Parameters
    ----------
    networks : sequence of Network
    problem : Problem
    forecasts : sequence of Forecast
        One for each network.
    steps : int, optional

    Returns
    -------
    list of Outcome
        One for each network.
    """
    size, rule = forecasts[0].batch_size, forecasts[0].rule
    program = engine.Program(take_apart(networks[0])[1], problem.loss, rule, size, watches=size is not None)
    rates, seeds = [forecast.learning_rate for forecast in forecasts], [forecast.seed for forecast in forecasts]
    decays = [forecast.weight_decay for forecast in forecasts] if rule.decays else None
    training = Simulation(program, networks, problem.train, problem.train, rates, seeds, decays)
    expected = [step for forecast in forecasts for step in forecast.drop_steps.values()]
    longest = _far_enough(expected, max(forecast.horizon for forecast in forecasts), steps)
    drops, left_at = training.first_descent(longest, through_flats=True)
    ends = np.where(drops[:, 1] >= 0, drops[:, 1], left_at)
    ((reached, _),) = training.states_at(ends[:, None])
    stairs = _measured_stairs(training, problem, networks[0], forecasts, steps)
    keys = _measured_keys(training, forecasts)
    outcomes = []
    for run, (network, forecast) in enumerate(zip(reached, forecasts, strict=True)):
        sides, share = condensed(network, forecast.axes) if isinstance(network, Network) else (None, None)
        found = {
            amount: int(step) if step >= 0 else None for amount, step in zip(engine.DROPS, drops[run], strict=True)
        }
        reached_matrices = matrices_of(network) if forecast.matrices else {}
        axes = {one.name: same_axis(one.incoming, reached_matrices[one.name]) for one in forecast.matrices}
        outcomes.append(Outcome(found, share, sides, stairs[run], axes, keys[run]))
    return outcomes


def _measured_keys(training: Simulation, forecasts: Sequence[Forecast]) -> list[tuple[KeyOutcome, ...]]:
    """Follow keys and queries as far as a forecast that is too early is found out."""
    found = [[KeyOutcome(None, None, None)] * len(forecast.keys) for forecast in forecasts]
    steps = [[one.doubled for one in forecast.keys if one.doubled is not None] for forecast in forecasts]
    limits = [_far_enough(run, forecast.horizon, None) for run, forecast in zip(steps, forecasts, strict=True)]
    starts: dict[int, list[float]] = {}

    def see(run: int, step: int, model: Any) -> bool:
        blocks, expected = model.blocks, forecasts[run].keys
        norms = [norm_of_keys(model, block) for block in range(len(blocks))]
        before = starts.setdefault(run, norms)
        for place, one in enumerate(expected):
            if found[run][place].doubled is None and norms[place] >= 2 * before[place]:
                axes = (
                    same_axis(direction, np.asarray(matrix))
                    for direction, matrix in ((one.query, blocks[place].query), (one.key, blocks[place].key))
                )
                found[run][place] = KeyOutcome(step, *axes)
        return step < limits[run] and any(one.doubled is None for one in found[run])

    if any(steps):
        training.walk(see, max(limits), apart=0.01)
    return [tuple(one) for one in found]


def _measured_stairs(
    training: Simulation, problem: Problem, network: Network, forecasts: Sequence[Forecast], unforecast: int | None
) -> list[tuple[StairOutcome, ...]]:
    if not any(forecast.stairs for forecast in forecasts):
        return [()] * len(forecasts)
    modes, x = linear_modes(problem, network), problem.train.x
    lengths = [
        _far_enough([stair.ends for stair in forecast.stairs], forecast.horizon, unforecast) for forecast in forecasts
    ]

    def amplitudes(state: Network) -> Float[np.ndarray, " k"]:
        return modes.amplitudes(state(x).astype("float64"))

    course = follow(training, lengths, len(forecasts[0].stairs), amplitudes, apart=0.005)
    found = []
    for run, forecast in enumerate(forecasts):
        begins, ends = course.crossings(run)
        outcomes: list[StairOutcome] = []
        for place, stair in enumerate(forecast.stairs):
            mode = int(np.argmax(np.abs(modes.outputs @ stair.output)))
            state = course.done[run].get(mode)
            before = [other.direction for other in forecast.stairs[:place]]
            share = None if state is None else joining(state, stair.direction, before)
            outcomes.append(StairOutcome(_whole(begins[mode]), _whole(ends[mode]), share))
        found.append(tuple(outcomes))
    return found


def _whole(step: float) -> int | None:
    return int(np.ceil(step)) if np.isfinite(step) else None


def _far_enough(steps: Sequence[StepForecast | None], horizon: int, unforecast: int | None) -> int:
    """So far that a forecast that is too early is found out, and so is one that is missing."""
    twice = 2 * max((step.upper for step in steps if step is not None), default=0) + 100
    least = 0 if None not in steps else horizon if unforecast is None else unforecast
    return min(max(twice, least), horizon)
