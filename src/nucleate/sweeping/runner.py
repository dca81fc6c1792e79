"""Who computes the chunks of a study, and where: this process one after another, or an executor in any order.

Either way one process, this one, owns the folder and writes what comes.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nucleate._interrupts import noticed
from nucleate._wording import choose_one, name_parameter, shown
from nucleate.baselines import Contender
from nucleate.devices import on_device
from nucleate.errors import SpecError, StudyError
from nucleate.problems import Problem
from nucleate.studies import Chunk, Findings, OwnedError, Plan, Study, StudySpec, load_judgement, tables
from nucleate.studies.findings import judge_study, unjudged_findings
from nucleate.studies.judgement import save_judgement
from nucleate.studies.keeper import ChunkResult, Keeper, follow, keep
from nucleate.studies.ownership import Owner
from nucleate.sweeping.chunks import Delivery, Order, forecast_chunk, in_batches, places_in_batch, resume, train_chunks
from nucleate.sweeping.executors import Executor, Task, check_executor
from nucleate.sweeping.judging import narrow_network
from nucleate.sweeping.progress import Progress
from nucleate.training import Batch, Run
from nucleate.training.checks import check_batch_size, check_runs, check_widths_fit

_CHECKPOINT_SECONDS = 10.0
_POLL_SECONDS = 0.02
_CALL_SECONDS = 30.0
"""What a call to an executor should take: long beside a message, short beside a study."""
_WORKERS = 32
"""How many workers an executor has that does not say."""

WHEN_OWNED = ("refuse", "wait", "follow")
"""What a sweep can do where another process writes into the study's folder."""


def run_study(
    spec: StudySpec,
    problem: Problem,
    out: str | Path,
    *,
    executor: Executor | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    with_problem: bool = False,
    device: str = "auto",
    when_owned: str = "refuse",
) -> Study:
    """Finish the study of this spec in the folder ``out``, beginning or going on where it stands: see `nucleate.sweep`.

    The folder is to keep the problem where that was made in Python (``with_problem``). Progress is told at the
    beginning, and whenever something is known anew. On Ctrl-C, and while runs are trained on SIGTERM and SIGHUP too,
    KeyboardInterrupt is raised after the chunk in hand was put away (what an executor has in hand is lost).
    """
    if executor is not None:
        check_executor(executor)
    plan = Plan(spec)

    def of_owner(owner: Owner) -> None:
        on_progress(_progress_of(owner, len(plan.runs)))

    # What an executor's workers have, this process may lack.
    with on_device(device if executor is None else "auto"):
        if not (Path(out) / "spec.json").exists():
            _check(plan, problem)
        try:
            with keep(
                *(out, spec, problem), with_problem=with_problem, meanwhile=of_owner if when_owned == "wait" else None
            ) as keeper:
                work = _Work(plan, problem, keeper, on_progress)
                work.here() if executor is None else work.by(executor, device)
                keeper.pack()
                work.judge()
                return keeper.study
        except OwnedError as error:
            if when_owned == "follow":
                return follow(out, spec, problem, of_owner)
            remedy = 'wait for it with --when-owned wait (in Python when_owned="wait"), '
            raise OwnedError(error.folder, error.owner, remedy) from None


def check_when_owned(when_owned: str) -> None:
    """Refuse what is none of `WHEN_OWNED`, by a `SpecError`."""
    if when_owned not in WHEN_OWNED:
        raise SpecError(f"{name_parameter('when_owned')} is {shown(when_owned)}{choose_one(when_owned, WHEN_OWNED)}.")


def _progress_of(owner: Owner, runs: int) -> Progress:
    """How far the process is that writes into the folder, by what it has told."""
    told = {"runs_finished": 0, "runs": runs, "share": 0.0, "effective_neurons": (), **owner.progress}
    return Progress(**told | {"effective_neurons": tuple(told["effective_neurons"]), "owner": owner.name})


def _check(plan: Plan, problem: Problem) -> None:
    """Refuse what cannot be trained before there is a folder that would then refuse the mended spec."""
    runs = plan.chunks[0].runs
    if plan.spec.model is None:
        check_widths_fit(problem, plan.spec.hidden, plan.spec.dtype, len(runs))
    model = plan.start(runs[0], problem.inputs, problem.outputs)
    # The largest stands for all, as the first chunk may have none.
    decays = None if plan.weight_decays(runs) is None else [max(plan.spec.weight_decays)] * len(runs)
    check_runs(problem, [model] * len(runs), [run.learning_rate for run in runs], plan.spec.optimizer, decays)
    check_batch_size(problem, plan.spec.batch_size)


class _Work:
    """What a study still lacks, and how far it is done."""

    def __init__(self, plan: Plan, problem: Problem, keeper: Keeper, tell: Callable[[Progress], None]) -> None:
        self._plan, self._problem, self._keeper = plan, problem, keeper
        self._say = tell
        self._missing = [chunk for chunk in plan.chunks if not keeper.is_finished(chunk)]
        self._total = len(plan.runs)
        self._seconds: float | None = None
        self._finished = self._total - sum(len(chunk.runs) for chunk in self._missing)
        self._tell(Progress(self._finished, self._total, self._finished / self._total))

    def _tell(self, progress: Progress) -> None:
        self._keeper.tell(asdict(progress))
        self._say(progress)

    def here(self) -> None:
        """Compute it in this process: a chunk's forecasts, and then its runs."""
        for chunk in self._plan.chunks:
            if chunk not in self._missing and self._keeper.lacks_forecasts(chunk):
                self._forecast(chunk)
        missing = ((chunk, self._keeper.checkpoint(chunk)) for chunk in self._missing)
        for batch in in_batches(self._plan, missing, self._problem):
            chunks = [chunk for chunk, _ in batch]
            for chunk in chunks:
                if self._keeper.lacks_forecasts(chunk):
                    self._forecast(chunk)
            # Forecasting ends at once, as nothing of it can be kept; training ends with a checkpoint.
            with noticed() as interrupted:
                came = train_chunks(
                    self._plan, batch, self._problem, on_evaluation=self._watch(chunks), stop=interrupted
                )
                for chunk, result in zip(chunks, came, strict=True):
                    if isinstance(result, bytes):
                        self._keeper.keep_checkpoint(chunk, result)
                    else:
                        self._keep_result(chunk, result)
                if any(isinstance(result, bytes) for result in came):
                    raise KeyboardInterrupt

    def _forecast(self, chunk: Chunk) -> None:
        self._keeper.keep_forecasts(chunk, forecast_chunk(self._plan, chunk, self._problem))

    def by(self, executor: Executor, device: str) -> None:
        """Have an executor compute it, and keep what comes in the order it comes."""
        with noticed() as interrupted:
            waiting = self._orders()
            tasks: list[Task] = []
            try:
                while waiting or tasks:
                    workers = getattr(executor, "workers", None) or _WORKERS
                    while waiting and len(tasks) < 2 * workers:
                        size = self._bundle(len(waiting), workers)
                        tasks.append(Task(executor, self._plan, waiting[:size], self._problem, device))
                        del waiting[:size]
                    if not self._keep_what_is_done(tasks):
                        time.sleep(_POLL_SECONDS)
                    if interrupted():
                        raise KeyboardInterrupt
            except (StudyError, SpecError):
                # Whatever failed, what else has come by now is kept.
                while self._keep_what_is_done(tasks, failures=False):
                    pass
                raise
            finally:
                for task in tasks:
                    task.call_off()

    def judge(self) -> None:
        """Compare the cells and hold the recommended one against baselines, unless that is kept already."""
        study = self._keeper.study
        if load_judgement(study) is not None:
            return
        self._tell(Progress(self._finished, self._total, 1.0, doing="comparing with simpler models"))
        save_judgement(study, judge_study(unjudged_findings(study), self._problem, self._narrow))

    def _narrow(self, findings: Findings) -> Contender | Literal["model", "plateau"]:
        # Beyond those of the study, so that its state is not taken for one of theirs.
        chunk = Chunk(len(self._plan.chunks), ())
        found = narrow_network(findings, self._problem, partial(self._train, chunk))
        self._keeper.drop_checkpoint(chunk)
        return found

    def _train(self, chunk: Chunk, batch: Batch) -> list[Run]:
        """Train a batch that belongs to no chunk of the study, from where it was left."""
        if (kept := self._keeper.checkpoint(chunk)) is not None:
            resume(batch, kept, chunk)
        with noticed() as interrupted:
            while not batch.done:
                batch.advance(interrupted, seconds=1.0)
                if interrupted():
                    self._keeper.keep_checkpoint(chunk, batch.checkpoint())
                    raise KeyboardInterrupt
        return batch.runs()

    def _orders(self) -> list[Order]:
        missing = {chunk.number for chunk in self._missing}
        orders = (
            Order(chunk, self._keeper.lacks_forecasts(chunk), chunk.number in missing, self._keeper.checkpoint(chunk))
            for chunk in self._plan.chunks
        )
        return [order for order in orders if order.forecasts or order.runs]

    def _bundle(self, waiting: int, workers: int) -> int:
        """How many chunks go into a call: half a minute's work, and at the end few enough that all have some."""
        by_pace = 1 if self._seconds is None else int(_CALL_SECONDS / max(self._seconds, 1e-3))
        return max(1, min(by_pace, waiting // (2 * workers)))

    def _keep_what_is_done(self, tasks: list[Task], *, failures: bool = True) -> bool:
        """Keep the results there are, and then raise the first failure; says whether there was any result."""
        failed: list[StudyError] = []
        kept = False
        for task in [task for task in tasks if task.done()]:
            tasks.remove(task)
            try:
                delivered = task.result()
            except StudyError as error:
                failed.append(error)
                continue
            for order, delivery in delivered:
                self._keep_delivery(order.chunk, delivery)
            kept = True
        if failed and failures:
            raise failed[0]
        return kept

    def _keep_delivery(self, chunk: Chunk, delivery: Delivery) -> None:
        if delivery.forecasts is not None:
            self._keeper.keep_forecasts(chunk, delivery.forecasts)
        if delivery.result is not None:
            self._seconds = delivery.seconds
            self._keep_result(chunk, delivery.result)
            self._tell_of(delivery.result.results.to_dicts(), self._finished, self._finished)

    def _keep_result(self, chunk: Chunk, result: ChunkResult) -> None:
        self._keeper.keep_result(chunk, result)
        self._finished += len(chunk.runs)

    def _watch(self, chunks: Sequence[Chunk]) -> Callable[[Batch], None]:
        """What is done between evaluations: the chunks' state is kept now and then, and their progress told."""
        kept = time.monotonic()
        runs = sum(len(chunk.runs) for chunk in chunks)

        def watch(batch: Batch) -> None:
            nonlocal kept
            if time.monotonic() - kept > _CHECKPOINT_SECONDS:
                for chunk, places in zip(chunks, places_in_batch(chunks), strict=True):
                    self._keeper.keep_checkpoint(chunk, batch.checkpoint(places))
                kept = time.monotonic()
            ended = sum(not status.is_running for status in batch.statuses)
            share = 1.0 if batch.done else batch.step / batch.settings.steps
            self._tell_of([rows[-1] for rows in batch.rows], self._finished + ended, self._finished + share * runs)

        return watch

    def _tell_of(self, rows: Sequence[Mapping[str, Any]], finished: int, done: float) -> None:
        """Tell of some runs' medians, how many runs have ended, and to how many the steps taken amount."""
        columns = [tables.TRAIN_LOSS, *map(tables.effective_neurons, self._keeper.study.layers)]
        told = [[row[column] for column in columns] for row in rows if math.isfinite(row[tables.TRAIN_LOSS])]
        loss, *neurons = np.median(told, axis=0).tolist() if told else (None,)
        self._tell(Progress(finished, self._total, done / self._total, loss, tuple(neurons)))
