"""A batch of runs from the first step to the last: advance, evaluate, judge; can be put away between evaluations."""

import json
import operator
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import pairwise
from threading import Lock
from typing import Any, NamedTuple

import jax
import numpy as np
import polars as pl
from jaxtyping import Bool

from nucleate import devices
from nucleate._files import pack_tensors, parse_json, parse_tensors
from nucleate.errors import SpecError
from nucleate.models import describe, dtype_of, outputs_of, take_apart
from nucleate.network import Network
from nucleate.observe import MEASURES, Layer, LayerStack, Measure, Snapshot, StageName, layers_of, snapshot, stages
from nucleate.observe.layers import most_in_stack, stacks_of
from nucleate.observe.measures import check_measures, evaluation_rows, measure_layers
from nucleate.problems import Problem
from nucleate.training import engine
from nucleate.training.checks import check_batch_size, check_dropout, check_runs
from nucleate.training.run import Run
from nucleate.training.settings import SNAPSHOTS, Settings, evaluation_steps, snapshot_evaluations
from nucleate.training.stopping import (
    LOST,
    Status,
    dead_layer,
    has_constant_outputs,
    has_converged,
    has_vanished,
    is_dead,
    plateau_loss,
    saturated_layer,
    stands_still,
)

_PATIENCE_SECONDS = 0.5
"""A call into XLA cannot be interrupted, so each is kept to about this long."""


class _Evaluated(NamedTuple):
    """A run at an evaluation; ``suspect`` where a layer may be dead."""

    step: int
    reading: engine.Reading
    model: Any
    layers: Sequence[Layer]
    suspect: bool


_ENOUGH, _FEW = 4, 4
"""Cores that measure small layers faster than more of them do, and runs that are worth a core."""


class Batch:
    """Runs of one architecture on one problem, trained together and each judged alone.

    Parameters
    ----------
    problem : Problem
    models : sequence of models
        Of one architecture and dtype; each run's start.
    learning_rates, seeds : sequences of float and int
        One for each model; the seed orders the rows where ``batch_size`` is set, and says what ``dropout`` drops.
    settings : Settings
    measures : sequence of Measure
        What is measured of every layer at every evaluation.
    watched : collection of int
        The positions of the runs of which snapshots are kept.
    weight_decays : sequence of float, optional
        One for each model; without them nothing decays.
    keep_nan_starts : bool
        Whether a run whose loss is NaN or infinite before its first step is kept as one that ended there, so that the
        others go on; otherwise it is refused.

    Raises
    ------
    SpecError
        If the models do not share an architecture that fits the problem or do not fit into memory, a learning rate is
        not positive, a batch has more rows than there are, or a loss is NaN or infinite before the first step.
    """

    def __init__(
        self,
        problem: Problem,
        models: Sequence[Any],
        learning_rates: Sequence[float],
        seeds: Sequence[int],
        settings: Settings,
        *,
        measures: Sequence[Measure] = MEASURES,
        watched: Collection[int] = (),
        weight_decays: Sequence[float] | None = None,
        keep_nan_starts: bool = False,
    ) -> None:
        check_runs(problem, models, learning_rates, settings.optimizer, weight_decays)
        check_batch_size(problem, settings.batch_size)
        check_dropout(models, settings.dropout)
        self.settings = settings
        self._frame = take_apart(models[0])[1]
        size = None if settings.batch_size == len(problem.train.x) else settings.batch_size
        rule = settings.rule(decays=weight_decays is not None)
        self._program = engine.Program(self._frame, problem.loss, rule, size, settings.dropout)
        self._data = engine.place_data(problem.train, problem.validation, dtype_of(models[0]))
        self._runs = engine.start(self._program, models, learning_rates, seeds, len(problem.train.x), weight_decays)
        self._stepped: tuple[Sequence[engine.RunState], list[engine.RunState]] = (), []
        # In mini-batches no step sees the loss of all rows, so a drop is looked for from the evaluation before.
        self._at_evaluation = [] if size is None else list(self._runs)
        self._inputs, self._rows = problem.train.x, evaluation_rows(problem.train.x)
        self._plateau_loss = plateau_loss(models[0], problem)
        self._constant_loss = partial(problem.loss.constant_loss, problem.train.y, problem.train.weights)
        self._measures = check_measures(measures)
        self._learning_rates, self._seeds = list(learning_rates), list(seeds)
        self._weight_decays = [0.0] * len(models) if weight_decays is None else list(weight_decays)
        self._schedule = evaluation_steps(settings.steps, settings.evaluations)
        self._watched, self._snapshots_at = frozenset(watched), snapshot_evaluations(len(self._schedule))
        self._stride = 1
        self.initial = [self._frame(run.parameters) for run in self._runs]
        self._most = min(most_in_stack(layers_of(self.initial[0], self._rows)), devices.at_once(len(models)))
        self._initial_layers = self._layers_of(self.initial)
        self.final, self.best = list(self.initial), list(self.initial)
        self.rows: list[list[dict[str, float]]] = [[] for _ in models]
        self.statuses = [Status.RUNNING] * len(models)
        self._notes: list[dict[str, str]] = [{} for _ in models]
        self._snapshots: list[list[Snapshot]] = [[] for _ in models]
        self.advance()
        for run, status in enumerate(self.statuses):
            if status is Status.NAN:
                why, remedy = _no_loss_at_start(models[run], problem)
                if not keep_nan_starts:
                    raise SpecError(f"The loss of run {run} is {why}; {remedy}.")
                self._notes[run]["nan"] = f"the loss is {why}; {remedy}"

    @property
    def done(self) -> bool:
        """Whether every run has ended."""
        return not self._alive()

    @property
    def step(self) -> int:
        """The step of the last evaluation."""
        return int(self._schedule[self._evaluations - 1])

    @property
    def _evaluations(self) -> int:
        """How many there have been of every run that goes on; of the last to end where none does."""
        taken = list(map(len, self.rows))
        return min((taken[run] for run in self._alive()), default=max(taken))

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the measured layers."""
        return tuple(layer.name for layer in self._initial_layers[0])

    def advance(self, stop: Callable[[], bool] = lambda: False, *, seconds: float = 0.0) -> None:
        """Take every run to its next evaluation, and evaluate it; on ``stop`` leave those that are on the way.

        Parameters
        ----------
        stop : callable
            Asked again and again whether to stop.
        seconds : float
            How long to go on beyond the next evaluation, about; each core with its own runs, whatever the others do.
        """
        alive, told, one_at_a_time = self._alive(), False, Lock()
        end, first = time.monotonic() + seconds, self._evaluations

        def stopped() -> bool:
            """All stop when one was told to."""
            nonlocal told
            with one_at_a_time:
                told = told or stop()
                return told

        # On a GPU all go together from evaluation to evaluation, else each core's.
        lanes = _parts(alive, 1 if devices.steps_together() else devices.CORES)
        with devices.single_blas_thread():
            devices.spread(lambda runs: self._take(runs, first, end, stopped), lanes)

    def _take(self, runs: Sequence[int], first: int, end: float, stop: Callable[[], bool]) -> None:
        """Take some runs through their evaluations: that of this number, and those that begin before ``end``."""
        while alive := [run for run in runs if self.statuses[run].is_running]:
            in_time = time.monotonic() < end
            pending = [run for run in alive if in_time or len(self.rows[run]) <= first]
            if not pending:
                return
            evaluation = min(len(self.rows[run]) for run in pending)
            step = int(self._schedule[evaluation])
            together = [run for run in pending if len(self.rows[run]) == evaluation]
            readings = self._take_to(step, together, stop)
            if readings is None:
                return
            measured = [run for run, reading in readings.items() if self._goes_on(run, reading)]
            devices.spread(partial(self._record, step, readings), self._pieces(measured))

    def _pieces(self, runs: Sequence[int]) -> list[Sequence[int]]:
        """Runs that are measured at once: many, since a part of what a piece takes is Python's, one core at a time."""
        cores = min(devices.CORES, _ENOUGH, len(runs) // _FEW) if devices.steps_together() else 1
        return _parts(runs, max(1, -(-len(runs) // self._most), cores))

    def _alive(self) -> list[int]:
        return [run for run, status in enumerate(self.statuses) if status.is_running]

    def _take_to(self, until: int, runs: Sequence[int], stop: Callable[[], bool]) -> dict[int, engine.Reading] | None:
        """What is read off each of them at that step; None where they were stopped before."""
        at = int(self.rows[runs[0]][-1]["step"]) if self.rows[runs[0]] else 0
        states = self._states(runs)
        while at < until:
            if stop():
                self._keep(runs, states)
                return None
            started = time.monotonic()
            at = min(at + self._stride, until)
            states = engine.advance(self._program, states, self._data, [at] * len(runs))
            # Bits do not depend on where calls end, so their length may follow the clock.
            seconds = time.monotonic() - started
            longer = min(8.0, _PATIENCE_SECONDS / max(seconds, 1e-6))
            self._stride = min(max(1, int(self._stride * longer)), self.settings.steps)
        readings = engine.read(self._program, states, self._data)
        self._keep(runs, states)
        if self._at_evaluation:
            self._note_drops(runs, until, [float(reading.train_loss) for reading in readings])
        return dict(zip(runs, readings, strict=True))

    def _states(self, runs: Sequence[int]) -> Sequence[engine.RunState]:
        """Where these runs are; on the device still, if they came from there and nothing has changed since."""
        now = [self._runs[run] for run in runs]
        states, fetched = self._stepped
        return states if len(now) == len(fetched) and all(map(operator.is_, now, fetched)) else now

    def _keep(self, runs: Sequence[int], states: Sequence[engine.RunState]) -> None:
        fetched = list(states)
        for run, state in zip(runs, fetched, strict=True):
            self._runs[run] = state
        if devices.steps_together():
            self._stepped = states, fetched

    def _goes_on(self, run: int, reading: engine.Reading) -> bool:
        """Whether there is something to measure of a run; else its status says what has become of it."""
        if not self._runs[run].running:
            self.statuses[run] = Status.NAN if np.isnan(self._runs[run].loss) else Status.DIVERGED
        elif not (np.isfinite(reading.train_loss) and np.isfinite(reading.validation_loss)):
            self.statuses[run] = Status.NAN
        if not self.rows[run]:
            # Its start is a row of its own, even where its loss is NaN.
            return True
        if self.statuses[run] is Status.NAN:
            largest = np.abs(outputs_of(self.final[run], self._inputs)).max()
            loss, optimizer = self._program.loss, self.settings.optimizer
            of_own = "" if loss.is_built_in else f", or correct the loss {loss.name!r} where it or its gradient is NaN"
            of_own += "" if optimizer.is_built_in else f", or correct the optimizer {optimizer.name!r}"
            self._notes[run]["nan"] = (
                f"the loss was NaN or infinite by step {int(self._runs[run].step)}; at the evaluation before, of step "
                f"{self.rows[run][-1]['step']:g}, the largest output was {largest:.4g} in size; use a smaller learning "
                f"rate{of_own}"
            )
        return self.statuses[run].is_running

    def _note_drops(self, runs: Sequence[int], step: int, losses: Sequence[float]) -> None:
        """The steps at which the loss of all training rows first fell by each share, if since the last evaluation."""
        fell: dict[int, Bool[np.ndarray, " drops"]] = {}
        for run, loss in zip(runs, losses, strict=True):
            if self.rows[run]:
                fallen = loss <= self.rows[run][0]["train_loss"] * (1 - np.array(engine.DROPS))
                if (fallen & (self._at_evaluation[run].drop_steps < 0)).any():
                    fell[run] = fallen
        if fell:
            program = replace(self._program, watches=True)
            x, y, weights = self._data.training
            data = self._data._replace(x_validation=x, y_validation=y, weights_validation=weights)
            again = [self._since(run) for run in fell]
            for (run, fallen), watched in zip(
                fell.items(), engine.advance(program, again, data, [step] * len(again)), strict=True
            ):
                found: Any = np.where(fallen & (watched.drop_steps < 0), step, watched.drop_steps).astype(np.int32)
                self._runs[run] = self._runs[run]._replace(drop_steps=found)
        for run in runs:
            self._at_evaluation[run] = self._runs[run]

    def _since(self, run: int) -> engine.RunState:
        """The run at the evaluation before, knowing the losses of all rows at its start and there."""
        before, rows = self._at_evaluation[run], self.rows[run]
        known: dict[str, Any] = {
            "start_loss": np.asarray(rows[0]["train_loss"], before.start_loss.dtype),
            "loss": np.asarray(rows[-1]["train_loss"], before.loss.dtype),
        }
        return before._replace(**known)

    def _record(self, step: int, readings: Mapping[int, engine.Reading], runs: Sequence[int]) -> None:
        """Measure some runs at once, and judge each."""
        models = [self._frame(self._runs[run].parameters) for run in runs]
        for places, layers in stacks_of(models, self._rows, self._most):
            chosen = [runs[place] for place in places]
            start = tuple(map(LayerStack, zip(*(self._initial_layers[run] for run in chosen), strict=True)))
            measured = measure_layers(layers, start, self._measures) or [{}] * len(chosen)
            suspect = np.any([is_dead(layer) for layer in layers] or [[False] * len(chosen)], axis=0)
            for place, run in enumerate(chosen):
                own = _Evaluated(
                    step, readings[run], models[places[place]], [layer[place] for layer in layers], bool(suspect[place])
                )
                self._add_row(run, own, measured[place])

    def _add_row(self, run: int, at: _Evaluated, measured: Mapping[str, float]) -> None:
        rows, reading, model, layers = self.rows[run], at.reading, at.model, at.layers
        losses = {"train_loss": float(reading.train_loss), "validation_loss": float(reading.validation_loss)}
        row = {"step": at.step, **(losses if self.statuses[run].is_running else dict.fromkeys(losses, np.nan))}
        if not rows or row["validation_loss"] < min(past["validation_loss"] for past in rows):
            self.best[run] = model
        before, self.final[run] = self.final[run] if rows else None, model
        if layers and run in self._watched and len(rows) in self._snapshots_at:
            self._snapshots[run].append(snapshot(layers, at.step))
        rows.append({**row, **measured})
        if not self.statuses[run].is_running:
            return
        dead = self._on_all_rows(dead_layer, model, layers) if at.suspect else None
        self.statuses[run] = self._judge(run, dead, before, reading)
        if not self.statuses[run].is_running:
            self._note_how_it_ends(run, dead, self._on_all_rows(saturated_layer, model, layers))

    def _layers_of(self, models: Sequence[Any]) -> list[Sequence[Layer]]:
        found: dict[int, Sequence[Layer]] = {}
        for piece in self._pieces(range(len(models))):
            for places, layers in stacks_of([models[run] for run in piece], self._rows, self._most):
                found |= {piece[place]: [layer[at] for layer in layers] for at, place in enumerate(places)}
        return [found[run] for run in range(len(models))]

    def _curves(self, run: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        steps, train_loss, validation_loss = (
            np.array([row[name] for row in self.rows[run]]) for name in ("step", "train_loss", "validation_loss")
        )
        return steps, train_loss, validation_loss

    def _judge(self, run: int, dead: Layer | None, before: Any, reading: engine.Reading) -> Status:
        step, lost = self.rows[run][-1]["step"], float(reading.lost)
        if not lost <= LOST and has_vanished(self._curves(run)[1], lost):
            if np.isnan(lost) and dead is not None:
                return Status.DEAD
            self._notes[run]["underflow"] = (
                f"{dtype_of(self.final[run])} rounds the steps of most parameters away at this scale; "
                "use float64, a larger init scale or a larger learning rate"
            )
            return Status.UNDERFLOW
        if reading.damped > 0.5 and self._stage(run) == "initial plateau":
            optimizer = self.settings.optimizer
            self._notes[run]["damped"] = (
                f"on the initial plateau the epsilon of {optimizer.name} ({optimizer.epsilon:g}) exceeds most "
                "gradients, so its steps are shorter than the learning rate"
            )
        status = Status.RUNNING
        if step == self.settings.steps:
            status = Status.FINISHED
        elif self.settings.early_stopping and has_converged(*self._curves(run), self._plateau_loss):
            status = Status.EARLY_STOPPED
        # In a model of another kind the signal may go round a dead layer.
        if dead is None or not isinstance(self.final[run], Network):
            return status
        # What the optimizer remembers may bring a dead layer back, so one that still moves may go on.
        ended = not status.is_running or (before is not None and stands_still(dead, layers_of(before, self._rows)))
        return Status.DEAD if ended else Status.RUNNING

    def _on_all_rows(
        self, find: Callable[[Sequence[Layer]], Layer | None], model: Any, layers: Sequence[Layer]
    ) -> Layer | None:
        """What is found of the layers on some rows, if it is found on all training rows too."""
        found = find(layers)
        return None if found is None or find(layers_of(model, self._inputs)) is None else found

    @cached_property
    def _least_of_constants(self) -> float:
        return self._constant_loss() if self._plateau_loss is None else self._plateau_loss

    def _stage(self, run: int) -> StageName:
        steps, train_loss, _ = self._curves(run)
        return stages(steps, train_loss, self._plateau_loss).current

    def _note_how_it_ends(self, run: int, dead: Layer | None, saturated: Layer | None) -> None:
        steps, train_loss, validation_loss = self._curves(run)
        notes, stage = self._notes[run], self._stage(run)
        if dead is not None:
            notes["dead"] = (
                f"layer {dead.name} has no live unit: each gives the same on all training rows; "
                "use a smaller learning rate, another seed or another activation"
            )
        elif saturated is not None:
            notes["saturated"] = (
                f"layer {saturated.name} is saturated: each unit is at a bound on all training rows, so what lies "
                "before it learns no more; use a smaller init scale or learning rate"
            )
        elif (
            stage != "initial plateau"
            # Below the least loss of a constant they are not, and need no program for so many rows.
            and train_loss[-1] >= self._least_of_constants - 0.01 * abs(self._least_of_constants)
            and has_constant_outputs(outputs_of(self.final[run], self._inputs))
        ):
            notes["constant"] = (
                "the outputs are the same on all training rows, so nothing of the inputs is used; use another seed, a "
                "smaller learning rate or more steps"
            )
        if stage != "initial plateau" and validation_loss.argmin() == 0:
            less = "less weight decay, " if self._weight_decays[run] else ""
            notes["untrained"] = (
                "on validation it was never better than at its start, so its best network is the untrained one; use "
                f"{less}a smaller learning rate or more rows"
            )
        if stage == "rise":
            notes["risen"] = (
                f"the training loss fell and has risen again, from {train_loss.min():.4g} to {train_loss[-1]:.4g}; "
                f"the best network is that of step {int(steps[np.argmin(validation_loss)])}"
            )

    def runs(self) -> list[Run]:
        """The runs as they stand.

        Returns
        -------
        list of Run
        """
        return [
            Run(
                status=self.statuses[run],
                steps=int(state.step),
                trajectory=pl.DataFrame(self.rows[run]),
                initial=self.initial[run],
                final=self.final[run],
                best=self.best[run],
                drop_steps={
                    drop: int(step) if step >= 0 else None
                    for drop, step in zip(engine.DROPS, state.drop_steps, strict=True)
                },
                learning_rate=self._learning_rates[run],
                seed=self._seeds[run],
                weight_decay=self._weight_decays[run],
                plateau_loss=self._plateau_loss,
                notes=tuple(self._notes[run].values()),
                snapshots=tuple(self._snapshots[run]),
                settings=self.settings,
            )
            for run, state in enumerate(self._runs)
        ]

    def checkpoint(self, runs: Sequence[int] | None = None) -> bytes:
        """All that is needed to go on from the last evaluation, as a safetensors file's bytes.

        Parameters
        ----------
        runs : sequence of int, optional
            The positions of the runs that are to go on, in another batch than the rest; by default all.

        Returns
        -------
        bytes
        """
        chosen = range(len(self._runs)) if runs is None else runs
        tensors = {str(index): np.asarray(leaf) for index, leaf in enumerate(jax.tree.leaves(self._kept(chosen)))}
        story: dict[str, Any] = {}
        for part, told in (("rows", self.rows), ("statuses", self.statuses), ("notes", self._notes)):
            story[part] = [told[run] for run in chosen]
        story["snapshots"] = [len(self._snapshots[run]) for run in chosen]
        return pack_tensors(tensors, {"story": json.dumps(story)})

    def resume(self, checkpoint: bytes, runs: Sequence[int] | None = None) -> None:
        """Go on from a `checkpoint` of runs of the same arguments, to the bits of uninterrupted ones.

        Parameters
        ----------
        checkpoint : bytes
        runs : sequence of int, optional
            The positions of its runs in this batch; by default it is of all.

        Raises
        ------
        ValueError
            If it is damaged, or of other runs or models.
        """
        chosen = list(range(len(self._runs)) if runs is None else runs)
        tensors, metadata = parse_tensors(checkpoint)
        story = parse_json(metadata["story"].encode())
        if not all(len(story[part]) == len(chosen) for part in ("rows", "statuses", "notes", "snapshots")):
            raise ValueError("it is of other runs")
        taken = set(map(len, story["rows"]))
        statuses = [Status(status) for status in story["statuses"]]
        if not taken <= {*range(1, len(self._schedule) + 1)}:
            raise ValueError("its story is not that of a batch")
        for run, count in zip(chosen, story["snapshots"], strict=True):
            self._snapshots[run] = [snapshot(self._initial_layers[run], 0)] * min(count, SNAPSHOTS)
        kept, structure = jax.tree.flatten(self._kept(chosen))
        leaves = [tensors[str(index)] for index in range(len(tensors))]
        if [(leaf.shape, leaf.dtype) for leaf in leaves] != [(np.shape(leaf), leaf.dtype) for leaf in kept]:
            raise ValueError("it is of other models")
        states, final, best, snapshots, at_evaluation = jax.tree.unflatten(structure, leaves)
        for place, run in enumerate(chosen):
            self._runs[run], self._snapshots[run] = states[place], snapshots[place]
            self.final[run], self.best[run] = self._frame(final[place]), self._frame(best[place])
            self.rows[run], self.statuses[run] = story["rows"][place], statuses[place]
            self._notes[run] = story["notes"][place]
            if at_evaluation:
                self._at_evaluation[run] = at_evaluation[place]

    def _kept(self, runs: Sequence[int]) -> Any:
        """Every array that a checkpoint of these runs holds."""
        final, best = ([take_apart(models[run])[0] for run in runs] for models in (self.final, self.best))
        lists = (self._runs, self._snapshots, self._at_evaluation)
        states, snapshots, at_evaluation = ([kept[run] for run in runs] if kept else [] for kept in lists)
        return states, final, best, snapshots, at_evaluation


def _parts(runs: Sequence[int], count: int) -> list[Sequence[int]]:
    """So many stretches, as even as can be and none of them empty."""
    ends = np.linspace(0, len(runs), count + 1).astype(int).tolist()
    return [runs[first:end] for first, end in pairwise(ends) if first < end]


def _no_loss_at_start(model: Any, problem: Problem) -> tuple[str, str]:
    """Of a run whose loss is NaN or infinite before its first step: what the loss is, and the remedy."""
    what, loss = "NaN or infinite before its first step", problem.loss
    size = max(np.abs(outputs_of(model, part.x)).max() for part in (problem.train, problem.validation))
    if np.isfinite(size) and not loss.is_built_in:
        return (
            f"{what}, where outputs are finite, of size {size:.4g} at most",
            f"correct the loss {loss.name!r} for these, or make the init scale smaller",
        )
    return what, f"give {describe(model)} finite parameters, or make its init scale smaller"
