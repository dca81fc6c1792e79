"""The certificate: its numbers, and its chance by simulation."""

import numpy as np
import pytest

import nucleate
from nucleate.reduction.certificate import certify

from .networks import drawn, regression


def test_its_numbers_are_those_of_the_test_rows():
    rng = np.random.default_rng(0)
    original, other = drawn((3, 4, 2)), drawn((3, 4, 2), seed=1)
    x = rng.standard_normal((200, 3))
    problem = nucleate.Problem.from_arrays(x, 5 * np.asarray(original(x)) + rng.standard_normal((200, 2)))
    certificate = certify(original, other, problem)
    moved = np.asarray(other(problem.test.x) - original(problem.test.x)) * problem.preprocessing.units
    assert certificate.rows == 40
    assert certificate.largest_deviation == pytest.approx(np.abs(moved).max())
    assert certificate.rms_deviation == pytest.approx(np.sqrt(np.mean(moved**2)))
    error = problem.metric(np.asarray(original(problem.test.x)), problem.test.y)
    assert certificate.relative_deviation == pytest.approx(certificate.rms_deviation / error)
    assert "at most 1 in 41" in str(certificate)


def test_for_classes_it_is_of_probabilities_and_labels():
    problem = nucleate.load_problem("iris")
    original, other = drawn((4, 4, 3), dtype="float32"), drawn((4, 4, 3), seed=1, dtype="float32")
    certificate = certify(original, other, problem)
    assert 0 < certificate.rms_deviation <= certificate.largest_deviation <= 1
    assert certificate.labels_changed == np.sum(
        np.argmax(original(problem.test.x), axis=1) != np.argmax(other(problem.test.x), axis=1)
    )
    assert "labels change" in str(certificate)


def test_a_new_row_deviates_more_than_the_largest_seen_as_seldom_as_stated():
    # Deviations of two fixed networks on heavy-tailed inputs: exchangeable, and nothing else is used.
    rng = np.random.default_rng(0)
    original, other = drawn((2, 5, 1)), drawn((2, 5, 1), seed=1)
    rows, trials = 19, 4000
    x = rng.standard_cauchy((trials * (rows + 1), 2))
    moved = np.abs(np.asarray(original(x) - other(x))).reshape(trials, rows + 1)
    exceeded = np.mean(moved[:, -1] > moved[:, :-1].max(axis=1))
    assert exceeded == pytest.approx(1 / (rows + 1), abs=4 * np.sqrt(0.05 * 0.95 / trials))


def test_too_few_rows_to_certify_are_refused():
    rng = np.random.default_rng(0)
    network = drawn((3, 4, 1))
    problem = regression(rng, network, rows=40)
    with pytest.raises(nucleate.DataError, match="There are 8 test rows to certify the reduced network on, and 19"):
        nucleate.reduce(network, problem)
