"""What the rows of a study's tables must be, beside their columns: those of the plan, with values that can be."""

from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np
import polars as pl

from nucleate.observe import StageName
from nucleate.studies import tables
from nucleate.studies.plan import Chunk, Plan
from nucleate.training import Status

_ROUNDING = 1e-6
_OPTIONAL = (tables.PLATEAU_END, tables.DESCENT_END, *map(tables.drop, tables.DROPS))
_MAY_BE_NULL = {
    "results": _OPTIONAL,
    "trajectories": (),
    "forecasts": (*_OPTIONAL, *(tables.LOWER, tables.UPPER, tables.CONDENSED_SHARE, tables.GAP, tables.AXIS_COSINE)),
}


def check_table(
    name: str,
    rows: pl.DataFrame,
    heights: Sequence[int],
    plan: Plan,
    chunks: Sequence[Chunk],
    widths: Mapping[str, int],
) -> tuple[int, str] | None:
    """What is wrong with the rows of these chunks: which of the chunks, and why; None if nothing is.

    ``heights`` say how many of the rows are each chunk's, ``widths`` are those of the measured layers by their names;
    of trajectories some columns may be left out.
    """
    chunk_of = np.repeat(np.arange(len(chunks)), heights)
    if name == "trajectories":
        wrong = _wrong_evaluations(rows, heights, chunks)
    else:
        wrong = _wrong_runs(rows, heights, plan, chunks)
    if wrong is not None:
        return wrong
    rules = {
        f"{column} is missing": pl.col(column).is_not_null()
        for column in rows.columns
        if column not in _MAY_BE_NULL[name]
    }
    rules |= {"results": _of_results, "trajectories": _of_trajectories, "forecasts": _of_forecasts}[name](plan, widths)
    rules = {why: rule for why, rule in rules.items() if {*rule.meta.root_names()} <= {*rows.columns}}
    held = rows.select(pl.all_horizontal(rule.fill_null(True)).alias(str(k)) for k, rule in enumerate(rules.values()))
    for said, column in zip(rules, held, strict=True):
        if not column.all():
            row = int(column.not_().arg_true()[0])
            return int(chunk_of[row]), f"of run {rows[tables.RUN][row]} {said}"
    return None


def _wrong_runs(
    rows: pl.DataFrame, heights: Sequence[int], plan: Plan, chunks: Sequence[Chunk]
) -> tuple[int, str] | None:
    """A table with one row a run has those of the plan."""
    for place, (height, chunk) in enumerate(zip(heights, chunks, strict=True)):
        if height != len(chunk.runs):
            return place, f"it has {height} rows for {len(chunk.runs)} runs"
    numbers = [run.number for chunk in chunks for run in chunk.runs]
    planned = plan.table[numbers]
    differ = pl.any_horizontal(rows[column].ne_missing(planned[column]) for column in planned.columns)
    where = pl.select(differ.arg_true()).to_series()
    if where.is_empty():
        return None
    place = int(np.searchsorted(np.cumsum(heights), int(where[0]), side="right"))
    return place, "its runs are not those of the spec"


def _wrong_evaluations(rows: pl.DataFrame, heights: Sequence[int], chunks: Sequence[Chunk]) -> tuple[int, str] | None:
    """Each run of a chunk is evaluated at steps that ascend from 0."""
    runs, steps = rows[tables.RUN].to_numpy(), rows[tables.STEP].to_numpy()
    ends = np.cumsum(heights)
    for place, (end, height, chunk) in enumerate(zip(ends, heights, chunks, strict=True)):
        of_chunk, at = runs[end - height : end], steps[end - height : end]
        begins = np.flatnonzero(np.diff(of_chunk, prepend=-1))
        if of_chunk[begins].tolist() != [run.number for run in chunk.runs]:
            return place, "its runs are not those of the spec"
        ascends = np.diff(at, prepend=-1) > 0
        ascends[begins] = at[begins] == 0
        if not ascends.all():
            return place, f"the steps of run {of_chunk[np.argmin(ascends)]} do not ascend from 0"
    return None


def _of_results(plan: Plan, widths: Mapping[str, int]) -> dict[str, pl.Expr]:
    steps = pl.col(tables.STEPS)
    known = [status for status in Status if not status.is_running]
    rules = {
        "the status is unknown": pl.col(tables.STATUS).is_in(known),
        "the stage is unknown": pl.col(tables.STAGE).is_in(get_args(StageName)),
        "the steps are out of range": steps.is_between(0, plan.spec.steps),
    }
    for column in (tables.BEST_STEP, *map(tables.drop, tables.DROPS)):
        rules[f"{column} is out of range"] = pl.col(column).is_between(0, steps)
    for column in (tables.PLATEAU_END, tables.DESCENT_END):
        rules[f"{column} is out of range"] = pl.col(column).is_between(0, plan.spec.steps)
    # A run whose loss is NaN at its start ended there.
    may_be_nan = (steps == 0) & (pl.col(tables.STATUS) == Status.NAN)
    for column in (tables.TRAIN_LOSS, tables.VALIDATION_LOSS, tables.BEST_VALIDATION_LOSS):
        rules[f"{column} is not finite"] = pl.col(column).is_finite() | (pl.col(column).is_nan() & may_be_nan)
    families = (tables.effective_neurons, tables.fewest_effective_neurons, tables.directions)
    return rules | _within(widths, families, may_be_nan)


def _of_trajectories(plan: Plan, widths: Mapping[str, int]) -> dict[str, pl.Expr]:
    rules = {"a step is out of range": pl.col(tables.STEP).is_between(0, plan.spec.steps)}
    may_be_nan = pl.col(tables.STEP) == 0
    for column in (tables.TRAIN_LOSS, tables.VALIDATION_LOSS):
        rules[f"{column} is not finite"] = pl.col(column).is_finite() | (pl.col(column).is_nan() & may_be_nan)
    return rules | _within(widths, (tables.effective_neurons, tables.directions), may_be_nan)


def _of_forecasts(plan: Plan, widths: Mapping[str, int]) -> dict[str, pl.Expr]:
    rules = {
        f"{column} is below 0": pl.col(column) >= 0
        for column in (tables.LOWER, tables.UPPER, *map(tables.drop, tables.DROPS))
    }
    rules["the interval ends before it begins"] = pl.col(tables.LOWER) <= pl.col(tables.UPPER)
    for column, least in ((tables.CONDENSED_SHARE, 0), (tables.GAP, 0), (tables.AXIS_COSINE, -1)):
        rules[f"{column} is out of range"] = pl.col(column).is_between(least - _ROUNDING, 1 + _ROUNDING)
    return rules


def _within(widths: Mapping[str, int], families: Sequence[object], may_be_nan: pl.Expr) -> dict[str, pl.Expr]:
    """Counts of neurons lie between none and all of a layer."""
    columns = {family(layer): width for family in families for layer, width in widths.items()}  # type: ignore[operator]
    return {
        f"{column} is out of range": pl.col(column).is_between(0, width * (1 + _ROUNDING))
        | (pl.col(column).is_nan() & may_be_nan)
        for column, width in columns.items()
    }
