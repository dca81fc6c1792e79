"""Rows in parts that a person chose, by groups, and by time: what goes where, what is said, what is refused."""

import datetime
import re
from itertools import chain

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate import DataError, load_problem
from nucleate.problems import AT_RANDOM, Division, Problem, describe_data, survey
from nucleate.problems.division import Asked, divide

N = 60


def visits(n=N, seed=0):
    """Five visits of each patient, two a day; the row's number is the target."""
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "age": rng.normal(50, 10, n),
            "town": rng.choice(["Apia", "Bern"], n),
            "patient": [f"p{k // 5}" for k in range(n)],
            "day": [k // 2 for k in range(n)],
            "part": ["train"] * (n // 2) + ["validation"] * (n // 4) + ["test"] * (n - n // 2 - n // 4),
            "row": np.arange(n, dtype=float),
        }
    )


def problem_of(table, **asked):
    """The problem of learning the row's number, unstandardized; columns that decide nothing are left out."""
    used = {asked.get(name) for name in ("split", "split_by", "split_by_time")}
    others = [name for name in ("patient", "day", "part") if name not in used and name in table.columns]
    return Problem.from_table(table, target="row", without=others, standardize=False, **asked)


def rows_of(problem):
    return [part.y[:, 0].astype(int).tolist() for part in (problem.train, problem.validation, problem.test)]


def became(problem, column):
    return problem.columns.row(by_predicate=pl.col("column") == column, named=True)["became"]


def test_by_default_all_rows_are_dealt_out_at_random():
    problem = problem_of(visits())
    assert problem.division == AT_RANDOM
    assert problem.division.dealt == "random"
    assert problem.test.groups is None


@pytest.mark.parametrize(
    "words",
    [
        ("train", "validation", "test"),
        ("Training", " VALID", "holdout"),
        ("学習", "検証", "テスト"),
        ("訓練用", "検証用", "ＴＥＳＴ"),
        ("学習データ", "dev", "評価"),
    ],
    ids=["english", "cased", "japanese", "full-width", "mixed"],
)
def test_a_column_says_which_row_is_for_what(words):
    table = visits().with_columns(
        part=pl.col("part").replace_strict(dict(zip(("train", "validation", "test"), words, strict=True)))
    )
    problem = problem_of(table, split="part")
    assert rows_of(problem) == [[*range(30)], [*range(30, 45)], [*range(45, 60)]]
    assert problem.division.dealt == "own"
    assert became(problem, "part") == "split"
    # The column is no input.
    assert problem.preprocessing.encoded_inputs == ("age", "town=Apia", "town=Bern")
    assert "The rows were split as column 'part' says: 30 rows for training, 15 rows for" in problem.notes[0]


def test_tables_of_ones_own_are_the_held_out_rows():
    table = visits().drop("part", "patient", "day")
    both = Problem.from_table(
        table[:40], validation=table[40:50], test=table[50:].select(reversed(table.columns)), target="row"
    )
    assert [len(part.x) for part in (both.train, both.validation, both.test)] == [40, 10, 10]
    assert both.division == Division(("validation", "test"))
    np.testing.assert_allclose(both.train.y.mean(), 0, atol=1e-12)
    assert both.test_rows.equals(table[50:].drop("row"), null_equal=True) or both.test_rows.equals(table[50:])
    one = Problem.from_table(table[:40], validation=table[40:], target="row")
    assert [len(part.x) for part in (one.train, one.validation, one.test)] == [32, 20, 8]
    # The test rows are random ones, and that is what a certificate asks.
    assert one.division.dealt == "random"
    other = Problem.from_table(table[:40], test=table[40:], target="row")
    assert other.division.dealt == "own"
    assert both.data_hash != one.data_hash


def test_only_training_rows_fit_the_preprocessing():
    table = visits().with_columns(
        age=pl.when(pl.col("part") == "test").then(pl.col("age") * 1e3).otherwise("age"),
        town=pl.when(pl.col("part") == "test").then(pl.lit("Oslo")).otherwise("town"),
    )
    problem = Problem.from_table(table, target="row", split="part", without=["patient", "day"])
    age, town = problem.preprocessing.inputs
    assert age.mean == pytest.approx(table["age"][:30].mean())
    assert town.categories == ("Apia", "Bern")
    assert (problem.test.x[:, 1:] == 0).all()


@settings(max_examples=20)
@given(st.integers(0, 2**31 - 1))
def test_a_group_is_whole_in_one_part(seed):
    problem = problem_of(visits(), split_by="patient", split_seed=seed)
    rows = rows_of(problem)
    assert sorted(chain(*rows)) == [*range(N)]
    groups = [{row // 5 for row in part} for part in rows]
    assert list(map(len, groups)) == [8, 2, 2] == list(problem.division.groups)
    for part, of_part in zip(rows, (problem.train, problem.validation, problem.test), strict=True):
        assert len(set(zip((row // 5 for row in part), of_part.groups.tolist(), strict=True))) == len(
            set(of_part.groups.tolist())
        )
    assert "each group of column 'patient' whole: 40 rows (8 groups)" in problem.notes[0]


def test_each_group_is_as_likely_held_out_however_many_rows_it_has():
    sizes = np.array([40, 4, 4, 4, 4, 4, 4, 4, 4, 4])
    table, rows = pl.DataFrame({"who": np.repeat(np.arange(10), sizes)}), np.zeros(sizes.sum(), int)
    in_test = np.zeros(10)
    for seed in range(300):
        divided = divide(table, rows, Asked(split_by="who", seed=seed), None)
        in_test[np.unique(divided.groups[divided.rows.test])] += 1
    np.testing.assert_allclose(in_test / 300, 0.2, atol=4 * np.sqrt(0.2 * 0.8 / 300))


@pytest.mark.parametrize(
    "time",
    [
        lambda day: day,
        lambda day: 1e6 + 0.5 * day,
        lambda day: datetime.date(2024, 1, 1) + datetime.timedelta(days=day),
        lambda day: datetime.datetime(2024, 1, 1, 12) + datetime.timedelta(hours=day),
    ],
    ids=["whole", "real", "date", "datetime"],
)
def test_the_last_in_time_are_for_the_test_and_one_time_stays_together(time):
    order = np.random.default_rng(0).permutation(N)
    table = visits().with_columns(day=pl.Series([time(k // 2) for k in range(N)]))[order]
    problem = problem_of(table, split_by_time="day")
    assert [sorted(part) for part in rows_of(problem)] == [[*range(36)], [*range(36, 48)], [*range(48, 60)]]
    assert problem.division == Division(column="day", by_time=True)
    assert problem.division.dealt == "time"
    assert became(problem, "day") == "time of the split"
    assert "split by time, of column 'day'" in problem.notes[0]


def test_where_times_are_few_parts_end_between_two_of_them():
    table = visits().with_columns(day=pl.Series([2021] * 10 + [2022] * 40 + [2023] * 10))
    problem = problem_of(table, split_by_time="day")
    assert list(map(len, rows_of(problem))) == [10, 40, 10]
    assert "10 rows (2021 to 2021) for training, 40 rows (2022 to 2022) for validation" in problem.notes[0]


def test_groups_may_be_named_beside_parts_of_ones_own():
    problem = problem_of(visits(), split="part", split_by="patient")
    assert problem.division.groups == (6, 3, 3)
    assert problem.division.dealt == "own"
    table = visits().drop("part", "day")
    apart = Problem.from_table(table[:45], test=table[45:], split_by="patient", target="row")
    assert apart.division.groups == (7, 2, 3)


@pytest.mark.parametrize(
    ("asked", "change", "message"),
    [
        ({"split": "prat"}, {}, "no column for `split` 'prat'; did you mean 'part'?"),
        ({"split": "part"}, {"part": pl.lit("train")}, "'part' names no row for validation; it must name some"),
        (
            {"split": "part"},
            {"part": pl.col("part").replace("test", "fold 3")},
            "Column 'part' has 'fold 3' in rows 46, 47, 48 and 12 more; as `split` it must say train, validation or",
        ),
        (
            {"split": "part"},
            {"part": pl.col("part").replace("test", None)},
            "'part' has no value in rows 46, 47, 48 and 12 more",
        ),
        ({"split": "day"}, {}, "Column 'day' has '0' in rows 1, 2"),
        ({"split": "part", "validation": 0.3}, {}, "A column names each row's part, so validation and test have no"),
        ({"split": "part", "split_seed": 3}, {}, "The split seed is 3, and nothing is drawn"),
        (
            {"split": "part", "split_by_time": "day"},
            {},
            "Rows cannot be split by `split_by_time` and by `split`",
        ),
        ({"split": "row"}, {}, "Column 'row' is the target and has the split too"),
        (
            {"split_by": "patient", "split_by_time": "day"},
            {},
            "Rows cannot be split by `split_by_time` and by `split_by`",
        ),
        ({"split_by": "patient,day"}, {}, "There are 2 columns for `split_by`; name one"),
        ({"split_by": "patient"}, {"patient": pl.lit("p")}, "has 1 group, and a split by groups needs 3 or more"),
        ({"split_by": "patient"}, {"patient": pl.when(pl.col("day") > 0).then("patient")}, "no value in rows 1, 2,"),
        ({"split_by": "patient", "test": 1.5}, {}, "The fractions are 0.2 and 1.5; each must be between 0 and 1"),
        (
            {"split_by": "patient", "split": "part"},
            {"patient": pl.lit("p")},
            "Group 'p' of column 'patient' is in 3 parts, training, validation and test; put each group into",
        ),
        ({"split_by_time": "town"}, {}, "Column 'town' holds String, which has no order in time"),
        ({"split_by_time": "day"}, {"day": pl.lit(1)}, "has 1 different time, and a split by time needs 3 or more"),
        (
            {"split_by_time": "day"},
            {"day": pl.max_horizontal(pl.col("day") - 27, 0)},
            "The times of column 'day' leave 56 for training, 2 for validation and 2 for test, and each part needs 4",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_cannot_be_is_refused_in_one_sentence(asked, change, message):
    with pytest.raises(DataError) as refused:
        problem_of(visits().with_columns(**change), **asked)
    said = str(refused.value)
    assert message in said
    assert said.count(". ") == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop("age", "row"), "The test rows have no columns 'age', 'row'; rows of your own need"),
        (lambda table: table.rename({"age": "years"}), "no column 'age', but column 'years'"),
        (lambda table: table.with_columns(age=pl.lit("old")), "'age' holds String in the test rows and Float64 in the"),
        (lambda table: table[:0], "The table for test has no rows"),
        (lambda table: table.with_columns(age=pl.lit(None, pl.Float64)), "Of the test rows: Input column 'age' has 20"),
        (lambda table: table.with_columns(row=pl.lit(np.inf)), "Of the test rows: Column 'row' is infinite"),
        (lambda table: 7.0, "The fractions are 0.2 for validation and 7.0 for test"),
        (lambda table: "test.csv", "test is of type str; give a share of the rows such as 0.2, or rows of your own"),
    ],
    ids=["lacks", "renamed", "text", "empty", "gaps", "infinite", "number", "path"],
)
def test_other_rows_that_do_not_fit_are_refused(change, message):
    table = visits().drop("part", "day", "patient")
    with pytest.raises(DataError, match=re.escape(message)):
        Problem.from_table(table[:40], test=change(table[40:]), target="row")


def test_a_column_of_parts_and_rows_of_ones_own_do_not_go_together():
    table = visits().drop("day", "patient")
    with pytest.raises(DataError, match="Each row's part is named by `split`, and by rows of its own too"):
        Problem.from_table(table[:40], test=table[40:], target="row", split="part")


def test_gaps_in_ones_own_rows_are_dropped_or_imputed_by_the_training_rows():
    table = visits().drop("part", "day", "patient")
    own = table[40:].with_columns(age=pl.when(pl.col("row") > 41).then("age"))
    dropped = Problem.from_table(table[:40], validation=own, target="row", drop_missing=True)
    assert len(dropped.validation.x) == 18
    assert "Of the validation rows: Left out 2 rows with missing values (rows 1, 2)." in dropped.notes
    imputed = Problem.from_table(table[:40], test=own, target="row", impute="mean", standardize=False)
    assert imputed.test.x[0, 0] == pytest.approx(imputed.train.x[:, 0].mean())
    assert "imputed by mean" in became(imputed, "age")


def test_columns_that_are_more_are_named():
    table = visits().drop("part", "day", "patient")
    problem = Problem.from_table(table[:40], test=table[40:].with_columns(id=1, at=2), target="row")
    assert "Of the test rows: Columns 'id', 'at' are not read." in problem.notes


def test_rows_that_are_in_two_parts_are_noted_from_the_first_on():
    table = visits(100).drop("part", "day", "patient")
    notes = Problem.from_table(table, validation=table[99:], test=visits(30, 1)[table.columns], target="row").notes
    assert any(note.startswith("1 of the 31 validation and test rows are among the training rows") for note in notes)
    notes = Problem.from_table(table[:60], validation=table[60:80], test=table[70:], target="row").notes
    assert any(note.startswith("10 of the 30 test rows are among the validation rows too") for note in notes)


def kinds(*counts):
    """A class each for training, validation and test: how many rows of 'a', 'b' and 'c'."""
    labels = [label for of_part in counts for label, many in zip("abc", of_part, strict=True) for _ in range(many)]
    part = [
        part for part, of_part in zip(("train", "validation", "test"), counts, strict=True) for _ in range(sum(of_part))
    ]
    return pl.DataFrame({"x": np.random.default_rng(0).normal(size=len(part)), "part": part, "label": labels})


def test_a_class_that_no_training_row_has_is_refused_and_one_that_others_lack_is_noted():
    with pytest.raises(DataError, match="Class 'c' is in 4 test rows and in no training row; add training rows of it"):
        Problem.from_table(kinds((10, 10, 0), (4, 4, 0), (4, 4, 4)), target="label", split="part")
    with pytest.raises(DataError, match="Target column 'label' is 'a' in every training row of this split"):
        Problem.from_table(kinds((10, 0, 0), (4, 4, 0), (4, 4, 0)), target="label", split="part")
    notes = Problem.from_table(kinds((9, 9, 9), (4, 0, 0), (4, 4, 0)), target="label", split="part").notes
    assert "No validation row is of classes 'b', 'c', so these rows say nothing of it." in notes
    assert "No test row is of class 'c', so these rows say nothing of it." in notes


def test_files_of_ones_own_are_read_as_the_first_one_is(tmp_path):
    first = "\n".join(["size,at,kind,price", *(f'"{k},5",{k % 28 + 1}.1.2024,{k % 3},{k}' for k in range(40))])
    (tmp_path / "train.csv").write_text(first.replace('"', "").replace(",5,", ".5,"))
    other = ["price;kind;at;size", *(f"{k};{k % 3};2024-02-0{k + 1};{k}" for k in range(6))]
    (tmp_path / "own.csv").write_text("\n".join(other))
    problem = load_problem(tmp_path / "train.csv", target="price", test=str(tmp_path / "own.csv"), task="regression")
    assert len(problem.test.x) == 6
    assert problem.test_rows["size"].to_list() == [0, 1, 2, 3, 4, 5]
    pl.DataFrame({"size": [1.5], "at": [datetime.date(2024, 3, 1)], "kind": [1], "price": [2]}).write_parquet(
        tmp_path / "own.parquet"
    )
    assert (
        len(load_problem(tmp_path / "train.csv", validation=tmp_path / "own.parquet", target="price").validation.x) == 1
    )
    with pytest.raises(DataError, match=r"There is no file absent\.csv"):
        load_problem(tmp_path / "train.csv", test="absent.csv")
    with pytest.raises(DataError, match="not read from standard input; name a file"):
        load_problem(tmp_path / "train.csv", test="-")


def test_a_survey_shows_the_split_too(tmp_path):
    visits().write_csv(tmp_path / "visits.csv")
    found = survey(tmp_path / "visits.csv", target="row", split="part", without=["day", "patient"])
    assert found.problem.division.dealt == "own"
    refused = survey(tmp_path / "visits.csv", target="row", split="town")
    assert "must say train, validation or test" in refused.refused
    assert any(
        "split at random, each group of column 'patient' whole" in line
        for line in describe_data(
            load_problem(tmp_path / "visits.csv", target="row", split_by="patient", without=["day", "part"])
        )
    )


def test_a_synthetic_set_is_drawn_and_not_split():
    for asked in ({"split": "x1"}, {"split_by": "x1"}, {"test": "own.csv"}):
        with pytest.raises(DataError, match="sine-5d is a synthetic problem, whose parts are drawn apart"):
            load_problem("sine-5d", **asked)
