"""The experiments at sizes too small to decide anything: what they give, and that they give it again."""

import math
import re

import pytest

from nucleate.reproduce import EXPERIMENTS, get_experiment
from nucleate.reproduce._multiplicity import Plan

TINY = {
    "target-direction": {"width": 4, "seeds": 1, "gammas": (0.5, 1.0)},
    "plateau-end": {"width": 4, "seeds": 1, "steps": 40, "records": 10, "learning_rate": 0.1},
    "condition": {"states": 2, "width": 2, "threshold": 0.9},
    "low-rank": {"side": 4, "known": 0.7, "steps": 1000, "seeds": 1},
    "multiplicity-adam": {"optimizer": "adam", "width": 4, "seeds": 1, "plans": (Plan(0.1, (0.01, 0.01), 10),) * 3},
    "phase-diagram": {
        "gammas_2": (0.0,),
        "gammas_3": (1.0, 2.0),
        "widths": (4, 8),
        "seeds": 1,
        "steps": 10,
    },
    "generalisation": {"width": 4, "seeds": 2, "steps": 20, "learning_rate": 0.05},
}


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.name)
def test_each_says_what_it_claims_after_whom_and_how(experiment):
    assert get_experiment(experiment.name) is experiment
    assert re.search(r"arXiv \d{4}\.\d{5}", experiment.source)
    assert experiment.claim.endswith(".")
    assert experiment.criteria
    assert "{" not in experiment.describe(quick=True)
    assert experiment.describe(quick=True) != experiment.describe(quick=False)


def test_names_are_distinct():
    assert len({experiment.name for experiment in EXPERIMENTS}) == len(EXPERIMENTS)


@pytest.mark.parametrize("name", TINY)
def test_a_measurement_has_a_number_for_each_criterion_and_comes_out_the_same_again(name):
    experiment = get_experiment(name)
    size, shares = type(experiment.quick)(**TINY[name]), []
    first, again = (experiment.measure(size, shares.append) for _ in range(2))
    assert len(first.numbers) == len(experiment.criteria)
    assert not any(math.isinf(number) for number in first.numbers)
    assert repr(first.numbers) == repr(again.numbers)
    assert all(isinstance(number, float) for number in first.numbers)
    assert shares[len(shares) // 2 - 1] == 1.0
    assert first.figure.axes
