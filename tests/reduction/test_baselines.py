"""What a reduction is held against."""

import numpy as np
import pytest

import nucleate
from nucleate.activations import get_activation
from nucleate.reduction import linear_model, narrow_network

from .networks import drawn, regression


def test_the_linear_model_learns_what_is_linear():
    rng = np.random.default_rng(0)
    problem = regression(rng, drawn((3, 2, 2), activation="linear"), rows=300, noise=0.1)
    baseline = linear_model(problem)
    assert (baseline.name, baseline.parameters, baseline.widths) == ("linear model", 8, ())
    assert baseline.test == pytest.approx(0.1, rel=0.2)


def test_it_classifies_too():
    baseline = linear_model(nucleate.load_problem("iris"))
    assert baseline.parameters == 15
    assert baseline.test >= 0.9


def test_the_narrow_network_has_the_widths_asked_for_and_learns():
    problem = nucleate.load_problem("iris")
    baseline = narrow_network(problem, (3, 2), get_activation("tanh"))
    assert (baseline.name, baseline.widths, baseline.parameters) == (
        "narrow network",
        (3, 2),
        4 * 3 + 3 + 3 * 2 + 2 + 2 * 3 + 3,
    )
    assert baseline.validation > 0.9
