"""The verb: when the plateau will end, which way the neurons will turn, and whether to believe it."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from scipy.interpolate import PchipInterpolator

from nucleate.errors import SpecError
from nucleate.forecast._correct import Rows, departure, restore
from nucleate.forecast._expected import Forecast, StepForecast
from nucleate.forecast._leading import MOST_ROWS, leading, spaced_rows
from nucleate.forecast._simulate import Simulation
from nucleate.network import Network
from nucleate.observe import alignment, neurons
from nucleate.optimizers import OptimizerName
from nucleate.problems import Problem
from nucleate.theory import target_directions
from nucleate.training import check_runs, engine, make_settings

HORIZON = 100_000
CONDENSED = 0.9
"""A neuron has condensed when its cosine with a target direction exceeds this, in size."""
SHORTEST_PLATEAU = 20
"""Steps below which there is no plateau to speak of, and rounding to whole steps alone costs several percent."""
LARGEST_CORRECTION, LARGEST_ACROSS = 0.05, 0.1
"""The theory's regime: the departure from the leading part changes the time by less, and bends the path by less."""
_FRACTIONS = (0.3, 0.6, 0.8, 0.9, 1.0)


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
    108 [106, 110] True
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
    points = np.stack([_points(run, int(end)) for run, end in zip(drops, left_at, strict=True)])

    lead = leads.networks[0].activation
    x, y = problem.train.x, problem.train.y
    data = [Rows(jnp.asarray(x[s.rows].T), jnp.asarray(y[s.rows]), jnp.asarray(s.weights)) for s in leads[-2:]]
    stacked, path = [], []
    for state, loss in simulation.states_at(points):
        stacked.append(restore(state, networks[0]).astype("float64"))
        departed = jax.device_get(departure(program, lead, stacked[-1], *data))
        path.append((loss + departed.excess, departed.speed, departed.across))

    targets = _targets(networks[0], problem)
    forecasts = []
    for run, rate in enumerate(learning_rates):
        along = _Path(*(np.array([part[run] for part in family]) for family in zip(*path, strict=True)))
        clock = _clock(points[run], along.speed) if optimizer != "adam" else points[run].astype(float)
        turned = jax.tree.map(lambda leaf, run=run: leaf[run], stacked[_point_of_drop(points[run], drops[run])])
        sides, share = condensed(turned, targets)
        forecasts.append(
            _assemble(points[run], drops[run], clock, along, optimizer, rate, horizon, targets, sides, share)
        )
    return forecasts


def condensed(network: Network, targets: Float[np.ndarray, "k d"]) -> tuple[Int[np.ndarray, " m_1"], float]:
    """For the first layer's neurons the side of their nearest target direction, and the share that has condensed."""
    # A run that diverged on the way leaves NaN, which has no direction.
    vectors = np.nan_to_num(neurons(network, 1))
    cosines = np.stack([alignment(vectors, target) for target in targets])
    nearest = np.take_along_axis(cosines, np.abs(cosines).argmax(axis=0)[None], axis=0)[0]
    return np.sign(nearest).astype(np.int64), float(np.mean(np.abs(nearest) > CONDENSED))


class _Path(NamedTuple):
    """What was measured along a run's path."""

    loss: Float[np.ndarray, " points"]
    speed: Float[np.ndarray, " points"]
    across: Float[np.ndarray, " points"]


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


def _points(drops: Int[np.ndarray, " drops"], end: int) -> Int[np.ndarray, " points"]:
    """Steps at which the network is looked at: on the plateau, between the drops, and a little beyond the last."""
    first, second, third = (int(step) if step >= 0 else end for step in drops)
    between = np.array([1 / 3, 2 / 3, 1.0])
    points = np.concatenate(
        [
            [0],
            first * np.array(_FRACTIONS),
            first + (second - first) * between,
            second + (third - second) * between,
            [third + 0.15 * (third - second) + 1],
        ]
    )
    return points.round().astype(np.int64)


def _point_of_drop(points: Int[np.ndarray, " points"], drops: Int[np.ndarray, " drops"]) -> int:
    """The point at which the loss has fallen by 10 %, or the last before the simulation was left."""
    return len(_FRACTIONS) + 3 if drops[1] >= 0 else len(points) - 2


def _clock(points: Int[np.ndarray, " points"], speed: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
    """The integral of dt / s along the path."""
    # Where the path is left altogether the speed means nothing, or is NaN; the bounds keep the clock running.
    pace = 1 / np.clip(np.nan_to_num(speed), 0.2, 5.0)
    distinct, first = np.unique(points, return_index=True)
    clock: Float[np.ndarray, " points"] = PchipInterpolator(distinct, pace[first]).antiderivative()(points)
    return clock


def _assemble(
    points: Int[np.ndarray, " points"],
    drops: Int[np.ndarray, " drops"],
    clock: Float[np.ndarray, " points"],
    along: _Path,
    optimizer: OptimizerName,
    rate: float,
    horizon: int,
    targets: Float[np.ndarray, "k d"],
    sides: Int[np.ndarray, " m_1"],
    share: float,
) -> Forecast:
    fallen = 1 - along.loss / along.loss[0]
    usable = (fallen > 0) & np.append(True, np.diff(clock) > 0)
    steps, loss = clock[[0]], along.loss[[0]]
    curve = None
    if usable.sum() >= 2:
        curve = PchipInterpolator(clock[usable], np.log(fallen[usable]))
        steps = np.linspace(0, clock[usable][-1], 400)
        inside = np.maximum(steps, clock[usable][0])
        loss = along.loss[0] * (1 - np.exp(curve(inside)) * (steps / inside) ** 2)
    main = next((index for index in (1, 0) if drops[index] >= 0), None)
    correction, across = (np.nan, np.nan)
    drop_steps: dict[float, StepForecast | None] = {}
    for index, (amount, simulated) in enumerate(zip(engine.DROPS, drops, strict=True)):
        reached = np.flatnonzero(loss <= (1 - amount) * along.loss[0])
        if simulated < 0 or not reached.size:
            drop_steps[amount] = None
            continue
        estimate = float(steps[reached[0]])
        bend = _mean_until(points, along.across, int(simulated))
        if index == main:
            correction, across = estimate / max(int(simulated), 1) - 1, bend
        # Between the uncorrected step and the corrected, and as far again as the correction itself is in doubt.
        margin = 1 + 0.5 * abs(estimate - int(simulated)) + 0.25 * bend * estimate
        lower, upper = min(estimate, int(simulated)) - margin, max(estimate, int(simulated)) + margin
        drop_steps[amount] = StepForecast(int(np.ceil(estimate)), max(int(np.floor(lower)), 0), int(np.ceil(upper)))
    in_regime = (
        main is not None
        and drop_steps[engine.DROPS[main]] is not None
        and drops[main] >= SHORTEST_PLATEAU
        and abs(correction) <= LARGEST_CORRECTION
        and across <= LARGEST_ACROSS
    )
    return Forecast(
        optimizer=optimizer,
        learning_rate=rate,
        drop_steps=drop_steps,
        in_regime=bool(in_regime),
        correction=float(correction),
        across=float(across),
        steps=steps,
        loss=loss,
        target_directions=targets,
        condensed_share=share,
        sides=sides,
        horizon=horizon,
    )


def _mean_until(points: Int[np.ndarray, " points"], values: Float[np.ndarray, " points"], end: int) -> float:
    """The mean of a quantity over the path up to a step."""
    known = points <= end
    if points[known][-1] == 0:
        return float(values[0])
    return float(np.trapezoid(values[known], points[known]) / points[known][-1])
