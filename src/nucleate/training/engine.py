"""One run in one XLA program: it steps until it is told to stop, or diverges.

Runs of one architecture share the program. They are spread over threads, one a core, so that a model's parameters stay
in the core's cache for all the steps of a call; on a GPU they step together (see `nucleate.devices.for_each`). What a
run computes does not depend on the runs beside it, nor on where a call's last step lies.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.extend.random import threefry_2x32
from jaxtyping import Array, Bool, Float, Int, Shaped

from nucleate.devices import float64, for_each, in_float64
from nucleate.models import Frame, dtype_of, outputs_of_columns, take_apart
from nucleate.network import Drop
from nucleate.problems import Loss, Split
from nucleate.problems.moments import relative_weights
from nucleate.training.rule import Rule

DROPS = (0.01, 0.1, 0.3)
"""The falls of the training loss, as shares of its start, whose first steps are noted."""

DIVERGED = 1e4
"""A run has diverged when its loss exceeds this many times its start."""

WATCHED = 256
"""The loss of rows that are watched is read at every step, and from twice this step on so many times a doubling."""

_RANDOM = "threefry2x32"


class Data(NamedTuple):
    """Training and validation data in the dtype of the runs, inputs as columns, and weights with mean 1."""

    x: Float[Array, "d n"]
    y: Float[Array, "n c"]
    x_validation: Float[Array, "d n_validation"]
    y_validation: Float[Array, "n_validation c"]
    weights: Float[Array, " n"] | None = None
    weights_validation: Float[Array, " n_validation"] | None = None

    @property
    def training(self) -> tuple[Any, ...]:
        """What `Program.cost` takes of the training rows."""
        return self.x, self.y, self.weights

    @property
    def validation(self) -> tuple[Any, ...]:
        """The same of the validation rows."""
        return self.x_validation, self.y_validation, self.weights_validation


class RunState(NamedTuple):
    """Everything a run needs to go on."""

    parameters: Any
    optimizer: optax.OptState
    learning_rate: Float[Array, ""]
    key: Shaped[Array, "2"]
    order: Int[Array, " n"]
    step: Int[Array, ""]
    running: Bool[Array, ""]
    loss: Float[Array, ""]
    start_loss: Float[Array, ""]
    drop_steps: Int[Array, " drops"]
    weight_decay: Float[Array, ""] | None = None


class Steady(NamedTuple):
    """Of `advance`, what is added to every gradient as it is, where other pushes grow as the gradient does."""

    push: Any


class Reading(NamedTuple):
    """What is read off a run between steps.

    Of the parameters with a gradient that is not exactly zero, ``lost`` is the share that one more step on all the data
    would leave unchanged by rounding, ``damped`` the share whose gradient is below the optimizer's epsilon; both are
    NaN when every gradient is exactly zero.
    """

    train_loss: Float[Array, ""]
    validation_loss: Float[Array, ""]
    lost: Float[Array, ""]
    damped: Float[Array, ""]


@dataclass(frozen=True)
class Program:
    """What is compiled in: all that runs have in common beside the shapes of their parameters.

    ``dropout`` is the chance at which a hidden neuron is left out of a step, for each row anew; ``watches`` says
    whether the loss that runs note is that of the validation rows, instead of that of the rows of the step.
    """

    frame: Frame
    loss: Loss
    rule: Rule
    batch_size: int | None = None
    dropout: float = 0.0
    watches: bool = False

    def cost(
        self,
        parameters: Any,
        x: Float[Array, "d n"],
        y: Float[Array, "n c"],
        weights: Float[Array, " n"] | None = None,
        drop: Drop | None = None,
    ) -> Float[Array, ""]:
        """The mean over the columns of ``x`` of the loss, times the weight where there are weights.

        These have mean 1 over all rows: a mini-batch is not divided by the weight it happens to have, so that its cost
        is that of all rows on average. Without ``drop`` no neuron is left out.
        """
        costs = self.loss.rows(outputs_of_columns(self.frame(parameters), x, drop).T, y)
        # A float64 number of NumPy's in a definition of one's own would make it float64 too.
        return jnp.mean(costs if weights is None else weights * costs).astype(y.dtype)


def place_data(train: Split, validation: Split, dtype: str) -> Data:
    """Training and validation data on the device."""
    with float64():
        parts: list[Any] = [train.x.T, train.y, validation.x.T, validation.y]
        parts += [None if part.weights is None else relative_weights(part.weights) for part in (train, validation)]
        placed: list[Any] = [
            None if part is None else jax.device_put(np.ascontiguousarray(part, dtype)) for part in parts
        ]
        return Data(*placed)


def start(
    program: Program,
    models: Sequence[Any],
    learning_rates: Sequence[float],
    seeds: Sequence[int],
    n: int,
    weight_decays: Sequence[float] | None = None,
) -> list[RunState]:
    """The runs before their first step; the seed orders the n rows where there are mini-batches, and drops neurons.

    There are weight decays, one for each run, where the program's rule has them.
    """
    decays = [None] * len(models) if weight_decays is None else weight_decays
    return [_start(program, *run, n) for run in zip(models, learning_rates, seeds, decays, strict=True)]


def _start(
    program: Program, model: Any, learning_rate: float, seed: int, weight_decay: float | None, n: int
) -> RunState:
    parameters, dtype = take_apart(model)[0], dtype_of(model)
    rate: Any = np.asarray(learning_rate, dtype)
    decay: Any = None if weight_decay is None else np.asarray(weight_decay, dtype)
    fields: dict[str, Any] = {
        "parameters": parameters,
        "weight_decay": decay,
        "optimizer": _optimizer_state(parameters, program.rule.at_peak, rate, decay),
        "learning_rate": rate,
        "key": _key(seed),
        "order": np.arange(n, dtype=np.int32),
        "step": np.int32(0),
        "running": np.bool_(True),
        "loss": np.zeros((), dtype),
        "start_loss": np.asarray(np.nan, dtype),
        "drop_steps": np.full(len(DROPS), -1, np.int32),
    }
    return RunState(**fields)


@in_float64
@partial(jax.jit, static_argnames="rule")
def _optimizer_state(
    parameters: Any, rule: Rule, rate: Float[Array, ""], decay: Float[Array, ""] | None
) -> optax.OptState:
    return rule.transformation(rate, decay).init(parameters)


def advance(
    program: Program, runs: Sequence[RunState], data: Data, until: Sequence[int], push: Sequence[Any] | None = None
) -> Sequence[RunState]:
    """Take every run that is still running up to its step ``until``, or to the step at which it diverges.

    ``push`` has for each run what is added to its first gradient; to those that follow, as much of their size, or where
    it is `Steady` the same.
    """
    pushes = [None] * len(runs) if push is None else push
    return for_each(_advance, runs, program, data, beside=(list(map(np.int32, until)), pushes))


def read(program: Program, runs: Sequence[RunState], data: Data) -> Sequence[Reading]:
    """The losses of every run on all the data, and what rounding leaves of its next step."""
    return for_each(_read, runs, program, data)


@partial(jax.jit, static_argnames="program")
def _advance(run: RunState, until: Int[Array, ""], push: Any, program: Program, data: Data) -> RunState:
    watched = data.validation if program.watches else data.training

    def size(parameters: Any) -> Float[Array, ""]:
        return _norm(jax.grad(program.cost)(parameters, *watched))

    first = jnp.zeros(()) if push is None or isinstance(push, Steady) else size(run.parameters)

    def one_step(run: RunState) -> RunState:
        order, x, y, weights = _batch(program, run, data)
        drop = partial(drop_neurons, program.dropout, run) if program.dropout else None
        loss, gradient = jax.value_and_grad(program.cost)(run.parameters, x, y, weights, drop)
        if drop is not None:
            # Falls and divergence are of the network as it is evaluated, without dropout.
            loss = program.cost(run.parameters, x, y, weights)
        if isinstance(push, Steady):
            gradient = jax.tree.map(lambda g, more: g + more.astype(g.dtype), gradient, push.push)
        elif push is not None:
            grown = jnp.where(first > 0, (size(run.parameters) if program.watches else _norm(gradient)) / first, 0.0)
            gradient = jax.tree.map(lambda g, more: g + (grown * more).astype(g.dtype), gradient, push)
        transformation = program.rule.transformation(run.learning_rate, run.weight_decay, run.step)
        updates, optimizer = transformation.update(_whole(gradient), run.optimizer, run.parameters)
        if program.watches:
            apart = jnp.maximum(1, run.step // WATCHED)
            loss = jax.lax.cond(run.step % apart == 0, lambda: program.cost(run.parameters, *watched), lambda: run.loss)
        start_loss = jnp.where(run.step == 0, loss, run.start_loss)
        fallen = loss <= start_loss * (1 - jnp.asarray(DROPS, loss.dtype))
        drop_steps = jnp.where(fallen & (run.drop_steps < 0), run.step, run.drop_steps)
        return run._replace(
            parameters=optax.apply_updates(run.parameters, updates),
            optimizer=optimizer,
            order=order,
            step=run.step + 1,
            # Written so that NaN ends the run as well.
            running=run.running & (loss <= DIVERGED * start_loss),
            loss=loss,
            start_loss=start_loss,
            # The loss of one mini-batch is off that of all rows by many percent.
            drop_steps=drop_steps if program.batch_size is None or program.watches else run.drop_steps,
        )

    return jax.lax.while_loop(lambda run: run.running & (run.step < until), one_step, run)


def _whole(gradient: Any) -> Any:
    """The gradient as it is, of which no part is at hand before all are.

    Otherwise XLA, which does not know whether a step is taken while its gradient is still computed, copies all
    parameters first.
    """
    # A parameter may be an array without entries.
    never = sum(jnp.sum(leaf.ravel()[:1]) for leaf in jax.tree.leaves(gradient)) < -jnp.inf
    return jax.tree.map(lambda leaf: jnp.where(never, 0, leaf), gradient)


def _batch(
    program: Program, run: RunState, data: Data
) -> tuple[Int[Array, " n"], Float[Array, "d batch"], Float[Array, "batch c"], Float[Array, " batch"] | None]:
    """The step's rows; an epoch visits them in a new order and leaves out what does not fill a batch.

    Rows of any weight are drawn alike, and weigh in the loss.
    """
    size, n = program.batch_size, data.x.shape[1]
    if size is None or size >= n:
        return run.order, data.x, data.y, data.weights
    steps_an_epoch = n // size
    epoch, position = run.step // steps_an_epoch, run.step % steps_an_epoch
    order = jax.lax.cond(position == 0, lambda: _order(run.key, epoch, n), lambda: run.order)
    rows = jax.lax.dynamic_slice_in_dim(order, position * size, size)
    return order, data.x[:, rows], data.y[rows], None if data.weights is None else data.weights[rows]


def row_order(seed: int, epoch: int, n: int) -> Int[np.ndarray, " n"]:
    """The order in which the runs of a seed take the n rows in an epoch, counted from 0.

    It is that of `jax.random.permutation`, which sorts by random numbers; NumPy sorts many times faster than XLA does
    on a CPU.

    >>> row_order(0, 1, 5)
    array([0, 3, 1, 4, 2], dtype=int32)
    """
    order = np.arange(n, dtype=np.uint64)
    for keys in _sort_keys(_key(seed), np.int32(epoch), n):
        # A key and its place in one number, so that equal keys stay in their order.
        placed = (keys.astype(np.uint64) << np.uint64(32)) | np.arange(n, dtype=np.uint64)
        order = order[np.sort(placed) & np.uint64(2**32 - 1)]
    return order.astype(np.int32)


@in_float64
@partial(jax.jit, static_argnames="n")
def _sort_keys(key: Shaped[Array, "2"], epoch: Int[Array, ""], n: int) -> list[Shaped[Array, " n"]]:
    its_own, found = jax.random.fold_in(jax.random.wrap_key_data(key, impl=_RANDOM), epoch), []
    for _ in range(math.ceil(3 * math.log(max(n, 1)) / math.log(2**32 - 1))):
        its_own, part = jax.random.split(its_own)
        found.append(jax.random.bits(part, (n,), "uint32"))
    return found


def _order(key: Shaped[Array, "2"], epoch: Int[Array, ""], n: int) -> Int[Array, " n"]:
    its_own = jax.random.fold_in(jax.random.wrap_key_data(key, impl=_RANDOM), epoch)
    return jax.random.permutation(its_own, jnp.arange(n, dtype=jnp.int32))


def _key(seed: int) -> Shaped[np.ndarray, "2"]:
    """What `jax.random.key` makes of the seed."""
    return np.array(divmod(int(seed) % 2**64, 2**32), np.uint32)


def drop_neurons(chance: float, run: RunState, layer: int, signal: Float[Array, "m n"]) -> Float[Array, "m n"]:
    """Inverted dropout: what is kept makes up for what is not. The bits depend on seed, step, layer and place alone."""
    # The order of the rows has keys below 2^31.
    place = jnp.stack([run.step.astype(jnp.uint32), jnp.uint32(2**31 + layer)])
    bits = threefry_2x32(threefry_2x32(run.key, place), jnp.arange(signal.size, dtype=jnp.uint32))
    kept = bits.reshape(signal.shape) >= jnp.uint32(min(round(chance * 2**32), 2**32 - 1))
    return jnp.where(kept, signal / (1 - chance), 0)


@partial(jax.jit, static_argnames="program")
def _read(run: RunState, program: Program, data: Data) -> Reading:
    loss, gradient = jax.value_and_grad(program.cost)(run.parameters, *data.training)
    # At the peak rate, so that the foot of a warm-up is not taken for rounding.
    transformation = program.rule.transformation(run.learning_rate, run.weight_decay)
    updates, _ = transformation.update(gradient, run.optimizer, run.parameters)
    slopes, parameters, steps = (
        jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)])
        for tree in (gradient, run.parameters, updates)
    )
    live = slopes != 0
    return Reading(
        train_loss=loss,
        validation_loss=program.cost(run.parameters, *data.validation),
        lost=jnp.mean(parameters + steps == parameters, where=live),
        damped=jnp.mean(jnp.abs(slopes) < program.rule.optimizer.epsilon, where=live),
    )


def _norm(tree: Any) -> Float[Array, ""]:
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))
