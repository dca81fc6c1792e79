"""Step many networks, or their leading parts, under the optimiser of training through their first descent."""

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from nucleate.forecast._leading import Subject
from nucleate.network import Network
from nucleate.observe import stages
from nucleate.problems import Split
from nucleate.training import engine

_LOOKS_RATIO = 1.25


class Simulation:
    """Networks of one architecture, and what they are trained on.

    Parameters
    ----------
    program : engine.Program
        Task and optimiser.
    subjects : sequence of Subject
        All on the same data, which is that of the first.
    learning_rates : sequence of float
    """

    def __init__(self, program: engine.Program, subjects: Sequence[Subject], learning_rates: Sequence[float]) -> None:
        networks = [subject.network for subject in subjects]
        data = Split(subjects[0].x, subjects[0].y)
        self._program = program
        self._data = engine.place_data(data, data, networks[0].dtype)
        seeds = [0] * len(networks)
        self._start = engine.start(program, networks, list(learning_rates), seeds, len(data.x))
        self._runs = len(networks)

    def first_descent(self, horizon: int) -> tuple[Int[np.ndarray, "runs drops"], Int[np.ndarray, " runs"]]:
        """For each run the steps at which its loss had fallen by each of `engine.DROPS`, and the step it was left at.

        A run is left once its loss has fallen by the last of them, or its descent has become flat, or at ``horizon``;
        a step that did not come until then is -1.
        """
        state, at = self._start, 0
        steps, losses = [0], [self._losses(state)]
        until = np.zeros(state.step.shape, np.int32)
        alive = np.arange(len(until)) < self._runs
        while alive.any() and at < horizon:
            at = min(max(at + 1, int(at * _LOOKS_RATIO)), horizon)
            until[alive] = at
            state = engine.advance(self._program, state, self._data, jnp.asarray(until))
            steps.append(at)
            losses.append(self._losses(state))
            fallen = np.asarray(state.drop_steps)[:, -1] >= 0
            for run in np.flatnonzero(alive):
                curve = np.array([loss[run] for loss in losses])
                flat = stages(np.array(steps), curve).current == "secondary plateau"
                alive[run] = bool(state.running[run]) and not fallen[run] and not flat
        return np.asarray(state.drop_steps)[: self._runs], np.asarray(state.step)[: self._runs]

    def states_at(self, points: Int[np.ndarray, "runs points"]) -> Iterator[Network]:
        """The networks of all runs, stacked, at each run's own steps, which do not decrease."""
        state = self._start
        for until in points.T:
            padded = np.append(until, np.repeat(until[-1:], len(state.step) - self._runs))
            state = engine.advance(self._program, state, self._data, jnp.asarray(padded, jnp.int32))
            # On the host: slicing what is spread over devices would make them wait for each other.
            yield jax.tree.map(lambda leaf: leaf[: self._runs], jax.device_get(state.network))

    def _losses(self, state: engine.State) -> Float[np.ndarray, " runs"]:
        return np.asarray(engine.read(self._program, state, self._data).train_loss)
