"""The catalogue tells the truth about every problem that can be asked for by name."""

import numpy as np
import polars as pl
import pytest

from nucleate import DataError
from nucleate.problems import describe_problems, load_problem, problem_names, survey


@pytest.mark.parametrize("info", describe_problems(), ids=problem_names())
def test_each_problem_is_what_its_line_says(info):
    problem = load_problem(info.name)
    rows = sum(len(part.x) for part in (problem.train, problem.validation, problem.test))
    assert (problem.name, problem.task, rows, problem.inputs, problem.outputs) == info[:5]
    assert np.isfinite(problem.train.x).all()


def test_names_are_unique():
    assert len(set(problem_names())) == len(problem_names()) == 17


def test_every_named_problem_has_its_table_of_columns():
    for info in describe_problems():
        found = survey(info.name)
        assert found.problem is not None
        assert found.columns["missing"].sum() == 0
        assert found.columns["became"].str.starts_with("target").any()


def test_data_that_cannot_be_trained_on_are_surveyed_with_their_oddities():
    table = pl.DataFrame({"a": [1.0] * 15 + [None] * 5, "name": [f"n{k}" for k in range(20)], "y": np.arange(20) ** 2})
    found = survey(table.with_columns(twin=2 * pl.col("y")), target="y")
    assert found.problem is None
    assert "Input column 'a' has 5 missing values" in found.refused
    assert found.columns["became"].unique().to_list() == ["not used yet"]
    assert found.columns["missing"].to_list() == [5, 0, 0, 0]
    assert any("Column 'twin' is nearly a copy" in note for note in found.notes)


@pytest.mark.parametrize(
    ("column", "target", "refused"),
    [
        ([None] * 40, "odd", "Target column 'odd' has 40 missing values"),
        ([3.0] * 40, "odd", "Target column 'odd' is 3.0 in every row"),
        ([np.inf, *range(39)], "y", "Column 'odd' is infinite"),
    ],
    ids=["empty target", "constant target", "infinite"],
)
def test_data_with_an_odd_column_are_surveyed_and_nothing_is_said_to_tell_it(column, target, refused):
    table = pl.DataFrame({"a": range(40), "odd": pl.Series(column, dtype=pl.Float64), "y": [k % 7 for k in range(40)]})
    found = survey(table, target=target)
    assert found.refused.startswith(refused)
    assert found.columns["column"].to_list() == ["a", "odd", "y"]
    assert not any("tells the target" in note for note in found.notes)


def test_what_cannot_be_read_is_refused_by_a_survey_too(tmp_path):
    with pytest.raises(DataError, match="There is no file"):
        survey(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="decimal says how a file is read"):
        survey("iris", decimal=",")
    with pytest.raises(DataError, match="sine-5d is a synthetic regression problem"):
        survey("sine-5d", target="y")
    with pytest.raises(DataError, match="cannot be imputed by 'mode'; choose median"):
        load_problem("sine-5d", impute="mode")


def test_a_survey_reads_a_file_as_that_of_the_model_was_read(tmp_path):
    rows = [f"{'xyz'[k % 3]},{k % 7},{k * k % 11}" for k in range(60)]
    (tmp_path / "first.csv").write_text("code,a,y\n" + "\n".join(rows))
    fitted = load_problem(tmp_path / "first.csv").preprocessing
    (tmp_path / "next.csv").write_text("code,a,y\n" + "\n".join(f"{k % 3},{row[2:]}" for k, row in enumerate(rows)))
    assert survey(tmp_path / "next.csv", preprocessing=fitted).columns["kind"].to_list() == ["text", "number", "number"]


def test_a_token_for_no_value_is_meant_as_a_number(tmp_path):
    # pandas writes a column of numbers with gaps as -999.0.
    rows = [f"{-999.0 if k % 10 == 3 else k + 0.5},{k * k % 17}" for k in range(60)]
    (tmp_path / "codes.csv").write_text("a,y\n" + "\n".join(rows))
    assert "pass --missing -999" in load_problem(tmp_path / "codes.csv").notes[1]
    problem = load_problem(tmp_path / "codes.csv", missing="-999", impute="median")
    assert problem.columns["missing"].to_list() == [6, 0]
