"""Train, and put the outcome beside the forecast."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Int

from nucleate.forecast._expected import Forecast
from nucleate.forecast._forecast import condensed
from nucleate.forecast._simulate import Simulation
from nucleate.network import Network
from nucleate.problems import Problem
from nucleate.training import engine


@dataclass(frozen=True)
class Outcome:
    """What training did, in the terms of a `Forecast`.

    ``drop_steps`` are None where the loss did not fall so far in the steps that were trained; ``condensed_share`` and
    ``sides`` are those of the step at which the loss had fallen by 10 %, or of the last.
    """

    drop_steps: dict[float, int | None]
    condensed_share: float
    sides: Int[np.ndarray, " m_1"]

    def same_sides(self, forecast: Forecast) -> float | None:
        """The share of the first layer's neurons that ended on the side forecast; None where none was."""
        return None if forecast.sides is None else float(np.mean(self.sides == forecast.sides))


def check_forecasts(
    networks: Sequence[Network],
    problem: Problem,
    forecasts: Sequence[Forecast],
    *,
    momentum: float = 0.9,
    steps: int | None = None,
) -> list[Outcome]:
    """Train the networks through their first descent as the forecasts suppose, and say what came of it.

    Training ends with the 30 % drop, or at twice the latest step forecast; where a drop has no forecast, not before
    ``steps`` either, by default the forecasts' horizon.
    """
    program = engine.Program(problem.task, forecasts[0].optimizer, momentum, None)
    rates = [forecast.learning_rate for forecast in forecasts]
    training = Simulation(program, networks, problem.train.x, problem.train.y, rates)
    drops, left_at = training.first_descent(_longest(forecasts, steps), through_flats=True)
    ends = np.where(drops[:, 1] >= 0, drops[:, 1], left_at)
    ((stacked, _),) = training.states_at(ends[:, None])
    outcomes = []
    for run, forecast in enumerate(forecasts):
        network = jax.tree.map(lambda leaf, run=run: leaf[run], stacked)
        sides, share = condensed(network, forecast.target_directions)
        found = {
            amount: int(step) if step >= 0 else None for amount, step in zip(engine.DROPS, drops[run], strict=True)
        }
        outcomes.append(Outcome(found, share, sides))
    return outcomes


def _longest(forecasts: Sequence[Forecast], unforecast: int | None) -> int:
    """So far that a forecast that is too early is found out, and so is one that is missing."""
    horizon = max(forecast.horizon for forecast in forecasts)
    drops = [step for forecast in forecasts for step in forecast.drop_steps.values()]
    twice = 2 * max((step.upper for step in drops if step is not None), default=0) + 100
    least = 0 if None not in drops else horizon if unforecast is None else unforecast
    return min(max(twice, least), horizon)
