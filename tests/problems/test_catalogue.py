"""The catalogue tells the truth about every problem that can be asked for by name."""

import numpy as np
import pytest

from nucleate.problems import describe_problems, load_problem, problem_names


@pytest.mark.parametrize("info", describe_problems(), ids=problem_names())
def test_each_problem_is_what_its_line_says(info):
    problem = load_problem(info.name)
    rows = sum(len(part.x) for part in (problem.train, problem.validation, problem.test))
    assert (problem.name, problem.task, rows, problem.inputs, problem.outputs) == info[:5]
    assert np.isfinite(problem.train.x).all()


def test_names_are_unique():
    assert len(set(problem_names())) == len(problem_names()) == 10
