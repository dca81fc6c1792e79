"""The findings hold what the results say; the cells are judged on validation alone."""

import math

import polars as pl
import pytest

from nucleate import Study
from nucleate.problems import ACCURACY
from nucleate.studies import make_spec, study_findings
from tests.reporting.planted import study_of


def test_best_largest_and_recommended(monkeypatch):
    cells = {(1.0, 0.1): (19.0, 1.02, 1.0), (0.1, 0.1): (5.0, 1.0, 0.9), (0.01, 0.1): (1.0, 1.005, 2.0)}
    findings = study_findings(study_of(monkeypatch, cells))
    assert findings.best.scale == 0.1
    assert findings.largest_scale.scale == 1.0
    # Within 1 % of the best and fewer neurons; that its test error is the worst must not matter.
    assert findings.recommended.scale == 0.01
    assert findings.is_worse(findings.largest_scale, findings.recommended)
    assert [cell.scale for cell in findings.condensed] == [0.01]
    assert findings.boundary.scale == 0.01


def test_a_difference_within_the_seeds_is_none(monkeypatch):
    cells = {(1.0, 0.1): [(19.0, 1.1, 1.0)] * 3, (0.1, 0.1): [(5.0, value, 1.0) for value in (0.9, 1.0, 1.2)]}
    findings = study_findings(study_of(monkeypatch, cells, seeds=3))
    assert findings.best.scale == 0.1
    assert not findings.is_worse(findings.largest_scale, findings.best)


def test_a_larger_gamma_is_a_smaller_start_and_a_larger_accuracy_is_better(monkeypatch):
    cells = {(0.5, 0.1): (19.0, 0.8, 0.8), (4.0, 0.1): (1.0, 0.9, 0.9)}
    findings = study_findings(study_of(monkeypatch, cells, convention="gamma", metric=ACCURACY))
    assert findings.largest_scale.scale == 0.5
    assert findings.best.scale == findings.recommended.scale == 4.0
    assert findings.is_worse(findings.largest_scale, findings.best)


def test_runs_that_diverged_or_never_left_the_plateau_do_not_count_as_condensed(monkeypatch):
    study = study_of(monkeypatch, {(1.0, 0.1): (1.0, 1.0, 1.0), (1.0, 9.0): "diverged"})
    findings = study_findings(study)
    assert [cell.trained for cell in findings.cells] == [1, 0]
    assert math.isnan(findings.cells[1].validation)
    assert findings.failed == 1
    stuck = study.results.with_columns(stage=pl.lit("initial plateau"))
    monkeypatch.setattr(Study, "results", stuck)
    assert study_findings(study).condensed == ()
    assert study_findings(study).stuck == 2


@pytest.mark.parametrize(("upper", "inside"), [(110, 1), (99, 0)])
def test_forecasts_are_held_against_the_outcome_within_the_regime(monkeypatch, upper, inside):
    bounds = {"drop_1_percent": 90, "drop_10_percent": 98, "lower_10": 95, "upper_10": upper}
    forecasts = [{"run": 0, "in_regime": True} | bounds, {"run": 1, "in_regime": False} | bounds]
    cells = {(1.0, 0.1): (19.0, 1.0, 1.0), (0.1, 0.1): (1.0, 1.0, 1.0)}
    check = study_findings(study_of(monkeypatch, cells, forecasts=forecasts)).forecast
    assert (check.runs, check.inside, check.outside_regime) == (1, inside, 1)
    assert check.median_error == pytest.approx(100 / 98 - 1)


def test_an_unbegun_study_has_no_findings(monkeypatch):
    monkeypatch.setattr(Study, "results", pl.DataFrame())
    assert study_findings(Study(None, make_spec(data="sine-5d", gains=[1.0]), "", "", {}, {})) is None
