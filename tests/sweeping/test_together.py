"""Chunks trained together, as on a GPU: many runs at once, few programs, and the files of a study that knows no GPU."""

import jax
import numpy as np
import pytest

from nucleate import Network, devices, load_problem, sweep, train_many
from nucleate.devices import for_each
from nucleate.init_scale import InitScale
from nucleate.studies import Plan, make_spec
from nucleate.sweeping.chunks import in_batches, train_chunks
from nucleate.training.checks import most_together

GRID = {"gains": [0.5], "seeds": 40, "hidden": [4], "steps": 30, "evaluations": 5, "batch_size": 16}
PLAN, PROBLEM = Plan(make_spec(data="sine-5d", **GRID)), load_problem("sine-5d")
NETWORK = Network.create(5, [4], 1, scale=InitScale("gain", 0.5))


@pytest.fixture
def like_a_gpu(monkeypatch):
    monkeypatch.setattr(devices, "steps_together", lambda: True)


@pytest.fixture(scope="module")
def alone():
    return [train_chunks(PLAN, [(chunk, None)], PROBLEM)[0] for chunk in PLAN.chunks]


def are_alike(one, other):
    assert one.files.keys() == other.files.keys()
    for table in ("results", "trajectories"):
        first, second = getattr(one, table), getattr(other, table)
        assert first.schema == second.schema
        for column in ("run", "train_loss", "validation_loss"):
            np.testing.assert_allclose(first[column], second[column], rtol=1e-4)


@pytest.mark.slow
def test_a_study_has_the_same_files_and_numbers_to_rounding(like_a_gpu, alone, tmp_path):
    study = sweep("sine-5d", out=tmp_path / "study", progress=False, **GRID)
    assert sorted(file.name for file in (study.path / "results").iterdir()) == [
        f"chunk-0000{number}.parquet" for number in range(3)
    ]
    losses = [loss for chunk in alone for loss in chunk.results["train_loss"]]
    np.testing.assert_allclose(study.results["train_loss"], losses, rtol=1e-4)


def test_all_chunks_are_one_batch_and_each_has_a_checkpoint_of_its_own(like_a_gpu, alone, monkeypatch):
    (batch,) = in_batches(PLAN, [(chunk, None) for chunk in PLAN.chunks], PROBLEM)
    asked = iter([False] * 3 + [True] * 9)
    checkpoints = train_chunks(PLAN, batch, PROBLEM, stop=lambda: next(asked))
    assert all(isinstance(checkpoint, bytes) for checkpoint in checkpoints)
    together = train_chunks(PLAN, list(zip(PLAN.chunks, checkpoints, strict=True)), PROBLEM)
    for one, other in zip(together, alone, strict=True):
        are_alike(one, other)
    monkeypatch.undo()
    are_alike(train_chunks(PLAN, [(PLAN.chunks[2], checkpoints[2])], PROBLEM)[0], alone[2])


def test_chunks_that_are_not_equally_far_are_trained_together_too(like_a_gpu, alone):
    chunk = PLAN.chunks[1]
    asked = iter([False] * 3 + [True] * 9)
    (checkpoint,) = train_chunks(PLAN, [(chunk, None)], PROBLEM, stop=lambda: next(asked))
    stored = [(PLAN.chunks[0], None), (chunk, checkpoint), (PLAN.chunks[2], None)]
    (batch,) = in_batches(PLAN, stored, PROBLEM)
    for one, other in zip(train_chunks(PLAN, batch, PROBLEM), alone, strict=True):
        are_alike(one, other)


def test_on_a_cpu_each_chunk_is_a_batch():
    stored = [(chunk, None) for chunk in PLAN.chunks]
    assert [len(batch) for batch in in_batches(PLAN, stored, PROBLEM)] == [1, 1, 1]


def test_as_many_runs_step_together_as_half_of_the_devices_memory_takes(like_a_gpu, monkeypatch):
    assert most_together(PROBLEM, NETWORK) == 4096
    # Of a run: the activations of 4 neurons on 80 rows, forward and back, and 3 times 24 parameters, of 4 bytes.
    run = 4 * (2 * 4 * 80 + 3 * 24)
    for memory, runs in ((2 * 100 * run, 64), (2 * 64 * run, 64), (2 * 63 * run, 32), (run, 1)):
        monkeypatch.setattr(devices, "device_memory", lambda memory=memory: memory)
        assert most_together(PROBLEM, NETWORK) == runs


def test_as_runs_end_a_program_is_compiled_for_each_halving(like_a_gpu):
    traced = []

    def work(item, more):
        traced.append(item.shape)
        return item + more

    for runs in range(16, 0, -1):
        done = for_each(work, [np.float32(run) for run in range(runs)], 1.0)
        assert [float(one) for one in done] == [run + 1.0 for run in range(runs)]
    assert len(traced) == 5


def test_what_came_together_is_given_back_as_it_is_and_one_item_does_not_hold_the_rest(like_a_gpu):
    add = jax.jit(lambda item, more: {"x": item["x"] + more})
    once = for_each(add, [{"x": np.full(2, run, np.float32)} for run in range(3)], np.float32(1))
    twice = for_each(add, once, np.float32(1))
    assert isinstance(once.tree["x"], jax.Array)
    assert [one["x"].tolist() for one in twice] == [[2.0, 2.0], [3.0, 3.0], [4.0, 4.0]]
    assert twice[-1]["x"].tolist() == [4.0, 4.0]
    assert twice[0]["x"].base is None
    with pytest.raises(IndexError):
        twice[3]


@pytest.mark.parametrize("settings", [{}, {"batch_size": 16}, {"optimizer": "adam", "early_stopping": True}])
def test_runs_that_step_together_end_drop_and_stop_as_each_on_its_own(settings, monkeypatch):
    starts = [Network.create(5, [4], 1, scale=InitScale("gain", gain), dtype="float64") for gain in (0.1, 0.5, 1.0)]

    def trained():
        return train_many(starts, PROBLEM, learning_rates=[0.1, 0.05, 0.05], steps=400, evaluations=9, **settings)

    alone = trained()
    monkeypatch.setattr(devices, "steps_together", lambda: True)
    for one, other in zip(trained(), alone, strict=True):
        assert (one.status, one.steps, one.drop_steps) == (other.status, other.steps, other.drop_steps)
        np.testing.assert_allclose(one.trajectory["train_loss"], other.trajectory["train_loss"], rtol=1e-9)
    assert any(step for run in alone for step in run.drop_steps.values())
