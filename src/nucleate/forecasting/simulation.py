"""Step many networks, or their leading parts, under the optimiser of training through their first descent."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Shaped
from scipy.special import entr

from nucleate.network import Network
from nucleate.observe import stages
from nucleate.problems import Split, Task
from nucleate.training import engine

_LOOKS_RATIO = 1.2


class Simulation:
    """Networks of one architecture, and what they are trained on.

    Parameters
    ----------
    program : engine.Program
        Task and optimiser.
    networks : sequence of Network
    x, y : arrays of shape (rows, d) and (rows, c)
    learning_rates : sequence of float
        One for each network.

    Attributes
    ----------
    plateau_loss : array of shape (runs,)
        The loss on the plateau: that of the start, or where a bias beyond the first layer fits the targets' mean at
        once, that of the best constant output.
    """

    def __init__(
        self,
        program: engine.Program,
        networks: Sequence[Network],
        x: Float[np.ndarray, "rows d"],
        y: Float[np.ndarray, "rows c"],
        learning_rates: Sequence[float],
    ) -> None:
        data = Split(x, y)
        self._program = program
        self._data = engine.place_data(data, data, networks[0].dtype)
        self._start = engine.start(program, list(networks), list(learning_rates), [0] * len(networks), len(x))
        self._runs = len(networks)
        self.start_loss = self._losses(self._start)[: self._runs]
        self.plateau_loss = self.start_loss
        if any(bias is not None for bias in networks[0].biases[1:]):
            self.plateau_loss = np.minimum(self.start_loss, _constant_loss(program.task, y))

    def first_descent(
        self, horizon: int, *, through_flats: bool = False
    ) -> tuple[Int[np.ndarray, "runs drops"], Int[np.ndarray, " runs"]]:
        """For each run the steps at which its loss had fallen by each of `engine.DROPS`, and the step it was left at.

        A run is left once its loss has fallen by the last of them, or unless ``through_flats`` its descent from the
        plateau has become flat, or at ``horizon``; a step that did not come until then is -1.
        """
        state, at = self._start, 1
        steps, losses = [0], [self.plateau_loss]
        until = np.zeros(state.step.shape, np.int32)
        alive = np.arange(len(until)) < self._runs
        while alive.any() and at < horizon:
            at = min(max(at + 1, int(at * _LOOKS_RATIO)), horizon)
            until[alive] = at
            state = engine.advance(self._program, state, self._data, jnp.asarray(until))
            running, drops, loss = jax.device_get((state.running, state.drop_steps, state.loss))
            # The loss a step carries is that before its update.
            steps.append(at - 1)
            # Above the plateau's loss nothing but the mean is being fitted.
            losses.append(np.minimum(loss[: self._runs], self.plateau_loss))
            for run in np.flatnonzero(alive).tolist():
                fallen, left_plateau = drops[run, -1] >= 0, drops[run, 0] >= 0 and not through_flats
                alive[run] = running[run] and not fallen and not (left_plateau and _is_flat(steps, losses, run))
        return np.asarray(state.drop_steps)[: self._runs], np.asarray(state.step)[: self._runs]

    def states_at(self, points: Int[np.ndarray, "runs points"]) -> Iterator[tuple[Network, Float[np.ndarray, " runs"]]]:
        """The networks of all runs, stacked, and their losses at each run's own steps, which do not decrease."""
        state = self._start
        for until in points.T:
            state = engine.advance(self._program, state, self._data, jnp.asarray(self._padded(until), jnp.int32))
            yield self._networks(state), self._losses(state)[: self._runs]

    def states_pushed(
        self, points: Int[np.ndarray, "runs points"], push: Callable[[Network], Network]
    ) -> Iterator[Network]:
        """As `states_at`, with ``push`` of the networks added to their gradients.

        It is asked for at the points alone; in between it grows as the gradient does.
        """
        state = self._start
        for until in points.T:
            added = jax.tree.map(self._padded, push(self._networks(state)))
            steps = jnp.asarray(self._padded(until), jnp.int32)
            state = _advance_pushed(self._program, state, self._data, steps, added)
            yield self._networks(state)

    def _networks(self, state: engine.State) -> Network:
        # On the host: slicing what is spread over devices would make them wait for each other.
        networks: Network = jax.tree.map(lambda leaf: leaf[: self._runs], jax.device_get(state.network))
        return networks

    def _padded(self, leaf: Shaped[Array, "runs *shape"]) -> Shaped[np.ndarray, "padded *shape"]:
        """What there is one of for each run, for the ended runs that fill up the devices too."""
        return np.asarray(leaf)[np.minimum(np.arange(len(self._start.step)), self._runs - 1)]

    def _losses(self, state: engine.State) -> Float[np.ndarray, " runs"]:
        return np.asarray(engine.read(self._program, state, self._data).train_loss)


@partial(jax.jit, static_argnames="program")
def _advance_pushed(
    program: engine.Program, state: engine.State, data: engine.Data, until: Int[Array, " runs"], push: Network
) -> engine.State:
    """As `engine.advance`, with ``push`` added to the first gradient and as much of its size to those that follow."""
    advanced: engine.State = engine.for_each_run(partial(_advance_run, program), (state, until, push), data)
    return advanced


def _advance_run(
    program: engine.Program, data: engine.Data, pushed_run: tuple[engine.State, Int[Array, ""], Network]
) -> engine.State:
    start, until, push = pushed_run
    transformation = program.transformation(start.learning_rate)
    gradient_of = jax.grad(program.loss)
    first = _norm(gradient_of(start.network, data.x, data.y))

    def one_step(run: engine.State) -> engine.State:
        gradient = gradient_of(run.network, data.x, data.y)
        grown = jnp.where(first > 0, _norm(gradient) / first, 0.0)
        gradient = jax.tree.map(lambda g, more: g + (grown * more).astype(g.dtype), gradient, push)
        updates, optimizer = transformation.update(gradient, run.optimizer, run.network)
        network = optax.apply_updates(run.network, updates)
        return run._replace(network=network, optimizer=optimizer, step=run.step + 1)

    advanced: engine.State = jax.lax.while_loop(lambda run: run.step < until, one_step, start)
    return advanced


def _norm(network: Network) -> Float[Array, ""]:
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(network)))


def _is_flat(steps: list[int], losses: list[Float[np.ndarray, " runs"]], run: int) -> bool:
    return stages(np.array(steps), np.array([loss[run] for loss in losses])).current == "secondary plateau"


def _constant_loss(task: Task, y: Float[np.ndarray, "rows c"]) -> float:
    """The least loss of outputs that do not depend on the inputs."""
    return float(0.5 * y.var(axis=0).sum() if task == "regression" else entr(y.mean(axis=0)).sum())
