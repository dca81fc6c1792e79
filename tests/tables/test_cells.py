"""Columns of text as people write them: missing values, units, times, dates, spellings."""

import datetime

import polars as pl
import pytest

from nucleate import DataError
from nucleate.problems import load_problem
from nucleate.tables import Form
from nucleate.tables.reading import read_table


@pytest.fixture
def read(tmp_path):
    def read(cells, **form):
        path = tmp_path / "data.csv"
        path.write_text("a;y\n" + "".join(f"{cell};{place}\n" for place, cell in enumerate(cells)))
        done = read_table(path, Form(**form))
        return done.table["a"].to_list(), [note for note in done.notes if "'a'" in note]

    return read


TOKENS = [
    *("None", "n/a", "na", "-", "#N/A", ".", "NULL", "NaN", "--", "?", "#DIV/0!", "N.A.", "<NA>", "nil", "NaT"),
    *("欠測", "不明", "未測定", "該当なし", "ー", "―", "－", "？"),
]


@pytest.mark.parametrize("token", TOKENS)
def test_among_numbers_and_dates_it_stands_for_no_value(read, token):
    assert read(["1", token, "3"])[0] == [1, None, 3]
    assert read(["2024/1/2", token, "2024/1/3"])[0][1] is None
    assert read(["12:30", token, "6:00"])[0] == [12.5, None, 6.0]


@pytest.mark.parametrize("token", ["n/a", "#N/A", "欠測", "NULL", "null", "?", "<NA>", "#DIV/0!"])
def test_among_texts_it_stands_for_no_value_where_it_can_mean_nothing_else(read, token):
    assert read(["red", token, "blue", "red"])[0] == ["red", None, "blue", "red"]


@pytest.mark.parametrize("token", ["-", "None", "na", "なし"])
def test_among_texts_it_is_a_category_where_it_can_be_one_and_the_note_says_so(read, token):
    values, notes = read(["red", token, "red", "blue"])
    assert values[1] == token
    assert notes == [f"Column 'a' has {token!r} in row 2, kept as a category; --missing reads it as missing."]
    assert read(["red", token, "red", "blue"], missing=[token])[0][1] is None


def test_a_number_that_stands_for_no_value_does_so_however_it_is_written(read, tmp_path):
    assert read(["-999", "-999.0", "-9.99e2", "5"], missing=["-999"])[0] == [None, None, None, 5.0]
    pl.DataFrame({"a": [-999, 5], "b": ["-999", "x"]}).write_parquet(tmp_path / "data.parquet")
    table = read_table(tmp_path / "data.parquet", Form(missing=("-999",))).table
    assert table.rows() == [(None, None), (5, "x")]


@pytest.mark.parametrize(
    ("cells", "values", "unit"),
    [
        (["12 kg", "13.5kg"], [12, 13.5], "kg"),
        (["20 ℃", "-5℃"], [20, -5], "℃"),
        (["1,200円", "950円"], [1200, 950], "¥"),
        (["20％", "５％"], [20, 5], "%"),
        (["3 km/h", "4 km/h", "-"], [3, 4, None], "km/h"),
    ],
)
def test_a_unit_that_all_numbers_have_is_left_out_with_a_note(read, cells, values, unit):
    assert read(cells, thousands=",")[0] == values
    assert any(f"Column 'a' is in {unit}: the " in note for note in read(cells, thousands=",")[1])


def test_numbers_of_several_units_stay_texts_and_the_note_says_why(read):
    values, notes = read(["12 mm", "3 cm", "14 mm", "11 mm"])
    assert values[0] == "12 mm"
    assert "was read as text, for its numbers are followed by 'mm', 'cm'" in notes[0]
    assert read(["3F", "5F", "B1", "3F"])[0] == ["3F", "5F", "B1", "3F"]


@pytest.mark.parametrize("cell", ["(5)", "▲5", "△5", "5-", "–5", "−5", "－５"])
def test_negative_numbers_in_every_hand(read, cell):
    assert read([cell, "7"])[0] == [-5, 7]


def test_negative_numbers_without_a_minus_are_named(read):
    assert read(["(5)", "7"])[1] == ["Column 'a' has '(5)' (row 1), read as -5."]


@pytest.mark.parametrize(
    ("cells", "hours"),
    [
        (["12:30", "6:05"], [12.5, 6 + 5 / 60]),
        (["12:30:36", "6:00"], [12.51, 6.0]),
        (["1:30 PM", "12:00 am"], [13.5, 0.0]),
        (["午後1時30分", "午前0時15分"], [13.5, 0.25]),
        (["100:15", "1:00"], [100.25, 1.0]),
    ],
)
def test_times_are_hours(read, cells, hours):
    values, notes = read(cells)
    assert values == pytest.approx(hours)
    assert notes == [f"Column 'a' has times such as {cells[0]!r}, read as hours: {hours[0]:g}."]


@pytest.mark.parametrize(
    "cell",
    [
        "2024-01-05 12:30",
        "2024-01-05T12:30",
        "2024-01-05T12:30:00.000",
        "2024/1/5 12:30:00",
        "2024年1月5日 12時30分",
        "令和6年1月5日(金) 午後0時30分",
        "R6.1.5 12:30",
        "5 Jan 2024 12:30",
        "January 5, 2024 12:30 PM",
        "２０２４年１月５日　１２：３０",
        "2024-01-05T12:30:00Z",
        "2024-01-05T21:30:00+09:00",
    ],
)
def test_moments_in_every_hand(read, cell):
    zone = "Z" if cell.endswith(("Z", "+09:00")) else ""
    assert read([cell, f"2024-02-03 04:05{zone}"])[0] == [
        datetime.datetime(2024, 1, 5, 12, 30),
        datetime.datetime(2024, 2, 3, 4, 5),
    ]


def test_the_day_of_short_dates_is_told_or_asked_for(read):
    fifth, second = datetime.date(2024, 1, 5), datetime.date(2024, 5, 1)
    assert read(["5/1/2024", "13/1/2024"])[0][0] == fifth
    assert read(["5/1/2024", "1/13/2024"])[0][0] == second
    with pytest.raises(DataError, match=r"'5/1/2024' \(rows 1, 2\).*; pass dates='day-first' or dates='month-first'"):
        read(["5/1/2024", "6/1/2024"])
    assert read(["5/1/2024", "6/1/2024"], dates="day-first")[0][0] == fifth
    assert read(["5/1/2024", "6/1/2024"], dates="month-first")[0][0] == second
    values, notes = read(["5.1.2024", "6.1.2024"])
    assert values[0] == fifth
    assert "read with the day first; --dates reads it otherwise" in notes[0]
    with pytest.raises(DataError, match=r"'13/1/2024' \(row 1\) with the day first and '1/13/2024' \(row 2\) with the"):
        read(["13/1/2024", "1/13/2024"])


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (["2024-02-30", "2024-02-01", "2024-02-02"], r"holds dates but for '2024-02-30' \(row 1\)"),
        (["25:61", "12:30", "6:00"], r"holds times but for '25:61' \(row 1\)"),
        (
            ["2024-01-05T12:30Z", "2024-01-05T12:30"],
            r"with a zone, .* and without, such as '2024-01-05T12:30' \(row 2\)",
        ),
    ],
)
def test_what_is_no_day_or_time_is_refused(read, cells, says):
    with pytest.raises(DataError, match=says):
        read(cells)


def test_texts_that_differ_in_case_or_width_only_are_one_with_a_note(read):
    values, notes = read(["Yes", "yes ", "YES", "Yes", "ＮＯ", "no", "no", "ﾊﾞｽ", "バス", "バス"])
    assert values == ["Yes"] * 4 + ["no"] * 3 + ["バス"] * 3
    assert notes == [
        "Column 'a' has 'Yes', 'yes', 'YES', which differ only in case or width and were read as 'Yes', and 2 other "
        "texts likewise; where they mean different things, name them differently."
    ]
    assert read(["m2", "m²", "m2"])[0] == ["m2", "m²", "m2"]


@pytest.mark.parametrize("token", ["-", "欠測"])
def test_a_target_of_whole_numbers_is_of_amounts_where_some_stand_for_no_value(tmp_path, token):
    cells = [str(1 + k % 5) for k in range(100)]
    (tmp_path / "data.csv").write_text("a,score\n" + "".join(f"{k},{cell}\n" for k, cell in enumerate(cells)))
    assert load_problem(tmp_path / "data.csv").task == "classification"
    cells[7] = token
    (tmp_path / "data.csv").write_text("a,score\n" + "".join(f"{k},{cell}\n" for k, cell in enumerate(cells)))
    problem = load_problem(tmp_path / "data.csv", drop_missing=True)
    assert problem.task == "regression"
    assert (
        "The target's 5 different whole numbers were taken as amounts, for some of its cells stand for no value; pass "
        "--task classification for classes."
    ) in problem.notes
    assert load_problem(tmp_path / "data.csv", drop_missing=True, task="classification").outputs == 5


def test_a_target_with_a_unit_is_of_amounts_and_two_labels_with_a_gap_are_classes(tmp_path):
    (tmp_path / "data.csv").write_text("a,y\n" + "".join(f"{k},{k % 3}%\n" for k in range(90)))
    assert load_problem(tmp_path / "data.csv").task == "regression"
    (tmp_path / "data.csv").write_text("a,y\n" + "".join(f"{k},{'-' if k == 7 else k % 2}\n" for k in range(90)))
    assert load_problem(tmp_path / "data.csv", drop_missing=True).task == "classification"


@pytest.mark.parametrize("cell", ["1e400", "9" * 400])
def test_numbers_beyond_all_bounds_are_refused_with_their_row(tmp_path, cell):
    (tmp_path / "data.csv").write_text(f"a,y\n{cell},1\n" + "".join(f"{k},{k}\n" for k in range(30)))
    with pytest.raises(DataError, match=r"Column 'a' is infinite or beyond 1e\+100 in row 1"):
        load_problem(tmp_path / "data.csv")


def test_hexadecimal_numbers_are_texts_and_the_note_says_so(read):
    values, notes = read(["0x1F", "0x2A", "0x1F"])
    assert values[0] == "0x1F"
    assert "has hexadecimal numbers, kept as texts" in notes[0]


def test_a_wide_table_of_decimal_commas_is_read_as_numbers(tmp_path):
    header = ";".join(f"c{k}" for k in range(300))
    rows = "\n".join(";".join(f"{k % 7},{k % 10}" for k in range(300)) for _ in range(5))
    (tmp_path / "data.csv").write_text(f"{header}\n{rows}\n")
    assert read_table(tmp_path / "data.csv").table.row(0)[:3] == (0.0, 1.1, 2.2)


@pytest.mark.parametrize(
    ("cells", "before", "behind"),
    [
        (["築5年", "築12年", "築30年", "築5年"], "築", "年"),
        (["徒歩 5 分", "徒歩１０分", "徒歩7分"], "徒歩", "分"),
        (["about 1,200 yen", "about 300 yen", "about 45 yen"], "about", "yen"),
    ],
)
def test_numbers_between_words_stay_texts_and_the_note_says_so(read, cells, before, behind):
    values, notes = read(cells)
    assert all(isinstance(value, str) for value in values)
    (said,) = notes
    assert f"its numbers stand between {before!r} and {behind!r}; write the numbers alone if they are amounts" in said


@pytest.mark.parametrize(
    "cells",
    [
        ["Q1", "Q2", "Q3"],
        ["A1b", "B2c", "A2b"],
        ["5年", "築5年", "新築"],
        ["第3回", "第3回", "第3回"],
        ["B2-a", "B3-a"],
    ],
)
def test_labels_with_numbers_in_them_get_no_note(read, cells):
    assert not any("stand between" in note for note in read(cells)[1])
