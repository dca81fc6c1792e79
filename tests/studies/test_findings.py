"""The findings hold what the results say; the cells are judged on validation alone."""

import math

import numpy as np
import optax
import polars as pl
import pytest

import nucleate
from nucleate import Problem, Study, sweep
from nucleate.optimizers import Optimizer
from nucleate.problems import ACCURACY
from nucleate.studies import make_spec, recommended_run, study_findings, summarize
from tests.reporting.planted import STUCK, study_of

pytestmark = pytest.mark.slow


def test_best_largest_and_recommended(monkeypatch):
    cells = {(1.0, 0.1): (19.0, 1.2, 1.0), (0.1, 0.1): (5.0, 1.0, 0.9), (0.01, 0.1): (1.0, 1.01, 2.0)}
    findings = study_findings(study_of(monkeypatch, cells, noise=True))
    assert findings.best.scale == 0.1
    assert findings.largest_scale.scale == 1.0
    # As good as the best as far as the rows tell, and fewer neurons; that its test error is the worst must not matter.
    assert findings.recommended.scale == 0.01
    assert findings.is_better(findings.recommended)
    assert not findings.is_confirmed
    assert [cell.scale for cell in findings.good] == [0.1, 0.01]
    assert [cell.scale for cell in findings.condensed] == [0.01]
    assert findings.boundary.scale == 0.01


def test_a_difference_within_the_seeds_is_none(monkeypatch):
    cells = {(1.0, 0.1): [(19.0, 1.1, 1.0)] * 3, (0.1, 0.1): [(5.0, value, 1.0) for value in (0.9, 1.0, 1.2)]}
    findings = study_findings(study_of(monkeypatch, cells, seeds=3))
    assert findings.best.scale == 0.1
    assert not findings.is_better(findings.best)
    assert findings.good == findings.cells


@pytest.mark.parametrize(("rows", "better"), [(60, False), (400, True)])
def test_a_difference_within_the_noise_of_the_rows_is_none(monkeypatch, rows, better):
    """Five points of accuracy are three of 60 rows, and 20 of 400."""
    cells = {(1.0, 0.1): (19.0, 0.70, 0.70), (0.01, 0.1): (1.0, 0.75, 0.75)}
    findings = study_findings(study_of(monkeypatch, cells, metric=ACCURACY, rows=rows))
    assert findings.is_better(findings.best) == better


def test_a_condensed_cell_that_is_worse_than_the_largest_scale_is_not_recommended(monkeypatch):
    cells = {(1.0, 0.1): (19.0, 1.0, 1.0), (0.01, 0.1): (1.0, 1.2, 1.0)}
    findings = study_findings(study_of(monkeypatch, cells))
    assert findings.recommended is findings.largest_scale


def test_the_largest_scale_is_not_beaten_because_many_smaller_ones_are_tried(monkeypatch):
    """Of ten scales that are equally good, some would be better than the largest if each were held against it alone."""
    random = np.random.default_rng(0)
    scales = [1 / 2**k for k in range(10)]
    told = 0
    for _ in range(12):
        metrics = 1 + 0.05 * random.standard_normal((10, 3))
        cells = {(scale, 0.1): [(9.0, value, 1.0) for value in row] for scale, row in zip(scales, metrics, strict=True)}
        findings = study_findings(study_of(monkeypatch, cells, seeds=3, rows=40))
        told += any(map(findings.is_better, findings.cells))
    # One in 20 is stated; of 12 studies, 4 or more have a chance below 1 %.
    assert told < 4


def test_where_the_data_are_gone_no_cell_is_called_better(monkeypatch):
    study = study_of(monkeypatch, {(1.0, 0.1): (19.0, 1.2, 1.0), (0.1, 0.1): (5.0, 1.0, 0.9)})

    def gone(self):
        raise nucleate.DataError("There is no file gone.csv.")

    monkeypatch.setattr(Study, "load_problem", gone)
    findings = study_findings(study)
    assert findings.judgement is None
    assert findings.recommended.scale == 0.1
    assert not findings.is_better(findings.best)


def test_a_larger_gamma_is_a_smaller_start_and_a_larger_accuracy_is_better(monkeypatch):
    cells = {(0.5, 0.1): (19.0, 0.8, 0.8), (4.0, 0.1): (1.0, 0.9, 0.9)}
    findings = study_findings(study_of(monkeypatch, cells, convention="gamma", metric=ACCURACY))
    assert findings.largest_scale.scale == 0.5
    assert findings.best.scale == findings.recommended.scale == 4.0
    assert findings.is_better(findings.best)


def test_the_narrow_network_has_the_effective_neurons_rounded_up_and_at_most_half(monkeypatch):
    for neurons, width in [(1.0, 1), (3.2, 4), (18.0, 10)]:
        findings = study_findings(study_of(monkeypatch, {(1.0, 0.1): (neurons, 1.0, 1.0)}))
        assert findings.narrow_widths == (width,)


def test_runs_that_diverged_or_never_left_the_plateau_do_not_count_as_condensed(monkeypatch):
    study = study_of(monkeypatch, {(1.0, 0.1): (1.0, 1.0, 1.0), (1.0, 9.0): "diverged"})
    findings = study_findings(study)
    assert [cell.trained for cell in findings.cells] == [1, 0]
    assert math.isnan(findings.cells[1].validation)
    assert findings.failed == 1
    stuck = study.results.with_columns(stage=pl.lit("initial plateau"))
    monkeypatch.setattr(Study, "results", stuck)
    assert study_findings(study).condensed == ()
    assert (study_findings(study).stuck, study_findings(study).failed) == (1, 1)


def test_stuck_dead_and_trained_runs_are_taken_apart(monkeypatch):
    outcomes = [STUCK, (1.0, 0.9, 0.8), "dead", STUCK]
    study = study_of(monkeypatch, {(1.0, 0.1): [(19.0, 1.0, 1.0)] * 4, (0.01, 0.1): outcomes}, seeds=4)
    row = summarize(study).row(1, named=True)
    assert [row[name] for name in ("learned", "stuck", "failed")] == [1, 2, 1]
    assert (row["effective_neurons_1"], row["validation_rmse"], row["test_rmse"]) == (1.0, 0.9, 0.8)
    assert row["status"] == "3 finished, 1 dead"
    assert row["stage"] == "2 initial plateau, 1 descent"
    findings = study_findings(study)
    assert findings.boundary.scale == findings.recommended.scale == 0.01
    assert findings.recommended_run == 5
    assert (findings.stuck, findings.failed) == (2, 1)


def test_a_cell_that_learned_nothing_is_not_the_best(monkeypatch):
    cells = {(1.0, 0.1): (19.0, 1.2, 1.2), (0.01, 0.1): STUCK}
    findings = study_findings(study_of(monkeypatch, cells))
    assert findings.best.scale == findings.recommended.scale == 1.0
    assert findings.no_other_learned


@pytest.mark.parametrize(("condensed", "answer"), [(1, False), (2, False), (3, True), (4, True)])
def test_a_cell_has_condensed_where_most_of_its_runs_have(monkeypatch, condensed, answer):
    outcomes = [(1.0, 1.0, 1.0)] * condensed + [(15.0, 1.0, 1.0)] * (4 - condensed) + [STUCK]
    (cell,) = study_findings(study_of(monkeypatch, {(0.1, 0.1): outcomes}, seeds=5)).cells
    assert (cell.condensed_runs, cell.condensed) == (condensed, answer)


def test_a_run_that_fell_and_rose_again_is_apart(tmp_path):
    x = np.linspace(-1, 1, 40)[:, None]
    swings = Optimizer("heavy", optax.sgd, momentum=0.99)
    grid = {"gains": [1e-3], "hidden": [4], "activation": "linear", "bias": "none", "lrs": [0.1], "progress": False}
    for steps in range(30, 200, 10):
        study = sweep(Problem.from_arrays(x, x[:, 0]), optimizer=swings, steps=steps, out=tmp_path / str(steps), **grid)
        if study.results["stage"][0] == "rise":
            break
    row = summarize(study).row(0, named=True)
    assert study.results["status"][0] == "finished"
    assert [row[name] for name in ("learned", "stuck", "failed")] == [0, 0, 1]
    assert row["test_rmse"] is None
    assert study_findings(study).failed == 1


def test_the_row_of_a_run_that_died_says_so_and_has_no_part_in_the_medians(tmp_path):
    x = np.random.default_rng(0).standard_normal((60, 2))
    grid = {"gains": [1.0], "hidden": [3, 2], "activation": "relu", "bias": "all", "lrs": [3.0], "optimizer": "adam"}
    study = sweep(
        Problem.from_arrays(x, x[:, 0] - x[:, 1]), steps=40, seeds=4, out=tmp_path / "s", progress=False, **grid
    )
    dead = study.results.filter(pl.col("status") == "dead")
    assert len(dead) > 0
    assert (dead.select("effective_neurons_1", "effective_neurons_2").min_horizontal() == 0).all()
    row = summarize(study).row(0, named=True)
    assert row["failed"] >= len(dead)
    assert row["learned"] + row["stuck"] + row["failed"] == 4


@pytest.mark.parametrize(
    ("width", "neurons", "condensed"),
    [(1, 1.0, False), (2, 2.0, False), (2, 1.0, True), (3, 2.0, False), (4, 2.0, True), (20, 0.0, False)],
)
def test_no_layer_is_condensed_by_being_small_or_dead(monkeypatch, width, neurons, condensed):
    study = study_of(monkeypatch, {(0.1, 0.1): (neurons, 1.0, 1.0)}, width=width)
    assert bool(study_findings(study).condensed) == condensed


def test_of_the_recommended_cell_the_run_is_best_by_the_metric_that_chose_the_cell(monkeypatch):
    study = study_of(monkeypatch, {(1.0, 0.1): [(19.0, 0.9, 0.9), (19.0, 0.8, 0.8)]}, seeds=2, metric=ACCURACY)
    losses = study.results.with_columns(best_validation_loss=pl.Series([0.2, 0.1]))
    monkeypatch.setattr(Study, "results", losses)
    assert recommended_run(study) == 0


@pytest.mark.parametrize(("upper", "inside"), [(110, 1), (99, 0)])
def test_forecasts_are_held_against_the_outcome_within_the_regime(monkeypatch, upper, inside):
    bounds = {"drop_1_percent": 90, "drop_10_percent": 98, "lower_10": 95, "upper_10": upper}
    forecasts = [{"run": 0, "in_regime": True} | bounds, {"run": 1, "in_regime": False} | bounds]
    cells = {(1.0, 0.1): (19.0, 1.0, 1.0), (0.1, 0.1): (1.0, 1.0, 1.0)}
    check = study_findings(study_of(monkeypatch, cells, forecasts=forecasts)).forecast
    assert (check.runs, check.inside, check.in_regime, check.outside_regime) == (1, inside, 1, 1)
    assert check.median_error == pytest.approx(100 / 98 - 1)


def test_a_run_whose_drop_lies_beyond_its_steps_is_not_called_outside_the_regime(monkeypatch):
    unknown = dict.fromkeys(["drop_1_percent", "drop_10_percent", "lower_10", "upper_10"])
    known = {"run": 1, "in_regime": True, "drop_1_percent": 90, "drop_10_percent": 98, "lower_10": 95, "upper_10": 99}
    cells = {(1.0, 0.1): STUCK, (0.1, 0.1): (1.0, 1.0, 1.0)}
    forecasts = [{"run": 0, "in_regime": False} | unknown, known]
    check = study_findings(study_of(monkeypatch, cells, forecasts=forecasts)).forecast
    assert (check.runs, check.in_regime, check.outside_regime) == (1, 1, 0)


def test_an_unbegun_study_has_no_findings(monkeypatch):
    monkeypatch.setattr(Study, "results", pl.DataFrame())
    assert study_findings(Study(None, make_spec(data="sine-5d", gains=[1.0]), "", "", {}, {})) is None


@pytest.mark.parametrize("cells", [{(1.0, 0.1): STUCK}, {(1.0, 0.1): STUCK, (0.1, 0.1): STUCK}])
def test_of_runs_on_their_plateau_the_judgement_compares_nothing(monkeypatch, cells):
    judgement = study_findings(study_of(monkeypatch, cells)).judgement
    assert judgement.standings == (None,) * len(cells)
    assert [baseline.name for baseline in judgement.baselines[:2]] == ["constant", "linear model"]
    for baseline in judgement.baselines:
        assert (baseline.comparison, baseline.of_best) == (None, None)


def test_nothing_is_said_to_be_better_or_worse_than_a_run_on_its_plateau(tmp_path):
    study = sweep("sine-5d", gains=[0.001], hidden=[8, 8], lrs=[0.05], steps=20, out=tmp_path / "study", progress=False)
    reduction = nucleate.reduce_study(study)
    assert [baseline.name for baseline in reduction.baselines] == ["constant", "linear model", "narrow network"]
    assert not any(word in str(reduction) for word in ("worse", "better"))
