"""The answer and the recommendation say what the numbers do, and take nothing back that they have just said."""

import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nucleate import Network, Study
from nucleate._wording import say_share
from nucleate.baselines import Baseline, Comparison
from nucleate.problems import ACCURACY, RMSE, Division
from nucleate.reporting.sentences import (
    advise,
    answer,
    beside_recommended,
    beside_reduced,
    limits,
    name_network,
    recommendation,
    terms,
)
from nucleate.reporting.words import load_texts, say_further, say_metric, say_times
from nucleate.studies import study_findings
from nucleate.studies.formats import split_hash
from tests.reporting.planted import STUCK, study_of

EN = load_texts("en")
LARGE, SMALL = (1.0, 0.1), (0.01, 0.1)


def told(monkeypatch, cells, seeds=1, **planted):
    findings = study_findings(study_of(monkeypatch, cells, seeds=seeds, **planted))
    return [" ".join(sentences) for sentences in (
        answer(findings, None, EN), recommendation(findings, EN), limits(findings, EN)
    )]  # fmt: skip


def test_what_the_test_rows_do_not_confirm_is_not_called_better(monkeypatch):
    said, _, but = told(monkeypatch, {LARGE: (19.0, 1.1, 1.0), SMALL: (1.0, 1.0, 1.2)})
    assert "on the 400 validation rows its error (RMSE) is better than at the largest scale (gain 1) by 0.1 " in said
    assert "On the 400 test rows it is worse by 0.2 (0.18 to 0.22): 1.200 against 1.000." in said
    assert EN["recommendation"]["limit_unconfirmed"] in but
    said, _, but = told(monkeypatch, {LARGE: (19.0, 1.1, 1.0), SMALL: (1.0, 1.0, 0.9)})
    assert "On the 400 test rows it is better by 0.1 (0.0901 to 0.11): 0.9000 against 1.000." in said
    assert EN["recommendation"]["limit_unconfirmed"] not in but


def test_a_lead_of_three_rows_in_60_is_told_as_none(monkeypatch):
    cells = {LARGE: [(7.0, 0.70, 0.75)] * 2, SMALL: [STUCK, (1.0, 0.75, 0.78)]}
    said, advice, _ = told(monkeypatch, cells, seeds=2, metric=ACCURACY, rows=60)
    assert "cannot be told apart from that at the largest scale (gain 1): 75.0 % against 70.0 %" in said
    # McNemar's standard error of three rows in 60 is sqrt(3)/60, and Student's quantile 2.0: 5.0 and 5.8 points.
    interval = re.search(
        r"means of 1 and 2 runs \(95 % interval: from ([\d.]+) percentage points better to ([\d.]+) ", said
    )
    assert [float(end) for end in interval.groups()] == pytest.approx([10.8, 0.8], abs=0.1)
    assert "On the 60 test rows the two cannot be told apart" in said
    assert "if a small network is of use to you: on validation it cannot be told apart from the largest scale" in advice
    assert "(gain 1, learning rate 0.1) the plateau ends at step 10, here at step 10." in advice


@pytest.mark.parametrize(
    ("seeds", "noise"),
    [(1, "of one run each, so that the noise of seeds is not known"), (2, "the means of 2 and 2 runs")],
)
def test_it_is_said_whether_the_noise_of_seeds_is_known(monkeypatch, seeds, noise):
    said, _, _ = told(monkeypatch, {LARGE: [(19.0, 1.1, 1.0)] * seeds, SMALL: [(1.0, 1.0, 0.9)] * seeds}, seeds=seeds)
    assert noise in said


def test_what_could_not_be_compared_is_not_called_better(monkeypatch):
    study = study_of(monkeypatch, {LARGE: (19.0, 1.1, 1.0), SMALL: (1.0, 1.0, 1.2)})
    monkeypatch.setattr(Study, "network", lambda self, run, at: Network.load("gone.safetensors"))
    findings = study_findings(study)
    assert "Whether another start only seems worse is not known" in answer(findings, None, EN)[2]
    assert EN["recommendation"]["no_baselines"] in recommendation(findings, EN)


def test_a_network_that_does_not_end_condensed_is_not_promised_to_shrink(monkeypatch):
    _, advice, _ = told(monkeypatch, {LARGE: (19.0, 1.1, 1.0), SMALL: (15.0, 1.0, 0.9)})
    assert "which is not condensed, so size is no reason to choose it" in advice
    _, advice, _ = told(monkeypatch, {LARGE: (19.0, 1.1, 1.0), SMALL: (1.0, 1.0, 0.9)})
    assert "the network can be made much smaller" in advice


def test_where_a_small_start_brings_nothing_answer_and_advice_both_keep_the_largest_scale(monkeypatch):
    cells = {LARGE: [(19.0, 1.01, 1.0), (19.0, 1.05, 1.0)], SMALL: [(15.0, 1.0, 0.9), (15.0, 1.04, 0.9)]}
    said, advice, _ = told(monkeypatch, cells, seeds=2)
    assert "no smaller start is better than the largest (gain 1) beyond the noise of rows and seeds" in said
    assert "the best is gain 0.01 with learning rate 0.1: 1.020 against 1.030 on the 400 validation rows" in said
    assert re.search(r"the means of 2 and 2 runs \(95 % interval: from 0\.\d+ better to 0\.\d+ worse\)", said)
    assert "Keep the largest scale, gain 1, with learning rate 0.1" in advice
    assert "none ends condensed; the fewest neurons, 15.0, are left at gain 0.01" in advice


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
    assert "1 of 2 runs left the plateau, and the advice is about that one (still on the plateau: 1)" in advice
    assert "still on their plateau after 5,000 steps: 1." in but


def test_of_starts_that_are_all_stuck_nothing_is_said(monkeypatch):
    said, advice, _ = told(monkeypatch, {LARGE: (19.0, 1.1, 1.0), SMALL: STUCK})
    assert said.startswith("Not where runs left their plateau: at gain 1 ")
    assert "Of 1 of the 2 conditions nothing is known yet" in said
    assert "Of smaller starts nothing is known yet" in said
    assert "none of the smaller starts left its plateau within 5,000 steps" in advice
    assert "does not help" not in advice


def test_where_nothing_was_learned_nothing_is_recommended(monkeypatch):
    said, advice, _ = told(monkeypatch, {LARGE: STUCK, SMALL: STUCK})
    assert said.startswith("Not known yet: no run left its initial plateau within 5,000 steps")
    assert "No run has left its plateau, so there is no result to compare" in said
    assert advice.startswith("There is nothing to recommend yet: no run left its plateau within 5,000 steps")


def advised(reduction, *baselines):
    return " ".join(beside_reduced(replace(reduction, baselines=baselines), EN))


def baseline(name, parameters, lower, upper, best=None):
    comparison = Comparison(40, 1.0, 1.0 + (lower + upper) / 2, lower, upper)
    of_best = best and Comparison(40, 1.0, 1.0 + sum(best) / 2, *best, among=2)
    return Baseline(name, (), parameters, 1.0, 1.0, {}, comparison, of_best)


CONSTANT = baseline("constant", 1, 0.5, 0.7)


def test_a_baseline_that_is_far_better_is_not_called_as_good(reduction):
    advice = advised(reduction, CONSTANT, baseline("linear model", 7, -0.5, -0.3))
    assert "the linear model (7 parameters) is better by 0.4 (95 % interval 0.3 to 0.5)" in advice
    assert EN["recommendation"]["linear_is_better"] in advice
    advice = advised(reduction, CONSTANT, baseline("narrow network", 23, -0.5, -0.3))
    assert EN["recommendation"]["narrow_is_better"] in advice


def test_a_mean_over_seeds_is_said_to_be_one(reduction):
    """The table beside it has the best validated seed."""
    narrow = baseline("narrow network", 23, 0.1, 0.3)
    narrow = replace(narrow, comparison=replace(narrow.comparison, seeds=(1, 3)))
    assert "the narrow network (23 parameters, mean of 3 seeds) is worse by 0.2" in advised(reduction, narrow)
    narrow = replace(narrow, further=reduction.further.after)
    assert "the narrow network (mean of 3 seeds) worse by 0.2" in str(replace(reduction, baselines=(narrow,)))


def test_amounts_of_thousands_are_written_out():
    said = str(Comparison(40, 64020.0, 25e6, 24e6, 26e6))
    assert said == "worse by 24,935,980 (24,000,000 to 26,000,000) on 40 rows"
    assert [say_metric(RMSE, value) for value in (64020.4, 999.6, 14.4, 0.2386)] == [
        "64,020",
        "1,000",
        "14.40",
        "0.2386",
    ]


def test_of_a_single_run_on_its_plateau_nothing_is_compared_or_recommended(monkeypatch):
    study = study_of(monkeypatch, {SMALL: STUCK})
    advice = " ".join(advise(study))
    assert "There is nothing to recommend yet" in advice
    assert "Held against" not in advice
    findings = study_findings(study)
    assert answer(findings, None, EN)[1] == EN["answer"]["not_learned"]
    assert name_network(findings, EN) == "the network"
    assert not any("largest init scale" in term for term in terms(findings, EN))
    learned = study_of(monkeypatch, {SMALL: (1.0, 1.0, 1.0)})
    said = beside_recommended(learned, study_findings(learned).judgement, EN)
    assert said[0].startswith("Held against the network, the best constant (1 parameter) is better by")


def test_where_starts_cannot_be_told_apart_neither_is_said_to_be_the_better_one(monkeypatch):
    _, advice, _ = told(monkeypatch, {LARGE: (19.0, 1.1, 1.0), SMALL: (1.0, 1.1, 1.0)})
    assert "these rows do not say which of the two is better. At the largest scale (gain 1, learning" in advice


def test_a_baseline_that_is_worse_is_not_recommended(reduction):
    advice = advised(reduction, CONSTANT, baseline("linear model", 7, 0.1, 0.3))
    assert "the linear model (7 parameters) is worse by 0.2 (95 % interval 0.1 to 0.3)" in advice
    assert advice.endswith("so the network earns its place.")


def test_within_the_noise_the_rows_are_said_to_be_too_few(reduction):
    advice = advised(reduction, CONSTANT, baseline("linear model", 7, -0.1, 0.3))
    assert "cannot be told apart on the 40 test rows" in advice
    assert "(95 % interval: from 0.1 better to 0.3 worse)" in advice
    assert "use the linear model" in advice
    assert "these rows do not show it to be worse; how much worse it may yet be, the interval says" in advice
    assert "as good" not in advice


def test_a_network_no_better_than_a_constant_has_learned_nothing(reduction):
    constant = baseline("constant", 1, -0.1, 0.1)
    advice = advised(reduction, constant, baseline("linear model", 7, 0.1, 0.3))
    assert EN["recommendation"]["nothing_shown"] in advice


def test_where_a_class_is_rare_accuracy_alone_does_not_say_that_nothing_was_learned(reduction):
    constant = replace(baseline("constant", 2, -0.1, 0.1), further={"log_loss": 0.168})
    for log_loss, key in ((0.0858, "nothing_shown_but"), (0.167, "nothing_shown"), (np.nan, "nothing_shown")):
        network = replace(reduction, further=replace(reduction.further, after={"log_loss": log_loss}))
        said = EN["recommendation"][key].format(log_loss="0.0858", constant_log_loss="0.168")
        assert advised(network, constant).endswith(said)


def test_seeds_that_differ_by_much_do_not_hide_what_the_best_validated_is_worth(reduction):
    """In the mean of all seeds it cannot be told from the linear model, but the one to be used is far better."""
    linear, constant = (
        baseline("linear model", 7, -0.1, 0.3, best=(0.2, 0.4)),
        baseline("constant", 1, 0.5, 0.7, (0.4, 0.8)),
    )
    advice = advised(reduction, constant, linear)
    assert "Held against the best validated seed alone, it is worse by 0.3 (0.2 to 0.4, an interval that" in advice
    assert "holds for all 2 such comparisons together with 95 %): 1.300 against 1.000." in advice
    assert advice.endswith(EN["recommendation"]["best_seed_is_better"])
    # That its mean is better than the constant does not say so of the best seed.
    unknown = baseline("constant", 1, 0.5, 0.7, (-0.1, 0.9))
    assert EN["recommendation"]["best_seed_is_better"] not in advised(reduction, unknown, linear)
    advice = advised(reduction, constant, linear, baseline("narrow network", 20, -0.3, 0.2, best=(-0.1, 0.1)))
    assert "use the narrow network" in advice
    constant = baseline("constant", 1, -0.1, 0.3, best=(0.2, 0.4))
    assert EN["recommendation"]["nothing_shown"] not in advised(reduction, constant, linear)


def test_where_a_linear_model_is_better_it_is_named_though_the_network_has_learned_nothing(reduction):
    constant, linear = baseline("constant", 1, -0.1, 0.1), baseline("linear model", 7, -0.5, -0.3)
    assert advised(reduction, constant, linear).endswith(EN["recommendation"]["linear_is_better"])


def test_a_baseline_without_a_metric_is_compared_with_nothing(reduction):
    """A correlation is no number for outputs that are constant: that is not as good."""
    constant, nan = baseline("constant", 1, np.nan, np.nan), (np.nan, np.nan)
    advice = advised(reduction, constant, baseline("linear model", 7, 0.1, 0.3, best=nan))
    assert "The best constant (1 parameter) cannot be compared with the reduced network on the 40 test rows" in advice
    assert EN["recommendation"]["nothing_shown"] not in advice
    assert EN["recommendation"]["baselines_worse"] not in advice
    assert "use the linear model" in advised(reduction, constant, baseline("linear model", 7, -0.1, 0.1))


def test_a_constant_of_one_parameter_has_one(reduction):
    assert "the best constant (1 parameter) is worse by 0.6" in advised(reduction, CONSTANT)


def test_a_mean_over_seeds_is_named_as_such(reduction):
    of_six = replace(CONSTANT, comparison=replace(CONSTANT.comparison, seeds=(6, 1)))
    assert "Held against the reduced network (mean of 6 seeds), the best constant" in advised(reduction, of_six)
    assert "Held against the reduced network, the best constant" in advised(reduction, CONSTANT)


def test_medians_of_several_runs_are_named_as_such(monkeypatch):
    said, _, _ = told(monkeypatch, {LARGE: [(19.0, 1.0, 1.0), (19.0, 1.2, 1.3)], SMALL: [STUCK] * 2}, seeds=2)
    assert "there the median error (RMSE) of 2 runs is 1.100 on validation and 1.150 on the test rows" in said
    said, _, _ = told(monkeypatch, {LARGE: (19.0, 1.0, 1.0), SMALL: STUCK})
    assert "there the error (RMSE) is 1.000 on validation" in said


def test_what_chance_does_to_an_accuracy_on_few_rows_is_said(monkeypatch):
    study = study_of(monkeypatch, {LARGE: (19.0, 0.7, 0.7), SMALL: (1.0, 0.75, 0.8)}, metric=ACCURACY)
    said = limits(study_findings(replace(study, rows={"train": 180, "validation": 60, "test": 60})), EN)
    # sqrt(0.75 * 0.25 / 60) is 0.0559.
    assert any(
        "On 60 validation rows the accuracy of 75.0 % has a standard error of 5.6 percentage" in one for one in said
    )


@pytest.mark.parametrize(
    ("validation", "more", "said"),
    [
        # By the rule of three, sqrt(3) / 60.
        (1.0, {}, "On 60 validation rows the accuracy of 100.0 % has a standard error of 2.9 percentage"),
        # sqrt(0.75 * 0.25 / 12) is 0.125: rows of a group are no more rows.
        (0.75, {"division": Division(groups=(36, 12, 12))}, "accuracy of 75.0 % has a standard error of 12.5 percent"),
        (0.75, {"weighted_by": "w"}, "which do not count alike, the accuracy of 75.0 % has a standard error of 5.6 p"),
    ],
)
def test_what_chance_does_is_said_of_faultless_of_grouped_and_of_weighted_rows(monkeypatch, validation, more, said):
    study = study_of(monkeypatch, {LARGE: (19.0, validation, 0.7), SMALL: (1.0, validation, 0.8)}, metric=ACCURACY)
    study = replace(study, rows={"train": 180, "validation": 60, "test": 60}, **more)
    assert any(said in one for one in limits(study_findings(study), EN))


def test_the_advice_of_command_and_page_is_the_same(monkeypatch):
    study = study_of(monkeypatch, {LARGE: (19.0, 1.1, 1.0), SMALL: (1.0, 1.0, 0.9)})
    findings = study_findings(study)
    assert advise(study) == [answer(findings, None, EN)[2], *recommendation(findings, EN)]


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.00123, "0.12 %"), (0.994, "99 %"), (0.996, "99.6 %"), (0.99999, "99.999 %"), (1.0, "100 %"), (1.2, "120 %")],
)
def test_shares_are_written_out(share, said):
    assert say_share(share) == said


@pytest.mark.parametrize(("ratio", "said"), [(1.04, "1.0"), (5.51, "5.5"), (9.96, "10"), (123.4, "123")])
def test_times_are_for_people(ratio, said):
    assert say_times(ratio) == said


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("balanced_accuracy", 0.78333, "78.3 %"), ("log_loss", 0.5161, "0.5161"), ("r2", 0.5, "0.5")],
)
def test_a_share_is_a_percentage_also_among_the_further_metrics(name, value, said):
    assert say_further(name, value) == said


@pytest.mark.parametrize("ended", ["diverged", "rise"])
def test_starts_that_failed_are_not_called_worse(monkeypatch, ended):
    """Neither those that diverged, nor those that left their plateau and forgot it all again."""
    study = study_of(monkeypatch, {LARGE: (19.0, 1.0, 1.0), SMALL: "diverged" if ended == "diverged" else STUCK})
    if ended == "rise":
        monkeypatch.setattr(Study, "results", study.results.with_columns(pl.col("stage").replace(STUCK, "rise")))
    findings = study_findings(study)
    said, advice = (" ".join(one) for one in (answer(findings, None, EN), recommendation(findings, EN)))
    assert "Only at gain 1, the largest scale that trained, did runs leave their plateau and keep what they had" in said
    assert "Of smaller starts nothing is known yet" in said
    assert "none of the smaller starts left its plateau within 5,000 steps and kept what it had learned" in advice
    assert "worse beyond the noise" not in advice
    assert "Runs that stayed on their plateau" not in advice


def test_of_smaller_starts_only_those_that_learned_are_called_worse(monkeypatch):
    _, advice, _ = told(monkeypatch, {LARGE: (19.0, 1.0, 1.0), SMALL: (1.0, 1.2, 1.2), (0.001, 0.1): "diverged"})
    assert "those of the smaller starts that learned are worse beyond the noise of rows and seeds" in advice
    # One learning rate of a start is enough.
    cells = {LARGE: (19.0, 1.0, 1.0), SMALL: (1.0, 1.2, 1.2), (0.01, 1.0): "diverged", (1.0, 1.0): "diverged"}
    assert "on validation the smaller starts are worse beyond" in told(monkeypatch, cells)[1]


def test_a_small_start_that_is_worse_is_told_as_such(monkeypatch):
    said, advice, _ = told(monkeypatch, {LARGE: (19.0, 1.0, 1.0), SMALL: (1.0, 1.2, 1.2)})
    assert "no smaller start is better than the largest (gain 1) beyond the noise" in said
    assert "on validation the smaller starts are worse beyond the noise of rows and seeds" in advice


def test_rows_that_are_copies_are_named_beside_the_interval(reduction):
    linear = baseline("linear model", 7, -0.1, 0.3)
    copied = replace(linear, comparison=replace(linear.comparison, distinct=25))
    assert "cannot be told apart on the 40 (25 of them different) test rows" in advised(reduction, CONSTANT, copied)


def test_test_rows_that_are_known_are_told_as_a_limit(monkeypatch):
    study = study_of(monkeypatch, {LARGE: (19.0, 1.1, 1.0), SMALL: (1.0, 1.0, 0.9)})
    assert not any("among those for training" in one for one in limits(study_findings(study), EN))
    problem = study.load_problem()
    known = replace(problem, test=problem.validation)
    monkeypatch.setattr(Study, "load_problem", lambda self: known)
    study = replace(study, split_hash=split_hash(known), rows={"train": 9, "validation": 400, "test": 400})
    said = limits(study_findings(study), EN)
    assert any(one.startswith("400 of the 400 test rows are among those for training or validation") for one in said)
