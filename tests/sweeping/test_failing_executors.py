"""Executors that fail: what is finished is kept, and one sentence says what happened and what to do."""

import pickle
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import jax.numpy as jnp
import pytest

from nucleate import SpecError, StudyError, sweep
from nucleate.problems import Loss
from nucleate.studies import Study

pytestmark = pytest.mark.slow

GRID = {"gains": [0.5], "seeds": 17, "hidden": [4], "steps": 10, "evaluations": 4, "progress": False}
GOES_ON = r"What is finished is kept, and the same call goes on from there\.$"


class Doing:
    """Gives futures that are done, by calls numbered from 0: of 16 runs, and of one."""

    def __init__(self, do):
        self.do, self.calls = do, 0

    def submit(self, function, *arguments):
        future = Future()
        try:
            future.set_result(self.do(self.calls, lambda: function(*arguments)))
        except Exception as error:
            future.set_exception(error)
        self.calls += 1
        return future


def test_what_has_finished_is_kept_though_a_chunk_before_it_failed(tmp_path):
    def do(number, call):
        if number == 0:
            raise ValueError("a bad\nnode")
        return call()

    said = r"^Of chunk 0 \(runs 0 to 15\) nothing came \(ValueError: a bad node\): the call failed where .* " + GOES_ON
    with pytest.raises(StudyError, match=said) as raised:
        sweep("sine-5d", out=tmp_path / "study", executor=Doing(do), **GRID)
    assert isinstance(raised.value.__cause__, ValueError)
    study = Study.load(tmp_path / "study")
    assert study.results["run"].to_list() == [16]
    assert study.forecasts["run"].to_list() == [16]
    executor = Doing(lambda number, call: call())
    assert sweep("sine-5d", out=study.path, executor=executor, **GRID).missing == 0
    assert executor.calls == 1


class RefusesTheSecond:
    """Computes one call and takes no second."""

    def __init__(self):
        self.taken = False

    def submit(self, function, *arguments):
        if self.taken:
            raise RuntimeError("cannot schedule new futures after shutdown")
        self.taken = True
        future = Future()
        future.set_result(function(*arguments))
        return future


def test_what_has_finished_is_kept_though_the_next_call_is_not_taken(tmp_path):
    with pytest.raises(StudyError, match=r"Of chunk 1 .* the executor is shut down; use a new one that stays open"):
        sweep("sine-5d", out=tmp_path / "study", executor=RefusesTheSecond(), **GRID)
    assert Study.load(tmp_path / "study").missing == 1


def raising(error):
    def do(number, call):
        raise error

    return Doing(do)


class NoFutures:
    def submit(self, function, *arguments):
        return None


class Canceled:
    def submit(self, function, *arguments):
        future = Future()
        future.cancel()
        return future


def shut_down():
    with ThreadPoolExecutor(1) as threads:
        return threads


@pytest.mark.parametrize(
    ("executor", "kind", "sentence"),
    [
        (4, SpecError, "The executor is int, which takes no calls; give an object with a method submit, such as"),
        (ThreadPoolExecutor, SpecError, "The executor is the class ThreadPoolExecutor, which takes no calls"),
        (NoFutures(), SpecError, r"The method submit of NoFutures returned NoneType; it must return a future with the"),
        (shut_down(), StudyError, r"Of chunk 0 .* the executor is shut down; use a new one.*" + GOES_ON),
        (Canceled(), StudyError, r"nothing came \(CancelledError\): the call was canceled; .*" + GOES_ON),
        (
            raising(BrokenProcessPool("A process ended abruptly")),
            StudyError,
            r"ended abruptly\): a worker died; .*memory.*with the sweep under `if __name__ == \"__main__\":`.*"
            + GOES_ON,
        ),
        (
            raising(RuntimeError("before the current process has finished its\nbootstrapping phase.")),
            StudyError,
            r"starts processes where it is imported; put the sweep under `if __name__ == \"__main__\":`.*" + GOES_ON,
        ),
        (Doing(lambda number, call: 3), StudyError, "Of chunk 0 .* the executor gave int, which is not what the "),
    ],
)
def test_a_failure_is_one_sentence(executor, kind, sentence, tmp_path):
    with pytest.raises(kind, match=sentence) as raised:
        sweep("sine-5d", out=tmp_path / "study", executor=executor, **GRID)
    assert "\n" not in str(raised.value)


def test_a_result_of_another_kind_or_of_another_chunk_is_refused(tmp_path):
    with pytest.raises(
        StudyError, match=r"Of chunk 0 .* gave dict, which is not what the function that it was given returns"
    ):
        sweep("sine-5d", out=tmp_path / "a", executor=Doing(lambda number, call: {}), **GRID)
    first = []

    def swapped(number, call):
        first.append(call())
        return first[0]

    with pytest.raises(
        StudyError, match=r"Of chunk 1 \(runs 16 to 16\) the executor gave the results of another chunk"
    ):
        sweep("sine-5d", out=tmp_path / "b", executor=Doing(swapped), **GRID)
    study = Study.load(tmp_path / "b")
    assert study.stored.rows_of("forecasts", study.plan.chunks[:1])["run"].to_list() == list(range(16))


class Pickling:
    """Does with a call what a process pool does first."""

    def submit(self, function, *arguments):
        future = Future()
        try:
            pickle.dumps((function, arguments))
        except Exception as error:
            future.set_exception(error)
        return future


def test_a_definition_that_cannot_be_pickled_is_named(tmp_path):
    loss = Loss("mine", lambda outputs, y: jnp.sum((outputs - y) ** 2, axis=1))
    with pytest.raises(
        StudyError, match="the loss cannot be pickled for another process; define it by def or class at"
    ):
        sweep("sine-5d", out=tmp_path / "study", executor=Pickling(), loss=loss, **GRID)
