"""The answer and the recommendation say what the numbers do, and take nothing back that they have just said."""

import pytest

from nucleate.report._findings import find
from nucleate.report._sentences import answer, limits, recommendation
from nucleate.report._texts import load_texts
from tests.report.planted import study_of

EN = load_texts("en")
USUAL, SMALL = (1.0, 0.1), (0.01, 0.1)


def told(monkeypatch, cells, seeds=1):
    findings = find(study_of(monkeypatch, cells, seeds=seeds))
    return [" ".join(sentences) for sentences in (
        answer(findings, None, EN), recommendation(findings, None, EN), limits(findings, EN)
    )]  # fmt: skip


def test_what_the_test_rows_do_not_confirm_is_not_called_better(monkeypatch):
    said, _, but = told(monkeypatch, {USUAL: (19.0, 1.1, 1.0), SMALL: (1.0, 1.0, 1.2)})
    assert "but the test rows do not confirm it (1.200 against 1.000)" in said
    assert EN["recommendation"]["limit_unconfirmed"] in but
    said, _, but = told(monkeypatch, {USUAL: (19.0, 1.1, 1.0), SMALL: (1.0, 1.0, 0.9)})
    assert "on the test rows its error (RMSE) is 0.9000, against 1.000 from the usual start" in said
    assert EN["recommendation"]["limit_unconfirmed"] not in but


@pytest.mark.parametrize(("seeds", "by"), [(1, "by more than 1 %"), (2, "by more than the seeds differ")])
def test_one_seed_is_not_said_to_differ(monkeypatch, seeds, by):
    said, advice, _ = told(
        monkeypatch, {USUAL: [(19.0, 1.1, 1.0)] * seeds, SMALL: [(1.0, 1.0, 0.9)] * seeds}, seeds=seeds
    )
    assert by in said
    assert by in advice


def test_a_network_that_does_not_end_condensed_is_not_promised_to_shrink(monkeypatch):
    _, advice, _ = told(monkeypatch, {USUAL: (19.0, 1.1, 1.0), SMALL: (15.0, 1.0, 0.9)})
    assert "which is not condensed, so size is no reason to choose it" in advice
    _, advice, _ = told(monkeypatch, {USUAL: (19.0, 1.1, 1.0), SMALL: (1.0, 1.0, 0.9)})
    assert "the network can be made much smaller" in advice


def test_a_small_start_that_is_worse_is_told_as_such(monkeypatch):
    said, advice, _ = told(monkeypatch, {USUAL: (19.0, 1.0, 1.0), SMALL: (1.0, 1.2, 1.2)})
    assert "no smaller start is better than the usual one (gain 1)" in said
    assert "no smaller start comes within 1 % of the best validation result" in advice
