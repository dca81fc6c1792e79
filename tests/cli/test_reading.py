"""Files on the command line: what is told by flags, and what is refused in one line."""

import pytest

from .test_cli import refusal


@pytest.mark.parametrize(
    ("text", "flags", "says"),
    [
        ("a,y\n1,2\n3\n", (), "Line 3 of data.csv has 1 cell, where the others have 2"),
        ("a;y\n1,234;2\n567;3\n", (), "pass --thousands ',' or --decimal ','."),
        ("a,y\n1/2/2024,1\n3/4/2024,2\n", (), "pass --dates day-first or --dates month-first"),
        ("a,y\n1,2\n", ("--dates", "first"), "--dates is 'first'; it must be 'day-first' or 'month-first'"),
        ("a,y\n1,2\n", ("--sheet", "S"), "--sheet says nothing of data.csv, which is .csv; leave it out"),
        ("a,y\n1,2\n", ("--encoding", "klingon"), "There is no encoding 'klingon'"),
        ("a,y\n1,\x00\n", (), "data.csv has zero bytes, as text never has"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, text, flags, says):
    (tmp_path / "data.csv").write_text(text)
    assert says in refusal("forecast", "data.csv", *flags, cwd=tmp_path)


def test_a_study_needs_data_that_it_can_read_again(tmp_path):
    assert "reads its data again, and standard input (-) is gone then" in refusal("sweep", "-", cwd=tmp_path)


def test_files_of_a_pattern_need_the_same_columns(tmp_path):
    (tmp_path / "1.csv").write_text("a,y\n1,2\n")
    (tmp_path / "2.csv").write_text("b,y\n1,2\n")
    assert "2.csv has no column 'a' but has 'b', unlike 1.csv" in refusal("forecast", "*.csv", cwd=tmp_path)
