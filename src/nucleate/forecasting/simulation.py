"""Step many networks, or their leading parts, under the optimizer of training through their first descent."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from nucleate.devices import for_each
from nucleate.forecasting.blocks import Blocks
from nucleate.models import dtype_of
from nucleate.network import Network
from nucleate.observe import stages
from nucleate.problems import Split
from nucleate.training import engine

_RATIO = 1.2
"""From one evaluation's step to the next's."""
_FINER = 1.05
"""The same where the loss itself is asked for."""
_CALL_SECONDS = 1.0
"""A call into XLA cannot be interrupted, so each is kept to about this long."""
_CHANGE = 3.0
"""On a walk the share by which parameters change from one point to the next, over that by which the step does."""


class Simulation:
    """Networks of one architecture, and what they are trained on.

    Steps are taken on some rows, and the loss is read of those that are watched: the same, where the program watches
    none. Each network has a learning rate, a seed, which orders the rows where the program has mini-batches, and a
    weight decay, where its rule has them. ``plateau_loss`` is that of the start, or where a bias beyond the first
    layer, or an activation that is not zero at zero, fits the best constant output at once, the loss of that.
    """

    def __init__(
        self,
        program: engine.Program,
        networks: Sequence[Network],
        stepped: Split,
        watched: Split,
        learning_rates: Sequence[float],
        seeds: Sequence[int],
        weight_decays: Sequence[float] | None = None,
    ) -> None:
        stepping: Any = Blocks if Blocks.can_step(program, networks[0]) else _Engine
        self._steps = stepping(program, networks[0], stepped, watched)
        self._start = self._steps.start(networks, learning_rates, seeds, weight_decays)
        self._left = self._start
        self.start_loss = self._steps.losses(self._start)
        self.plateau_loss = self.start_loss
        # What is simulated may be the leading part, which fits the constants that the network fits.
        if getattr(networks[0], "fits_constants", True):
            self.plateau_loss = np.minimum(self.start_loss, program.loss.constant_loss(watched.y, watched.weights))

    def first_descent(
        self, horizon: int, *, through_flats: bool = False
    ) -> tuple[Int[np.ndarray, "runs drops"], Int[np.ndarray, " runs"]]:
        """For each run the steps at which its loss had fallen by each of `engine.DROPS`, and the step it was left at.

        A run is left once its loss has fallen by the last of them, or unless ``through_flats`` its descent from the
        plateau has become flat, or at ``horizon``; a step that did not come until then is -1.
        """
        runs, at = list(self._start), 1
        steps: list[int] = [0]
        losses = [[float(loss)] for loss in self.plateau_loss]
        alive = list(range(len(runs)))
        while alive and at < horizon:
            at = min(max(at + 1, int(at * _RATIO)), horizon)
            # The loss a step carries is that before its update.
            steps.append(at - 1)
            advanced = self._steps.fall([runs[run] for run in alive], [at] * len(alive))
            left = []
            for run, state in zip(alive, advanced, strict=True):
                runs[run] = state
                # Above the plateau's loss nothing but the constant is being fitted.
                losses[run].append(min(float(state.loss), float(self.plateau_loss[run])))
                fallen, left_plateau = state.drop_steps[-1] >= 0, state.drop_steps[0] >= 0 and not through_flats
                if not state.running or fallen or (left_plateau and _is_flat(steps, losses[run])):
                    left.append(run)
            alive = [run for run in alive if run not in left]
        self._left = runs
        # Every loss is a share of an infinite one, and none a fall.
        drops = np.where(np.isfinite(self.start_loss)[:, None], np.array([run.drop_steps for run in runs]), -1)
        return drops, np.array([run.step for run in runs])

    def follow_on(
        self, which: Sequence[int], until: int
    ) -> list[tuple[Float[np.ndarray, " s"], Float[np.ndarray, " s"]]]:
        """Steps and losses of some of the runs from where `first_descent` left them to ``until``; NaN once diverged."""
        runs = [self._left[run] for run in which]
        curves = [([int(run.step) - 1], [float(run.loss)]) for run in runs]
        at = min((steps[0] for steps, _ in curves), default=until)
        while at < until:
            at = min(max(at + 1, int(at * _FINER)), until)
            # The loss a step carries is that before its update.
            runs = self._steps.advance(runs, [at + 1] * len(runs))
            for (steps, losses), run in zip(curves, runs, strict=True):
                if steps[-1] < at:
                    steps.append(at)
                    losses.append(float(run.loss) if run.running else np.nan)
        return [(np.array(steps, float), np.array(losses)) for steps, losses in curves]

    def states_at(
        self, points: Int[np.ndarray, "runs points"]
    ) -> Iterator[tuple[list[Network], Float[np.ndarray, " runs"]]]:
        """The networks of all runs and their losses at each run's own steps, which do not decrease."""
        runs = self._start
        for until in points.T:
            runs = self._steps.advance(runs, until.tolist())
            yield self._steps.networks(runs), self._steps.losses(runs)

    def states_pushed(
        self, points: Int[np.ndarray, "runs points"], push: Callable[[list[Network]], list[Any]]
    ) -> Iterator[list[Network]]:
        """As `states_at`, with ``push`` of the networks added to their gradients.

        It is asked for at the points alone; in between it grows as the gradient does.
        """
        runs = self._start
        for until in points.T:
            runs = self._steps.advance(runs, until.tolist(), push(self._steps.networks(runs)))
            yield self._steps.networks(runs)

    def walk(
        self,
        see: Callable[[int, int, Network], bool],
        horizon: int,
        push: Callable[[list[Network]], list[Any]] | None = None,
        *,
        apart: float,
    ) -> None:
        """Show every run's networks, often where they change fast, until ``see`` has seen enough.

        It is told a run, a step and the network before it, and says whether to go on. What ``push``
        makes of the networks still followed is added to their gradients up to their next points, as it is: at a saddle,
        where the gradient vanishes, nothing may grow as it does. Two points are at most this share of the step apart.
        """
        runs = list(self._start)
        at, gaps = np.zeros(len(runs), np.int64), np.ones(len(runs))
        alive = [run for run, network in enumerate(self._steps.networks(runs)) if see(run, 0, network)]
        while alive:
            before = [runs[run] for run in alive]
            at[alive] = np.minimum(at[alive] + gaps[alive].astype(np.int64), horizon)
            pushes = None if push is None else [engine.Steady(more) for more in push(self._steps.networks(before))]
            after = self._steps.advance(before, at[alive].tolist(), pushes)
            left = []
            for run, old, new, network in zip(alive, before, after, self._steps.networks(after), strict=True):
                runs[run] = new
                faster = min(_CHANGE * apart / max(_change(old.parameters, new.parameters), 1e-30), 1.5)
                gaps[run] = np.clip(faster * gaps[run], 1, max(apart * at[run], 1))
                if not see(run, int(at[run]), network) or not new.running or at[run] >= horizon:
                    left.append(run)
            alive = [run for run in alive if run not in left]

    @property
    def left(self) -> list[Network]:
        """The networks where `first_descent` left them."""
        return self._steps.networks(self._left)


class _Engine:
    """The stepping of a simulation by the engine of training."""

    def __init__(self, program: engine.Program, network: Any, stepped: Split, watched: Split) -> None:
        self._program, self._n = program, len(stepped.x)
        self._data = engine.place_data(stepped, watched, dtype_of(network))
        self._stride = 1

    def start(
        self,
        networks: Sequence[Any],
        learning_rates: Sequence[float],
        seeds: Sequence[int],
        weight_decays: Sequence[float] | None,
    ) -> list[engine.RunState]:
        return engine.start(self._program, networks, learning_rates, seeds, self._n, weight_decays)

    def advance(
        self, runs: Sequence[engine.RunState], until: Sequence[int], push: Sequence[Any] | None = None
    ) -> Sequence[engine.RunState]:
        if push is not None and not all(isinstance(one, engine.Steady) for one in push):
            # It grows from the first gradient of a call on, so that another call would begin it anew.
            return engine.advance(self._program, runs, self._data, until, push)
        at = [int(run.step) for run in runs]
        while True:
            taken = max((min(end - step, self._stride) for step, end in zip(at, until, strict=True)), default=0)
            at = [min(step + self._stride, end) for step, end in zip(at, until, strict=True)]
            started = time.monotonic()
            runs = engine.advance(self._program, runs, self._data, at, push)
            self._follow_the_clock(taken, time.monotonic() - started)
            if at == list(until):
                return runs

    fall = advance

    def _follow_the_clock(self, taken: int, seconds: float) -> None:
        """Bits do not depend on where calls end, so their length may be what the last one tells."""
        fitting = int(taken * min(8.0, _CALL_SECONDS / max(seconds, 1e-6)))
        if seconds > _CALL_SECONDS or fitting > self._stride:
            self._stride = max(fitting, 1)

    def networks(self, runs: Sequence[engine.RunState]) -> list[Any]:
        return [self._program.frame(run.parameters) for run in runs]

    def losses(self, runs: Sequence[engine.RunState]) -> Float[np.ndarray, " runs"]:
        rows = self._data.validation if self._program.watches else self._data.training
        return np.array(list(for_each(_loss, runs, self._program, rows)))


@partial(jax.jit, static_argnames="program")
def _loss(run: engine.RunState, program: engine.Program, rows: tuple[Any, ...]) -> Float[Array, ""]:
    return program.cost(run.parameters, *rows)


def late_curves(
    simulation: Simulation, left_by: Sequence[int | None], drops: Int[np.ndarray, "runs drops"], budget: int
) -> list[tuple[Float[np.ndarray, " s"], Float[np.ndarray, " s"]]]:
    """The late curve of every run, from the last of its drops on; only those left before the budget are followed."""
    late = [(np.empty(0), np.empty(0))] * len(left_by)
    which, lags = [], []
    for run, latest in enumerate(left_by):
        if latest is not None and latest <= budget:
            which.append(run)
            lags.append(latest - int(drops[run].max()))
    for run, lag, (steps, losses) in zip(which, lags, simulation.follow_on(which, budget), strict=True):
        reached = int(drops[run].argmax())
        fallen = drops[run][reached], (1 - engine.DROPS[reached]) * simulation.start_loss[run]
        late[run] = np.append(fallen[0], steps) + lag, np.append(fallen[1], losses)
    return late


def _change(before: Any, after: Any) -> float:
    """How far parameters have moved, as a share of their size."""
    old, new = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (before, after))
    return float(np.linalg.norm(new - old) / max(np.linalg.norm(old), np.finfo(float).tiny))


def _is_flat(steps: Sequence[int], losses: Sequence[float]) -> bool:
    # A loss that has left all bounds is no plateau.
    known = np.array(losses)
    return bool(np.isfinite(known).all()) and stages(np.array(steps), known).current == "secondary plateau"
