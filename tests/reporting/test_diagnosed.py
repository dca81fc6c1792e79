"""What is said of findings: each verdict has its sentences in both languages, with its numbers in them."""

from dataclasses import replace

import pytest

from nucleate.doctor import BY_NAME, CAUSES, Diagnosis, Finding, Remedy
from nucleate.reporting import LANGUAGES, say_diagnosis
from nucleate.reporting.diagnosed import say_finding
from tests.doctor.test_verdicts import FLAT, FORGETS, HEALTHY, ON_PLATEAU, SIDES, STUCK


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("verdict", CAUSES, ids=lambda verdict: verdict.name)
def test_every_verdict_is_said_with_its_remedies(verdict, lang):
    evidence = replace(STUCK if verdict.name in ON_PLATEAU else HEALTHY, **SIDES[verdict.name][0])
    remedies = tuple(Remedy(*change) for change in verdict.changes(evidence))
    said = say_finding(Finding(verdict.name, verdict.criterion(evidence), remedies), lang)
    assert "{" not in said
    assert "None" not in said


def test_a_trial_is_told_with_what_came_of_it():
    helped = Remedy("lr", 0.5, "tried", None, 0.8123, 300, True)
    failed = Remedy("gain", 1.0, "tried", None, 0.01, 300, False)
    said = say_finding(Finding("initial_plateau", {"steps": 300, "end": 900}, (helped, failed)), before=0.01)
    assert said == (
        "The loss is still on its initial plateau after 300 steps, which is forecast to end by step 900. With a "
        "learning rate of 0.5 it learns: a trial of 300 steps takes off 81 % of a constant's loss on validation, where "
        "the run had 1 %. Tried without help: an init scale of gain 1."
    )


def test_a_shape_is_said_as_one_and_a_share_near_all_in_digits():
    found = {"outputs": "(80, 1)", "targets": "(80,)"}
    said = say_finding(
        Finding("mismatched_shapes", found, (Remedy("reshape", (-1, 1), "tried", None, 0.996, 300, True),))
    )
    assert "With targets of shape (-1, 1) it learns: a trial of 300 steps takes off 99.6 %" in said


def test_behind_one_that_is_fine_the_rest_is_good_to_know_only():
    found = (Finding("fine", {"explained": 0.9}), Finding("linear_is_enough", {"linear": 0.9, "network": 0.9}))
    first, second = say_diagnosis(Diagnosis(found, HEALTHY))
    assert first == "Nothing holds it back: on validation it takes off 90 % of a constant's loss."
    assert second.startswith("Good to know. Beyond the noise the network is not better than a linear model:")


@pytest.mark.parametrize(
    ("name", "fields", "says", "never"),
    [
        (
            "overfitting",
            {"weight_decay": 0.1, "learning_rate": 1e-3, **FORGETS},
            "decay of 0.1 takes 9.5 % off",
            "None",
        ),
        ("overfitting", FORGETS, "It overfits", "decay"),
        ("rate_too_large", {"sharpness": 50.0}, "the rate times its curvature is 2.5", "1 times"),
        ("rate_too_large", {"status": "nan"}, "left all bounds", "times"),
        ("stands_still", {"still_since": 32}, "none of its learning. Watch the model", "gradients reach"),
        (
            "stands_still",
            {"still_since": 0, "has_gradients": True},
            "though gradients reach them",
            "give the optimizer a rate",
        ),
        ("unscaled_target", {"target_top": 0.997}, "1 % of the rows have 99.7 % of them", "standard deviation"),
        ("unscaled_target", {"target_size": 1e9}, "its standard deviation is 1e+09", "of the rows"),
        ("unscaled_target", {"target_size": 1e9, "target_top": 0.9}, "1e+09, and its mean", "nan"),
        ("unscaled_target", {"target_size": 1e9, "target_top": 0.9}, "1 % of the rows have 90 % of them", "nan"),
        ("fine", {"validation_loss": FLAT * float("nan")}, "takes off nan %", "takes off 0 %"),
        (
            "nothing_to_learn",
            {"validation_loss": FLAT, "beside_constant": "alike", "linear_validation": float("nan")},
            "it takes off 0 % of a constant's loss.",
            "linear model",
        ),
        ("fine", {"beside_constant": "alike"}, "not better than a constant", "Nothing holds it back"),
    ],
)
def test_a_sentence_has_the_number_that_its_verdict_rests_on_and_no_other(name, fields, says, never):
    said = say_finding(Finding(name, BY_NAME[name].criterion(replace(HEALTHY, **fields))))
    assert says in said
    assert never not in said


def test_shares_have_no_exponent_and_nothing_is_not_less_than_nothing():
    assert "takes off 1,230 % of" in say_finding(Finding("fine", {"explained": 12.3}))
    assert "takes off 0 % of" in say_finding(Finding("fine", {"explained": -1e-9}))
