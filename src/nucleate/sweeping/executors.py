"""What computes chunks elsewhere, and one sentence for each way in which it can fail."""

import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from typing import Any, Protocol

import polars as pl

from nucleate._wording import say_error
from nucleate.errors import SpecError, StudyError
from nucleate.problems import Problem
from nucleate.studies import Chunk, Plan, tables
from nucleate.studies.keeper import ChunkResult
from nucleate.sweeping.chunks import Delivery, Order, deliver

_TOP_OF_A_MODULE = "define it by def or class at the top of a module that the workers can import"


class Future(Protocol):
    """What `Executor.submit` returns: a result to come, as by `concurrent.futures.Future`."""

    def done(self) -> bool:
        """Whether `result` returns, or raises, without waiting.

        Returns
        -------
        bool
        """

    def result(self) -> Any:
        """What the call returned, or raised.

        Returns
        -------
        object
        """


class Executor(Protocol):
    """What runs calls elsewhere, such as an executor of `concurrent.futures`, of dask or of a cluster.

    The functions and arguments that it is given can be pickled if the study's own definitions (loss, optimizer,
    activation, model, measures) can.
    """

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future:
        """Begin the call ``function(*arguments)``, or line it up.

        Parameters
        ----------
        function : callable
        *arguments
            With which it is called; nothing else is needed to compute it.

        Returns
        -------
        Future
        """


class Task:
    """A call of `deliver` that an executor was given; a `SpecError` if it gives no future, else a `StudyError`."""

    def __init__(self, executor: Executor, plan: Plan, orders: Sequence[Order], problem: Problem, device: str) -> None:
        self._plan, self._orders = plan, orders
        try:
            self._future = executor.submit(deliver, plan, orders, problem, device)
        except Exception as error:
            raise self._failed(error) from error
        if not all(callable(getattr(self._future, method, None)) for method in ("done", "result")):
            raise SpecError(
                f"The method submit of {type(executor).__name__} returned {type(self._future).__name__}; it must "
                "return a future with the methods done() and result(), as those of concurrent.futures do."
            )

    def done(self) -> bool:
        """Whether `result` returns, or raises, without waiting."""
        return self._future.done()

    def result(self) -> list[tuple[Order, Delivery]]:
        """What came of each order; a `StudyError` if the call failed, or returned something else."""
        try:
            deliveries = self._future.result()
        except Exception as error:
            raise self._failed(error) from error
        if (
            not isinstance(deliveries, list)
            or len(deliveries) != len(self._orders)
            or not all(map(_answers, self._orders, deliveries))
        ):
            raise StudyError(
                f"{self._where} the executor gave {_say(deliveries)}, which is not what the function that it was given "
                "returns; let submit(function, *arguments) give what function(*arguments) returns. What is finished is "
                "kept."
            )
        return list(zip(self._orders, deliveries, strict=True))

    def call_off(self) -> None:
        """Do without the result, where the executor can still be told so."""
        with suppress(Exception):
            self._future.cancel()  # type: ignore[attr-defined]

    @property
    def _where(self) -> str:
        first, last = self._orders[0].chunk, self._orders[-1].chunk
        chunks = f"chunk {first.number}" if first is last else f"chunks {first.number} to {last.number}"
        return f"Of {chunks} (runs {first.runs[0].number} to {last.runs[-1].number})"

    def _failed(self, error: BaseException) -> StudyError:
        return StudyError(
            f"{self._where} nothing came ({say_error(error)}): {self._cause(error)}. What is finished is kept, and the "
            "same call goes on from there."
        )

    def _cause(self, error: BaseException) -> str:
        """Why a call failed, and what can be done."""
        said = str(error).lower()
        if "bootstrapping phase" in said:
            return 'the script starts processes where it is imported; put the sweep under `if __name__ == "__main__":`'
        if isinstance(error, pickle.PicklingError) or "pickle" in said or "can't get attribute" in said:
            names = " and the ".join(_cannot_travel(self._plan)) or "function or an argument"
            return f"the {names} cannot be pickled for another process; {_TOP_OF_A_MODULE}"
        if "no module named" in said:
            return "the workers lack what this process has; install the same packages where they run"
        if isinstance(error, BrokenExecutor):
            return (
                "a worker died; it was killed, perhaps for memory (then use fewer), or could not begin. In a script, "
                'use a new executor, with the sweep under `if __name__ == "__main__":`; if a definition is one\'s own, '
                f"{_TOP_OF_A_MODULE}"
            )
        if type(error).__name__ == "CancelledError":
            return "the call was canceled; use an executor that stays open until sweep returns"
        if isinstance(error, RuntimeError) and "shutdown" in said:
            return "the executor is shut down; use a new one that stays open until sweep returns"
        if isinstance(error, MemoryError):
            return "the machine has too little memory; use fewer workers"
        return "the call failed where the executor made it; remove the cause, or leave out executor= to compute it here"


def check_executor(executor: Executor) -> None:
    """Refuse, by a `SpecError`, what cannot be given calls, and processes that would hang."""
    if isinstance(executor, type) or not callable(getattr(executor, "submit", None)):
        said = f"the class {executor.__name__}" if isinstance(executor, type) else f"{type(executor).__name__}"
        raise SpecError(
            f"The executor is {said}, which takes no calls; give an object with a method submit, such as "
            "concurrent.futures.ThreadPoolExecutor(2)."
        )
    context = getattr(executor, "_mp_context", None)
    if getattr(context, "get_start_method", lambda: None)() == "fork":
        raise SpecError(
            f"The {type(executor).__name__} forks its processes, in which JAX hangs; make it with "
            "mp_context=multiprocessing.get_context('spawn')."
        )


def _answers(order: Order, given: Any) -> bool:
    """Whether this can be what came of an order."""
    if not isinstance(given, Delivery):
        return False
    forecasts, result = given.forecasts, given.result
    return (
        (forecasts is not None) == order.forecasts
        and (result is not None) == order.runs
        and (
            (forecasts is None or isinstance(forecasts, str) or _has_rows_of(order.chunk, forecasts))
            and (result is None or (isinstance(result, ChunkResult) and _has_rows_of(order.chunk, result.results)))
        )
    )


def _has_rows_of(chunk: Chunk, table: Any) -> bool:
    runs = [run.number for run in chunk.runs]
    return isinstance(table, pl.DataFrame) and tables.RUN in table.columns and table[tables.RUN].to_list() == runs


def _say(given: Any) -> str:
    of_others = isinstance(given, list) and given and all(isinstance(one, Delivery) for one in given)
    return "the results of another chunk" if of_others else type(given).__name__


def _cannot_travel(plan: Plan) -> list[str]:
    """What of a study is one's own and cannot be pickled."""
    spec = plan.spec
    own = {
        "loss": spec.loss,
        "optimizer": spec.optimizer,
        "activation": spec.activation,
        "model": spec.model,
        **{f"measure {measure.name!r}": measure for measure in spec.measures},
    }
    return [name for name, one in own.items() if not _travels(one)]


def _travels(one: Any) -> bool:
    try:
        pickle.dumps(one)
    except Exception:
        return False
    return True
