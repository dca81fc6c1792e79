"""Schedules: what share of its peak the learning rate is at each step."""

import pickle

import numpy as np
import optax
import pytest

from nucleate import SpecError
from nucleate.schedules import CONSTANT, COSINE, LINEAR, SCHEDULES, Schedule, get_schedule
from nucleate.training import Rule


def test_the_named_ones_begin_at_the_peak_and_end_with_the_run():
    steps = np.arange(10)
    np.testing.assert_allclose(COSINE.factors(10), (1 + np.cos(np.pi * steps / 10)) / 2, atol=1e-7)
    np.testing.assert_allclose(LINEAR.factors(10), 1 - steps / 10, atol=1e-7)
    assert CONSTANT.factors(10).tolist() == [1.0] * 10


def test_a_warm_up_rises_evenly_and_the_schedule_has_the_rest():
    np.testing.assert_allclose(COSINE.factors(10, warmup=4)[:4], [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(COSINE.factors(10, warmup=4)[4:], COSINE.factors(6))


def test_any_optax_schedule_is_one():
    given = optax.warmup_cosine_decay_schedule(0.0, 1.0, 5, 20)
    np.testing.assert_allclose(get_schedule(given).factors(20), [given(step) for step in range(20)], atol=1e-6)
    assert get_schedule(given) == get_schedule(given) != get_schedule(optax.constant_schedule(1.0))


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=str)
def test_a_name_and_a_pickle_give_the_same_schedule_back(schedule):
    assert get_schedule(schedule.name) == pickle.loads(pickle.dumps(schedule)) == schedule


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (
            optax.constant_schedule(0.01),
            "largest value of the schedule '<lambda>' over the 20 steps is 0.01; it must be 1",
        ),
        (optax.linear_schedule(0.0, 1.0, 100), "over the 20 steps is 0.19; it must be 1, .* or give more steps"),
        (lambda step: 1 - step, "is -1 at step 2; it must be a share of the peak"),
        (lambda step: step / 0, "is nan at step 0"),
        (lambda step: float(step), "cannot be computed .*function of the step, which JAX traces"),
        (lambda: 1.0, "cannot be computed"),
        (
            Schedule("two", lambda steps: 2.0),
            "make of the schedule 'two' returns 2.0; it must return an optax schedule",
        ),
        (Schedule("fails", lambda steps: {}[steps]), r"'fails' cannot be made for 20 steps \(KeyError: 20\)"),
        (get_schedule("mine", known=False), "'mine' is not one of constant, cosine, linear; pass it as an object"),
    ],
    ids=["low", "not yet", "negative", "nan", "untraceable", "no step", "no function", "fails", "a name alone"],
)
def test_a_schedule_without_a_peak_of_one_is_refused(schedule, said):
    with pytest.raises(SpecError, match=said):
        get_schedule(schedule).check(20)


def test_an_unknown_name_is_answered_with_the_names_there_are():
    with pytest.raises(SpecError, match=r"no schedule 'cosin'; did you mean 'cosine'\? Choose one of constant, c"):
        get_schedule("cosin")
    with pytest.raises(SpecError, match="A schedule's name is ''"):
        Schedule("", lambda steps: None)
    with pytest.raises(SpecError, match="is made by 3, which cannot be called"):
        Schedule("three", 3)


@pytest.mark.parametrize("warmup", [0, 300])
def test_how_far_a_run_has_come_is_the_sum_of_its_factors(warmup):
    rule = Rule(schedule=COSINE, warmup=warmup, steps=20_000)
    factors, at = COSINE.factors(20_000, warmup), np.array([0, 1, 250, 301, 4000, 12_345, 19_999])
    np.testing.assert_allclose(rule.passed(at), [factors[:step].sum() for step in at], rtol=1e-4)
    np.testing.assert_allclose(rule.reached(rule.passed(at)), at, rtol=1e-4)
    assert rule.reached(np.array([1e6]))[0] == 20_000
