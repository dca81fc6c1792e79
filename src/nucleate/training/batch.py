"""A batch of runs from the first step to the last: advance, look, judge; can be put away between looks and taken up."""

import json
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Array, Int
from safetensors.numpy import load, save

from nucleate.network import Network
from nucleate.observe import Snapshot, measure, snapshot
from nucleate.problems import Problem
from nucleate.training import engine
from nucleate.training.checks import check_batch_size, check_runs
from nucleate.training.run import Run
from nucleate.training.settings import Settings, record_steps, snapshot_looks
from nucleate.training.stopping import Status, has_converged, has_vanished, is_dead

_PATIENCE_SECONDS = 0.5
"""A call into XLA cannot be interrupted, so each is kept to about this long."""


class Batch:
    """Runs of one architecture on one problem, trained together and each judged alone.

    Parameters
    ----------
    problem : Problem
    networks : sequence of Network
        Of one architecture and dtype; each run's start.
    learning_rates, seeds : sequences of float and int
        One for each network; the seed orders the rows where ``batch_size`` is set.
    settings : Settings
    watched : collection of int
        The positions of the runs of which snapshots are kept.

    Raises
    ------
    SpecError
        If the networks do not share an architecture that fits the problem or do not fit into memory, a learning rate is
        not positive, or a batch has more rows than there are.
    """

    def __init__(
        self,
        problem: Problem,
        networks: Sequence[Network],
        learning_rates: Sequence[float],
        seeds: Sequence[int],
        settings: Settings,
        watched: Collection[int] = (),
    ) -> None:
        check_runs(problem, networks, learning_rates)
        check_batch_size(problem, settings.batch_size)
        self.settings = settings
        self._problem = problem
        self._program = engine.Program(problem.task, settings.optimizer, settings.momentum, settings.batch_size)
        self._data = engine.place_data(problem.train, problem.validation, networks[0].dtype)
        self._state = engine.start(
            self._program, list(networks), list(learning_rates), list(seeds), len(problem.train.x)
        )
        self._learning_rates, self._seeds = list(learning_rates), list(seeds)
        self._schedule = record_steps(settings.steps, settings.records)
        self._watched, self._snapshot_looks = frozenset(watched), snapshot_looks(len(self._schedule))
        self._looks = 0
        self._stride = 1
        self.initial = [jax.device_get(network) for network in networks]
        self.final, self.best = list(self.initial), list(self.initial)
        self.rows: list[list[dict[str, float]]] = [[] for _ in networks]
        self.statuses: list[Status] = ["running"] * len(networks)
        self._notes: list[dict[str, str]] = [{} for _ in networks]
        self._snapshots: list[list[Snapshot]] = [[] for _ in networks]
        self._look()

    @property
    def done(self) -> bool:
        """Whether every run has ended."""
        return "running" not in self.statuses

    @property
    def step(self) -> int:
        """The step of the last look."""
        return int(self._schedule[self._looks - 1])

    def advance(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Take every run to the next recorded step and look at it there; on ``stop`` leave it on the way."""
        until = int(self._schedule[self._looks])
        at = self.step
        while at < until:
            if stop():
                return
            started = time.monotonic()
            at = min(at + self._stride, until)
            self._state = engine.advance(self._program, self._state, self._data, self._until(at))
            jax.block_until_ready(self._state.step)
            # Bits do not depend on where calls end, so their length may follow the clock.
            seconds = time.monotonic() - started
            longer = min(8.0, _PATIENCE_SECONDS / max(seconds, 1e-6))
            self._stride = min(max(1, int(self._stride * longer)), self.settings.steps)
        self._look()

    def _until(self, step: int) -> Int[Array, " runs"]:
        return jnp.full(self._state.step.shape, step, jnp.int32)

    def _look(self) -> None:
        reading, running, losses, networks = jax.device_get(
            (
                engine.read(self._program, self._state, self._data),
                self._state.running,
                self._state.loss,
                self._state.network,
            )
        )
        step = int(self._schedule[self._looks])
        self._looks += 1
        for run, status in enumerate(self.statuses):
            if status != "running":
                continue
            if not running[run]:
                self.statuses[run] = "nan" if np.isnan(losses[run]) else "diverged"
                continue
            self._record(run, step, jax.tree.map(lambda leaf, run=run: leaf[run], networks), reading)
        alive = np.zeros(running.shape, bool)
        alive[: len(self.statuses)] = [status == "running" for status in self.statuses]
        self._state = engine.place_state(self._state._replace(running=jnp.asarray(alive)))

    def _record(self, run: int, step: int, network: Network, reading: engine.Reading) -> None:
        rows = self.rows[run]
        row = {
            "step": step,
            "train_loss": float(reading.train_loss[run]),
            "validation_loss": float(reading.validation_loss[run]),
        }
        if not (np.isfinite(row["train_loss"]) and np.isfinite(row["validation_loss"])):
            self.statuses[run] = "nan"
            return
        if not rows or row["validation_loss"] < min(past["validation_loss"] for past in rows):
            self.best[run] = network
        self.final[run] = network
        if run in self._watched and self._looks - 1 in self._snapshot_looks:
            self._snapshots[run].append(snapshot(network, step))
        rows.append(row | measure(network, self.initial[run], self._problem.train.x))
        self.statuses[run] = self._judge(run, float(reading.lost[run]), float(reading.damped[run]))

    def _judge(self, run: int, lost: float, damped: float) -> Status:
        steps, train_loss, validation_loss = (
            np.array([row[name] for row in self.rows[run]]) for name in ("step", "train_loss", "validation_loss")
        )
        if has_vanished(train_loss, lost):
            if np.isnan(lost) and is_dead(self.final[run], self._problem.train.x):
                return "dead"
            self._notes[run]["underflow"] = (
                f"{self.final[run].dtype} rounds the steps of most parameters away at this scale; "
                "use float64, a larger init scale or a larger learning rate"
            )
            return "underflow"
        if self.settings.optimizer == "adam" and damped > 0.5 and train_loss[-1] > 0.99 * train_loss[0]:
            self._notes[run]["adam"] = (
                "on the initial plateau Adam's epsilon (1e-8) exceeds most gradients, so its steps are shorter than "
                "the learning rate"
            )
        if steps[-1] == self.settings.steps:
            return "finished"
        if self.settings.early_stopping and has_converged(steps, train_loss, validation_loss):
            return "early_stopped"
        return "running"

    def runs(self) -> list[Run]:
        """The runs as they stand."""
        taken, drops = jax.device_get((self._state.step, self._state.drop_steps))
        return [
            Run(
                status=self.statuses[run],
                steps=int(taken[run]),
                trajectory=pl.DataFrame(self.rows[run]),
                initial=self.initial[run],
                final=self.final[run],
                best=self.best[run],
                drop_steps={
                    drop: int(step) if step >= 0 else None for drop, step in zip(engine.DROPS, drops[run], strict=True)
                },
                learning_rate=self._learning_rates[run],
                seed=self._seeds[run],
                notes=tuple(self._notes[run].values()),
                snapshots=tuple(self._snapshots[run]),
            )
            for run in range(len(self.statuses))
        ]

    def checkpoint(self) -> bytes:
        """All that is needed to go on from the last look, as a safetensors file's bytes."""
        leaves = jax.tree.leaves(jax.device_get((self._state, self.final, self.best, self._snapshots)))
        tensors = {str(index): np.asarray(leaf) for index, leaf in enumerate(leaves)}
        story = {"looks": self._looks, "rows": self.rows, "statuses": self.statuses, "notes": self._notes}
        story["snapshots"] = [len(taken) for taken in self._snapshots]
        return save(tensors, {"story": json.dumps(story)})

    def resume(self, checkpoint: bytes) -> None:
        """Go on from a `checkpoint` of a batch of the same arguments, to the bits of an uninterrupted one."""
        tensors = load(checkpoint)
        size = int.from_bytes(checkpoint[:8], "little")
        story = json.loads(json.loads(checkpoint[8 : 8 + size])["__metadata__"]["story"])
        snapshots = [[snapshot(self.initial[0], 0)] * taken for taken in story["snapshots"]]
        structure: Any = jax.tree.structure((self._state, self.final, self.best, snapshots))
        state, self.final, self.best, self._snapshots = jax.tree.unflatten(
            structure, [tensors[str(index)] for index in range(len(tensors))]
        )
        self._state = engine.place_state(state)
        self._looks, self.rows, self.statuses = story["looks"], story["rows"], story["statuses"]
        self._notes = story["notes"]
