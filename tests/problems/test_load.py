"""The one door: names, files and tables come out as the same kind of thing."""

import numpy as np
import polars as pl
import pytest

from nucleate import DataError
from nucleate.problems import load_problem

N = 40
TABLE = pl.DataFrame(
    {"a": np.linspace(0, 1, N), "b": np.cos(np.arange(N)), "kind": ["x", "y"] * (N // 2), "price": np.sin(np.arange(N))}
)


def test_one_table_is_one_problem_from_every_kind_of_file(tmp_path):
    TABLE.write_csv(tmp_path / "houses.csv")
    TABLE.write_csv(tmp_path / "houses.tsv", separator="\t")
    TABLE.write_parquet(tmp_path / "houses.parquet")
    expected = load_problem(TABLE)
    for suffix in ("csv", "tsv", "parquet"):
        problem = load_problem(tmp_path / f"houses.{suffix}")
        assert problem.name == "houses"
        assert problem.data_hash == expected.data_hash
        assert problem.preprocessing.inputs == expected.preprocessing.inputs
        np.testing.assert_array_equal(problem.test.x, expected.test.x)


def test_npz_knows_its_target(tmp_path):
    np.savez(tmp_path / "arrays.npz", x=TABLE.select("a", "b").to_numpy(), y=TABLE.select("price", "a").to_numpy())
    problem = load_problem(str(tmp_path / "arrays.npz"))
    assert (problem.inputs, problem.outputs) == (2, 2)
    assert "is nearly a copy of the target 'y2'" in problem.notes[0]


def test_options_reach_the_problem():
    problem = load_problem(
        TABLE, target="kind", task="classification", validation=0.1, test=0.3, split_seed=5, standardize=False
    )
    assert repr(problem) == "Problem(table, classification, 3 inputs, 2 outputs, 24 + 4 + 12 rows)"
    assert problem.preprocessing.inputs[0].std == 1
    other = load_problem(
        TABLE, target="kind", task="classification", validation=0.1, test=0.3, split_seed=6, standardize=False
    )
    assert not np.array_equal(problem.test.x, other.test.x)


def test_missing_values_are_dropped_on_demand(tmp_path):
    (tmp_path / "gaps.csv").write_text(TABLE.write_csv().replace("0.0,", "?,", 1))
    with pytest.raises(DataError, match=r"Input column 'a' has 1 missing value \(row 1\)"):
        load_problem(tmp_path / "gaps.csv")
    problem = load_problem(tmp_path / "gaps.csv", drop_missing=True)
    assert "Left out 1 row with missing values (row 1)." in problem.notes


def test_inputs_without_any_value_are_refused(tmp_path):
    (tmp_path / "gaps.csv").write_text("a,y\n" + "".join(f",{k / 7}\n" for k in range(30)))
    with pytest.raises(DataError, match=r"Every input is empty \(column 'a'\); give one that has values"):
        load_problem(tmp_path / "gaps.csv")


def test_an_unknown_name_is_refused_with_the_close_ones():
    with pytest.raises(
        DataError, match=r"no problem named 'diabtes'; did you mean 'diabetes'.*`nucleate problems` lists all"
    ):
        load_problem("diabtes")
    with pytest.raises(
        DataError, match=r"no problem named 'qqq'\. `nucleate problems` lists all; a file needs its ending"
    ):
        load_problem("qqq")


def test_arrays_are_sent_to_their_own_door():
    with pytest.raises(DataError, match=r"The data are of type ndarray; .* use Problem\.from_arrays"):
        load_problem(np.eye(3))
