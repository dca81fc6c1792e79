"""The answer and the recommendation say what the numbers do, and take nothing back that they have just said."""

from dataclasses import replace

import polars as pl
import pytest

from nucleate import Study
from nucleate.baselines import Baseline, Comparison
from nucleate.problems import ACCURACY
from nucleate.reporting.sentences import answer, limits, load_texts, recommendation, say_times
from nucleate.studies import study_findings
from tests.reporting.planted import STUCK, study_of

EN = load_texts("en")
LARGE, SMALL = (1.0, 0.1), (0.01, 0.1)


def told(monkeypatch, cells, seeds=1):
    findings = study_findings(study_of(monkeypatch, cells, seeds=seeds))
    return [" ".join(sentences) for sentences in (
        answer(findings, None, EN), recommendation(findings, None, EN), limits(findings, EN)
    )]  # fmt: skip


def test_what_the_test_rows_do_not_confirm_is_not_called_better(monkeypatch):
    said, _, but = told(monkeypatch, {LARGE: (19.0, 1.1, 1.0), SMALL: (1.0, 1.0, 1.2)})
    assert "but the test rows do not confirm it (1.200 against 1.000)" in said
    assert EN["recommendation"]["limit_unconfirmed"] in but
    said, _, but = told(monkeypatch, {LARGE: (19.0, 1.1, 1.0), SMALL: (1.0, 1.0, 0.9)})
    assert "on the test rows its error (RMSE) is 0.9000, against 1.000 at the largest scale" in said
    assert EN["recommendation"]["limit_unconfirmed"] not in but


@pytest.mark.parametrize(("seeds", "by"), [(1, "by more than 1 %"), (2, "by more than the seeds differ")])
def test_one_seed_is_not_said_to_differ(monkeypatch, seeds, by):
    said, advice, _ = told(
        monkeypatch, {LARGE: [(19.0, 1.1, 1.0)] * seeds, SMALL: [(1.0, 1.0, 0.9)] * seeds}, seeds=seeds
    )
    assert by in said
    assert by in advice


def test_a_network_that_does_not_end_condensed_is_not_promised_to_shrink(monkeypatch):
    _, advice, _ = told(monkeypatch, {LARGE: (19.0, 1.1, 1.0), SMALL: (15.0, 1.0, 0.9)})
    assert "which is not condensed, so size is no reason to choose it" in advice
    _, advice, _ = told(monkeypatch, {LARGE: (19.0, 1.1, 1.0), SMALL: (1.0, 1.0, 0.9)})
    assert "the network can be made much smaller" in advice


def test_where_a_small_start_brings_nothing_answer_and_advice_both_keep_the_largest_scale(monkeypatch):
    cells = {LARGE: [(19.0, 1.01, 1.0), (19.0, 1.05, 1.0)], SMALL: [(15.0, 1.0, 0.9), (15.0, 1.04, 0.9)]}
    said, advice, _ = told(monkeypatch, cells, seeds=2)
    assert "no smaller start is better than the largest (gain 1) by more than the seeds differ" in said
    assert "Keep the largest scale, gain 1, with learning rate 0.1" in advice
    assert "do not end more condensed" in advice


def test_neurons_that_condensed_on_a_plateau_that_lasts_are_no_yes_and_no_no(monkeypatch):
    study = study_of(monkeypatch, {LARGE: (19.0, 1.0, 1.0), SMALL: (1.0, 1.5, 1.5)})
    stage = pl.when(pl.col("gain") < 1).then(pl.lit("initial plateau")).otherwise(pl.col("stage"))
    monkeypatch.setattr(Study, "results", study.results.with_columns(stage=stage))
    where, *_ = answer(study_findings(study), None, EN)
    assert where.startswith("Not within 5,000 steps: at gain 0.01 and learning rate 0.1 the 20 hidden neurons")


def test_one_seed_that_is_stuck_does_not_speak_for_the_other(monkeypatch):
    cells = {LARGE: [(19.0, 1.1, 1.0)] * 2, SMALL: [STUCK, (1.0, 0.9, 0.8)]}
    said, advice, but = told(monkeypatch, cells, seeds=2)
    assert said.startswith("Yes, it condenses: at gain 0.01 and learning rate 0.1 the 20 hidden neurons work as 1.0")
    assert "There, 1 of 2 runs left the initial plateau, and these numbers are those of that one" in said
    assert "Start at gain 0.01" in advice
    assert "1 of 2 runs left the plateau, and the advice is about that one (still on the plateau 1)" in advice
    assert "still on their plateau after 5,000 steps: 1." in but


def test_of_starts_that_are_all_stuck_nothing_is_said(monkeypatch):
    said, advice, _ = told(monkeypatch, {LARGE: (19.0, 1.1, 1.0), SMALL: STUCK})
    assert "Of smaller starts nothing is known yet" in said
    assert "none of the smaller starts left its plateau within 5,000 steps" in advice
    assert "does not help" not in advice


def test_where_nothing_was_learned_nothing_is_recommended(monkeypatch):
    said, advice, _ = told(monkeypatch, {LARGE: STUCK, SMALL: STUCK})
    assert "No run has left its plateau, so there is no result to compare" in said
    assert advice.startswith("There is nothing to recommend yet: no run left its plateau within 5,000 steps")


def advised(monkeypatch, reduction, *baselines):
    findings = study_findings(study_of(monkeypatch, {LARGE: (19.0, 1.1, 1.0), SMALL: (1.0, 1.0, 0.9)}))
    return " ".join(recommendation(findings, replace(reduction, baselines=baselines), EN))


def baseline(name, parameters, lower, upper):
    return Baseline(name, (), parameters, 1.0, 1.0, {}, Comparison(40, 1.0, 1.0 + (lower + upper) / 2, lower, upper))


CONSTANT = baseline("constant", 1, 0.5, 0.7)


def test_a_baseline_that_is_far_better_is_not_called_as_good(monkeypatch, reduction):
    advice = advised(monkeypatch, reduction, CONSTANT, baseline("linear model", 7, -0.5, -0.3))
    assert "the linear model (7 parameters) is better by 0.4 (95 % interval 0.3 to 0.5)" in advice
    assert EN["recommendation"]["linear_is_better"] in advice
    advice = advised(monkeypatch, reduction, CONSTANT, baseline("narrow network", 23, -0.5, -0.3))
    assert EN["recommendation"]["narrow_is_better"] in advice


def test_a_baseline_that_is_worse_is_not_recommended(monkeypatch, reduction):
    advice = advised(monkeypatch, reduction, CONSTANT, baseline("linear model", 7, 0.1, 0.3))
    assert "the linear model (7 parameters) is worse by 0.2 (95 % interval 0.1 to 0.3)" in advice
    assert advice.endswith("so the network earns its place.")


def test_within_the_noise_the_rows_are_said_to_be_too_few(monkeypatch, reduction):
    advice = advised(monkeypatch, reduction, CONSTANT, baseline("linear model", 7, -0.1, 0.3))
    assert "cannot be told apart on the 40 rows" in advice
    assert "(95 % interval: from 0.1 better to 0.3 worse)" in advice
    assert "use the linear model" in advice


def test_a_network_no_better_than_a_constant_has_learned_nothing(monkeypatch, reduction):
    constant = baseline("constant", 1, -0.1, 0.1)
    advice = advised(monkeypatch, reduction, constant, baseline("linear model", 7, 0.1, 0.3))
    assert EN["recommendation"]["nothing_shown"] in advice


def test_what_chance_does_to_an_accuracy_on_few_rows_is_said(monkeypatch):
    study = study_of(monkeypatch, {LARGE: (19.0, 0.7, 0.7), SMALL: (1.0, 0.75, 0.8)}, metric=ACCURACY)
    said = limits(study_findings(replace(study, rows={"train": 180, "validation": 60, "test": 60})), EN)
    # sqrt(0.75 * 0.25 / 60) is 0.0559.
    assert any(
        "On 60 validation rows the accuracy of 75.0 % has a standard error of 5.6 percentage" in one for one in said
    )


def test_without_baselines_that_is_said(monkeypatch, reduction):
    assert EN["recommendation"]["no_baselines"] in advised(monkeypatch, reduction)


@pytest.mark.parametrize(("ratio", "said"), [(1.04, "1.0"), (5.51, "5.5"), (9.96, "10"), (123.4, "123")])
def test_times_are_for_people(ratio, said):
    assert say_times(ratio) == said


def test_a_small_start_that_is_worse_is_told_as_such(monkeypatch):
    said, advice, _ = told(monkeypatch, {LARGE: (19.0, 1.0, 1.0), SMALL: (1.0, 1.2, 1.2)})
    assert "no smaller start is better than the largest (gain 1) by more than 1 %" in said
    assert "no smaller start comes within 1 % of the best validation result" in advice
