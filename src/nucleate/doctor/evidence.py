"""What is measured of a run and its data before anything is said of them: numbers alone, whoever trained it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from nucleate.baselines import Entrant, Outputs, compare_entrants, constant, linear
from nucleate.baselines.comparison import count_units, judge_outputs
from nucleate.devices import in_float64
from nucleate.errors import SpecError
from nucleate.models import count_parameters, dtype_of, outputs_of, take_apart
from nucleate.network import Network
from nucleate.observe import Layer, layers_of, stages
from nucleate.observe.curve import smoothed
from nucleate.observe.measures import evaluation_rows
from nucleate.problems import Problem
from nucleate.problems.leaks import inputs_that_tell
from nucleate.training import BLOWN_UP, TRAINED, Run, Settings, Status, engine
from nucleate.training.stopping import dead_units, has_constant_outputs

HELD_BACK = 2 / 3
"""A run is held back where it explains less than this share of what it does with one setting changed.

So nothing holds a network back that takes off two thirds of a constant's loss. A network that is stuck on XOR takes off
a third (squared) or a half (cross-entropy).
"""
LEAST = 0.05
"""What explains less than this share of the constant's loss has learned nothing."""
LOST_AGAIN = 0.1
"""A run that forgets loses this share of the constant's loss again on the training rows; what overfits does not."""
NO_SLOPE = 1e-2
"""A unit is at a bound on a row where the activation's slope is less than this share of that at zero."""
SIGNS = 2.0
"""A sign test's standard deviations: of as many rows that are better as that, chance has 2.3 %."""
_TOP = 0.01
_POWER_STEPS = 20
_MANY = 1024


@dataclass(frozen=True)
class LayerEvidence:
    """One hidden layer.

    Parameters
    ----------
    name : str
    width : int
    dead : float
        The share of its units that give the same on all rows, at the end.
    dead_at_start : float
    saturated : float
        The share of pairs of a unit and a row at which a bounded activation is at a bound, at the end.
    effective : float
        Effective neurons at the end.
    effective_at_start : float
        The same at the start, as chance has them.
    gradient : float
        The root mean square of the loss's gradient by the layer's weights, at the start.
    signal : float
        The standard deviation over the rows of what enters the layer, at the start.
    saturated_at_start : float
    """

    name: str
    width: int
    dead: float = 0.0
    dead_at_start: float = 0.0
    saturated: float = 0.0
    effective: float = 1.0
    effective_at_start: float = 1.0
    gradient: float = 1.0
    signal: float = 1.0
    saturated_at_start: float = 0.0


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of one run.

    Shares of the loss are of that of the best constant output: an *explained* share of 0 is a network that has learned
    nothing from its inputs, and of 1 one without error.

    Parameters
    ----------
    status : str
        As of `nucleate.Run`.
    steps, train_loss, validation_loss : arrays of shape (t,)
        At the evaluations.
    constant_loss, constant_validation : float
        Of the best constant output of the training rows, on those and on the validation rows.
    linear_validation : float
        Of the linear model on the validation rows; NaN where none was fitted.
    plateau_loss : float or None
        As of `nucleate.Run`.
    budget : int
        The most steps that the run could take.
    learning_rate : float
        Its peak.
    scheduled_rate : float
        Of a module the largest rate that its optimizer knows of: of the schedule itself where a scheduler has set it,
        and of which it was made; otherwise 0.
    rate_share : float
        The mean share of its peak that the schedule let the rate have.
    follows_gradient : bool
        Whether steps follow the size of the gradient, as those of GD do.
    weight_decay : float
    decays_beside : bool
        Whether weights decay by themselves and not through the gradient, as under AdamW.
    epsilon : float
        The optimizer's.
    dropout : float
        The largest share of the units of a layer that training drops at each step.
    gains : tuple of float
        Of each weight matrix at the start the standard deviation times the root of its fan-in; empty where unknown.
    layers : tuple of LayerEvidence
    rows, validation_rows : int
    parameters : int
    beside_constant, beside_linear : str
        What the best network is on the validation rows, beyond the noise: better, worse or alike; undefined.
    losses_of_rows : array of shape (n,) or None
        Of a module, the loss of each validation row where it is judged; None where the loss is none of single rows.
    final_beside_best : str
        The same of the last network beside the best one.
    output_spread : float
        The standard deviation of the last network's predictions over the rows, as a share of the targets'.
    constant_since : int or None
        The step from which on the outputs are the same on all rows, where they are at the end.
    summed_rows : int or None
        Of a module whose loss is the sum over the rows, how many of them a step has.
    still_since : int or None
        Of a watch, the step since which no weight has moved, where that is most of them.
    has_gradients : bool
        Whether gradients reach these weights nevertheless.
    columns : tuple of str
        Of the inputs.
    column_sizes : array of shape (d,)
        Root mean squares of the inputs on the training rows.
    column_is_binary : array of shape (d,)
    target_size : float
        The standard deviation of the targets as the network is given them; 1 for classes and rates.
    target_offset : float
        The size of their mean in standard deviations; 0 for classes and rates.
    target_top : float
        The share of their sum of squares about the mean that 1 % of the rows have, of those for training or of those
        for training and validation; 0 where the loss is not quadratic.
    activation : str or None
        The name of a `Network`'s.
    leaks : tuple of str
        Inputs that tell the target alone.
    lost, damped : float
        The shares of the parameters whose step rounding loses, and whose gradient is below the epsilon, at the end.
    sharpness : float
        The largest eigenvalue of the loss's second derivative at the end; NaN where it was not computed.
    broadcast : pair of shapes, or None
        Of a module's outputs and its targets, where the loss takes each row of the one with all of the other.
    paired : shape or None
        Of a watch, the shape of numbers that its loss took row by row with all of others that have no gradient.
    squashed : {"softmax", "sigmoid"} or None
        What a module's outputs have passed, where its loss takes them through the same again.
    constant_target, constant_inputs : bool
        Whether the targets, or the inputs, are the same on all training rows.
    untrained : float
        The share of a module's parameters that its optimizer does not train.
    untrained_parts : tuple of str
        The parts of the module that these are of.
    unreached : float
        The share of a module's parameters that are to be trained and that its outputs depend on, but that no gradient
        reaches.
    unreached_parts : tuple of str
        The parts of the module that these are of.
    without_gradient : float
        Of a watch, the share of the parameters that have had no gradient at any of many records and have not moved,
        while others had gradients.
    without_gradient_parts : tuple of str
        The parts of the module that these are of.
    without_gradient_since : int
        The step since which that is so of all of them.
    bound : (str, str) or None
        The activation that a module's outputs have passed, and the interval in which they lie therefore.
    out_of_reach : float
        The share of the targets that lie outside of it.
    between_batches : float
        The share of the targets' variance that is from one batch of a module's loader to another, beyond chance.
    rows_read, rows_distinct : int
        Of a module, how many rows were read, and how many different ones, where most were others again; otherwise 0.
    added_steps : int
        In how many steps of a person's own loop gradients were added to those that were there; 0 where they were not.
    added_up : float
        By how many times they came to exceed those of a step.
    in_eval : int
        At how many records of a watch the model was in eval mode.
    records : int
        How many there are, behind the first step.
    eval_parts : tuple of str
        The kinds of its parts that do something else in training.
    loop_loss : float
        Of a watch the last losses of the person's own loop; NaN where they are not held against these rows.
    batch_losses : (float, float)
        The mean loss of batches of these rows at the module as it is, and the least of them.
    norm_rows : int or None
        The rows of a batch, where a module has norms over it.
    loss_of_batches : float
        The loss of such a module on the training rows at the end, batch by batch and in training mode.
    of_copies : bool
        Whether copies were trained, and not by the person's own loop.
    is_over : bool
        Whether the training has ended; that of a watch goes on.
    may_rise : bool
        Whether a rise of the loss at the end counts; of a watch where it is beyond the noise of single batches.
    """

    status: Status
    steps: Int[np.ndarray, " t"]
    train_loss: Float[np.ndarray, " t"]
    validation_loss: Float[np.ndarray, " t"]
    constant_loss: float
    constant_validation: float
    linear_validation: float
    plateau_loss: float | None = None
    budget: int = 0
    learning_rate: float = 0.05
    scheduled_rate: float = 0.0
    rate_share: float = 1.0
    follows_gradient: bool = True
    weight_decay: float = 0.0
    decays_beside: bool = False
    epsilon: float = 0.0
    dropout: float = 0.0
    gains: tuple[float, ...] = ()
    layers: tuple[LayerEvidence, ...] = ()
    rows: int = 100
    validation_rows: int = 30
    parameters: int = 100
    beside_constant: str = "better"
    beside_linear: str = "alike"
    final_beside_best: str = "alike"
    losses_of_rows: Float[np.ndarray, " n"] | None = None
    output_spread: float = 1.0
    constant_since: int | None = None
    summed_rows: int | None = None
    still_since: int | None = None
    has_gradients: bool = False
    columns: tuple[str, ...] = ()
    column_sizes: Float[np.ndarray, " d"] = field(default_factory=lambda: np.ones(1))
    column_is_binary: Bool[np.ndarray, " d"] = field(default_factory=lambda: np.zeros(1, bool))
    target_size: float = 1.0
    target_offset: float = 0.0
    target_top: float = 0.0
    activation: str | None = None
    leaks: tuple[str, ...] = ()
    lost: float = 0.0
    damped: float = 0.0
    sharpness: float = float("nan")
    broadcast: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    paired: tuple[int, ...] | None = None
    squashed: str | None = None
    constant_target: bool = False
    constant_inputs: bool = False
    untrained: float = 0.0
    untrained_parts: tuple[str, ...] = ()
    unreached: float = 0.0
    unreached_parts: tuple[str, ...] = ()
    without_gradient: float = 0.0
    without_gradient_parts: tuple[str, ...] = ()
    without_gradient_since: int = 0
    bound: tuple[str, str] | None = None
    out_of_reach: float = 0.0
    between_batches: float = 0.0
    rows_read: int = 0
    rows_distinct: int = 0
    added_steps: int = 0
    added_up: float = 0.0
    in_eval: int = 0
    records: int = 0
    eval_parts: tuple[str, ...] = ()
    loop_loss: float = float("nan")
    batch_losses: tuple[float, float] = (float("nan"), float("nan"))
    norm_rows: int | None = None
    loss_of_batches: float = float("nan")
    of_copies: bool = False
    is_over: bool = True
    may_rise: bool = True

    @property
    def trained(self) -> bool:
        """Whether the run ended as it was asked to."""
        return self.status in TRAINED

    @property
    def blown_up(self) -> bool:
        """Whether the loss left all bounds."""
        return self.status in BLOWN_UP

    @property
    def underflowed(self) -> bool:
        """Whether it ended because rounding loses its steps."""
        return self.status == Status.UNDERFLOW

    @property
    def died(self) -> bool:
        """Whether it ended with a layer that has no live unit."""
        return self.status == Status.DEAD

    @property
    def stopped_early(self) -> bool:
        """Whether early stopping ended it."""
        return self.status == Status.EARLY_STOPPED

    @property
    def stage(self) -> str:
        """The stage of the loss curve in which the run ended."""
        found = stages(self.steps, self.train_loss, self.plateau_loss)
        return replace(found, risen=found.risen and self.may_rise).current

    @property
    def plateau(self) -> float:
        """The loss of the initial plateau."""
        start = float(self.train_loss[0])
        return start if self.plateau_loss is None else min(start, self.plateau_loss)

    @property
    def explained(self) -> float:
        """The share of the constant's loss that the best network takes off on the validation rows."""
        return explained(float(self.validation_loss.min()), self.constant_validation)

    @property
    def explained_in_training(self) -> float:
        """The same on the training rows, where the loss was least."""
        return explained(float(self.train_loss.min()), self.constant_loss)

    @property
    def has_forgotten(self) -> bool:
        """Whether it ended with much of what it had learned in training lost again; early stopping keeps the best."""
        course = (self.train_loss, self.constant_loss, self.validation_loss, self.constant_validation)
        return self.trained and not self.stopped_early and self.may_rise and has_forgotten(*course)

    @property
    def kept(self) -> float:
        """The share that it is judged by: that of the best network, or of the last where it has forgotten."""
        last = explained(float(self.validation_loss[-1]), self.constant_validation)
        return last if self.has_forgotten else self.explained

    @property
    def to_beat(self) -> float:
        """The share beyond which a changed setting shows that another one held the run back; see `HELD_BACK`.

        Of a run that has forgotten, half of that is enough which it lost.
        """
        kept = max(self.kept, 0.0)
        return min(kept / HELD_BACK, (kept + self.explained) / 2 if self.has_forgotten else np.inf)

    @property
    def worst(self) -> float:
        """By how much the training loss rose above its start, or above the constant's: their ratio."""
        return float(self.train_loss.max() / max(self.train_loss[0], self.constant_loss, 1e-300))


def explained(loss: float, of_constant: float) -> float:
    """The share of a constant's loss that is taken off."""
    return 1 - loss / of_constant if of_constant > 0 else 0.0


def has_forgotten(
    training: Float[np.ndarray, " t"],
    of_constant: float,
    validation: Float[np.ndarray, " t"],
    of_constant_validation: float,
) -> bool:
    """Whether a run ends, noise aside, with less than two thirds of what it had explained, and training lost it too."""
    curves = (smoothed(training), of_constant), (smoothed(validation), of_constant_validation)
    most, last = (
        np.array([explained(float(at(curve)), best) for curve, best in curves]) for at in (np.min, itemgetter(-1))
    )
    lost_in_training = most[0] > LEAST and most[0] - last[0] > LOST_AGAIN
    return bool(lost_in_training and (last < HELD_BACK * most).any())


def settings_of(run: Run) -> Settings:
    """How a run was trained."""
    if run.settings is None:
        raise SpecError("This run does not say how it was trained; train it again by nucleate.train.")
    return run.settings


def gather(run: Run, problem: Problem) -> Evidence:
    """All that is measured of a run on its problem; it costs about as much as a few of its evaluations.

    A SpecError is a run that does not say how it was trained, or whose loss is NaN at its start.
    """
    settings, train, loss = settings_of(run), problem.train, problem.loss
    optimizer = settings.optimizer
    steps, train_loss, validation_loss = (
        run.trajectory[name].to_numpy() for name in ("step", "train_loss", "validation_loss")
    )
    if np.isnan(train_loss[0]):
        raise SpecError(f"Of this run there is nothing to measure: {'; '.join(run.notes)}.")
    baselines, costs = _baselines(problem)
    beside = partial(_beside, problem)
    readings = _readings(run, problem, settings)
    predicted, spread = _spread(run.final, problem)
    classes = loss.of_classes
    judged_by = np.concatenate([train.y, problem.validation.y])
    return Evidence(
        status=run.status,
        steps=steps,
        train_loss=train_loss,
        validation_loss=validation_loss,
        constant_loss=costs["constant", "train"],
        constant_validation=costs["constant", "validation"],
        linear_validation=costs["linear", "validation"],
        plateau_loss=run.plateau_loss,
        budget=settings.steps,
        learning_rate=run.learning_rate,
        rate_share=_rate_share(settings, run.steps),
        follows_gradient=optimizer.follows_gradient is not False,
        weight_decay=run.weight_decay,
        decays_beside=optimizer.decoupled,
        epsilon=optimizer.epsilon,
        dropout=float(settings.dropout),
        gains=gains_of(run.initial),
        layers=_layers(run, problem, readings["gradients"]),
        rows=len(train.x),
        validation_rows=len(problem.validation.x),
        parameters=count_parameters(run.initial),
        beside_constant=beside(partial(outputs_of, run.best), baselines["constant"]),
        beside_linear=beside(partial(outputs_of, run.best), baselines["linear"]),
        final_beside_best=beside(partial(outputs_of, run.final), partial(outputs_of, run.best)),
        output_spread=spread,
        constant_since=constant_since(steps, train_loss) if predicted else None,
        columns=problem.preprocessing.encoded_inputs,
        column_sizes=np.sqrt(np.mean(train.x**2, axis=0)),
        column_is_binary=np.all((train.x == 0) | (train.x == 1), axis=0),
        target_size=float(train.y.std(axis=0).max()) if loss.link.standardized and not classes else 1.0,
        target_offset=offset_of(train.y) if loss.link.standardized and not classes else 0.0,
        target_top=max(map(top_share, (train.y, judged_by))) if loss.is_quadratic else 0.0,
        activation=run.initial.activation.name if isinstance(run.initial, Network) else None,
        leaks=inputs_that_tell(problem.preprocessing.encoded_inputs, train.x, train.y, classes=classes),
        lost=readings["lost"],
        damped=readings["damped"],
        sharpness=readings["sharpness"],
    )


def parts_of(parameters: Iterable[str]) -> tuple[str, ...]:
    """The parts of a module that parameters of these names are of."""
    return tuple(dict.fromkeys(name.rpartition(".")[0] or name for name in parameters))


@lru_cache(maxsize=4)
def _baselines(problem: Problem) -> tuple[dict[str, Outputs], dict[tuple[str, str], float]]:
    """The best constant and the linear model, and their losses; many runs are of one problem."""
    baselines = {"constant": constant(problem).seeds[0], "linear": linear(problem).seeds[0]}
    parts = {"train": problem.train, "validation": problem.validation}
    costs = {
        (name, part): float(problem.loss(np.asarray(outputs(rows.x)), rows.y, rows.weights))
        for name, outputs in baselines.items()
        for part, rows in parts.items()
    }
    return baselines, costs


def _rate_share(settings: Settings, steps: int) -> float:
    if settings.schedule.is_constant or steps == 0:
        return 1.0
    at = np.unique(np.linspace(0, steps - 1, min(steps, _MANY)).astype(np.int32))
    return float(settings.schedule.factors(settings.steps, settings.warmup, at).mean())


def gains_of(model: Any) -> tuple[float, ...]:
    """Of each weight matrix of a network the root mean square, times the root of its fan-in."""
    if not isinstance(model, Network):
        return ()
    return tuple(float(np.sqrt(np.mean(np.square(w, dtype=np.float64)) * w.shape[1])) for w in model.weights)


def is_better(problem: Problem, model: Any, other: Any) -> bool:
    """Whether one model is better than another on the validation rows, beyond the noise of the metric or of its ranks.

    A single row far off leaves much noise in the metric; by a sign test it is one row. A group, or a row with its
    copies, has one sign.
    """
    part = problem.validation
    if _beside(problem, partial(outputs_of, model), partial(outputs_of, other)) == "better":
        return True
    ours, theirs = (problem.loss.of_rows(outputs_of(one, part.x), part.y) for one in (model, other))
    together = part.copies if part.groups is None else part.groups
    if together is not None:
        members = np.unique(together, return_inverse=True)[1]
        ours, theirs = (np.bincount(members, one) / np.bincount(members) for one in (ours, theirs))
    return are_more_better(ours, theirs)


def are_more_better(ours: Float[np.ndarray, " n"], theirs: Float[np.ndarray, " n"]) -> bool:
    """Whether so many rows have the smaller loss here that chance hardly gives it: a sign test."""
    differ = ours != theirs
    n, won = int(differ.sum()), int((ours < theirs).sum())
    return n > 0 and (won - n / 2) / (n**0.5 / 2) > SIGNS


def _beside(problem: Problem, ours: Any, theirs: Any) -> str:
    part = problem.validation
    with np.errstate(all="ignore"):
        other, network = (
            Entrant([judge_outputs(problem, np.asarray(model(part.x)), part)], varies=False) for model in (ours, theirs)
        )
    return compare_entrants(problem.loss.metric, len(part.x), network, other, **count_units(part)).verdict


def offset_of(targets: Float[np.ndarray, "n c"]) -> float:
    """The size of the targets' mean in standard deviations."""
    spread = targets.std(axis=0)
    return float(np.max(np.abs(targets.mean(axis=0)) / np.where(spread > 0, spread, 1.0)))


def top_share(targets: Float[np.ndarray, "n c"]) -> float:
    """The share of the sum of squares about the mean that 1 % of the rows have."""
    squares = np.sort((targets - targets.mean(axis=0)) ** 2, axis=0)
    top = max(1, int(_TOP * len(squares)))
    total = squares.sum(axis=0)
    return float(np.max(squares[-top:].sum(axis=0) / np.where(total > 0, total, 1.0)))


def _spread(model: Any, problem: Problem) -> tuple[bool, float]:
    """Whether a model's outputs are the same on all rows, to a millionth of them; and the share of the targets'."""
    outputs = np.asarray(outputs_of(model, problem.train.x), np.float64)
    with np.errstate(all="ignore"):
        share = problem.loss.link(outputs).std(axis=0).max() / max(problem.train.y.std(axis=0).max(), 1e-300)
    return has_constant_outputs(outputs), float(share)


def constant_since(steps: Int[np.ndarray, " t"], losses: Float[np.ndarray, " t"]) -> int:
    """From which evaluation on the loss no longer moves."""
    moved = np.flatnonzero(np.abs(losses - losses[-1]) > 1e-3 * abs(losses[-1]))
    return int(steps[moved[-1] + 1]) if moved.size else 0


def _layers(run: Run, problem: Problem, gradients: Sequence[float] | None) -> tuple[LayerEvidence, ...]:
    rows = evaluation_rows(problem.train.x)
    start, end = layers_of(run.initial, rows), layers_of(run.final, rows)
    gradients = [np.nan] * len(start) if gradients is None else gradients
    return tuple(
        LayerEvidence(
            last.name,
            last.width,
            float(dead_units(last).mean()),
            float(dead_units(first).mean()),
            _saturated(run.final, last),
            last.effective_neurons,
            first.effective_neurons,
            gradient,
            float(first.entering.std(axis=1).mean()),
            _saturated(run.initial, first),
        )
        for first, last, gradient in zip(start, end, gradients, strict=True)
    )


@in_float64
def _saturated(model: Any, layer: Layer) -> float:
    """Pairs of unit and row at a bound, of an activation that has two."""
    if not isinstance(model, Network):
        return 0.0

    def value(z: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        return np.asarray(model.activation(jnp.asarray(z)), np.float64)

    far = value(np.array([-1e3, -30.0, 30.0, 1e3]))
    if not (np.isclose(far[0], far[1]) and np.isclose(far[2], far[3]) and not np.isclose(far[0], far[3])):
        return 0.0
    entering, step = layer.entering, 1e-3
    slopes = (value(entering + step) - value(entering - step)) / (2 * step)
    at_zero = float(np.diff(value(np.array([-step, step])))[0]) / (2 * step)
    return float(np.mean(np.abs(slopes) < NO_SLOPE * abs(at_zero or 1.0)))


def _readings(run: Run, problem: Problem, settings: Settings) -> dict[str, Any]:
    """What rounding and the optimizer leave of the next step, the sharpness there, and the first gradients."""
    decays = run.weight_decay > 0 or settings.optimizer.decoupled
    size = None if settings.batch_size == len(problem.train.x) else settings.batch_size
    frame = take_apart(run.initial)[1]
    program = engine.Program(frame, problem.loss, settings.rule(decays=decays), size, settings.dropout)
    dtype = dtype_of(run.final)
    data = engine.place_data(problem.train, problem.validation, dtype)
    (state,) = engine.start(
        *(program, [run.final], [run.learning_rate], [run.seed], len(problem.train.x)),
        [run.weight_decay] if decays else None,
    )
    (reading,) = engine.read(program, [state], data)
    rows = np.unique(np.linspace(0, len(problem.train.x) - 1, min(len(problem.train.x), _MANY)).astype(int))
    some = engine.place_data(problem.train.only(rows), problem.validation.only(rows[:1] * 0), dtype)
    # Drawn by NumPy, since to compile JAX's normal numbers takes longer than the rest.
    draw = np.random.default_rng(0).standard_normal
    along = jax.tree.map(lambda leaf: draw(leaf.shape).astype(dtype), state.parameters)
    sharpness, sizes = _sharpness(take_apart(run.initial)[0], state.parameters, along, program, some.training)
    known = {name: float(getattr(reading, name)) for name in ("lost", "damped")}
    gradients = [float(one) for one in sizes.weights[:-1]] if isinstance(run.initial, Network) else None
    return known | {"sharpness": float(sharpness), "gradients": gradients}


@in_float64
@partial(jax.jit, static_argnames="program")
def _sharpness(
    initial: Any, parameters: Any, along: Any, program: engine.Program, training: tuple[Any, ...]
) -> tuple[Float[Array, ""], Any]:
    """The second derivative's eigenvalue of largest size, by power iteration; the first gradient's mean squares."""

    def slope(at: Any) -> Any:
        return jax.grad(program.cost)(at, *training)

    def size(tree: Any) -> Any:
        return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))

    def step(_: int, state: tuple[Any, Float[Array, ""]]) -> tuple[Any, Float[Array, ""]]:
        along = state[0]
        curved = jax.jvp(slope, (parameters,), (along,))[1]
        value = size(curved)
        return jax.tree.map(lambda leaf: leaf / jnp.maximum(value, 1e-30).astype(leaf.dtype), curved), value

    first = size(along)
    along = jax.tree.map(lambda leaf: leaf / first.astype(leaf.dtype), along)
    _, sharpness = jax.lax.fori_loop(0, _POWER_STEPS, step, (along, jnp.zeros_like(first)))
    return sharpness, jax.tree.map(lambda leaf: jnp.sqrt(jnp.mean(leaf**2)), slope(initial))
