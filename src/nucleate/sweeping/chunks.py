"""What is computed of a chunk, without side effects: values go in and values come out, on any machine."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from nucleate.architectures import closed_form
from nucleate.devices import CORES, machine, on_cpu, on_device, spread
from nucleate.errors import ArchitectureError, SpecError, StudyError
from nucleate.models import model_to_bytes, outputs_of
from nucleate.network import Network
from nucleate.problems import OF_ROWS, Problem
from nucleate.studies import Chunk, Plan, PlannedRun, tables
from nucleate.studies.formats import snapshots_to_bytes
from nucleate.studies.keeper import ChunkResult
from nucleate.studies.places import At, checkpoint_file, model_file, snapshots_file
from nucleate.studies.plan import CHUNK
from nucleate.sweeping.forecasts import forecast_runs, tabulate_forecasts
from nucleate.training import Batch, Run
from nucleate.training.checks import most_together

_SECONDS = 1.0
"""For about so long each core takes its runs from evaluation to evaluation without waiting for the others."""


@dataclass(frozen=True)
class Order:
    """What a study still lacks of a chunk: forecasts, runs or both; and where its training stood when it was left."""

    chunk: Chunk
    forecasts: bool
    runs: bool
    checkpoint: bytes | None = None


@dataclass(frozen=True)
class Delivery:
    """What came of an `Order`, and how long it took: forecasts as by `forecast_chunk`, a result as by `train_chunks`.

    Either is None where it was not asked for.
    """

    chunk: int
    forecasts: pl.DataFrame | str | None
    result: ChunkResult | None
    seconds: float


def deliver(plan: Plan, orders: Sequence[Order], problem: Problem, device: str = "auto") -> list[Delivery]:
    """Compute some chunks on a device, one by one, with the errors of `train_chunks`: the call of an executor."""
    with on_device(device):
        return [_deliver(plan, order, problem) for order in orders]


def _deliver(plan: Plan, order: Order, problem: Problem) -> Delivery:
    begun = time.monotonic()
    forecasts = forecast_chunk(plan, order.chunk, problem) if order.forecasts else None
    (result,) = train_chunks(plan, [(order.chunk, order.checkpoint)], problem) if order.runs else (None,)
    assert not isinstance(result, bytes)  # nobody says stop
    return Delivery(order.chunk.number, forecasts, result, time.monotonic() - begun)


def forecast_chunk(plan: Plan, chunk: Chunk, problem: Problem) -> pl.DataFrame | str:
    """A chunk's rows of the table of forecasts, or the sentence that says why there can be none."""
    spec = plan.spec
    if spec.dropout:
        return "Forecasts are of training without dropout, and these runs have it."
    try:
        if spec.model is not None and not _is_forecast(plan.start(chunk.runs[0], problem.inputs, problem.outputs)):
            return (
                "What this model is near zero is not known in closed form, and to read it off at every step costs "
                "several times its training; give its class a method near_zero(), and studies keep forecasts of it "
                "too, or call nucleate.forecast."
            )
        # A chunk is too few for a GPU, which waits for the CPU at every step of a forecast.
        with on_cpu():
            # Each core has some of the runs throughout, as most calls take less than it takes to wait for them. In
            # mini-batches, and of other models, runs are forecast together.
            apart = CORES if spec.model is None and spec.batch_size is None else 1
            parts = [chunk.runs[place::apart] for place in range(min(apart, len(chunk.runs)))]
            of_parts = spread(lambda runs: forecast_runs(plan, runs, problem, horizon=spec.steps), parts)
    except (SpecError, ArchitectureError) as error:
        return str(error)
    forecasts = [of_parts[place % apart][place // apart] for place in range(len(chunk.runs))]
    return tabulate_forecasts(spec, list(zip(chunk.runs, forecasts, strict=True)))


def _is_forecast(model: Any) -> bool:
    return isinstance(model, Network) or closed_form(model) is not None


def train_chunks(
    plan: Plan,
    chunks: Sequence[tuple[Chunk, bytes | None]],
    problem: Problem,
    *,
    on_evaluation: Callable[[Batch], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> list[ChunkResult | bytes]:
    """Train the runs of some chunks in one batch, or give their checkpoints where ``stop`` says so.

    It is asked again and again. From such a checkpoint beside its chunk, or one of `Batch.checkpoint`, training goes on
    to the bits of a chunk that never stopped; one that is damaged is a StudyError. ``on_evaluation`` is called after
    the first evaluation, and about every second then. Models that do not fit the problem or the memory are a SpecError.
    """
    runs, first_seed = [run for chunk, _ in chunks for run in chunk.runs], plan.spec.seeds[0]
    batch = Batch(
        problem,
        [plan.start(run, problem.inputs, problem.outputs) for run in runs],
        [run.learning_rate for run in runs],
        [run.seed for run in runs],
        plan.spec.settings,
        measures=plan.measures,
        weight_decays=plan.weight_decays(runs),
        # A study of one run has no others that could go on.
        keep_nan_starts=len(plan.runs) > 1,
        watched=[index for index, run in enumerate(runs) if run.seed == first_seed],
    )
    places = places_in_batch([chunk for chunk, _ in chunks])
    for (chunk, checkpoint), of_chunk in zip(chunks, places, strict=True):
        if checkpoint is not None:
            resume(batch, checkpoint, chunk, of_chunk)
    while not batch.done:
        batch.advance(stop, seconds=_SECONDS)
        if stop():
            return [batch.checkpoint(of_chunk) for of_chunk in places]
        if on_evaluation is not None:
            on_evaluation(batch)
    trained = batch.runs()
    return [
        _result(plan, chunk, [trained[run] for run in of_chunk], batch.layers, problem)
        for (chunk, _), of_chunk in zip(chunks, places, strict=True)
    ]


def places_in_batch(chunks: Sequence[Chunk]) -> list[range]:
    """Where in their batch the runs of each of some chunks are."""
    ends = list(itertools.accumulate(len(chunk.runs) for chunk in chunks))
    return [range(end - len(chunk.runs), end) for end, chunk in zip(ends, chunks, strict=True)]


def in_batches(
    plan: Plan, chunks: Iterable[tuple[Chunk, bytes | None]], problem: Problem
) -> Iterator[list[tuple[Chunk, bytes | None]]]:
    """The chunks that are trained together: each on its own on a CPU, and on a GPU as many as its memory takes."""
    most = max(1, most_together(problem, plan.start(plan.runs[0], problem.inputs, problem.outputs)) // CHUNK)
    left = iter(chunks)
    while batch := list(itertools.islice(left, most)):
        yield batch


def resume(batch: Batch, checkpoint: bytes, chunk: Chunk, places: Sequence[int] | None = None) -> None:
    """Take a batch, or the chunk's places in it, to where the chunk's checkpoint was written; raises `StudyError` if
    that is damaged."""
    try:
        batch.resume(checkpoint, places)
    except Exception as error:
        raise StudyError(
            f"The study's {checkpoint_file(chunk.number)} is damaged ({error}); delete it, and its runs start again."
        ) from error


def _result(plan: Plan, chunk: Chunk, runs: list[Run], layers: Sequence[str], problem: Problem) -> ChunkResult:
    spec = plan.spec
    metadata = {
        "preprocessing": problem.preprocessing.to_json(),
        "task": problem.task,
        "loss": problem.loss.name,
        "data": spec.data,
        "split_seed": str(spec.split_seed),
        "validation": str(spec.validation),
        "test": str(spec.test),
    }
    of_rows = {name: getattr(spec, name) for name in OF_ROWS}
    metadata |= {name: column for name, column in of_rows.items() if column is not None}
    files: dict[str, bytes] = {}
    for planned, run in zip(chunk.runs, runs, strict=True):
        models: dict[At, Any] = {"initial": run.initial, "final": run.final, "best": run.best}
        files |= {model_file(planned.number, at): model_to_bytes(model, metadata) for at, model in models.items()}
        if run.snapshots:
            files[snapshots_file(planned.number)] = snapshots_to_bytes(run.snapshots)
    own = [measure.name for measure in spec.measures]
    rows = [_row(plan, planned, run, problem, layers) for planned, run in zip(chunk.runs, runs, strict=True)]
    results = tables.results_schema(spec.axis_types, layers, problem.metric_name, own)
    evaluations = tables.trajectories_schema(layers, [measure.name for measure in plan.measures])
    trajectories = [
        run.trajectory.select(pl.lit(planned.number).alias(tables.RUN), pl.all()).select(evaluations.names())
        for planned, run in zip(chunk.runs, runs, strict=True)
    ]
    return ChunkResult(
        results=pl.DataFrame(rows, schema=results),
        trajectories=pl.concat(table.cast(evaluations) for table in trajectories),
        files=files,
    )


def _row(plan: Plan, planned: PlannedRun, run: Run, problem: Problem, layers: Sequence[str]) -> dict[str, Any]:
    """A run's row of the results; the test part is looked at here and nowhere before."""
    last, stages, metric = run.trajectory.row(-1, named=True), run.stages, problem.metric_name
    on_validation, on_test = (
        problem.metric(outputs_of(run.best, part.x), part.y, part.weights)
        for part in (problem.validation, problem.test)
    )
    at_the_end = ("effective_neurons", "directions", *(measure.name for measure in plan.spec.measures))
    columns = [tables.measured(measure, layer) for measure in at_the_end for layer in layers]
    return {
        tables.RUN: planned.number,
        **plan.cell(planned),
        tables.SEED: planned.seed,
        tables.STATUS: run.status,
        **{column: float(last[column]) for column in columns},
        **{
            tables.fewest_effective_neurons(layer): _fewest(run.trajectory[tables.effective_neurons(layer)])
            for layer in layers
        },
        tables.TRAIN_LOSS: last[tables.TRAIN_LOSS],
        tables.VALIDATION_LOSS: last[tables.VALIDATION_LOSS],
        tables.BEST_VALIDATION_LOSS: run.trajectory[tables.VALIDATION_LOSS].min(),
        tables.BEST_STEP: run.best_step,
        tables.metric_on_validation(metric): on_validation,
        tables.metric_on_test(metric): on_test,
        tables.STEPS: run.steps,
        tables.STAGE: stages.current,
        tables.PLATEAU_END: stages.plateau_end,
        tables.DESCENT_END: stages.descent_end,
        **{tables.drop(share): step for share, step in run.drop_steps.items()},
        tables.NOTES: "; ".join(run.notes),
        tables.MACHINE: machine(),
    }


def _fewest(neurons: pl.Series) -> Any:
    """The fewest while anything was alive: a layer that is off for a while has not condensed."""
    return neurons.filter(neurons > 0).min() if (neurons > 0).any() else neurons.min()
