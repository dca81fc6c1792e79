"""The literature's targets, against their formulas written out."""

import numpy as np
import pytest

from nucleate import DataError
from nucleate.problems import load_problem
from nucleate.problems.bundled import narrow_teacher

NAMES = ["sine-5d", "four-relu-1d", "teacher-3"]


def parts(problem):
    return problem.train, problem.validation, problem.test


def relu(z):
    return np.where(z > 0, z, 0)


def test_sine_5d_is_its_formula_on_its_cube():
    for part in parts(load_problem("sine-5d")):
        expected = [sum(3.5 * np.sin(5 * x_k + 1) for x_k in x) for x in part.x]
        np.testing.assert_allclose(part.y[:, 0], expected, atol=1e-12)
        assert -4 <= part.x.min() < -3.9
        assert 1.9 < part.x.max() <= 2


def test_four_relu_1d_is_its_formula_on_an_even_grid():
    problem = load_problem("four-relu-1d")
    np.testing.assert_allclose(problem.train.x[:, 0], -1 + 2 * np.arange(40) / 39, atol=1e-15)
    for part in parts(problem):
        x = part.x[:, 0]
        expected = 1.5 * relu(-x - 0.6) - relu(-x - 0.1) - relu(x - 0.2) + 2 * relu(x - 0.6)
        np.testing.assert_allclose(part.y[:, 0], expected, atol=1e-15)


def test_the_four_relu_target_has_four_kinks():
    x = np.linspace(-1, 1, 2001)
    y = 1.5 * relu(-x - 0.6) - relu(-x - 0.1) - relu(x - 0.2) + 2 * relu(x - 0.6)
    kinks = x[1:-1][np.abs(np.diff(y, 2)) > 1e-9]
    np.testing.assert_allclose(kinks, [-0.6, -0.1, 0.2, 0.6], atol=1e-9)


def test_teacher_3_is_three_neurons_that_do_not_depend_on_the_seed():
    a, b = (load_problem("teacher-3", split_seed=seed) for seed in (0, 1))
    x = np.concatenate([part.x for problem in (a, b) for part in parts(problem)])
    y = np.concatenate([part.y for problem in (a, b) for part in parts(problem)])[:, 0]
    assert np.abs(y).max() < 3
    np.testing.assert_allclose(narrow_teacher(x), y, atol=1e-14)
    # Its gradients span as many directions as it has neurons.
    step = 1e-5
    gradients = np.stack(
        [(narrow_teacher(x[:40] + step * e) - narrow_teacher(x[:40] - step * e)) / (2 * step) for e in np.eye(10)],
        axis=1,
    )
    singular_values = np.linalg.svd(gradients, compute_uv=False)
    assert (singular_values > 1e-6 * singular_values[0]).sum() == 3


@pytest.mark.parametrize("name", NAMES)
def test_inputs_are_raw_and_drawn_anew_for_each_seed_and_part(name):
    a, b, c = (load_problem(name, split_seed=seed) for seed in (0, 1, 0))
    assert [column.std for column in a.preprocessing.inputs] == [1] * a.inputs
    assert a.data_hash == c.data_hash != b.data_hash
    np.testing.assert_array_equal(a.test.x, c.test.x)
    assert not np.array_equal(a.test.x, b.test.x)
    assert len(a.validation.x) == len(a.test.x) == 500
    assert not np.array_equal(a.validation.x, a.test.x)
    np.testing.assert_array_equal(a.preprocessing.transform(a.train.x), a.train.x)


def test_they_can_be_standardized():
    problem = load_problem("sine-5d", standardize=True)
    np.testing.assert_allclose(problem.train.x.std(axis=0), 1)
    np.testing.assert_allclose(problem.train.y.mean(), 0, atol=1e-14)


@pytest.mark.parametrize("options", [{"target": "x1"}, {"task": "classification"}])
def test_another_target_or_task_is_refused(options):
    with pytest.raises(DataError, match="sine-5d is a synthetic regression problem; leave the target and the task out"):
        load_problem("sine-5d", **options)


def test_a_negative_seed_is_refused():
    with pytest.raises(DataError, match="split seed is -1"):
        load_problem("sine-5d", split_seed=-1)
