"""Who computes the chunks of a study, and where: this process one after another, or an executor in any order.

Either way one process, this one, owns the folder and writes what comes.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nucleate._interrupts import noticed
from nucleate.baselines import Contender
from nucleate.devices import check_device, on_device
from nucleate.errors import SpecError, StudyError
from nucleate.problems import Problem
from nucleate.studies import (
    Chunk,
    ChunkResult,
    Findings,
    Keeper,
    Plan,
    Study,
    StudySpec,
    judge_study,
    keep,
    load_judgement,
    save_judgement,
    tables,
    unjudged_findings,
)
from nucleate.sweeping.chunks import Delivery, Order, forecast_chunk, resume, train_chunk
from nucleate.sweeping.executors import Executor, Task, check_executor
from nucleate.sweeping.judging import narrow_network
from nucleate.sweeping.progress import Progress
from nucleate.training import Batch, Run, check_batch_size, check_runs

_CHECKPOINT_SECONDS = 10.0
_POLL_SECONDS = 0.02
_CALL_SECONDS = 30.0
"""What a call to an executor should take: long beside a message, short beside a study."""
_WORKERS = 32
"""How many workers an executor has that does not say."""


def run_study(
    spec: StudySpec,
    problem: Problem,
    out: str | Path,
    *,
    executor: Executor | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    with_problem: bool = False,
    device: str = "auto",
) -> Study:
    """Finish the study of this spec in the folder ``out``, beginning or going on where it stands.

    Parameters
    ----------
    spec : StudySpec
    problem : Problem
    out : path
    executor : Executor, optional
        Where chunks are computed; by default in this process, one after another.
    on_progress : callable
        Called with a `Progress` at the beginning, and whenever something is known anew.
    with_problem : bool
        Whether the problem was made in Python, so that the folder must keep it.
    device : {"auto", "cpu", "gpu"}
        Where chunks are computed, here or by the executor's workers; by default where JAX does.

    Returns
    -------
    Study

    Raises
    ------
    SpecError
        For runs that do not fit the data or the memory, an executor that is none, or a device that there is not.
    StudyError
        If the folder holds something else, or another process is at it, see `nucleate.studies.keep`; or if an executor
        fails at a chunk: what it has finished by then is kept, and the same call goes on.
    KeyboardInterrupt
        On Ctrl-C, and while runs are trained on SIGTERM and SIGHUP too, after the chunk in hand was put away (what an
        executor has in hand is lost). The next call goes on from there and ends with the rows of an uninterrupted
        study, bit for bit.
    """
    if executor is not None:
        check_executor(executor)
    check_device(device, here=executor is None)
    plan = Plan(spec)
    # What an executor's workers have, this process may lack.
    with on_device(device if executor is None else "auto"):
        if not (Path(out) / "spec.json").exists():
            _check(plan, problem)
        with keep(out, spec, problem, with_problem=with_problem) as keeper:
            work = _Work(plan, problem, keeper, on_progress)
            work.here() if executor is None else work.by(executor, device)
            work.judge()
            return keeper.study


def _check(plan: Plan, problem: Problem) -> None:
    """Refuse what cannot be trained before there is a folder that would then refuse the mended spec."""
    runs = plan.chunks[0].runs
    model = plan.start(runs[0], problem.inputs, problem.outputs)
    # The largest stands for all, as the first chunk may have none.
    decays = None if plan.weight_decays(runs) is None else [max(plan.spec.weight_decays)] * len(runs)
    check_runs(problem, [model] * len(runs), [run.learning_rate for run in runs], plan.spec.optimizer, decays)
    check_batch_size(problem, plan.spec.batch_size)


class _Work:
    """What a study still lacks, and how far it is done."""

    def __init__(
        self,
        plan: Plan,
        problem: Problem,
        keeper: Keeper,
        tell: Callable[[Progress], None],
    ) -> None:
        self._plan, self._problem, self._keeper = plan, problem, keeper
        self._tell = tell
        self._missing = [chunk for chunk in plan.chunks if not keeper.is_finished(chunk)]
        self._total = len(plan.runs)
        self._seconds: float | None = None
        self._finished = self._total - sum(len(chunk.runs) for chunk in self._missing)
        tell(Progress(self._finished, self._total, self._finished / self._total))

    def here(self) -> None:
        """Compute it in this process: a chunk's forecasts, and then its runs."""
        for chunk in self._plan.chunks:
            if self._keeper.lacks_forecasts(chunk):
                self._keeper.keep_forecasts(chunk, forecast_chunk(self._plan, chunk, self._problem))
            if chunk not in self._missing:
                continue
            # Forecasting ends at once, as nothing of it can be kept; training ends with a checkpoint.
            with noticed() as interrupted:
                result = train_chunk(
                    self._plan,
                    chunk,
                    self._problem,
                    self._keeper.checkpoint(chunk),
                    on_evaluation=self._watch(chunk),
                    stop=interrupted,
                )
                if isinstance(result, bytes):
                    self._keeper.keep_checkpoint(chunk, result)
                    raise KeyboardInterrupt
                self._keep_result(chunk, result)

    def by(self, executor: Executor, device: str) -> None:
        """Have an executor compute it, and keep what comes in the order it comes."""
        with noticed() as interrupted:
            self._by(executor, device, interrupted)

    def _by(self, executor: Executor, device: str, interrupted: Callable[[], bool]) -> None:
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
                batch.advance(stop=interrupted)
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

    def _watch(self, chunk: Chunk) -> Callable[[Batch], None]:
        """What is done between evaluations: the chunk's state is kept now and then, and its progress told."""
        kept = time.monotonic()

        def watch(batch: Batch) -> None:
            nonlocal kept
            if time.monotonic() - kept > _CHECKPOINT_SECONDS:
                self._keeper.keep_checkpoint(chunk, batch.checkpoint())
                kept = time.monotonic()
            ended = len(chunk.runs) - batch.statuses.count("running")
            share = 1.0 if batch.done else batch.step / batch.settings.steps
            self._tell_of(
                [rows[-1] for rows in batch.rows], self._finished + ended, self._finished + share * len(chunk.runs)
            )

        return watch

    def _tell_of(self, rows: Sequence[Mapping[str, Any]], finished: int, done: float) -> None:
        """Tell of some runs' medians, how many runs have ended, and to how many the steps taken amount."""
        columns = [tables.TRAIN_LOSS, *map(tables.effective_neurons, self._keeper.study.layers)]
        loss, *neurons = np.median([[row[column] for column in columns] for row in rows], axis=0).tolist()
        self._tell(Progress(finished, self._total, done / self._total, loss, tuple(neurons)))
