"""Interrupted at any moment, the same command ends with the same bits; shown with real processes and real signals."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nucleate import StudyError, sweep
from nucleate.problems import load_problem
from nucleate.studies import Study, make_spec
from nucleate.studies.plan import plan_chunks
from nucleate.training import Batch

GRID = {"gains": [0.7, 0.3], "lrs": [0.05, 0.02], "seeds": 9, "hidden": [20, 20], "steps": 3000, "records": 12}
COMMAND = [
    *(sys.executable, "-m", "nucleate.cli", "sweep", "sine-5d", "--gains", "0.7,0.3", "--lrs", "0.05,0.02"),
    *("--seeds", "9", "--hidden", "20,20", "--steps", "3000", "--records", "12", "--out"),
]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return sweep("sine-5d", out=tmp_path_factory.mktemp("whole") / "study", progress=False, **GRID)


def contents(folder):
    return {file.relative_to(folder): file.read_bytes() for file in Path(folder).rglob("*") if file.is_file()}


def wait_for(found, process):
    while not found():
        assert process.poll() is None, "the sweep ended before it could be interrupted"
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("interruption", "moment"),
    [
        (signal.SIGKILL, "results/chunk-00000.parquet"),
        (signal.SIGKILL, "weights/run-00020-initial.safetensors"),
        (signal.SIGINT, "spec.json"),
    ],
)
def test_the_same_command_ends_with_the_bits_of_an_uninterrupted_one(uninterrupted, tmp_path, interruption, moment):
    folder = tmp_path / "study"
    with subprocess.Popen([*COMMAND, str(folder)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        wait_for((folder / moment).exists, process)
        process.send_signal(interruption)
        stderr = process.communicate()[1].decode()
    assert Study.load(folder).missing > 0
    if interruption == signal.SIGINT:
        assert process.returncode == 130
        assert f"interrupted; what is done is kept in {folder}. The same command goes on from there." in stderr
    again = subprocess.run([*COMMAND, str(folder)], capture_output=True, check=True)
    assert again.stdout
    assert contents(folder) == contents(uninterrupted.path)


def test_a_finished_study_is_not_trained_again(uninterrupted, monkeypatch):
    monkeypatch.setattr(Batch, "advance", None)
    assert sweep("sine-5d", out=uninterrupted.path, progress=False, **GRID) == uninterrupted


@pytest.mark.parametrize(
    "lost",
    [
        "results/chunk-00001.parquet",
        "trajectories/chunk-00001.parquet",
        "forecasts/chunk-00000.parquet",
        "weights/run-00020-best.safetensors",
    ],
)
def test_what_somebody_deleted_is_made_again(uninterrupted, lost):
    before = contents(uninterrupted.path)
    (uninterrupted.path / lost).unlink()
    sweep("sine-5d", out=uninterrupted.path, progress=False, **GRID)
    assert contents(uninterrupted.path) == before


@pytest.mark.parametrize("options", [{}, {"optimizer": "adam", "batch_size": 7}, {"early_stopping": True}])
def test_a_batch_taken_up_from_a_checkpoint_goes_on_to_the_same_bits(options):
    spec = make_spec(data="sine-5d", **GRID | {"seeds": 2, "steps": 60} | options)
    problem = load_problem("sine-5d")

    def new_batch():
        (chunk,) = plan_chunks(spec)
        networks = [run.network(spec, problem) for run in chunk]
        rates = [run.learning_rate for run in chunk]
        return Batch(problem, networks, rates, [0] * 8, spec.settings, watched=[0, 3])

    whole, half, rest = new_batch(), new_batch(), new_batch()
    while not whole.done:
        whole.advance()
    for _ in range(5):
        half.advance()
    looks = iter([False, True])
    half._stride = 1
    half.advance(stop=lambda: next(looks))  # left between two looks
    rest.resume(half.checkpoint())
    while not rest.done:
        rest.advance()
    assert rest.checkpoint() == whole.checkpoint()
    assert [len(run.snapshots) > 2 for run in rest.runs()] == [index in (0, 3) for index in range(8)]


def test_a_damaged_checkpoint_is_named_and_says_how_to_go_on(uninterrupted, tmp_path):
    study = Study.open(tmp_path / "study", uninterrupted.spec, load_problem("sine-5d"))
    study.write_checkpoint(0, b"torn")
    with pytest.raises(StudyError, match=r"chunk-00000.safetensors is damaged .*; delete it, and its runs start again"):
        sweep("sine-5d", out=study.path, progress=False, **GRID)
