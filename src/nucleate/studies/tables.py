"""The results table: a row a run."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from nucleate._files import write_atomically
from nucleate.errors import StudyError
from nucleate.network import Network
from nucleate.problems import Problem, Split
from nucleate.studies.plan import PlannedRun
from nucleate.studies.spec import StudySpec
from nucleate.training import Run


def write_table(file: Path, rows: pl.DataFrame) -> None:
    """Store a chunk's rows, whole or not at all."""
    buffer = BytesIO()
    rows.write_parquet(buffer)
    write_atomically(file, buffer.getvalue())


def read_tables(folder: Path) -> pl.DataFrame:
    """The rows of all chunks in their order.

    Raises
    ------
    StudyError
        If a file is damaged.
    """
    frames = []
    for file in sorted(folder.glob("chunk-*.parquet")):
        try:
            frames.append(pl.read_parquet(file))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise StudyError(f"{file} is damaged ({error}); delete it and sweep again into the folder.") from None
    # Folders of the first version have columns without a type where a chunk had no value.
    return pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()


# What a run may not reach; without its type, a chunk in which none does would not fit those of the others.
_REACHED = {
    "plateau_end": pl.Float64,
    "descent_end": pl.Float64,
    "drop_1_percent": pl.Int64,
    "drop_10_percent": pl.Int64,
    "drop_30_percent": pl.Int64,
}


def tabulate_results(
    spec: StudySpec, planned: Sequence[PlannedRun], runs: Sequence[Run], problem: Problem
) -> pl.DataFrame:
    """The rows of some runs; the test part is looked at here and nowhere before."""
    rows = [_row(spec, plan, run, problem) for plan, run in zip(planned, runs, strict=True)]
    return pl.DataFrame(rows, schema_overrides=_REACHED, infer_schema_length=None)


def _row(spec: StudySpec, plan: PlannedRun, run: Run, problem: Problem) -> dict[str, Any]:
    last = run.trajectory.row(-1, named=True)
    layers = range(1, len(spec.hidden) + 1)
    fewest = run.trajectory.select(pl.col(f"effective_neurons_{layer}").min() for layer in layers).row(0)
    stages = run.stages
    return {
        "run": plan.number,
        spec.convention: plan.scale,
        "lr": plan.learning_rate,
        "seed": plan.seed,
        "status": run.status,
        **{f"effective_neurons_{layer}": last[f"effective_neurons_{layer}"] for layer in layers},
        **{f"fewest_effective_neurons_{layer}": fewest[layer - 1] for layer in layers},
        **{f"directions_{layer}": last[f"directions_{layer}"] for layer in layers},
        "train_loss": last["train_loss"],
        "validation_loss": last["validation_loss"],
        "best_validation_loss": run.trajectory["validation_loss"].min(),
        "best_step": run.best_step,
        f"validation_{problem.metric_name}": _metric(problem, run.best, problem.validation),
        f"test_{problem.metric_name}": _metric(problem, run.best, problem.test),
        "steps": run.steps,
        "stage": stages.current,
        "plateau_end": stages.plateau_end,
        "descent_end": stages.descent_end,
        **{f"drop_{share:.0%}".removesuffix("%") + "_percent": step for share, step in run.drop_steps.items()},
        "notes": "; ".join(run.notes),
    }


def _metric(problem: Problem, network: Network, part: Split) -> float:
    return problem.metric(np.asarray(network(part.x)), part.y)
