"""Run what a study still lacks, on this machine."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np

from nucleate.errors import StudyError
from nucleate.problems import Problem
from nucleate.studies.folder import Study
from nucleate.studies.plan import PlannedRun, plan_chunks
from nucleate.studies.spec import StudySpec
from nucleate.sweeping.forecasts import forecast_runs, tabulate_forecasts
from nucleate.sweeping.pace import Pace
from nucleate.training import Batch, check_batch_size, check_runs, record_steps

_CHECKPOINT_SECONDS = 10.0


@dataclass(frozen=True)
class Progress:
    """Where a study stands, for a person who waits.

    ``share`` is of all steps of all runs; ``loss`` and ``effective_neurons`` (of each hidden layer) are medians over
    the runs being trained, None and empty before this process has trained any. ``seconds_left`` is None while too
    little is known, and does not know of runs that will end early.
    """

    runs_finished: int
    runs: int
    share: float
    loss: float | None = None
    effective_neurons: tuple[float, ...] = ()
    seconds_left: float | None = None


def run_study(
    spec: StudySpec, problem: Problem, out: str | Path, on_progress: Callable[[Progress], None] | None = None
) -> Study:
    """Finish the study of this spec in the folder ``out``, beginning or going on where it stands.

    On Ctrl-C or SIGTERM the chunk in hand is put away and KeyboardInterrupt raised; the next call goes on from there
    and ends with the rows of an uninterrupted study, bit for bit.

    Raises
    ------
    SpecError
        For runs that do not fit the data or the memory.
    StudyError
        If the folder holds something else, see `Study.open`.
    KeyboardInterrupt
        After the chunk in hand was put away.
    """
    chunks = plan_chunks(spec)
    if not (Path(out) / "spec.json").exists():
        _check(spec, problem, chunks[0])
    study = Study.open(out, spec, problem)
    total = study.planned
    missing = {number for number, chunk in enumerate(chunks) if not study.is_finished(number, chunk)}
    finished = sum(len(chunk) for number, chunk in enumerate(chunks) if number not in missing)
    if on_progress is not None:
        on_progress(Progress(finished, total, finished / total))
    pace = Pace()
    with _interrupts_noticed() as interrupted:
        for number, chunk in enumerate(chunks):
            _forecast(study, number, chunk, problem)
            if number not in missing:
                continue
            batch = Batch(
                problem,
                [run.network(spec, problem) for run in chunk],
                [run.learning_rate for run in chunk],
                [run.seed for run in chunk],
                spec.settings,
                watched=[index for index, run in enumerate(chunk) if run.seed == spec.seeds[0]],
            )
            _take_up(batch, study, number)
            kept = time.monotonic()
            compiling = True
            while not batch.done:
                started, step, running = time.monotonic(), batch.step, batch.statuses.count("running")
                batch.advance(stop=interrupted.is_set)
                if not compiling:
                    pace.took(time.monotonic() - started, steps=running * (batch.step - step), looks=running)
                compiling = False
                if interrupted.is_set():
                    study.write_checkpoint(number, batch.checkpoint())
                    raise KeyboardInterrupt
                if time.monotonic() - kept > _CHECKPOINT_SECONDS:
                    study.write_checkpoint(number, batch.checkpoint())
                    kept = time.monotonic()
                if on_progress is not None:
                    on_progress(_progress(batch, len(chunk), finished, total, pace))
            study.write_chunk(number, chunk, batch.runs(), problem)
            finished += len(chunk)
    return study


def _check(spec: StudySpec, problem: Problem, chunk: list[PlannedRun]) -> None:
    """Refuse what cannot be trained before there is a folder that would then refuse the mended spec."""
    network = chunk[0].network(spec, problem)
    check_runs(problem, [network] * len(chunk), [run.learning_rate for run in chunk])
    check_batch_size(problem, spec.batch_size)


def _forecast(study: Study, number: int, chunk: list[PlannedRun], problem: Problem) -> None:
    """Keep what is expected of a chunk's runs, before they are trained; of mini-batches nothing is."""
    if study.spec.batch_size is not None or study.is_forecast(number):
        return
    forecasts = forecast_runs(study.spec, problem, chunk, horizon=study.spec.steps)
    study.write_forecasts(number, chunk, tabulate_forecasts(study.spec, forecasts))


def _take_up(batch: Batch, study: Study, number: int) -> None:
    checkpoint = study.read_checkpoint(number)
    if checkpoint is None:
        return
    try:
        batch.resume(checkpoint)
    except Exception as error:
        file = study.path / "checkpoints" / f"chunk-{number:05d}.safetensors"
        raise StudyError(f"{file} is damaged ({error}); delete it, and its runs start again.") from error


def _progress(batch: Batch, size: int, finished: int, total: int, pace: Pace) -> Progress:
    running, waiting = batch.statuses.count("running"), total - finished - size
    steps, looks = batch.settings.steps, record_steps(batch.settings.steps, batch.settings.records)
    last = [rows[-1] for rows in batch.rows]
    layers = len(batch.initial[0].hidden)
    share_of_chunk = 1.0 if batch.done else batch.step / steps
    return Progress(
        runs_finished=finished + size - running,
        runs=total,
        share=(finished + size * share_of_chunk) / total,
        loss=float(np.median([row["train_loss"] for row in last])),
        effective_neurons=tuple(
            float(np.median([row[f"effective_neurons_{layer}"] for row in last])) for layer in range(1, layers + 1)
        ),
        seconds_left=pace.left(
            steps=running * (steps - batch.step) + waiting * steps,
            looks=running * int((looks > batch.step).sum()) + waiting * len(looks),
        ),
    )


@contextmanager
def _interrupts_noticed() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into a flag, so that it never falls into a write; a second one kills."""
    noticed = threading.Event()

    def notice(number: int, frame: FrameType | None) -> None:
        noticed.set()
        signal.signal(number, previous[signal.Signals(number)])

    if threading.current_thread() is not threading.main_thread():
        yield noticed
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in previous:
        signal.signal(number, notice)
    try:
        yield noticed
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
