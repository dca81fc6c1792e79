"""Many runs of one architecture in one XLA program.

Runs are spread over the devices (one CPU device a core); a device walks through its runs one after another, so that
a network's parameters stay in the core's cache for all the steps of a call, and a run that has ended costs nothing.
On a GPU the runs of a device step together instead (vmap). What a run computes does not depend on the runs beside it
nor on where a call's last step lies.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int, Shaped

from nucleate.network import Network
from nucleate.optimizers import ADAM_EPSILON, OptimizerName, make_optimizer
from nucleate.problems import Split, Task, cross_entropy, squared_error

DROPS = (0.01, 0.1, 0.3)
"""The falls of the training loss, as shares of its start, whose first steps are noted."""

DIVERGED = 1e4
"""A run has diverged when its loss exceeds this many times its start."""


class Data(NamedTuple):
    """Training and validation data in the dtype of the runs, inputs as columns."""

    x: Float[Array, "d n"]
    y: Float[Array, "n c"]
    x_validation: Float[Array, "d n_validation"]
    y_validation: Float[Array, "n_validation c"]


class State(NamedTuple):
    """Everything a run needs to go on; in a batch every leaf has a leading axis of runs."""

    network: Network
    optimizer: optax.OptState
    learning_rate: Float[Array, ""]
    key: Shaped[Array, "2"]
    order: Int[Array, " n"]
    step: Int[Array, ""]
    running: Bool[Array, ""]
    loss: Float[Array, ""]
    start_loss: Float[Array, ""]
    drop_steps: Int[Array, " drops"]


class Reading(NamedTuple):
    """What is read off a run between steps.

    Of the parameters with a gradient that is not exactly zero, ``lost`` is the share that one more step on all the data
    would leave unchanged by rounding, ``damped`` the share whose gradient is below Adam's epsilon; both are NaN when
    every gradient is exactly zero.
    """

    train_loss: Float[Array, ""]
    validation_loss: Float[Array, ""]
    lost: Float[Array, ""]
    damped: Float[Array, ""]


@dataclass(frozen=True)
class Program:
    """What is compiled in: all that runs of one call have in common beside the architecture."""

    task: Task
    optimizer: OptimizerName
    momentum: float
    batch_size: int | None

    def loss(self, network: Network, x: Float[Array, "d n"], y: Float[Array, "n c"]) -> Float[Array, ""]:
        outputs = network.on_columns(x).T
        return squared_error(outputs, y) if self.task == "regression" else cross_entropy(outputs, y)

    def transformation(self, learning_rate: Float[Array, ""]) -> optax.GradientTransformation:
        return make_optimizer(self.optimizer, learning_rate, self.momentum)


def place_data(train: Split, validation: Split, dtype: str) -> Data:
    """Training and validation data on every device."""
    parts = (train.x.T, train.y, validation.x.T, validation.y)
    return Data(*(jax.device_put(np.ascontiguousarray(part, dtype), NamedSharding(_mesh(), P())) for part in parts))


def start(program: Program, networks: list[Network], learning_rates: list[float], seeds: list[int], n: int) -> State:
    """The batch of runs before its first step; its size is rounded up to a multiple of the devices by ended runs."""
    padding = -len(networks) % jax.device_count()
    networks = networks + networks[-1:] * padding
    dtype = networks[0].dtype
    rates = jnp.asarray(learning_rates + learning_rates[-1:] * padding, dtype)
    keys = [jax.random.key_data(jax.random.key(seed)) for seed in seeds + seeds[-1:] * padding]
    optimizers = [program.transformation(rates[0]).init(network) for network in networks]
    runs = len(networks)
    state = State(
        network=_stack(networks),
        optimizer=_stack(optimizers),
        learning_rate=rates,
        key=jnp.stack(keys),
        order=jnp.tile(jnp.arange(n, dtype=jnp.int32), (runs, 1)),
        step=jnp.zeros(runs, jnp.int32),
        running=jnp.arange(runs) < runs - padding,
        loss=jnp.zeros(runs, dtype),
        start_loss=jnp.full(runs, jnp.nan, dtype),
        drop_steps=jnp.full((runs, len(DROPS)), -1, jnp.int32),
    )
    return place_state(state)


def place_state(state: State) -> State:
    """Spread the runs of a batch over the devices."""
    return jax.device_put(state, NamedSharding(_mesh(), P("runs")))


@partial(jax.jit, static_argnames="program")
def advance(program: Program, state: State, data: Data, until: Int[Array, " runs"]) -> State:
    """Take every run that is still running up to its step ``until``, or to the step at which it diverges."""
    return for_each_run(partial(_advance_run, program), (state, until), data)


@partial(jax.jit, static_argnames="program")
def read(program: Program, state: State, data: Data) -> Reading:
    """The losses of every run on all the data, and what rounding leaves of its next step."""
    return for_each_run(partial(_read_run, program), state, data)


def _advance_run(program: Program, data: Data, run_until: tuple[State, Int[Array, ""]]) -> State:
    run, until = run_until
    transformation = program.transformation(run.learning_rate)

    def one_step(run: State) -> State:
        order, x, y = _batch(program, run, data)
        loss, gradient = jax.value_and_grad(program.loss)(run.network, x, y)
        updates, optimizer = transformation.update(gradient, run.optimizer, run.network)
        start_loss = jnp.where(run.step == 0, loss, run.start_loss)
        fallen = loss <= start_loss * (1 - jnp.asarray(DROPS, loss.dtype))
        return run._replace(
            network=optax.apply_updates(run.network, updates),
            optimizer=optimizer,
            order=order,
            step=run.step + 1,
            # Written so that NaN ends the run as well.
            running=run.running & (loss <= DIVERGED * start_loss),
            loss=loss,
            start_loss=start_loss,
            drop_steps=jnp.where(fallen & (run.drop_steps < 0), run.step, run.drop_steps),
        )

    return jax.lax.while_loop(lambda run: run.running & (run.step < until), one_step, run)


def _batch(
    program: Program, run: State, data: Data
) -> tuple[Int[Array, " n"], Float[Array, "d batch"], Float[Array, "batch c"]]:
    """The step's rows; an epoch visits them in a new order and leaves out what does not fill a batch."""
    size, n = program.batch_size, data.x.shape[1]
    if size is None or size >= n:
        return run.order, data.x, data.y
    steps_an_epoch = n // size
    epoch, position = run.step // steps_an_epoch, run.step % steps_an_epoch
    key = jax.random.fold_in(jax.random.wrap_key_data(run.key), epoch)
    order = jax.lax.cond(
        position == 0, lambda: jax.random.permutation(key, jnp.arange(n, dtype=jnp.int32)), lambda: run.order
    )
    rows = jax.lax.dynamic_slice_in_dim(order, position * size, size)
    return order, data.x[:, rows], data.y[rows]


def _read_run(program: Program, data: Data, run: State) -> Reading:
    loss, gradient = jax.value_and_grad(program.loss)(run.network, data.x, data.y)
    updates, _ = program.transformation(run.learning_rate).update(gradient, run.optimizer, run.network)
    slopes, parameters, steps = (
        jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)]) for tree in (gradient, run.network, updates)
    )
    live = slopes != 0
    return Reading(
        train_loss=loss,
        validation_loss=program.loss(run.network, data.x_validation, data.y_validation),
        lost=jnp.mean(parameters + steps == parameters, where=live),
        damped=jnp.mean(jnp.abs(slopes) < ADAM_EPSILON, where=live),
    )


def for_each_run(function: Any, runs: Any, data: Any) -> Any:
    """``function`` of the data and each run, with a leading axis of runs; to be called from compiled code."""

    def walk(runs: Any, data: Any) -> Any:
        one_run = partial(function, data)
        return jax.lax.map(one_run, runs) if jax.default_backend() == "cpu" else jax.vmap(one_run)(runs)

    specs = (P("runs"), P())
    return jax.shard_map(walk, mesh=_mesh(), in_specs=specs, out_specs=P("runs"), check_vma=False)(runs, data)


def _mesh() -> Mesh:
    return Mesh(np.array(jax.devices()), ("runs",))


def _stack(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *trees)
