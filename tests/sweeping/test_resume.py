"""Interrupted at any moment, the same command ends with the same bits; shown with real processes and real signals."""

import signal
import subprocess
import sys
import time

import pytest

from nucleate import StudyError, sweep
from nucleate.problems import load_problem
from nucleate.studies import Plan, Study, make_spec
from nucleate.studies.keeper import keep
from nucleate.sweeping.chunks import train_chunks
from tests.cli.asking import ask
from tests.sealed import contents

pytestmark = pytest.mark.slow

GRID = {"gains": [0.7, 0.3], "lrs": [0.05, 0.02], "seeds": 9, "hidden": [8, 8], "steps": 300, "evaluations": 8}
COMMAND = [
    *("sweep", "sine-5d", "--gains", "0.7,0.3", "--lrs", "0.05,0.02"),
    *("--seeds", "9", "--hidden", "8,8", "--steps", "300", "--evaluations", "8", "--out"),
]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return sweep("sine-5d", out=tmp_path_factory.mktemp("whole") / "study", progress=False, **GRID)


def flip(file, place):
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


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
    command = [sys.executable, "-m", "nucleate.cli", *COMMAND, str(folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        wait_for((folder / moment).exists, process)
        process.send_signal(interruption)
        stderr = process.communicate()[1].decode()
    assert Study.load(folder).missing > 0
    if interruption == signal.SIGINT:
        assert process.returncode == 130
        assert f"interrupted; what is done is kept in {folder}. The same command goes on from there." in stderr
    again = ask(*COMMAND, folder)
    assert again.exit_code == 0, again.stderr
    assert again.stdout
    assert contents(folder) == contents(uninterrupted.path)


def test_a_finished_study_is_not_trained_again(uninterrupted, monkeypatch):
    monkeypatch.setattr("nucleate.sweeping.runner.train_chunks", None)
    assert sweep("sine-5d", out=uninterrupted.path, progress=False, **GRID) == uninterrupted


@pytest.mark.parametrize(
    "lost",
    [
        "results/chunk-00001.parquet",
        "trajectories/chunk-00001.parquet",
        "forecasts/chunk-00000.parquet",
        "weights/run-00020-best.safetensors",
        "snapshots/run-00009.safetensors",
    ],
)
def test_what_somebody_deleted_is_made_again(uninterrupted, lost):
    before = contents(uninterrupted.path)
    (uninterrupted.path / lost).unlink()
    sweep("sine-5d", out=uninterrupted.path, progress=False, **GRID)
    assert contents(uninterrupted.path) == before


@pytest.mark.parametrize("options", [{}, {"optimizer": "adam", "batch_size": 7}, {"early_stopping": True}])
def test_a_chunk_taken_up_from_its_checkpoint_comes_to_the_same_bits(options):
    plan = Plan(make_spec(data="sine-5d", **GRID | {"seeds": 2, "steps": 60} | options))
    problem, (chunk,) = load_problem("sine-5d"), plan.chunks
    (whole,) = train_chunks(plan, [(chunk, None)], problem)
    asked = iter(5 * [False] + [True] * 2)
    (checkpoint,) = train_chunks(plan, [(chunk, None)], problem, stop=lambda: next(asked))
    assert isinstance(checkpoint, bytes)
    between, checkpoints = [], []
    (rest,) = train_chunks(
        plan,
        [(chunk, checkpoint)],
        problem,
        on_evaluation=lambda batch: (between.append(batch.step), checkpoints.append(batch.checkpoint())),
    )
    for one in (rest, *train_chunks(plan, [(chunk, checkpoints[-1])], problem)):
        assert one.files == whole.files
        assert one.results.equals(whole.results)
        assert one.trajectories.equals(whole.trajectories)
    assert between[-1] == whole.trajectories["step"].max()
    assert [f"snapshots/run-{run:05d}.safetensors" in whole.files for run in range(4)] == [True, False, True, False]


def test_a_damaged_checkpoint_is_named_and_its_runs_start_again(uninterrupted, tmp_path):
    plan, problem, folder = Plan(uninterrupted.spec), load_problem("sine-5d"), tmp_path / "study"
    asked = iter(2 * (5 * [False] + [True] * 2))
    others = Plan(uninterrupted.spec.changed(hidden=[8, 7]))
    with keep(folder, uninterrupted.spec, problem) as keeper:
        # The first has a right checksum, and is of other models.
        for chunk, source in ((plan.chunks[0], others), (plan.chunks[1], plan)):
            keeper.keep_checkpoint(chunk, *train_chunks(source, [(chunk, None)], problem, stop=lambda: next(asked)))
    with pytest.raises(StudyError, match=r"chunk-00000.safetensors is damaged .*; delete it, and its runs start again"):
        sweep("sine-5d", out=folder, progress=False, **GRID)
    (folder / "checkpoints" / "chunk-00000.safetensors").unlink()
    flip(folder / "checkpoints" / "chunk-00001.safetensors", 5000)
    with pytest.warns(UserWarning, match=r"chunk-00001.safetensors is damaged .*; its runs start again"):
        sweep("sine-5d", out=folder, progress=False, **GRID)
    assert contents(folder) == contents(uninterrupted.path)


@pytest.mark.parametrize(
    ("damaged", "again"),
    [
        ("results/chunk-00001.parquet", "the runs 16 to 31 are trained again"),
        ("trajectories/chunk-00000.parquet", "the runs 0 to 15 are trained again"),
        ("weights/run-00020-best.safetensors", "the runs 16 to 31 are trained again"),
        ("snapshots/run-00000.safetensors", "the runs 0 to 15 are trained again"),
        ("forecasts/chunk-00002.parquet", "it is made again"),
        ("spec.json", "it is written again"),
    ],
)
def test_what_is_damaged_is_named_and_made_again(uninterrupted, damaged, again):
    before = contents(uninterrupted.path)
    flip(uninterrupted.path / damaged, 500)
    with pytest.warns(UserWarning, match=rf"{damaged} is damaged .*; .*{again}"):
        sweep("sine-5d", out=uninterrupted.path, progress=False, **GRID)
    assert contents(uninterrupted.path) == before
