"""The verb: when the plateau will end, which way the neurons will turn, and whether to believe it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from nucleate._arrays import is_whole
from nucleate.devices import on_device
from nucleate.errors import SpecError
from nucleate.forecasting.departure import WeightedRows, departures, restore, unrestore
from nucleate.forecasting.expected import NEAR, Forecast, Stair, StepForecast
from nucleate.forecasting.judgement import BETWEEN, points_between
from nucleate.forecasting.leading import Leading, LinearNetwork, leading, spaced_rows
from nucleate.forecasting.models import forecast_models
from nucleate.forecasting.paths import Asked, Paths
from nucleate.forecasting.simulation import Simulation
from nucleate.forecasting.stairs import follow, gap_of, judge_stairs, linear_modes, refuse_stairs
from nucleate.models import dtype_of, is_keras
from nucleate.network import Network
from nucleate.observe import alignment, neurons
from nucleate.optimizers import GD, Optimizer
from nucleate.problems import Problem
from nucleate.problems.moments import relative_weights
from nucleate.pytorch.exchange import is_module
from nucleate.pytorch.setup import read_setup
from nucleate.schedules import CONSTANT, Factor, Schedule
from nucleate.theory import shrinks_for_ever, singular_directions, target_directions
from nucleate.training import make_settings
from nucleate.training.checks import check_batch_size, check_runs, check_seeds

HORIZON = 100_000
ORDERS = 5
"""Of so many orders of the rows is a forecast in mini-batches whose own order is not known."""
CONDENSED = 0.9
"""A neuron has condensed when its cosine with one of the forecast's axes exceeds this, in size."""


def forecast(
    network: Any,
    problem: Any,
    optimizer: Any = GD,
    learning_rate: float = 0.05,
    *,
    loss: Any = None,
    weight_decay: float | None = None,
    schedule: Schedule | str | Factor = CONSTANT,
    warmup: int = 0,
    clip: float | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    horizon: int = HORIZON,
    budget: int | None = None,
    stairs: int = 0,
    keys: bool = True,
    device: str = "auto",
) -> Forecast:
    """Forecast one training run; see `forecast_many`.

    Parameters
    ----------
    network : Network, any other model or torch.nn.Module
        The run's start. A module of PyTorch's must be a fully connected network, as `nucleate.from_torch` takes it.
    problem : Problem
        For a module also a pair of arrays or tensors, a Dataset or a DataLoader, whose rows are taken as they are.
    optimizer : Optimizer or str
        For a module also its `torch.optim.Optimizer`, SGD, Adam or AdamW, with the settings that this has.
    learning_rate : float
    loss : torch loss or Loss, optional
        That a module is trained on: MSELoss, L1Loss, HuberLoss, SmoothL1Loss, CrossEntropyLoss or BCEWithLogitsLoss of
        PyTorch's, in whose terms losses are then given; by default the problem's, or half the squared error.
    weight_decay, schedule, warmup, clip
        As of `nucleate.train`.
    batch_size : int, optional
        Rows a step; by default all of them, or those of a DataLoader's batches.
    seed : int
        Of the order of the rows, where there are mini-batches: the forecast is of the run of this seed. Of a module it
        is the first of five, as only PyTorch knows its own order; the intervals contain those of all.
    horizon, budget, stairs, keys : int, int, int, bool
        As in `forecast_many`.
    device : {"auto", "cpu", "gpu"}
        Where to compute; by default where JAX does.

    Returns
    -------
    Forecast

    Raises
    ------
    SpecError
        As `forecast_many`.

    Examples
    --------
    >>> from nucleate import InitScale
    >>> from nucleate.problems import load_problem
    >>> network = Network.create(10, [50, 50], 1, scale=InitScale("epsilon", 0.01), bias=[True, False, False])
    >>> expected = forecast(network, load_problem("diabetes"), learning_rate=0.1)
    >>> print(expected.drop_steps[0.1], expected.in_regime)
    109 [106, 110] True
    """
    factor, decay_factor, orders = 1.0, 1.0, 1
    if is_keras(network):
        raise SpecError(
            "No forecast is made of a Keras model; build the same layers as a torch.nn.Sequential, which takes its "
            "initial weights, or as a nucleate.Network."
        )
    if is_module(network):
        network, problem, optimizer, learning_rate, decay, factor, of_loader = read_setup(
            network, problem, optimizer, learning_rate, loss
        )
        if of_loader is not None and batch_size not in (None, of_loader):
            raise SpecError(f"The DataLoader gives batches of {of_loader} rows; leave batch_size out.")
        batch_size = of_loader if batch_size is None else batch_size
        orders = 1 if batch_size is None else ORDERS
        if orders > 1 and stairs:
            raise SpecError(
                "Stairs are forecast for rows whose order is known, and that of a module's batches only PyTorch knows; "
                "leave the stairs out, or the batches."
            )
        if decay is not None and weight_decay is not None:
            raise SpecError("The weight decay of a PyTorch optimizer is read off it; leave weight_decay out.")
        # Of the problem's loss, of which PyTorch's is so many times; a decoupled decay is beside the gradient.
        decay_factor = 1.0 if optimizer.decoupled else factor
        weight_decay = decay if weight_decay is None else _over(weight_decay, decay_factor)
        clip = _over(clip, factor)
    elif loss is not None:
        raise SpecError("The loss of a Network is its problem's; give it there.")
    expected = forecast_many(
        [network] * orders,
        problem,
        learning_rates=[learning_rate] * orders,
        weight_decays=None if weight_decay is None else [weight_decay] * orders,
        optimizer=optimizer,
        schedule=schedule,
        warmup=warmup,
        clip=clip,
        batch_size=batch_size,
        seeds=[seed + order for order in range(orders)] if orders > 1 else [seed],
        horizon=horizon,
        budget=budget,
        stairs=stairs,
        keys=keys,
        device=device,
    )
    found = expected[0] if expected[0].batch_size is None or orders == 1 else _of_any_order(expected)
    levels = [replace(stair, loss_level=factor * stair.loss_level) for stair in found.stairs]
    return replace(
        found,
        weight_decay=decay_factor * found.weight_decay,
        loss=factor * found.loss,
        late_loss=factor * found.late_loss,
        stairs=tuple(levels),
    )


def _over(given: Any, factor: float) -> Any:
    """A number divided by the factor; anything else is refused where it is checked."""
    return float(given) / factor if isinstance(given, Real) and float(given) > 0 else given


def _of_any_order(forecasts: Sequence[Forecast]) -> Forecast:
    """The first of forecasts that differ in the order of the rows, with intervals that contain those of all."""
    drops: dict[float, StepForecast | None] = {}
    for drop in forecasts[0].drop_steps:
        steps = [step for one in forecasts if (step := one.drop_steps[drop]) is not None]
        drops[drop] = None
        if len(steps) == len(forecasts):
            estimate = int(np.median([step.estimate for step in steps]))
            drops[drop] = StepForecast(estimate, min(one.lower for one in steps), max(one.upper for one in steps))
    left = [one.left_by for one in forecasts if one.left_by is not None]
    return replace(
        forecasts[0],
        drop_steps=drops,
        left_by=max(left) if len(left) == len(forecasts) else None,
        in_regime=all(one.in_regime for one in forecasts),
        decays_away=all(one.decays_away for one in forecasts),
        orders=len(forecasts),
    )


def forecast_many(
    networks: Sequence[Any],
    problem: Problem,
    *,
    learning_rates: Sequence[float],
    weight_decays: Sequence[float] | None = None,
    optimizer: Optimizer | str = GD,
    schedule: Schedule | str | Factor = CONSTANT,
    warmup: int = 0,
    clip: float | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    seeds: Sequence[int] | None = None,
    horizon: int = HORIZON,
    budget: int | None = None,
    stairs: int = 0,
    keys: bool = True,
    device: str = "auto",
) -> list[Forecast]:
    """Forecast training runs of one architecture, before any training.

    The networks' leading parts are stepped under the optimizer itself, with its schedule, clipping and weight decay, on
    data compressed to d + c rows where the activation is smooth and the loss quadratic (so that the cost does not grow
    with the data), else on at most 1024 rows. At a dozen points of that path the network itself is read, which corrects
    the clock and the loss to first order and measures how far the theory's regime holds (derived here, in
    docs/theory.md).

    Parameters
    ----------
    networks : sequence of Network, ConvNetwork, Transformer or any other model
        Of one architecture; each run's start. What a `ConvNetwork` and a `Transformer` are near zero is known in
        closed form; of any other model it is read off as `nucleate.theory.near_zero` does, which costs several times
        its own training up to the end of the plateau.
    problem : Problem
        Under any loss.
    learning_rates : sequence of float
        One for each network: the peak, where there is a schedule.
    weight_decays : sequence of float, optional
        One for each network; without them nothing decays.
    optimizer : Optimizer or str
        One that follows the gradient, or whose steps do not depend on its size.
    schedule, warmup, clip
        As of `nucleate.train`.
    steps : int, optional
        Of the run, for which the schedule is made; by default the budget, or without one the horizon.
    batch_size : int, optional
        Rows a step; by default all of them. The leading parts are then stepped on the very batches of training.
    seeds : sequence of int, optional
        One for each network, for the order of the rows; 0 where not given.
    horizon : int
        Runs still on their plateau at this step are not followed further; nor beyond ``steps`` under a schedule.
    budget : int, optional
        The steps of training for which the loss is asked: runs that leave their plateau before are followed so far.
    stairs : int
        How many stairs of the loss curve to forecast, the first descent being the first. They are those that the linear
        part makes, each at least 1 % of the plateau's loss, and a forecast has fewer where that makes fewer. Under the
        squared loss, without weight decay, and for activations with a slope at zero.
    keys : bool
        Of transformers also when keys and queries grow, which takes following them on behind the first descent. Under
        an optimizer that does not follow the gradient they move with all else, and nothing is said.
    device : {"auto", "cpu", "gpu"}
        Where to compute; by default where JAX does.

    Returns
    -------
    list of Forecast
        One for each network.

    Raises
    ------
    SpecError
        For an optimizer of which no honest forecast can be made, a learning rate, a
        weight decay, a schedule, a batch size, a seed, a horizon or stairs out of range, networks that do not fit the
        problem or each other, or a device that there is not; and for stairs of a leading part that is not linear, under
        another loss, or with weight decay.
    """
    with on_device(device):
        for name, given in (("horizon", horizon), ("budget", 1 if budget is None else budget)):
            if not is_whole(given) or not 1 <= given < 2**31:
                raise SpecError(f"The {name} is {given!r:.60} steps; it must be a whole number from 1 to 2147483647.")
        if not is_whole(stairs) or not 0 <= stairs < 2**31:
            raise SpecError(f"Stairs asked for: {stairs!r:.60}; give a whole number of 0 or more.")
        length = horizon if budget is None else budget
        settings = make_settings(
            optimizer=optimizer,
            schedule=schedule,
            warmup=warmup,
            clip=clip,
            batch_size=batch_size,
            steps=min(length, 2**31 - 2) if steps is None else steps,
        )
        rule = settings.rule(decays=weight_decays is not None)
        if not rule.schedule.is_constant:
            horizon = min(horizon, settings.steps)
        _check(networks, problem, learning_rates, weight_decays, rule.optimizer, stairs)
        check_batch_size(problem, batch_size)
        size = batch_size if batch_size is not None and batch_size < len(problem.train.x) else None
        seeds = check_seeds(networks, seeds)
        asked = Asked(problem, learning_rates, weight_decays, rule, size, seeds, horizon, budget)
        if isinstance(networks[0], Network):
            return _forecast_networks(networks, asked, stairs)
        return forecast_models(networks, asked, keys)


def _check(
    networks: Sequence[Any],
    problem: Problem,
    learning_rates: Sequence[float],
    weight_decays: Sequence[float] | None,
    optimizer: Optimizer,
    stairs: int,
) -> None:
    """Refuse runs of which no honest forecast can be made, or that cannot be trained."""
    decays = weight_decays is not None and any(weight_decays)
    if optimizer.follows_gradient is None:
        own = " (a weight decay of its own does so: give the weight decay beside it instead)"
        raise SpecError(
            f"No forecast can be made under {optimizer!r}: its steps neither shrink with the gradient, as gradient "
            f"descent's do, nor are independent of its size, as Adam's are{own if optimizer.moves_alone else ''}; "
            "train to see."
        )
    if stairs and not isinstance(networks[0], Network):
        raise SpecError(
            f"Stairs are forecast of fully connected networks; of a {type(networks[0]).__name__} the first descent is, "
            "so leave out the stairs."
        )
    if stairs:
        refuse_stairs(networks[0].activation, problem.loss, decays)
    check_runs(problem, networks, learning_rates, optimizer, weight_decays)
    if optimizer.decoupled and optimizer.follows_gradient and decays:
        raise SpecError(
            f"No forecast can be made under {optimizer!r} with weight decay: how its steps, which follow the gradient, "
            "weigh against a decay beside them is not known; train to see."
        )


def _forecast_networks(networks: Sequence[Network], asked: Asked, stairs: int) -> list[Forecast]:
    problem, decays = asked.problem, asked.weight_decays
    leads = leading(networks, problem, batches=asked.in_batches)
    simulation = asked.simulate(leads.networks, leads.stepped, leads.watched)
    own_rows, lead_rows = (WeightedRows.of(problem.train, some) for some in (leads.own, leads.lead))
    # In mini-batches training is cheap, and so has reading to be.
    dtype = dtype_of(networks[0]) if asked.in_batches and not asked.keeps_pace else "float64"
    linear = LinearNetwork if networks[0].activation.slope else Network
    own = asked.program(networks[0])
    lead = asked.program(linear(networks[0].weights, networks[0].biases, leads.networks[0].activation))

    def restored(states: Sequence[Network]) -> list[Network]:
        return [restore(state, networks[0]).astype("float64") for state in states]

    def near(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: np.asarray(leaf, dtype), tree)

    def rest(states: list[Network]) -> list[Any]:
        some = None if decays is None else decays[: len(states)]
        at = departures(own, lead, restored(states), own_rows, lead_rows, some)
        return [unrestore(run.more, leads.networks[0]) for run in at]

    near_rows = near(own_rows), near(lead_rows)
    paths = Paths.follow(
        asked, simulation, restored, lambda followed: departures(own, lead, near(followed), *near_rows, decays)
    )
    if asked.keeps_pace:
        # Such an optimizer moves every weight by a full step, however small its gradient: where the leading part's
        # vanishes, as that of a first-layer bias does for targets of mean zero, the rest of the gradient decides.
        finely = simulation.states_pushed(points_between(paths.points), rest)
        paths = replace(paths, followed=[restored(states) for states in finely][::BETWEEN])
    judgements = paths.judge()
    made = _stairs(simulation, leads, networks[0], asked, stairs, rest)
    lost = [False] * len(networks)
    if any(asked.decays) and not asked.keeps_pace and networks[0].activation.value == 0:
        x, y, weights = problem.train.x, problem.train.y, problem.train.weights
        residuals = problem.loss.residual(np.zeros_like(y), y, weights)
        lost = [
            decay > 0 and judgement.left_by is None and shrinks_for_ever(state, x, residuals, decay)
            for state, judgement, decay in zip(restored(simulation.left), judgements, asked.decays, strict=True)
        ]
    targets, values = _targets(networks[0], problem)
    turned = [paths.turned(run) for run in range(len(networks))]
    reached = [None if point is None else paths.followed[point][run] for run, point in enumerate(turned)]
    forecasts = paths.forecasts(
        judgements,
        [
            {
                "decays_away": lost[run],
                "target_directions": targets if values is None else targets[:1],
                "gap": None if values is None else gap_of(values),
                "candidates": targets if values is None else targets[values >= NEAR * values[0]],
                "axis": None if values is None or network is None else _common_axis(network, targets[0]),
                "stairs": made[run],
            }
            for run, network in enumerate(reached)
        ],
    )
    return [_with_sides(one, network) for one, network in zip(forecasts, reached, strict=True)]


def _with_sides(expected: Forecast, network: Network | None) -> Forecast:
    """The forecast with what its axes make of the network when its loss has fallen by 10 %, where that is known."""
    if network is None:
        return expected
    sides, share = condensed(network, expected.axes)
    return replace(expected, sides=sides, condensed_share=share)


def _stairs(
    simulation: Simulation,
    leads: Leading,
    network: Network,
    asked: Asked,
    stairs: int,
    rest: Callable[[list[Network]], list[Any]],
) -> list[tuple[Stair, ...]]:
    """For every run the stairs: by the leading part's path, and by that which the network's own gradient corrects."""
    problem, runs = asked.problem, len(leads.networks)
    modes = linear_modes(problem, network) if stairs else None
    if modes is None or not len(modes.falls):
        return [()] * runs
    x, some = problem.train.x, modes.of_rows(leads.own)
    # A linear part has the amplitudes of its rows where it has those of so many inputs, one for each mode.
    inputs = leads.inputs(x)
    probes = np.vstack([np.zeros(inputs.shape[1]), modes.shares.T @ inputs])
    own_rows = x[leads.own.rows]

    def uncorrected(state: Network) -> Float[np.ndarray, " k"]:
        outputs = state(probes).astype("float64")
        amounts: np.ndarray = np.sum((outputs[1:] - outputs[0]) * modes.outputs, axis=1)
        return amounts

    def corrected(state: Network) -> Float[np.ndarray, " k"]:
        own = restore(state, network)
        more = own(own_rows) - replace(own, activation=state.activation)(own_rows)
        return uncorrected(state) + some.amplitudes(more.astype("float64"))

    wanted = min(stairs, len(modes.falls))
    lead = follow(simulation, [asked.horizon] * runs, wanted, uncorrected)
    crossings = [lead.crossings(run) for run in range(runs)]
    lasts = [ends[np.argsort(begins)[:wanted]].max() for begins, ends in crossings]
    own = follow(simulation, [int(min(2 * last + 100, asked.horizon)) for last in lasts], wanted, corrected, rest)
    return [
        judge_stairs(
            crossings[run],
            own.crossings(run),
            modes,
            problem,
            network,
            {mode: restore(state, network) for mode, state in own.done[run].items()},
            stairs,
        )
        for run in range(runs)
    ]


def _common_axis(network: Network, target: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
    """The leading right singular vector of the first layer's neurons, on the target direction's side."""
    axis = np.linalg.svd(np.nan_to_num(neurons(network, 1)), full_matrices=False)[2][0]
    oriented: np.ndarray = axis * (-1.0 if axis @ target < 0 else 1.0)
    return oriented


def condensed(network: Network, axes: Float[np.ndarray, "k d"]) -> tuple[Int[np.ndarray, " m_1"], float]:
    """For the first layer's neurons the side of their nearest axis, and the share that has condensed."""
    # A run that diverged on the way leaves NaN, which has no direction.
    vectors = np.nan_to_num(neurons(network, 1))
    cosines = np.stack([alignment(vectors, axis) for axis in axes])
    nearest = np.take_along_axis(cosines, np.abs(cosines).argmax(axis=0)[None], axis=0)[0]
    return np.sign(nearest).astype(np.int64), float(np.mean(np.abs(nearest) > CONDENSED))


def _targets(network: Network, problem: Problem) -> tuple[Float[np.ndarray, "k d"], Float[np.ndarray, " k"] | None]:
    """From the residuals at output zero, or at the best constant where the network fits it at once.

    The target directions; or all singular directions with their values, of which the first is the target direction.
    """
    part = problem.train
    if not network.activation.slope:
        # Their search walks over the data thousands of times.
        part = part.only(spaced_rows(len(part.x)))
    x, y, weights = part.x, part.y, part.weights
    outputs = np.zeros_like(y)
    if network.fits_constants:
        outputs = np.broadcast_to(problem.loss.constant_outputs(y, weights), y.shape)
    residuals = problem.loss.residual(outputs, y, weights)
    if network.fits_constants:
        # Zero on average, but for a row at a kink, where the slope may be any between two.
        mean = residuals.mean(axis=0)
        residuals = residuals - (mean if weights is None else relative_weights(weights)[:, None] * mean)
    if network.activation.slope:
        directions, values = singular_directions(network, x, residuals)
        return directions, values
    return target_directions(network, x, residuals).directions, None
