"""Chunks computed elsewhere: whatever executor does it, in whatever order, the folder holds the same bits."""

import multiprocessing
import os
import signal
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from nucleate import StudyError, sweep
from nucleate.studies import Study
from tests.sealed import contents

pytestmark = pytest.mark.slow

GRID = {"gains": [0.7, 0.3], "seeds": 17, "hidden": [4], "steps": 10, "evaluations": 4, "optimizer": "momentum"}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The study, made in this process: three chunks, of 16, 16 and 2 runs."""
    return sweep("sine-5d", out=tmp_path_factory.mktemp("here") / "study", progress=False, **GRID)


class Later:
    """A call that is made when somebody asks whether it is done, the last one first."""

    def __init__(self, calls, call):
        self.calls, self.call = calls, call

    def done(self):
        if self.calls and self.calls[-1] is self:
            self.calls.pop()
            self.value = self.call()
        return hasattr(self, "value")

    def result(self):
        return self.value


class Backwards:
    """The least that an executor can be."""

    def __init__(self):
        self.calls = []

    def submit(self, function, *arguments):
        self.calls.append(Later(self.calls, lambda: function(*arguments)))
        return self.calls[-1]


def test_an_executor_of_ones_own_may_compute_in_any_order(here, tmp_path):
    told = sweep("sine-5d", out=tmp_path / "study", progress=False, executor=Backwards(), **GRID)
    assert contents(told.path) == contents(here.path)


def test_threads(here, tmp_path):
    with ThreadPoolExecutor(2) as threads:
        sweep("sine-5d", out=tmp_path / "study", progress=False, executor=threads, **GRID)
    assert contents(tmp_path / "study") == contents(here.path)


def test_processes_that_share_nothing_with_this_one(here, tmp_path):
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as processes:
        study = sweep("sine-5d", out=tmp_path / "study", executor=processes, **GRID)
    assert contents(study.path) == contents(here.path)


class Failing:
    """Computes the first call, fails at the second, and never comes to the rest."""

    def __init__(self):
        self.futures = []

    def submit(self, function, *arguments):
        future = Future()
        if not self.futures:
            future.set_result(function(*arguments))
        elif len(self.futures) == 1:
            future.set_exception(MemoryError("elsewhere"))
        self.futures.append(future)
        return future


def test_what_came_before_a_failure_is_kept_the_rest_is_called_off_and_can_be_done_here(here, tmp_path):
    failing = Failing()
    said = r"Of chunk 1 \(runs 16 to 31\) nothing came \(MemoryError: elsewhere\): .*memory.* the same call goes on"
    with pytest.raises(StudyError, match=said):
        sweep("sine-5d", out=tmp_path / "study", progress=False, executor=failing, **GRID)
    assert Study.load(tmp_path / "study").missing == 18
    assert failing.futures[2].cancelled()
    assert sweep("sine-5d", out=tmp_path / "study", progress=False, **GRID).missing == 0
    assert contents(tmp_path / "study") == contents(here.path)


class Nosy:
    """An executor that meanwhile sweeps into the same folder, and reads it."""

    def __init__(self, folder):
        self.folder = folder

    def submit(self, function, *arguments):
        with pytest.raises(StudyError) as refused:
            sweep("sine-5d", out=self.folder, progress=False, **GRID)
        self.said = str(refused.value)
        (self.folder / "results" / ".torn.part").touch()
        self.read = Study.load(self.folder).missing
        future = Future()
        future.set_result(function(*arguments))
        return future


def test_a_folder_has_one_owner_and_any_number_of_readers(here, tmp_path):
    nosy = Nosy(tmp_path / "study")
    sweep("sine-5d", out=nosy.folder, progress=False, executor=nosy, **GRID)
    assert f"is being written by process {os.getpid()} on " in nosy.said
    assert " since 20" in nosy.said
    assert nosy.read == 34
    # A loser must not clean up after an owner who is at work; the next owner does.
    assert (nosy.folder / "results" / ".torn.part").exists()
    sweep("sine-5d", out=nosy.folder, progress=False, **GRID)
    assert contents(nosy.folder) == contents(here.path)


class Interrupted:
    """Its calls never end, and somebody presses Ctrl-C."""

    def __init__(self):
        self.futures = []

    def submit(self, function, *arguments):
        self.futures.append(Future())
        if len(self.futures) == 3:
            signal.raise_signal(signal.SIGINT)
        return self.futures[-1]


def test_an_interrupt_calls_off_what_an_executor_still_has(tmp_path):
    executor = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        sweep("sine-5d", out=tmp_path / "study", progress=False, executor=executor, **GRID)
    assert all(future.cancelled() for future in executor.futures)
    assert Study.load(tmp_path / "study").missing == 34
    assert not (tmp_path / "study" / ".owner.json").exists()
