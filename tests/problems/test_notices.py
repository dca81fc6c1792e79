"""What is odd about columns is said by name, and what is not odd is left alone."""

import numpy as np
import polars as pl
import pytest

from nucleate import DataError
from nucleate.problems import Problem, describe_problems, load_problem

N = 200
RNG = np.random.default_rng(0)
NOISE = RNG.standard_normal(N)
AGES = RNG.integers(18, 80, N).astype(float)
AMOUNT = RNG.standard_normal(N)
CLASS = np.where(RNG.random(N) < 0.5, "yes", "no")


def replaced(values, new, rows=(3, 50, 120)):
    values = np.array(values, float)
    values[list(rows)[: len(np.atleast_1d(new))] if np.ndim(new) else list(rows)] = new
    return values


def notes(column, target=AMOUNT, name="seen", **options):
    table = pl.DataFrame({name: column, "other": RNG.permutation(NOISE), "goal": target})
    problem = Problem.from_table(table, target="goal", **options)
    noted = {row["column"]: row["note"] for row in problem.columns.to_dicts()}
    assert noted["other"] == "", noted["other"]
    assert all(noted[name] == "" or part in " ".join(problem.notes) for part in noted[name].split(". "))
    return noted[name]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (replaced(AGES, -999), "-999"),
        (replaced(AGES, -9999), "-9999"),
        (replaced(AGES, 9999), "9999"),
        (replaced(AGES, 99999, rows=[7]), "99999"),
        (replaced(AGES, 999), "999"),
        (replaced(AGES, 1e20), "1e+20"),
        (replaced(AGES, -9), "-9"),
        (replaced(NOISE, 9999), "9999"),
        (replaced(NOISE, -99.9), "-99.9"),
        (replaced(NOISE, 1e10), "10000000000"),
        (replaced(NOISE, 32767), "32767"),
        (replaced(1000 + NOISE, 0), "0"),
        (replaced(AGES, [997, 998, 999]), "997 and 998 and 999"),
        (replaced(AGES, [-999, -999, 9999]), "-999 and 9999"),
    ],
)
def test_a_value_that_stands_for_none_is_named(values, shown):
    note = notes(values)
    assert f"Column 'seen' has {shown} in row" in note
    assert "pass --missing" in note


@pytest.mark.parametrize(
    "values",
    [
        AGES,
        NOISE,
        replaced(AGES, -1, rows=()),
        RNG.choice([0, 1], N),
        RNG.choice([0, 999], N),
        RNG.choice([0.1, 1, 10, 100, 1000], N),
        RNG.choice([1, 2, 3, 10], N),
        RNG.integers(900, 1100, N),
        RNG.integers(-9, 30, N),
        RNG.integers(0, 10000, N),
        RNG.normal(-999, 300, N),
        np.round(RNG.exponential(1, N), 1) * (RNG.random(N) < 0.3),
        np.exp(2 * NOISE),
        np.exp(RNG.normal(0, 3, N)),
        1e6 * RNG.random(N),
        RNG.standard_t(2, N),
    ],
)
def test_ordinary_numbers_are_left_alone(values):
    assert notes(values) == ""


@pytest.mark.parametrize("far", [1e9, -1e9, 3.7e12, 123456])
@pytest.mark.parametrize("values", [AGES, NOISE, np.exp(NOISE)])
def test_an_outlier_is_named_with_its_row_and_the_rest(values, far):
    note = notes(replaced(values, far, rows=[41]))
    assert "in row 42" in note
    assert f"{values[np.arange(N) != 41].min():.6g}".rstrip("0") in note


def test_an_outlier_of_the_target_is_named_too():
    table = pl.DataFrame({"a": [None, *NOISE[1:]], "goal": replaced(AMOUNT, 1e9, rows=[5])})
    problem = Problem.from_table(table, drop_missing=True)
    assert any("Column 'goal' has" in note and "row 6" in note for note in problem.notes)


@pytest.mark.parametrize(
    ("name", "values", "odd"),
    [
        ("seen", RNG.permutation(N), True),
        ("seen", RNG.permutation(N) + 5001, True),
        ("patient_id", RNG.permutation(10 * N)[:N], True),
        ("No", RNG.permutation(10 * N)[:N], True),
        ("管理番号", RNG.permutation(10 * N)[:N], True),
        ("customerID", RNG.permutation(10 * N)[:N], True),
        ("humid", RNG.permutation(10 * N)[:N], False),
        ("note", RNG.permutation(10 * N)[:N], False),
        ("population", RNG.permutation(10 * N)[:N], False),
        ("id", RNG.integers(0, 5, N), False),
        ("id", NOISE, False),
    ],
)
def test_numbers_of_rows_and_identifiers_are_named(name, values, odd):
    assert ("If it only names rows, leave it out" in notes(values, name=name)) == odd


@pytest.mark.parametrize(
    "values",
    [
        AMOUNT,
        3 * AMOUNT + 1,
        -AMOUNT,
        np.exp(AMOUNT),
        1 / (AMOUNT + 10) ** 3,
        AMOUNT.argsort().argsort() * 2.5,
        AMOUNT + 0.01 * NOISE,
        AMOUNT.round(2),
        np.where(np.arange(N) % 9, AMOUNT, np.nan),
    ],
)
def test_a_copy_of_the_target_is_named(values):
    assert "is nearly a copy of the target 'goal'" in notes(values, impute="median")


@pytest.mark.parametrize("values", [AMOUNT + 0.2 * NOISE, AMOUNT**2, np.abs(AMOUNT), np.sin(9 * AMOUNT), AMOUNT > 0])
def test_what_tells_much_of_the_target_is_no_copy(values):
    assert notes(values) == ""


def test_one_row_far_out_in_both_columns_makes_no_copy():
    table = pl.DataFrame({"a": replaced(NOISE, 1e9, rows=[5]), "goal": replaced(AMOUNT, 1e9, rows=[5])})
    assert not any("copy" in note for note in Problem.from_table(table).notes)


def test_a_copy_of_zeros_and_few_amounts_is_named():
    rare = np.where(RNG.random(N) < 0.05, RNG.random(N), 0.0)
    assert "is nearly a copy" in notes(7 * rare, target=rare)
    assert "is nearly a copy" not in notes(RNG.permutation(rare), target=rare)


@pytest.mark.parametrize(
    "values",
    [
        np.where(CLASS == "yes", "A", "B"),
        np.where(CLASS == "yes", RNG.choice(["A", "C"], N), "B"),
        CLASS == "yes",
        (CLASS == "yes") * 1.0,
        np.where(CLASS == "yes", 5 + RNG.random(N), RNG.random(N)),
        np.where(CLASS == "yes", RNG.choice([1, 3], N), RNG.choice([2, 4], N)),
    ],
)
def test_a_column_that_tells_the_class_alone_is_named(values):
    assert "alone tells the target 'goal'" in notes(values, target=CLASS)


@pytest.mark.parametrize(
    "values",
    [
        np.where(RNG.random(N) < 0.9, CLASS, "no"),
        np.where(CLASS == "yes", 0.7 + RNG.random(N), RNG.random(N)),
        RNG.integers(0, 4, N),
        RNG.choice(["A", "B", "C"], N),
    ],
)
def test_a_column_that_tells_the_class_now_and_then_is_left_alone(values):
    assert notes(values, target=CLASS) == ""


def test_a_category_for_each_of_few_amounts_is_a_copy():
    steps = RNG.integers(0, 30, N) / 7
    assert "alone tells the target" in notes([f"k{step:.3f}" for step in steps], target=steps)
    assert notes(RNG.choice(["A", "B"], N), target=steps) == ""


def test_columns_that_say_the_same_are_named():
    letters = RNG.choice(["A", "B", "C"], N)
    table = pl.DataFrame(
        {
            "celsius": AGES,
            "fahrenheit": 1.8 * AGES + 32,
            "again": AGES,
            "close": AGES + 1e-3 * NOISE,
            "letter": letters,
            "greek": np.select([letters == "A", letters == "B"], ["alpha", "beta"], "gamma"),
            "other": RNG.permutation(letters),
            "goal": AMOUNT,
        }
    )
    said = [note for note in Problem.from_table(table).notes if "says the same" in note]
    assert len(said) == 3
    for name, first in (("fahrenheit", "celsius"), ("again", "celsius"), ("greek", "letter")):
        assert any(f"Column {name!r} says the same as column" in note for note in said), first


def test_a_column_that_hardly_varies_is_named():
    almost = np.zeros(N)
    almost[17] = 3.0
    assert notes(almost) == "Column 'seen' is 0 in every row but for row 18."
    assert notes(["x"] * 17 + ["y"] + ["x"] * (N - 18)) == "Column 'seen' is 'x' in every row but for row 18."
    assert notes((np.arange(N) % 20 == 0) * 1.0) == ""


def test_texts_with_few_rows_each_are_named():
    assert "has 60 categories in 200 rows" in notes([f"t{k % 60}" for k in range(N)])
    assert notes([f"t{k % 30}" for k in range(N)]) == ""
    several = pl.DataFrame({name: [f"t{k % count}" for k in range(N)] for name, count in (("a", 60), ("b", 50))})
    said = " ".join(Problem.from_table(several.with_columns(goal=pl.Series(AMOUNT))).notes)
    assert "Column 'a' has 60 categories" in said
    assert "Column 'b' has 50 categories" in said


def test_held_out_rows_that_training_has_too_are_counted():
    half = pl.DataFrame({"a": NOISE[:100], "goal": AMOUNT[:100]})
    assert any("validation and test rows are among the training rows too" in note for note in twice(half, half).notes)
    same_inputs = half.with_columns(goal=pl.Series(AMOUNT[100:]))
    assert not any("among the training rows" in note for note in twice(half, same_inputs).notes)


def twice(one, other):
    return Problem.from_table(pl.concat([one, other]))


def test_few_rows_and_many_inputs_are_said():
    x = RNG.standard_normal((30, 40))
    said = Problem.from_arrays(x, x[:, 0] * x[:, 1]).notes
    assert said[0].startswith("There are few rows: 18 for training, 6 for validation and 6 for test")
    assert said[1].startswith("There are 40 inputs for 18 training rows")
    x = RNG.standard_normal((100, 3))
    assert Problem.from_arrays(x, x[:, 0] * x[:, 1]).notes == ()


@pytest.mark.parametrize(("factor", "loss"), [(1e-4, "squared"), (1e4, "huber"), (5.0, None)])
def test_targets_of_different_size_are_said_to_be(factor, loss):
    x = RNG.standard_normal((100, 3))
    y = np.column_stack([x[:, 0] * x[:, 1], factor * x[:, 1] * x[:, 2]])
    said = [note for note in Problem.from_arrays(x, y, loss=loss).notes if note.startswith("The targets are of")]
    assert len(said) == (loss is not None)
    for note in said:
        metric, larger = ("mae", "y2") if loss == "huber" else ("rmse", "y1")
        assert f"and {metric} averages over them in their own units" in note
        assert f"chosen by it are mostly about {larger!r}; learn them one by one" in note


def test_many_alike_are_said_shortly():
    table = pl.DataFrame({f"c{k}": AMOUNT + 0.001 * k * NOISE for k in range(9)} | {"goal": AMOUNT})
    said = Problem.from_table(table).notes
    assert "It is likewise with columns 'c3', 'c4', 'c5' and 3 more." in said


@pytest.mark.parametrize("info", describe_problems(), ids=lambda info: info.name)
def test_the_bundled_sets_raise_no_false_alarm(info):
    true = {
        "digits": ("Left out constant", "Column 'pixel", "It is likewise"),
        "linnerud": ("There are few rows",),
        "modular-addition": ("Rows hold the numbers of 32 tokens",),
    }
    anchors = ("Rows hold the numbers of", "The test has the pair")
    for note in load_problem(info.name).notes:
        assert note.startswith(anchors if info.name.startswith("anchor") else true.get(info.name, ())), note


def spreadsheet(last, rows=30):
    """A table with a last row of one's own: a name and three numbers."""
    rng = np.random.default_rng(1)
    content = {
        "shop": [f"s{k % 4}" for k in range(rows)],
        "sold": rng.integers(1, 90, rows).astype(float).tolist(),
        "cost": rng.uniform(1, 9, rows).tolist(),
        "goal": rng.uniform(1, 5, rows).tolist(),
    }
    sums = {name: sum(values) for name, values in content.items() if name != "shop"}
    added = {**sums, **last} if last is not None else {}
    return pl.DataFrame({name: [*values, *([added[name]] if added else [])] for name, values in content.items()})


@pytest.mark.parametrize("word", ["合計", "計", "合　計", "総合計", "total", "sum", "Total", " TOTAL "])
def test_a_last_row_that_says_that_it_is_a_total_is_noted_and_kept(word):
    # Its numbers may be others, as where only some columns are summed.
    problem = Problem.from_table(spreadsheet({"shop": word, "cost": 5.0}), target="goal")
    said = [note for note in problem.notes if "last row" in note]
    assert said == [
        f"The last row has {word.replace('　', ' ').strip()!r} in column 'shop'. Delete it if it is a total: it would "
        "be learned as a row "
        "like the others."
    ]
    assert sum(len(part.x) for part in (problem.train, problem.validation, problem.test)) == 31


def test_a_row_of_means_is_noted_as_one_and_beside_a_total_too():
    (said,) = [
        note for note in Problem.from_table(spreadsheet({"shop": "平均"}), target="goal").notes if "last row" in note
    ]
    assert said.startswith("The last row has '平均' in column 'shop'. Delete it if it is a mean")
    both = pl.concat([spreadsheet({"shop": "合計"}), spreadsheet({"shop": "平均"})[-1:]])
    (said,) = [note for note in Problem.from_table(both, target="goal").notes if "last 2 rows" in note]
    assert said == "The last 2 rows have '合計' and '平均' in column 'shop'. Delete them if they sum up those above."


def test_a_row_of_totals_makes_no_column_tell_the_target():
    # The sum is so far from all else that whatever marks its row explains nearly all of the target.
    table = spreadsheet({"shop": "合計", "goal": 1e6}, rows=300)
    notes = Problem.from_table(table, target="goal").notes
    assert any("last row" in note for note in notes)
    assert not any("alone tells the target" in note for note in notes)


def test_a_last_row_whose_every_number_is_the_sum_of_those_above_is_noted():
    (said,) = [
        note for note in Problem.from_table(spreadsheet({"shop": "s1"}), target="goal").notes if "last row" in note
    ]
    assert "columns 'sold', 'cost', 'goal'" in said
    assert "is the sum of those above" in said


@pytest.mark.parametrize("last", [None, {"shop": "s1", "cost": 5.0}])
def test_other_last_rows_are_left_alone(last):
    assert not [note for note in Problem.from_table(spreadsheet(last), target="goal").notes if "last row" in note]
    table = spreadsheet(last).with_columns(shop=pl.Series(["total", "mean"] * 15 + ["total"] * (last is not None)))
    assert not [note for note in Problem.from_table(table, target="goal").notes if "last row" in note]


@pytest.mark.parametrize("shop", ["s1", "total"])
def test_a_row_of_totals_is_not_an_outlier_too(shop):
    table = spreadsheet({"shop": shop}, rows=2000)
    said = [note for note in Problem.from_table(table, target="goal").notes if "row 2001" in note or "last row" in note]
    assert len(said) == 1
    assert "last row" in said[0].lower()


def test_an_outlier_above_a_row_of_totals_is_still_seen():
    table = spreadsheet({"shop": "total"}, rows=2000)
    table = table.with_columns(sold=pl.Series([1e7, *table["sold"][1:]]))
    assert any("'sold' has 10000000 in row 1," in note for note in Problem.from_table(table, target="goal").notes)


@pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt64])
def test_whole_numbers_beyond_float64_are_said_to_be_rounded(dtype):
    numbers = pl.Series(2**53 + 1 + 2 * RNG.permutation(N), dtype=dtype)
    said = notes(numbers)
    assert "has whole numbers of more than 15 digits, such as 90071992547" in said
    assert "which are rounded (90071992547" in said


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt8, pl.Int64])
def test_whole_numbers_that_float64_has_are_not_said_to_be_rounded(dtype):
    assert notes(pl.Series(RNG.integers(0, 100, N), dtype=dtype)) == ""
    assert "rounded" not in notes(pl.Series(2**53 + 2 * RNG.permutation(N), dtype=pl.Int64))


def test_a_target_that_is_rounded_is_not_said_to_be_left_out():
    target = pl.Series(2**53 + 1 + 2 * RNG.permutation(N))
    table = pl.DataFrame({"seen": NOISE, "goal": target})
    (said,) = [note for note in Problem.from_table(table, target="goal").notes if "15 digits" in note]
    assert "--without" not in said
    assert "without=" not in said


def test_whole_numbers_that_rounding_makes_one_are_not_called_constant():
    ids = pl.Series(10**17 + 1 + RNG.permutation(N) % 7)
    table = pl.DataFrame({"seen": ids, "other": NOISE, "goal": AMOUNT})
    problem = Problem.from_table(table, target="goal")
    (said,) = [note for note in problem.notes if "'seen'" in note]
    assert f"such as {ids[0]}, which are rounded (100000000000000000)" in said
    assert "constant" not in said
    assert problem.columns.filter(column="seen").row(0, named=True)["became"] == (
        "left out: one number in training, once rounded"
    )
    assert problem.inputs == 1


@pytest.mark.parametrize("column", ["seen", "goal"])
def test_a_problem_whose_only_input_or_target_rounding_makes_one_number_says_so(column):
    table = pl.DataFrame({"seen": NOISE, "goal": AMOUNT} | {column: 10**17 + 1 + np.arange(N) % 3})
    with pytest.raises(DataError, match=r"100000000000000001.* rounded.*; subtract what they have in common"):
        Problem.from_table(table, target="goal", task="regression")


def test_large_whole_numbers_that_are_the_same_are_constant():
    table = pl.DataFrame({"seen": [10**17 + 1] * N, "other": NOISE, "goal": AMOUNT})
    assert "Left out constant input column 'seen'." in Problem.from_table(table, target="goal").notes
