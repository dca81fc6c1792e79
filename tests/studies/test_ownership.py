"""A study folder has one owner; a second is refused, waits or follows, as it is told, and reading is always free."""

import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from nucleate import SpecError, StudyError, load_problem, sweep
from nucleate.studies import OwnedError, Study, make_spec
from nucleate.studies.keeper import keep
from nucleate.sweeping.progress import Progress
from nucleate.sweeping.runner import run_study
from tests.sealed import contents

GRID = {"gains": [0.7, 0.3], "seeds": 2, "hidden": [4], "steps": 20, "evaluations": 4}
PROGRESS = {"runs_finished": 3, "runs": 4, "share": 0.5, "loss": 0.25, "effective_neurons": [1.5]}


def owning(folder):
    return keep(folder, make_spec(data="sine-5d", **GRID), load_problem("sine-5d"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return sweep("sine-5d", out=tmp_path_factory.mktemp("whole") / "study", progress=False, **GRID)


@pytest.fixture
def second(tmp_path):
    """Begins a sweep on a thread, and returns what is to come of it and what it tells, once it tells something."""
    with ThreadPoolExecutor(1) as thread:

        def begin(when_owned, **changes):
            told = []
            given = make_spec(data="sine-5d", **GRID | changes), load_problem("sine-5d"), tmp_path / "study"
            future = thread.submit(run_study, *given, on_progress=told.append, when_owned=when_owned)
            while not told and not future.done():
                time.sleep(0.01)
            return future, told

        yield begin


def test_unless_it_is_told_otherwise_it_is_refused_with_who_it_is_and_what_can_be_done(tmp_path):
    said = r"is being written by process \d+ on .* since 20.*; let that end, wait for it with when_owned=\"wait\", or"
    with owning(tmp_path / "study"), pytest.raises(OwnedError, match=said):
        sweep("sine-5d", out=tmp_path / "study", progress=False, **GRID)


def test_who_waits_is_told_of_the_progress_and_then_does_what_is_left(second, tmp_path, whole):
    with owning(tmp_path / "study") as first:
        first.tell(PROGRESS)
        future, told = second("wait")
        assert told[0] == Progress(3, 4, 0.5, 0.25, (1.5,), owner=told[0].owner)
        assert re.fullmatch(r"loss 0.25, effective neurons 1.5 \(process \d+ on .* since 20.*\)", str(told[0]))
        assert Study.load(tmp_path / "study").missing == 4
        assert not future.done()
    assert future.result().missing == 0
    assert contents(tmp_path / "study") == contents(whole.path)


def test_who_follows_has_the_study_when_it_is_finished_and_trains_nothing(second, tmp_path, whole, monkeypatch):
    monkeypatch.setattr("nucleate.sweeping.runner.train_chunks", None)
    with owning(tmp_path / "study"):
        future, _ = second("follow")
        shutil.copytree(whole.path, tmp_path / "study", ignore=shutil.ignore_patterns(".lock"), dirs_exist_ok=True)
    assert future.result().results.equals(whole.results)
    assert contents(tmp_path / "study") == contents(whole.path)


def test_who_follows_one_that_ends_unfinished_is_told_so(second, tmp_path):
    with owning(tmp_path / "study"):
        future, _ = second("follow")
    with pytest.raises(StudyError, match=r"written by process .* ended with 0 of 4 runs finished; sweep again"):
        future.result()
    assert not list((tmp_path / "study" / "results").iterdir())


@pytest.mark.parametrize("when_owned", ["wait", "follow"])
def test_nobody_waits_for_another_study(second, tmp_path, when_owned):
    with owning(tmp_path / "study"):
        future, _ = second(when_owned, steps=30)
        with pytest.raises(StudyError, match="another spec"):
            future.result(timeout=60)


@pytest.mark.parametrize("when_owned", ["wait", "follow"])
def test_what_nobody_owns_is_swept_at_once(tmp_path, when_owned, whole):
    sweep("sine-5d", out=tmp_path / "study", progress=False, when_owned=when_owned, **GRID)
    assert contents(tmp_path / "study") == contents(whole.path)


@pytest.mark.parametrize("when_owned", ["queue", None])
def test_there_is_no_fourth_way(tmp_path, when_owned):
    with pytest.raises(SpecError, match=r"'when_owned' is .*; choose one of refuse, wait, follow"):
        sweep("sine-5d", out=tmp_path / "study", progress=False, when_owned=when_owned, **GRID)


LONG = [sys.executable, "-m", "nucleate", "train", "sine-5d", "--hidden", "4", "--steps", "2000000000"]


@pytest.fixture
def processes(tmp_path):
    """Begins `train` in the same folder."""
    begun = []

    def begin(*flags):
        command = [*LONG, "--out", str(tmp_path / "study"), *flags]
        begun.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.slow
def test_death_releases_the_folder_and_a_signal_ends_the_wait(tmp_path, processes):
    owner = tmp_path / "study" / ".owner.json"

    def until_owned_by(process):
        while not (owner.exists() and f'"pid": {process.pid}' in owner.read_text()):
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)

    first = processes()
    until_owned_by(first)
    patient, impatient = (processes("--when-owned", "wait") for _ in range(2))
    for process in (patient, impatient):
        assert any(f"waiting for process {first.pid} on " in line for line in process.stderr)
    impatient.send_signal(signal.SIGINT)
    assert "interrupted; what is done is kept" in impatient.communicate()[1]
    assert impatient.returncode == 130
    until_owned_by(first)
    first.kill()
    until_owned_by(patient)
    patient.send_signal(signal.SIGTERM)
    patient.communicate()
    assert patient.returncode == 143
