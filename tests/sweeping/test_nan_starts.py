"""Runs whose loss is NaN before their first step: a sweep keeps them as what they are, and the others go on."""

import json
import math
import re

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from nucleate import InitScale, Network, SpecError, Study, diagnose, load_problem, report, sweep, train
from nucleate.figures import loss_by_scale, phase_map
from nucleate.problems import Loss
from nucleate.studies import Plan, summarize, tables
from nucleate.sweeping.chunks import train_chunks
from nucleate.training import Batch, make_settings
from tests.cli.asking import ask, refusal
from tests.sealed import contents

pytestmark = pytest.mark.slow

GRID = {"gains": [100.0, 0.5], "seeds": 2, "hidden": [6, 5], "steps": 40, "evaluations": 6, "progress": False}
SAID = r"NaN or infinite before its first step, where outputs are finite, of size [\d.]+ at most; correct the loss "


def of_small_outputs(outputs, y):
    """Squared errors, which of outputs beyond 4 there are none."""
    return jnp.sum(jnp.where(jnp.abs(outputs) > 4, jnp.nan, 0.5 * (outputs - y) ** 2), axis=1)


BOUNDED = Loss("bounded", of_small_outputs)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return sweep("sine-5d", loss=BOUNDED, out=tmp_path_factory.mktemp("nan") / "study", **GRID)


def test_they_are_recorded_as_nan_at_their_start_and_the_others_go_on(study):
    loaded = Study.load(study.path)
    results = loaded.results
    assert results["status"].to_list() == ["nan", "nan", "finished", "finished"]
    assert results["steps"].to_list() == [0, 0, 40, 40]
    lost, others = results[:2], results[2:]
    losses = [tables.TRAIN_LOSS, tables.VALIDATION_LOSS, tables.BEST_VALIDATION_LOSS]
    assert lost.select(pl.col(losses).is_nan().all()).row(0) == (True, True, True)
    assert others.select(pl.col(losses).is_finite().all()).row(0) == (True, True, True)
    assert all(re.fullmatch(f"the loss is {SAID}'bounded' for these, or make the .*", note) for note in lost["notes"])
    assert loaded.trajectories.filter(run=0)["step"].to_list() == [0]
    assert loaded.trajectories.filter(run=2)["step"].to_list()[-1] == 40
    np.testing.assert_array_equal(loaded.network(0).weights[0], loaded.network(0, "initial").weights[0])
    assert summarize(loaded)["failed"].to_list() == [2, 0]


def test_the_others_end_with_the_bits_that_they_have_without_them(study, tmp_path):
    alone = sweep("sine-5d", loss=BOUNDED, out=tmp_path / "alone", **GRID | {"gains": [0.5]})
    for run in range(2):
        for ours, theirs in zip(study.network(run + 2).weights, alone.network(run).weights, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_they_are_forecast_beside_the_others(study):
    assert Study.load(study.path).no_forecast is None
    expected = study.forecasts
    assert expected["run"].to_list() == [0, 1, 2, 3]
    assert expected["in_regime"].to_list()[:2] == [False, False]
    assert expected["drop_10_percent"].to_list()[:2] == [None, None]


def test_the_same_sweep_makes_what_is_missing_again_to_the_same_bits(study, tmp_path):
    before = contents(study.path)
    (study.path / "results" / "chunk-00000.parquet").unlink()
    (study.path / "weights" / "run-00000-best.safetensors").unlink()
    again = sweep(Study.load(study.path), loss=BOUNDED, progress=False)
    assert not again.missing
    after = contents(study.path)
    assert {file: content for file, content in after.items() if file.name != ".owner.json"} == {
        file: content for file, content in before.items() if file.name != ".owner.json"
    }


def test_put_away_and_taken_up_again_it_is_the_same(study):
    plan, problem = Plan(study.spec), study.load_problem()
    stops = iter([False, True])
    (checkpoint,) = train_chunks(plan, [(plan.chunks[0], None)], problem, stop=lambda: next(stops, True))
    assert isinstance(checkpoint, bytes)
    (result,) = train_chunks(plan, [(plan.chunks[0], checkpoint)], problem)
    assert result.results.drop("machine").equals(study.results.drop("machine"))


def test_the_page_its_figures_and_the_doctor_take_them(study, tmp_path):
    page = report(study, out=tmp_path / "page.html").read_text("utf-8")

    def refuse(constant):
        raise AssertionError(f"JSON has no {constant}")

    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    curves = [cell["curves"] for cell in json.loads(data, parse_constant=refuse)["cells"]]
    assert curves[0] == [[[], []], [[], []]]
    assert all(len(losses) > 3 and all(map(math.isfinite, losses)) for run in curves[1] for losses in run)
    assert "loss is NaN" in page
    phase_map(study)
    loss_by_scale(study)
    with pytest.raises(SpecError, match=f"Of this run there is nothing to measure: the loss is {SAID}"):
        diagnose(study, run=0)
    assert diagnose(study, trials=False).run in (2, 3)


def test_a_run_alone_is_refused(tmp_path):
    alone = GRID | {"gains": [100.0], "seeds": 1}
    with pytest.raises(SpecError, match=f"The loss of run 0 is {SAID}'bounded' for these, or make the init scale sma"):
        sweep("sine-5d", loss=BOUNDED, out=tmp_path / "study", **alone)
    problem = load_problem("sine-5d", loss=BOUNDED)
    networks = [Network.create(5, [6, 5], 1, scale=InitScale("gain", gain)) for gain in (0.5, 100.0)]
    with pytest.raises(SpecError, match="The loss of run 0 is NaN or infinite before its first step"):
        train(networks[1], problem, steps=3)
    with pytest.raises(SpecError, match="The loss of run 1 is NaN or infinite before its first step"):
        Batch(problem, networks, [0.05, 0.05], [0, 0], make_settings(steps=3))


def test_where_none_starts_the_study_says_so_of_each(tmp_path):
    lost = sweep("sine-5d", loss=BOUNDED, out=tmp_path / "study", **GRID | {"gains": [100.0, 200.0]})
    assert set(lost.results["status"]) == {"nan"}
    assert "loss is NaN" in report(lost, out=tmp_path / "page.html").read_text("utf-8")


@pytest.fixture
def counts(tmp_path):
    rows = (f"{k % 11 - 5},{k * 7 % 13},{k % 11 // 2}" for k in range(120))
    (tmp_path / "counts.csv").write_text("a,b,visits\n" + "\n".join(rows) + "\n")
    return tmp_path


def test_so_it_is_at_the_command_line_with_a_loss_of_the_package(counts):
    grid = ["--loss", "poisson", "--hidden", "6", "--steps", "30", "--out", "study"]
    answer = ask("sweep", "counts.csv", *grid, "--gains", "1000,0.1", "--json", cwd=counts)
    assert answer.exit_code == 0, answer.stderr
    said = json.loads(answer.stdout)
    first, second = said["results"]
    assert (first["status"], first["train_loss"], first["steps"]) == ("nan", None, 0)
    assert first["notes"].endswith("finite parameters, or make its init scale smaller")
    assert math.isfinite(second["train_loss"])
    told = ask("sweep", "counts.csv", *grid, "--gains", "1000,0.1", cwd=counts).stdout
    assert "Note on run 0: the loss is NaN or infinite before its first step; give Network(" in told
    assert ask("report", "study", cwd=counts).exit_code == 0
    assert ask("plot", "study", cwd=counts).exit_code == 0
    assert "The loss of run 0 is NaN" in refusal(
        "train", "counts.csv", *grid[:-1], "alone", "--gain", "1000", cwd=counts
    )
