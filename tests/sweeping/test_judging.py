"""A sweep ends with its cells compared, and with simpler models beside the recommended run."""

import json
import signal
from dataclasses import replace

import numpy as np
import pytest

from nucleate import Study, sweep
from nucleate.problems import Problem, load_problem
from nucleate.studies import load_judgement, study_findings
from nucleate.sweeping.runner import run_study
from nucleate.training import Batch
from tests.reporting.planted import straight

pytestmark = pytest.mark.slow

GRID = {"gains": [1.0, 0.1], "lrs": [0.1], "seeds": 2, "hidden": [8, 8], "steps": 200, "evaluations": 8}


def problem():
    """What a linear model learns to the last digit, and a network does not."""
    random = np.random.default_rng(0)
    x = random.standard_normal((120, 4))
    return Problem.from_arrays(x, x @ [1.0, -2.0, 0.5, 0.0], name="linear")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return sweep(problem(), **GRID, out=tmp_path_factory.mktemp("judged") / "study", progress=False)


def test_a_linear_problem_is_said_to_need_no_network(study):
    baselines = {baseline.name: baseline for baseline in load_judgement(study).baselines}
    assert list(baselines) == ["constant", "linear model", "narrow network"]
    linear = baselines["linear model"]
    assert linear.comparison.verdict == "better"
    # On the rows that chose neither; and what is said of the best seed holds for the three together.
    assert linear.comparison.rows == linear.of_best.rows == 24
    assert (linear.comparison.among, linear.of_best.among) == (1, 3)
    assert linear.further["r2"] == pytest.approx(1)
    assert baselines["constant"].comparison.verdict == "worse"


def test_the_narrow_network_is_trained_with_the_seeds_of_the_recommended_cell(study):
    findings = study_findings(study)
    narrow = load_judgement(study).baselines[2]
    assert narrow.widths == findings.narrow_widths
    assert narrow.comparison.seeds == (2, 2)
    assert narrow.test < load_judgement(study).baselines[0].test


def test_the_cells_are_compared_as_the_results_say(study):
    findings = study_findings(study)
    for cell in findings.judged:
        compared = findings.standing(cell).largest
        rows = study.results.filter(study.results["run"].is_in(cell.told))
        assert compared.other == pytest.approx(rows["validation_rmse"].mean())
        assert (compared.rows, compared.seeds[1]) == (24, cell.learned)


def test_the_judgement_is_made_once_and_again_where_the_results_are_others(study, tmp_path, monkeypatch):
    file = study.path / "judgement.json"
    before = file.read_bytes()
    file.unlink()
    run_study(study.spec, problem(), study.path, with_problem=True)
    assert file.read_bytes() == before
    content = json.loads(before)
    file.write_text(json.dumps(content | {"results_hash": "0"}))
    assert load_judgement(study) is None
    run_study(study.spec, problem(), study.path, with_problem=True)
    assert file.read_bytes() == before
    monkeypatch.setattr("nucleate.sweeping.runner.judge_study", None)
    run_study(study.spec, problem(), study.path, with_problem=True)


def test_without_it_all_is_told_but_the_narrow_network(study):
    file = study.path / "judgement.json"
    before = file.read_bytes()
    file.unlink()
    found = study_findings(Study.load(study.path)).judgement
    file.write_bytes(before)
    kept = load_judgement(study)
    assert (found.standings, found.further) == (kept.standings, kept.further)
    for one, beside in zip(found.baselines, kept.baselines[:2], strict=True):
        assert replace(one, of_best=None) == replace(beside, of_best=None)
        # What is said of the best seed is said of one baseline less.
        assert (one.of_best.among, beside.of_best.among) == (2, 3)
        assert one.of_best.difference == beside.of_best.difference
    assert found.lacks_narrow == "untrained"


def test_an_interruption_in_the_narrow_network_costs_nothing_that_was_done(tmp_path, monkeypatch):
    """Stopped after its first evaluation, the same call ends with the same bytes."""
    spec = {**GRID, "gains": [1.0], "seeds": 1}
    whole = sweep(problem(), **spec, out=tmp_path / "whole", progress=False)

    def told(progress):
        if progress.doing:
            monkeypatch.setattr(Batch, "advance", stopped)

    def stopped(batch, stop=None, *, seconds=0.0, advance=Batch.advance):
        advance(batch)
        # A batch takes no step, and is given no stop, where it is made.
        if stop is not None:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_study(whole.spec, problem(), tmp_path / "cut", on_progress=told, with_problem=True)
    monkeypatch.undo()
    assert [file.name for file in (tmp_path / "cut" / "checkpoints").iterdir()] == ["chunk-00001.safetensors"]
    again = run_study(whole.spec, problem(), tmp_path / "cut", with_problem=True)
    assert (again.path / "judgement.json").read_bytes() == (whole.path / "judgement.json").read_bytes()
    assert not list((again.path / "checkpoints").iterdir())


def test_a_model_of_ones_own_has_the_others_beside_it(tmp_path):
    study = sweep("sine-5d", model=straight, gains=[1.0], steps=20, out=tmp_path / "study", progress=False)
    judgement = load_judgement(study)
    assert [baseline.name for baseline in judgement.baselines] == ["constant", "linear model"]
    assert judgement.lacks_narrow == "model"


def test_where_no_run_trained_the_baselines_are_there_still(tmp_path):
    study = sweep("sine-5d", hidden=[4], gains=[1.0], lrs=[1e5], steps=20, out=tmp_path / "study", progress=False)
    judgement = load_judgement(study)
    assert [baseline.comparison for baseline in judgement.baselines] == [None, None]
    assert (judgement.run, judgement.lacks_narrow) == (None, "trained")
    data = load_problem("sine-5d")
    train, test = (data.preprocessing.in_units(part.y) for part in (data.train, data.test))
    assert judgement.baselines[0].test == pytest.approx(np.sqrt(np.mean((test - train.mean()) ** 2)))
