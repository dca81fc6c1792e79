"""The answer and the recommendation say what the numbers do, and take nothing back that they have just said."""

import polars as pl
import pytest

from nucleate import Study
from nucleate.reporting.sentences import answer, limits, load_texts, recommendation, say_times
from nucleate.studies import study_findings
from tests.reporting.planted import study_of

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


@pytest.mark.parametrize(("ratio", "said"), [(1.04, "1.0"), (5.51, "5.5"), (9.96, "10"), (123.4, "123")])
def test_times_are_for_people(ratio, said):
    assert say_times(ratio) == said


def test_a_small_start_that_is_worse_is_told_as_such(monkeypatch):
    said, advice, _ = told(monkeypatch, {LARGE: (19.0, 1.0, 1.0), SMALL: (1.0, 1.2, 1.2)})
    assert "no smaller start is better than the largest (gain 1) by more than 1 %" in said
    assert "no smaller start comes within 1 % of the best validation result" in advice
