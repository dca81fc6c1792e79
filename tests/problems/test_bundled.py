"""Real data that ship with other packages, in raw units and with their columns' names."""

import subprocess
import sys

import numpy as np
from sklearn.datasets import load_diabetes

from nucleate.problems import load_problem


def names(problem):
    return [column.name for column in problem.preprocessing.inputs]


def test_diabetes_is_in_raw_units():
    problem = load_problem("diabetes", standardize=False)
    assert names(problem) == ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
    everyone = np.concatenate([part.y for part in (problem.train, problem.validation, problem.test)])
    assert (everyone.min(), everyone.max()) == (25, 346)
    assert problem.train.x[:, 0].max() > 60


def test_classes_have_names():
    assert load_problem("iris").preprocessing.targets[0].categories == ("setosa", "versicolor", "virginica")
    assert load_problem("breast_cancer").preprocessing.targets[0].categories == ("benign", "malignant")
    assert load_problem("digits").preprocessing.targets[0].categories == tuple("0123456789")


def test_pixels_that_are_always_dark_are_left_out_with_a_note():
    constant, *nearly = load_problem("digits").notes
    assert constant == "Left out constant input columns 'pixel_0_0', 'pixel_4_0', 'pixel_4_7'."
    assert nearly[0] == "Column 'pixel_1_0' is 0 in every row but for rows 328, 1087, 1166 and 4 more."


def test_linnerud_has_three_targets():
    problem = load_problem("linnerud")
    assert [column.name for column in problem.preprocessing.targets] == ["weight", "waist", "pulse"]
    assert len(problem.train.x) == 12


def test_elevation_is_a_fixed_set_of_places_and_heights():
    a, b = (load_problem("elevation", split_seed=seed, standardize=False) for seed in (0, 1))
    assert names(a) == ["longitude", "latitude"]
    assert a.data_hash == b.data_hash
    assert not np.array_equal(a.train.x, b.train.x)
    np.testing.assert_allclose(a.train.x.min(axis=0), [-84.4138, 36.4463], atol=2e-3)
    np.testing.assert_allclose(a.train.x.max(axis=0), [-84.0781, 36.7329], atol=2e-3)
    assert 236 <= a.train.y.min() < a.train.y.max() <= 1076


def test_another_column_may_be_the_target():
    problem = load_problem("diabetes", target="bmi")
    assert "progression" in names(problem)
    assert "bmi" not in names(problem)


def test_importing_the_package_does_not_import_what_only_some_data_need():
    code = "import nucleate.problems, sys; sys.exit(bool({'sklearn', 'matplotlib', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_diabetes_has_the_rows_that_scikit_learn_loads():
    problem = load_problem("diabetes", standardize=False)
    parts = (problem.train, problem.validation, problem.test)
    ours = np.concatenate([np.column_stack([part.x, part.y]) for part in parts])
    theirs = np.column_stack(load_diabetes(return_X_y=True, scaled=False))
    assert np.array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])
