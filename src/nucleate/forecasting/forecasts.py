"""The verb: when the plateau will end, which way the neurons will turn, and whether to believe it."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from nucleate.errors import SpecError
from nucleate.forecasting.departure import Departure, Rows, departure, restore, unrestore
from nucleate.forecasting.expected import Forecast
from nucleate.forecasting.judgement import BETWEEN, Seen, judge, point_of_drop, points_between, points_to_see
from nucleate.forecasting.leading import MOST_ROWS, leading, spaced_rows
from nucleate.forecasting.simulation import Simulation
from nucleate.network import Network
from nucleate.observe import alignment, neurons
from nucleate.optimizers import OptimizerName
from nucleate.problems import Problem
from nucleate.theory import target_directions
from nucleate.training import check_runs, engine, make_settings

HORIZON = 100_000
CONDENSED = 0.9
"""A neuron has condensed when its cosine with a target direction exceeds this, in size."""


def forecast(
    network: Network,
    problem: Problem,
    optimizer: OptimizerName = "gd",
    learning_rate: float = 0.05,
    *,
    momentum: float = 0.9,
    horizon: int = HORIZON,
) -> Forecast:
    """Forecast one full-batch training run; see `forecast_many`.

    Examples
    --------
    >>> from nucleate import InitScale
    >>> from nucleate.problems import load_problem
    >>> network = Network.create(10, [50, 50], 1, scale=InitScale("epsilon", 0.01), bias=[True, False, False])
    >>> expected = forecast(network, load_problem("diabetes"), learning_rate=0.1)
    >>> print(expected.drop_steps[0.1], expected.in_regime)
    109 [106, 110] True
    """
    return forecast_many(
        [network],
        problem,
        learning_rates=[learning_rate],
        optimizer=optimizer,
        momentum=momentum,
        horizon=horizon,
    )[0]


def forecast_many(
    networks: Sequence[Network],
    problem: Problem,
    *,
    learning_rates: Sequence[float],
    optimizer: OptimizerName = "gd",
    momentum: float = 0.9,
    horizon: int = HORIZON,
) -> list[Forecast]:
    """Forecast full-batch training runs of one architecture, before any training.

    The networks' leading parts are stepped under the optimiser itself, on data compressed to d + c rows where the
    activation is smooth and the loss squared error (so that the cost does not grow with the data), else on at most 1024
    rows. At a dozen points of that path the network itself is looked at, which corrects the clock and the loss to first
    order and measures how far the theory's regime holds (derived in docs/theory.md).

    Parameters
    ----------
    networks : sequence of Network
        Of one architecture; each run's start.
    problem : Problem
    learning_rates : sequence of float
        One for each network.
    optimizer, momentum
        As in `nucleate.train`.
    horizon : int
        Runs still on their plateau at this step are not followed further.

    Raises
    ------
    SpecError
        For an optimiser, a momentum, a learning rate or a horizon out of range, or networks that do not fit the
        problem or each other.
    """
    check_runs(problem, networks, learning_rates)
    make_settings(optimizer=optimizer, momentum=momentum)
    if not 1 <= horizon < 2**31:
        raise SpecError(f"The horizon is {horizon} steps; it must be from 1 to 2147483647.")
    program = engine.Program(problem.task, optimizer, momentum, None)
    leads = leading(networks, problem)
    simulation = Simulation(program, leads.networks, leads.x, leads.y, learning_rates)
    drops, left_at = simulation.first_descent(horizon)
    points = np.stack([points_to_see(run, int(end)) for run, end in zip(drops, left_at, strict=True)])

    lead = leads.networks[0].activation
    x, y = problem.train.x, problem.train.y
    data = [Rows(jnp.asarray(x[s.rows].T), jnp.asarray(y[s.rows]), jnp.asarray(s.weights)) for s in leads[-2:]]
    stacked, losses, departures = [], [], []
    for state, loss in simulation.states_at(points):
        stacked.append(restore(state, networks[0]).astype("float64"))
        losses.append(loss)
        departures.append(departure(program, lead, stacked[-1], *data)[0])
    leading_loss, departed = np.array(losses), Departure(*map(np.array, zip(*departures, strict=True)))

    followed = stacked
    if optimizer == "adam":

        def rest(state: Network) -> Network:
            more = departure(program, lead, restore(state, networks[0]).astype("float64"), *data)[1]
            return unrestore(more, leads.networks[0])

        # Adam moves every weight by a full step, however small its gradient: where the leading part's vanishes, as that
        # of a first-layer bias does for targets of mean zero, the rest of the gradient decides which way.
        finely = simulation.states_pushed(points_between(points), rest)
        followed = [restore(state, networks[0]) for state in finely][::BETWEEN]
    targets = _targets(networks[0], problem)
    forecasts = []
    for run, rate in enumerate(learning_rates):
        seen = Seen(
            points[run], (leading_loss + departed.excess)[:, run], departed.speed[:, run], departed.across[:, run]
        )
        judgement = judge(
            seen,
            drops[run],
            float(simulation.plateau_loss[run] / simulation.start_loss[run]),
            keeps_pace=optimizer == "adam",
        )
        turned, sides, share = point_of_drop(drops[run]), None, None
        # Where the leading part has jumped away instead, its directions say nothing of the network's.
        if leading_loss[turned, run] <= (1 + engine.DROPS[0]) * simulation.start_loss[run]:
            sides, share = condensed(jax.tree.map(lambda leaf, run=run: leaf[run], followed[turned]), targets)
        forecasts.append(
            Forecast(
                optimizer=optimizer,
                learning_rate=rate,
                target_directions=targets,
                condensed_share=share,
                sides=sides,
                horizon=horizon,
                **judgement._asdict(),
            )
        )
    return forecasts


def condensed(network: Network, targets: Float[np.ndarray, "k d"]) -> tuple[Int[np.ndarray, " m_1"], float]:
    """For the first layer's neurons the side of their nearest target direction, and the share that has condensed."""
    # A run that diverged on the way leaves NaN, which has no direction.
    vectors = np.nan_to_num(neurons(network, 1))
    cosines = np.stack([alignment(vectors, target) for target in targets])
    nearest = np.take_along_axis(cosines, np.abs(cosines).argmax(axis=0)[None], axis=0)[0]
    return np.sign(nearest).astype(np.int64), float(np.mean(np.abs(nearest) > CONDENSED))


def _targets(network: Network, problem: Problem) -> Float[np.ndarray, "k d"]:
    """From the residuals at zero output, less their mean where a bias beyond the first layer takes that up at once."""
    x, y = problem.train.x, problem.train.y
    if not network.activation.slope:
        # Their search walks over the data thousands of times.
        rows = spaced_rows(len(x), MOST_ROWS)
        x, y = x[rows], y[rows]
    residuals = np.asarray(problem.residual(jnp.zeros_like(jnp.asarray(y)), y))
    if any(bias is not None for bias in network.biases[1:]):
        residuals = residuals - residuals.mean(axis=0)
    return target_directions(network, x, residuals).directions


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
