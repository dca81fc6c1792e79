"""Spreadsheets as people keep them: titles, merged cells, dates, texts that are numbers, several sheets."""

import datetime

import pytest

from nucleate import DataError
from nucleate.problems import load_problem
from nucleate.tables import Form
from nucleate.tables.reading import read_table

from .workbooks import workbook


@pytest.fixture
def read(tmp_path):
    def read(rows, sheet=None, **others):
        (tmp_path / "data.xlsx").write_bytes(workbook({"Tabelle1": rows} | others))
        return read_table(tmp_path / "data.xlsx", Form(sheet=sheet))

    return read


def test_cells_are_what_excel_shows(read):
    table = read(
        [
            ["day", "moment", "at", "lasts", "number", "as text", "truth", "error"],
            [
                datetime.date(2024, 1, 5),
                datetime.datetime(2024, 1, 5, 12, 30),
                datetime.time(12, 30),
                datetime.timedelta(hours=30),
                0.1,
                "１２",
                True,
                "#DIV/0!",
            ],
            [
                datetime.date(2024, 1, 6),
                None,
                datetime.time(6, 45),
                datetime.timedelta(hours=1),
                1e-7,
                "1,200",
                False,
                3,
            ],
        ]
    ).table
    assert table.to_dict(as_series=False) == {
        "day": [datetime.date(2024, 1, 5), datetime.date(2024, 1, 6)],
        "moment": [datetime.datetime(2024, 1, 5, 12, 30), None],
        "at": [12.5, 6.75],
        "lasts": [30.0, 1.0],
        "number": [0.1, 1e-7],
        "as text": [12, 1200],
        "truth": [True, False],
        "error": [None, 3],
    }


def test_a_title_and_merged_cells_above_the_header_are_left_out_with_a_note(read):
    done = read([["売上報告 2024"], [], ["Inputs", None, "Output"], ["a", "b", "y"], [1, 2, 3], [4, 5, 6]])
    assert done.table.rows(named=True) == [{"a": 1, "b": 2, "y": 3}, {"a": 4, "b": 5, "y": 6}]
    assert done.notes == ("Left out 3 lines above the header line: '売上報告 2024'.",)


MERGED = [
    (
        [["No.", "契約日", "物件", None, None, "家賃"], [None, None, "面積", "築年数", "区", None]],
        ["No.", "契約日", "面積", "築年数", "区", "家賃"],
    ),
    (
        [["No.", "前期", None, "後期", None, "家賃"], [None, "売上", "利益", "売上", "利益", "（月額）"]],
        ["No.", "前期 売上", "前期 利益", "後期 売上", "後期 利益", "家賃（月額）"],
    ),
    (
        [["No.", "身長", None, "体重", "区", "y"], [None, "（cm）", "（inch）", "（kg）", None, None]],
        ["No.", "身長（cm）", "身長（inch）", "体重（kg）", "区", "y"],
    ),
]


@pytest.mark.parametrize(("header", "names"), MERGED, ids=["merged downward too", "one name twice", "units"])
@pytest.mark.parametrize("above", [[], [["賃貸物件データ"], []]], ids=["at the top", "below a title"])
def test_names_in_two_lines_of_merged_cells_are_put_together(read, header, names, above):
    done = read([*above, *header, [1, "2024/1/5", 20.5, 3, "北区", 8], [2, "2024/1/6", 30.5, 4, "南区", 9]])
    assert done.table.columns == names
    assert len(done.table) == 2
    assert any(note.startswith("The names stand in two lines, with merged cells") for note in done.notes)


@pytest.mark.parametrize(
    "rows",
    [
        [["a", None, "y"], ["p", "q", "r"], ["s", "t", "u"]],
        [["a", None, "y"], [None, 3, None], [1, 2, 3]],
        [["a", None, "y"], ["p", None, None], [1, 2, 3]],
        [[None, "b", "y"], ["p", None, None], ["q", 2, 3]],
        [["日付", None, "売上"], ["2024/1/5", "月", None], ["2024/1/6", "火", 120], ["2024/1/7", "水", 90]],
        [["name", None, "age"], ["Anna", "f", None], ["Bob", "m", 31], ["Cleo", "f", 25]],
    ],
    ids=["data below", "numbers", "a gap that stays", "a column of names of rows", "dates", "texts that come again"],
)
def test_a_line_that_does_not_fill_the_gaps_of_the_names_is_none_of_them(read, rows):
    with pytest.raises(DataError, match="has no name"):
        read(rows)


def test_a_last_row_of_totals_in_a_column_of_numbers_is_told_to_be_deleted(read):
    with pytest.raises(
        DataError, match=r"'合計' \(row 21\), which is the last row. Delete that row, a total of those above"
    ):
        read([["No.", "x", "y"], *([k, 2 * k, 3 * k] for k in range(20)), ["合計", 380, 570]])


def test_empty_rows_and_columns_are_left_out_with_notes(read):
    done = read([["a", None, "y"], [1, None, 3], [None, None, None], [4, None, 6]])
    assert done.table.rows() == [(1, 3), (4, 6)]
    assert "Left out 1 row without a value (row 2; rows are numbered without it)." in done.notes
    assert "Left out column 2, which has neither a name nor values." in done.notes


def test_headers_may_be_numbers(read):
    assert read([[950, 952.5, "moisture"], [0, 2, 0.2], [1, 3, 0.1]]).table.columns == ["950", "952.5", "moisture"]


def test_a_target_that_is_on_another_sheet_is_told_where_to_look(tmp_path):
    sheets = {"表紙": [["調査", "年"], ["家賃", 2024], ["面積", 2023]], "データ": [["面積", "家賃"], [20, 3], [30, 4]]}
    (tmp_path / "data.xlsx").write_bytes(workbook(sheets))
    with pytest.raises(DataError, match=r"no target column '家賃'.*The first of 2 sheets, '表紙', was read; `sheet`"):
        load_problem(tmp_path / "data.xlsx", target="家賃")


def test_the_first_sheet_is_read_and_named_or_the_one_asked_for(read):
    others = {"Two": [["c", "d"], [7, 8]], "空": []}
    done = read([["a", "b"], [1, 2]], **others)
    assert done.table.columns == ["a", "b"]
    assert done.notes == ("The first of 3 sheets, 'Tabelle1', was read; --sheet names another.",)
    assert read([["a", "b"], [1, 2]], sheet="Two", **others).table.rows() == [(7, 8)]
    assert read([["a", "b"], [1, 2]], sheet="Two", **others).notes == ()
    with pytest.raises(DataError, match=r"has no sheet 'Three'; its sheets are 'Tabelle1', 'Two', '空'"):
        read([["a", "b"], [1, 2]], sheet="Three", **others)
    with pytest.raises(DataError, match=r"sheet '空' of .* is empty; name another with `sheet`"):
        read([["a", "b"], [1, 2]], sheet="空", **others)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("data.xlsx", b"\xd0\xcf\x11\xe0" + "EncryptedPackage".encode("utf-16-le"), "is protected by a password"),
        ("data.xlsx", b"\xd0\xcf\x11\xe0 junk", "is an old .xls file, whatever its name; save it as .xlsx"),
        ("data.xls", b"\xd0\xcf\x11\xe0 junk", "is a spreadsheet of another kind than .xlsx; save it as .xlsx"),
        ("data.ods", b"PK junk", "is a spreadsheet of another kind than .xlsx; save it as .xlsx"),
        ("data.xlsx", b"PK\x03\x04 junk", "is not a readable xlsx file"),
    ],
)
def test_other_spreadsheets_are_refused_in_a_sentence(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_table(tmp_path / name)


def test_a_spreadsheet_is_the_problem_of_the_same_text(tmp_path):
    rows = [[k, k % 7, "yes" if k % 3 else "no", k / 8] for k in range(40)]
    (tmp_path / "data.xlsx").write_bytes(workbook({"Data": [["a", "b", "c", "y"], *rows]}))
    (tmp_path / "data.csv").write_text("a,b,c,y\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    assert load_problem(tmp_path / "data.xlsx").data_hash == load_problem(tmp_path / "data.csv").data_hash


def test_numbers_have_all_their_digits(read):
    numbers = [4.7e-12, -1.23456789012345e-9, 1 / 3, 0.0, 1e-20, 123456.789, 1.7e300, 12, 2.5]
    table = read([["farad", "code", "n"], *([number, "0001", k] for k, number in enumerate(numbers))]).table
    assert table["farad"].to_list() == numbers
    mixed = read([["code", "n"], *([cell, 1] for cell in (0.1 + 0.2, "a1", "b", 1 / 3, "0.50", 7, "c"))]).table
    assert mixed["code"].to_list() == ["0.3", "a1", "b", "0.3333333333333333", "0.50", "7", "c"]
