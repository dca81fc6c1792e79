"""Clusters of dask and of Ray as executors: where they are reached, what travels once, and what they say on failing."""

import socket
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError
from contextlib import AbstractContextManager
from functools import partial
from importlib import import_module
from types import ModuleType, TracebackType
from typing import Any

from nucleate._wording import say_error, shown
from nucleate.errors import SpecError
from nucleate.problems import Problem
from nucleate.studies import Plan
from nucleate.sweeping.executors import Executor
from nucleate.sweeping.processes import keep_to

_CONNECT_SECONDS = 10
_RETRIES = 3
"""How many workers may die at a call before the call is given up."""


class DaskExecutor(AbstractContextManager["DaskExecutor"], Executor):
    """The workers of a dask cluster, as an executor of chunks.

    A call goes to another worker where its worker dies. Each worker process computes one chunk at a time, on as many
    cores as it has threads.

    Parameters
    ----------
    address : str
        Of the cluster's scheduler, such as ``tcp://10.0.0.1:8786``.

    Raises
    ------
    SpecError
        If dask is not installed, or no scheduler answers.
    """

    def __init__(self, address: str) -> None:
        distributed = _import("distributed", "dask")
        try:
            _knock(address)
            self._client = distributed.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, OverflowError, ValueError) as error:
            raise _unreachable("dask scheduler", address, "dask scheduler", error) from None
        died, given_up = distributed.scheduler.KilledWorker, distributed.client.FutureCancelledError
        self._said = partial(_said, died=died, given_up=given_up)
        self._shared = _Shared(self._send)

    def _send(self, argument: Any) -> Any:
        # What is scattered is lost with the worker that it lies on; the result of a call is made again elsewhere.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")
            return self._client.submit(_itself, argument, pure=False)

    @property
    def workers(self) -> int:
        """How many worker processes there are now."""
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> "ClusterFuture":
        future = self._client.submit(_on_dask, function, *map(self._shared, arguments), pure=False)
        return ClusterFuture(future.done, future.result, future.cancel, self._said)

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._client.close()


class RayExecutor(AbstractContextManager["RayExecutor"], Executor):
    """The workers of a Ray cluster, as an executor of chunks.

    A call goes to another worker where its worker dies. Each call is given one core.

    Parameters
    ----------
    address : str
        Of the cluster's head, such as ``10.0.0.1:6379``; ``ray://10.0.0.1:10001`` for one that this machine is not
        part of.

    Raises
    ------
    SpecError
        If Ray is not installed, or no cluster answers.
    """

    def __init__(self, address: str) -> None:
        self._ray = _import("ray", "ray")
        self._is_ours = not self._ray.is_initialized()
        try:
            _knock(address)
            self._ray.init(address=address, ignore_reinit_error=True, log_to_driver=False, logging_level="error")
        except (OSError, OverflowError, RuntimeError, ValueError) as error:
            # In quotes, so that no sentence takes the flag for one of ours.
            raise _unreachable("Ray cluster", address, "ray start '--head'", error) from None
        self._submit = self._ray.remote(num_cpus=1, max_retries=_RETRIES)(_on_one_core).remote
        self._shared = _Shared(self._ray.put)

    @property
    def workers(self) -> int:
        """How many cores there are now."""
        return int(self._ray.cluster_resources().get("CPU", 0))

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> "ClusterFuture":
        ray = self._ray
        reference = self._submit(function, *map(self._shared, arguments))
        return ClusterFuture(
            lambda: bool(ray.wait([reference], timeout=0)[0]),
            lambda: ray.get(reference),
            lambda: ray.cancel(reference),
            self._said,
        )

    def _said(self, error: BaseException) -> BaseException:
        errors = self._ray.exceptions
        if isinstance(error, errors.RayTaskError):
            return error.cause if isinstance(error.cause, Exception) else error
        died = (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError)
        return _said(error, died, errors.TaskCancelledError)

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._is_ours:
            self._ray.shutdown()


class ClusterFuture:
    """A result to come from a cluster, whose failures are told in Python's own exceptions, which ``said`` makes."""

    def __init__(
        self,
        done: Callable[[], bool],
        result: Callable[[], Any],
        cancel: Callable[[], Any],
        said: Callable[[BaseException], BaseException],
    ) -> None:
        self.done, self._result, self.cancel, self._said = done, result, cancel, said

    def result(self) -> Any:
        """What the call returned, or raised."""
        try:
            return self._result()
        except Exception as error:
            raise self._said(error) from None


class _Shared:
    """Sends what all calls have in common once, and then only where it lies."""

    def __init__(self, send: Callable[[Any], Any]) -> None:
        self._send = send
        self._sent: dict[int, tuple[Any, Any]] = {}

    def __call__(self, argument: Any) -> Any:
        if not isinstance(argument, (Plan, Problem)):
            return argument
        if id(argument) not in self._sent:
            # The argument is kept with it: as long as it lives, no other has its id.
            self._sent[id(argument)] = argument, self._send(argument)
        return self._sent[id(argument)][1]


def _said(error: BaseException, died: Any, given_up: Any) -> BaseException:
    if isinstance(error, died):
        return BrokenExecutor(f"{_RETRIES + 1} workers died at it")
    return CancelledError("the cluster gave it up") if isinstance(error, given_up) else error


def _itself(argument: Any) -> Any:
    return argument


_ALONE = threading.Lock()


def _on_dask(function: Callable[..., Any], *arguments: Any) -> Any:
    from distributed import get_worker

    with _ALONE:
        keep_to(get_worker().state.nthreads)
        return function(*arguments)


def _on_one_core(function: Callable[..., Any], *arguments: Any) -> Any:
    keep_to(1)
    return function(*arguments)


def _import(module: str, extra: str) -> ModuleType:
    try:
        return import_module(module)
    except ImportError:
        raise SpecError(f"{module} is not installed; install it with: pip install 'nucleate[{extra}]'") from None


def _knock(address: str) -> None:
    """Raise where nobody listens; the clusters' own clients would try again and again, Ray's for minutes."""
    if not isinstance(address, str):
        raise SpecError(f"The address of a cluster is {shown(address)}; give it as a string HOST:PORT.")
    host, colon, port = address.rsplit("/", 1)[-1].rpartition(":")
    if not (host and colon and port.isdecimal() and int(port) < 2**16):
        raise ValueError("it has no host and port")
    socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()


def _unreachable(what: str, address: str, command: str, error: Exception) -> SpecError:
    why = say_error(error).removeprefix("ValueError: ")
    return SpecError(
        f"No {what} answers at {shown(address)} ({why}); give it as HOST:PORT, and start one with `{command}`."
    )
