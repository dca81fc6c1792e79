"""From a grid to runs, and from runs to the chunks in which they are trained and stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from nucleate.init_scale import InitScale, PerLayer
from nucleate.network import Network
from nucleate.observe import MEASURES, Measure
from nucleate.studies import tables
from nucleate.studies.spec import StudySpec

CHUNK = 16
"""Runs stored in one file, and on a CPU trained together; fixed, so that files do not depend on the machine."""


@dataclass(frozen=True)
class PlannedRun:
    """One cell of the grid: its number in the study, and what sets it apart.

    Parameters
    ----------
    number : int
    scale : float or PerLayer
    learning_rate : float
    seed : int
    weight_decay : float
    """

    number: int
    scale: float | PerLayer
    learning_rate: float
    seed: int
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Chunk:
    """Consecutive runs that are stored in one file, and trained together.

    Parameters
    ----------
    number : int
    runs : tuple of PlannedRun
    """

    number: int
    runs: tuple[PlannedRun, ...]


@dataclass(frozen=True)
class Plan:
    """What is to be computed for a spec, and by nothing but the spec.

    Parameters
    ----------
    spec : StudySpec

    Examples
    --------
    >>> plan = Plan(StudySpec(data="diabetes", gains=[1.0, 0.1], lrs=[0.1, 0.01], seeds=10))
    >>> [len(chunk.runs) for chunk in plan.chunks]
    [16, 16, 8]
    """

    spec: StudySpec

    @cached_property
    def runs(self) -> tuple[PlannedRun, ...]:
        """The runs in their order: scales, within them learning rates, within them weight decays, then seeds."""
        spec = self.spec
        cells = (
            (scale, rate, seed, decay)
            for scale in spec.scales
            for rate in spec.lrs
            for decay in spec.weight_decays
            for seed in spec.seeds
        )
        return tuple(PlannedRun(number, *cell) for number, cell in enumerate(cells))

    @cached_property
    def chunks(self) -> tuple[Chunk, ...]:
        """The runs in consecutive chunks of at most `CHUNK`."""
        starts = range(0, len(self.runs), CHUNK)
        return tuple(Chunk(number, self.runs[start : start + CHUNK]) for number, start in enumerate(starts))

    @cached_property
    def watched(self) -> frozenset[int]:
        """The numbers of the runs of which snapshots are kept: the first seed of every cell."""
        return frozenset(run.number for run in self.runs if run.seed == self.spec.seeds[0])

    @cached_property
    def table(self) -> pl.DataFrame:
        """A row a run: its number, its cell and its seed."""
        rows = [{tables.RUN: run.number, **self.cell(run), tables.SEED: run.seed} for run in self.runs]
        kinds = {tables.RUN: pl.Int64(), **self.spec.axis_types, tables.SEED: pl.Int64()}
        return pl.DataFrame(rows, schema=kinds)

    def cell(self, run: PlannedRun) -> dict[str, float | str]:
        """What tells a run's cell from others: its values on the spec's axes, by the tables' columns.

        Parameters
        ----------
        run : PlannedRun

        Returns
        -------
        dict
        """
        known = {
            self.spec.convention: self.spec.in_tables(run.scale),
            tables.LR: run.learning_rate,
            tables.WEIGHT_DECAY: run.weight_decay,
        }
        return {axis: known[axis] for axis in self.spec.axes}

    def weight_decays(self, runs: Sequence[PlannedRun]) -> list[float] | None:
        """Those of some runs; None where nothing of the study decays.

        Parameters
        ----------
        runs : sequence of PlannedRun

        Returns
        -------
        list of float or None
        """
        spec = self.spec
        return [run.weight_decay for run in runs] if spec.decays or spec.optimizer.decoupled else None

    @property
    def with_bias(self) -> list[bool]:
        """Which layers of the study's networks have biases."""
        spec = self.spec
        return [spec.bias == "all" or (spec.bias == "first" and layer == 0) for layer in range(len(spec.hidden) + 1)]

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What is measured of every layer: the package's measures, then the spec's own."""
        return (*MEASURES, *self.spec.measures)

    def start(self, run: PlannedRun, inputs: int, outputs: int) -> Any:
        """The model a run starts from.

        Parameters
        ----------
        run : PlannedRun
        inputs, outputs : int
            Of the problem.

        Returns
        -------
        model

        Raises
        ------
        SpecError
            As `StudySpec.make_model`.
        """
        spec, scale = self.spec, InitScale(self.spec.convention, run.scale)
        if spec.model is not None:
            return spec.make_model(inputs, outputs, scale, run.seed)
        return Network.create(
            inputs,
            spec.hidden,
            outputs,
            scale=scale,
            activation=spec.activation,
            bias=self.with_bias,
            seed=run.seed,
            dtype=spec.dtype,
        )
