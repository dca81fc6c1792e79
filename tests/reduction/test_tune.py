"""Training a little further never loses on validation."""

import numpy as np
import pytest

from nucleate.reduction.reducing import taught_by, tune

from .networks import drawn, regression


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    teacher = drawn((3, 8, 1), seed=4, gain=2.0)
    return teacher, regression(rng, teacher, rows=200, noise=0.3)


def loss(network, problem):
    return problem.loss(network(problem.validation.x), problem.validation.y)


def test_it_learns_from_labels(case):
    _, problem = case
    raw = drawn((3, 4, 1), gain=0.5)
    assert loss(tune(raw, problem, 60), problem) < 0.9 * loss(raw, problem)


def test_what_is_best_already_stays(case):
    teacher, problem = case
    told = taught_by(teacher, problem)
    assert tune(teacher, told, 10) is teacher


def test_a_pupil_comes_nearer_to_its_teacher(case):
    teacher, problem = case
    raw = drawn((3, 4, 1), gain=0.5)
    told = taught_by(teacher, problem)
    np.testing.assert_array_equal(told.test.y, problem.test.y)
    assert loss(tune(raw, told, 60), told) < 0.9 * loss(raw, told)
