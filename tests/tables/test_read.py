"""Files of all four types, as people and programs write them."""

import gzip

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from nucleate import DataError
from nucleate.problems import load_problem
from nucleate.tables import Form
from nucleate.tables.reading import read_table

PLAIN = pl.DataFrame({"a": [1, 2], "b": [0.5, -3e-7], "c": ["x", "y"]})


@pytest.fixture
def read(tmp_path):
    def read(content, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_table(path)[0]

    return read


@pytest.mark.parametrize(
    "text",
    [
        "a,b,c\n1,0.5,x\n2,-3e-7,y\n",
        "\ufeffa,b,c\n1,0.5,x\n2,-3e-7,y\n",
        "a,b,c\r\n1,0.5,x\r\n2,-3e-7,y",
        "a, b, c\n1, 0.5, x\n2, -3e-7, y\n",
        '"a","b","c"\n"1","0.5","x"\n2,-3e-7,"y"\n',
        "a;b;c\n1;0.5;x\n2;-3e-7;y\n",
        "a;b;c\n1;0,5;x\n2;-3e-7;y\n",
        "\na,b,c\n\n1,0.5,x\n,,\n2,-3e-7,y\n\n\n",
    ],
    ids=["plain", "byte-order mark", "crlf", "spaces", "quotes", "semicolons", "decimal commas", "blank lines"],
)
def test_csv_as_people_write_it(read, text):
    assert_frame_equal(read(text), PLAIN)


def test_tsv_is_separated_by_tabs(read):
    assert_frame_equal(read("a\tb\tc\n1\t0.5\tx\n2\t-3e-7\ty\n", "data.TSV"), PLAIN)


def test_quoted_text_may_hold_separators_quotes_and_line_ends(read):
    table = read('"a,b;c;d","e"\n"Bern, old ""town""\nOslo",1\n')
    assert table.rows(named=True) == [{"a,b;c;d": 'Bern, old "town"\nOslo', "e": 1}]


@pytest.mark.parametrize("marker", ["", "NA", "N/A", "?", "NaN", "nan", "null", '"NA"', " ? "])
def test_missing_value_markers(read, marker):
    table = read(f"a,b,c\n1,x,true\n{marker},{marker},{marker}\n3,y,false\n")
    assert table.dtypes == [pl.Int64, pl.String, pl.Boolean]
    # A row of markers only is as good as a blank line.
    assert table.rows() == [(1, "x", True), (3, "y", False)]
    assert read(f"a,b\n1,x\n{marker},y\n")["a"].to_list() == [1, None]


def test_a_column_has_the_narrowest_type_that_holds_all_of_it(read):
    table = read("whole,number,truth,text,large,infinite\n1,1,True,1,1,1\n-2,1e3,FALSE,b,99999999999999999999,-inf\n")
    assert table.dtypes == [pl.Int64, pl.Float64, pl.Boolean, pl.String, pl.Float64, pl.Float64]


def test_parquet_and_npz(read, tmp_path):
    PLAIN.write_parquet(tmp_path / "data.parquet")
    assert_frame_equal(read_table(tmp_path / "data.parquet")[0], PLAIN)
    for x, y in (("x", "y"), ("X", "Y")):
        np.savez(tmp_path / "data.npz", **{x: np.eye(3), y: np.arange(3)})
        table, targets, *_ = read_table(tmp_path / "data.npz")
        assert table.columns == ["x1", "x2", "x3", "y"]
        assert targets == ("y",)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"There is no file .*prices\.csv; check the path"):
        read_table(tmp_path / "prices.csv")


@pytest.mark.parametrize("name", ["data.docx", "data", "data.gz"])
def test_an_unknown_type_is_refused(read, name):
    with pytest.raises(DataError, match=r"is not a file of a known type; expected \.csv, \.tsv, \.txt .*or \.npz"):
        read("a,b\n1,2\n", name)


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "data.csv").mkdir()
    with pytest.raises(DataError, match=r"folder .*data\.csv has no file of a known type"):
        read_table(tmp_path / "data.csv")


@pytest.mark.parametrize("name", ["data.csv", "data.tsv", "data.parquet", "data.npz"])
@pytest.mark.parametrize("content", ["", " \n\n"])
def test_an_empty_file_is_refused(read, name, content):
    with pytest.raises(DataError, match="is empty; expected columns with a target"):
        read(content, name)


def test_a_file_without_rows_is_refused(read):
    with pytest.raises(DataError, match="has columns but no rows"):
        read("a,b\n")


@pytest.mark.parametrize("name", ["data.parquet", "data.npz"])
@pytest.mark.parametrize("content", [b"junk", b"PK\x03\x04 junk", b"PAR1 junk PAR1", b"\x93NUMPY junk"])
def test_a_file_that_is_not_what_its_name_says_is_refused(read, name, content):
    with pytest.raises(DataError, match=r"is not a readable (Parquet|npz) file \(.*\); write it again"):
        read(content, name)


def test_a_truncated_file_is_refused(read, tmp_path):
    np.savez_compressed(tmp_path / "whole.npz", x=np.random.default_rng(0).random((50, 3)), y=np.arange(50))
    PLAIN.write_parquet(tmp_path / "whole.parquet")
    for name in ("whole.npz", "whole.parquet"):
        content = (tmp_path / name).read_bytes()
        for end in (5, len(content) // 2, len(content) - 1):
            with pytest.raises(DataError, match="is not a readable"):
                read(content[:end], name)


def test_a_damaged_npz_is_refused(read, tmp_path):
    np.savez_compressed(tmp_path / "whole.npz", x=np.random.default_rng(0).random((50, 3)), y=np.arange(50))
    content = bytearray((tmp_path / "whole.npz").read_bytes())
    content[200:260] = bytes(60)
    with pytest.raises(DataError, match="is not a readable npz file"):
        read(bytes(content), "damaged.npz")


def test_pickles_and_single_arrays_are_no_npz(read, tmp_path):
    np.savez(tmp_path / "objects.npz", x=np.array([[{}]], object), y=np.zeros(1))
    with pytest.raises(
        DataError, match=r"dtype object, .*; save it with .astype\(float\), or .astype\(str\) where all"
    ):
        read_table(tmp_path / "objects.npz")
    x = np.array([["left"], ["right"]], object)
    np.savez(tmp_path / "texts.npz", x=x.astype(str), y=np.zeros(2))
    assert read_table(tmp_path / "texts.npz")[0]["x1"].to_list() == ["left", "right"]
    np.save(tmp_path / "single.npy", np.eye(2))
    with pytest.raises(DataError, match="is not a readable npz file"):
        read((tmp_path / "single.npy").read_bytes(), "single.npz")


def test_an_npz_without_x_and_y_is_refused(tmp_path):
    np.savez(tmp_path / "data.npz", inputs=np.eye(3), y=np.arange(3))
    with pytest.raises(DataError, match=r"has the arrays inputs, y; expected x, of shape \(rows, columns\), and y"):
        read_table(tmp_path / "data.npz")


def test_an_npz_whose_shapes_do_not_fit_is_refused(tmp_path):
    np.savez(tmp_path / "data.npz", x=np.eye(3), y=np.arange(4))
    with pytest.raises(DataError, match=r"x has shape \(3, 3\) and y \(4,\); they need the same number of rows"):
        read_table(tmp_path / "data.npz")


def test_text_that_is_not_utf_8_is_refused(read):
    with pytest.raises(DataError, match=r"is not UTF-8 text \(at byte 7\); save it as CSV UTF-8"):
        read("a,b\n1,é\n".encode("latin-1"))


def test_rows_longer_than_the_header_are_refused(read):
    with pytest.raises(DataError, match=r"Line 3 of .* has 3 cells, where the others have 2"):
        read("a,b\n1,2\n1,2,3\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n3\n", "Line 3 of .* has 1 cell, where the others have 2"),
        ("a,b\n1,2\n\n3,4,5\n", "Line 4 of .* has 3 cells, where the others have 2"),
        ("a,b\n1,2\n# a remark\n3,4\n", "Line 3 of .* has 1 cell, where"),
        ("a,b\n1,2\n3,4\nTotal\n", "Line 4 of .* has 1 cell, where the others have 2; correct it, or delete it if"),
        ('a,b\n"x\ny",2\n3\n', "Line 4 of .* has 1 cell, where"),
        ("a,b\n1,5,2,5\n3,5,4,5\n", "header line of .* has 2 names, and its rows have 4 cells; .* decimal commas"),
        ('a,b\n1,2\n"3,4\n5,6\n', r"Line 3 of .* is not readable \(a quotation mark is not closed\)"),
        ('a,b\n"1"x,2\n', r"Line 2 of .* is not readable \(text follows a closing quotation mark\)"),
    ],
)
def test_lines_that_do_not_fit_are_refused_with_their_number(read, text, says):
    with pytest.raises(DataError, match=says):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        "a,b,c\r1,0.5,x\r2,-3e-7,y\r",
        "a,b,c,\n1,0.5,x,\n2,-3e-7,y,\n",
        "a,b,c\n1,0.5,x,\n2,-3e-7,y,\n",
        "a,b,c,\n1,0.5,x\n2,-3e-7,y\n",
        "sep=;\na;b;c\n1;0.5;x\n2;-3e-7;y\n",
        "sep=\t\na\tb\tc\n1\t0.5\tx\n2\t-3e-7\ty\n",
        "A report, of 2024\n\na;b;c\n1;0.5;x\n2;-3e-7;y\n",
        "# made by hand, in 2024\n# twice\na,b,c\n1,0.5,x\n2,-3e-7,y\n",
        "# a,b,c\n1,0.5,x\n2,-3e-7,y\n",
        "# a b c\n1 0.5 x\n2 -3e-7 y\n",
        '"a" "b" "c"\n"1" 1 0.5 "x"\n"2" 2 -3e-7 "y"\n',
        "a,b,c\n1 , 0.50 ,x \n2,-0.0000003,y\n",
        ",,\na,b,c\n1,0.5,x\n2,-3e-7,y\n,,\n,,\n",
    ],
    ids=[
        "old line ends",
        "trailing separators",
        "trailing separators below the header",
        "a trailing separator in the header",
        "separator told",
        "tab told",
        "a title",
        "comments",
        "a header behind a #",
        "a header as NumPy writes it",
        "numbered rows as R writes them",
        "spaces around cells",
        "blank rows",
    ],
)
def test_csv_as_programs_write_it(read, text):
    assert_frame_equal(read(text), PLAIN)


def test_what_stands_above_a_header_is_noted(tmp_path):
    (tmp_path / "data.csv").write_text("Rents in May\n\nsize,rooms,rent\n50,2,800\n,,\n70,3,1000\n")
    notes = read_table(tmp_path / "data.csv").notes
    assert notes == (
        "Left out 1 line above the header line: 'Rents in May'.",
        "Left out 1 row without a value (row 2; rows are numbered without it).",
    )


def test_a_header_of_one_name_above_texts_is_no_title(read):
    with pytest.raises(DataError, match=r"Column 2 of .* has no name"):
        read("name,,\nAnn,x,y\nBob,z,w\n")
    with pytest.raises(DataError, match=r"Column 2 of .* has no name"):
        read("id,,\n1,2,3\n4,5,6\n")


def test_names_over_several_lines_are_joined(read):
    assert read('"price\n(EUR)", a  b \n1,2\n').columns == ["price (EUR)", "a b"]


def test_a_quotation_mark_within_a_text_is_itself(read):
    assert read('size,y\n5" pipe,1\n6" pipe,2\n')["size"].to_list() == ['5" pipe', '6" pipe']


def test_names_given_twice_are_refused(read):
    with pytest.raises(DataError, match="has column 'a' more than once; give each column its own name"):
        read("a,b,a\n1,2,3\n")


def test_a_column_without_a_name_is_refused(read):
    with pytest.raises(
        DataError, match=r"Column 1 of .* has no name\. Name it .* or delete it if it only numbers the rows"
    ):
        read(",b\n0,2\n5,3\n")


def test_a_file_without_a_header_is_refused(read):
    with pytest.raises(DataError, match=r"first line of .* holds the number 5\.1; add a header line"):
        read("5.1,3.5,setosa\n4.9,3.0,setosa\n")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('a,y\n"1,200",1\n"950",2\n', [1200, 950]),
        ("a,y\n¥1360,1\n980円,2\n", [1360, 980]),
        ("a,y\n20%,1\n5%,2\n", [20, 5]),
        ("a,y\n▲5,1\n△7,2\n(3),3\n", [-5, -7, -3]),
        ("a,y\n１２,1\n３．５,2\n", [12, 3.5]),
        ("a;y\n1.234;0,5\n567;1,5\n", [1234, 567]),
        ("a;y\n1,234;0.5\n567;1.5\n", [1234, 567]),
        ("a;y\n1,234,567;1\n2;2\n", [1234567, 2]),
        ('a,y\n"1.234,5",1\n"0,5",2\n', [1234.5, 0.5]),
        ("a\ty\n1,234.5\t1\n2\t2\n", [1234.5, 2]),
        ("a,y\n1 234,1\n5,2\n", [1234, 5]),
        ("a,y\n1,1\n-,2\n#N/A,3\n欠測,4\n9,5\n", [1, None, None, None, 9]),
        ("a;y\n1.234;2.5\n2.345;3.25\n", [1.234, 2.345]),
    ],
)
def test_numbers_as_people_write_them_are_numbers(read, text, values):
    assert read(text)["a"].to_list() == values


@pytest.mark.parametrize("cells", [("1,234", "567"), ("1.234", "567"), ("1.234", "5.678")])
def test_numbers_that_read_in_two_ways_are_refused_until_a_flag_settles_it(tmp_path, cells):
    mark = cells[0][1]
    (tmp_path / "data.csv").write_text("a;y\n" + "".join(f"{cell};{k}\n" for k, cell in enumerate(cells)))
    with pytest.raises(DataError, match=r"which is 1234 or 1\.234; pass thousands='[,.]' or decimal="):
        read_table(tmp_path / "data.csv")
    assert read_table(tmp_path / "data.csv", Form(thousands=mark)).table["a"][0] == 1234
    assert read_table(tmp_path / "data.csv", Form(decimal=mark)).table["a"][0] == 1.234


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,y\n" + "".join(f"{k},1\n" for k in range(30)) + "<0.5,2\n", r"numbers but for '<0\.5' \(row 31\)"),
        ("a,y\n20%,1\n0.2,2\n", "has both '20%' and '0.2'"),
        ("a,y\n$5,1\n¥6,2\n", "has both '\\$5' and '¥6'"),
        ("a,y\n01/02/2024,1\n03/04/2024,2\n", "the day and the month cannot be told apart"),
        ("36,0,72\n51,1,102\n", "first line of .* holds the number 36"),
    ],
)
def test_what_is_unclear_is_refused_with_the_cells(read, text, says):
    with pytest.raises(DataError, match=says):
        read(text)


def test_odd_cells_that_stand_for_no_value_are_named_and_others_need_a_flag(tmp_path):
    file = tmp_path / "ages.csv"
    file.write_text("age,y\n" + "".join(f"{'-' if k == 5 else 20 + k},{k * 1.5}\n" for k in range(40)))
    with pytest.raises(DataError, match=r"'age' has 1 missing value \(row 6\).*Column 'age' has '-' in row 6"):
        load_problem(file)
    assert load_problem(file, drop_missing=True).inputs == 1
    file.write_text(file.read_text().replace("-,", "lost,"))
    assert load_problem(file, drop_missing=True, missing=["lost"]).inputs == 1


@pytest.mark.parametrize("encoding", ["cp932", "euc_jp", "utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_japanese_encodings_are_told(tmp_path, encoding):
    text = "面積,駅\n1.5,渋谷\n2.5,池袋\n"
    (tmp_path / "data.csv").write_bytes(text.encode(encoding))
    table = read_table(tmp_path / "data.csv").table
    assert table.rows(named=True)[0] == {"面積": 1.5, "駅": "渋谷"}


@pytest.mark.parametrize("separator", ["\t", "|", " ", "   "])
def test_other_separators_are_told(read, separator):
    assert_frame_equal(read("a,b,c\n1,0.5,x\n2,-3e-7,y\n".replace(",", separator)), PLAIN)


@pytest.mark.parametrize("cell", ["2024年01月02日", "2024/1/2", "令和6年1月2日", "R6.1.2", "2024-01-02(火)"])
def test_dates_are_days(tmp_path, cell):
    (tmp_path / "data.csv").write_text(f"when,a,y\n{cell},1,1\n" + "".join(f"2024/2/{k},2,{k}\n" for k in range(1, 29)))
    read = read_table(tmp_path / "data.csv")
    assert str(read.table["when"][0]) == "2024-01-02"
    problem = load_problem(tmp_path / "data.csv", task="regression")
    assert "Input column 'when' became days since 1970-01-01." in problem.notes


def test_an_index_and_empty_columns_are_left_out_with_notes(tmp_path):
    (tmp_path / "data.csv").write_text(",a,z,y,\n" + "".join(f"{k},{k * k},,{k + 0.5},\n" for k in range(30)))
    problem = load_problem(tmp_path / "data.csv")
    assert problem.preprocessing.encoded_inputs == ("a",)
    assert "Left out the first column, which only numbers the rows." in problem.notes
    assert "Left out empty column 'z'." in problem.notes


def test_headers_that_are_numbers_among_texts_are_headers(read):
    assert read("950.0,952.5,moisture\n1,2,0.3\n2,3,0.4\n").columns == ["950.0", "952.5", "moisture"]


def test_packed_text_is_read(tmp_path):
    (tmp_path / "data.csv.gz").write_bytes(gzip.compress(b"a,b,c\n1,0.5,x\n2,-3e-7,y\n"))
    assert_frame_equal(read_table(tmp_path / "data.csv.gz").table, PLAIN)


@pytest.mark.parametrize("above", ["", "賃貸の調査,,,単位：円\n"], ids=["at the top", "below a title of two cells"])
@pytest.mark.parametrize(
    ("line", "units"),
    [
        ("-,㎡,年,円", {"面積": "㎡", "築年数": "年", "家賃": "¥"}),
        (",（m2）,-,(千円)", {"面積": "m2", "家賃": "千円"}),
        (",,,万円", {"家賃": "万円"}),
        ("単位,m^2,a,", {"面積": "m^2", "築年数": "a"}),
    ],
)
def test_a_line_of_units_below_the_names_is_left_out_with_a_note(tmp_path, above, line, units):
    path = tmp_path / "data.csv"
    path.write_text(f"{above}番号,面積,築年数,家賃\n{line}\n5,20.5,3,8\n7,30.5,4,9\n")
    read = read_table(path)
    assert read.table.rows() == [(5, 20.5, 3, 8), (7, 30.5, 4, 9)]
    (note,) = [note for note in read.notes if note.startswith("Left out the line of units below the names: ")]
    assert line.split(",")[-1] in note
    assert {name: unit for name, unit in read.form.units.items() if name != "番号"} == units


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("区,家賃\n港区,\n北区,3\n南区,4\n", ("港区", None)),
        ("番号,家賃\nA1,\nA2,3\nA3,4\n", ("A1", None)),
        ("築年,家賃\n新築,\n築5年,8\n新築,7\n築2年,9\n", ("新築", None)),
        ("a,b\n,low\n1,level 2\n3,level 3\n", (None, "low")),
        ("a,b\n-,NA\n1,2\n3,4\n", (None, None)),
    ],
    ids=[
        "a text among texts",
        "in the form of others",
        "a text that comes again",
        "texts that end in digits",
        "no value",
    ],
)
def test_a_first_row_without_numbers_is_no_line_of_units(read, text, first):
    assert read(text).row(0) == first


def test_a_column_in_two_units_is_refused(tmp_path):
    for day, unit in enumerate(("円", "千円")):
        (tmp_path / f"day{day}.csv").write_text(f"面積,家賃\n㎡,{unit}\n20,3\n30,4\n")
    with pytest.raises(DataError, match=r"Column '家賃' of .*day1\.csv is in 千円, and that of another file in ¥"):
        read_table(tmp_path)


def test_a_model_is_given_the_units_that_it_was_trained_on(tmp_path):
    rows = "".join(f"{k},{2 * k}.5\n" for k in range(20, 60))
    (tmp_path / "data.csv").write_text(f"面積,家賃\n㎡,円\n{rows}")
    form = load_problem(tmp_path / "data.csv").preprocessing.reading
    (tmp_path / "new.csv").write_text("面積\n坪\n20\n")
    with pytest.raises(DataError, match=r"has numbers in 坪, but it had numbers in ㎡ in training"):
        read_table(tmp_path / "new.csv", form)
    (tmp_path / "new.csv").write_text("面積\n(㎡)\n20\n")
    assert read_table(tmp_path / "new.csv", form).table.rows() == [(20,)]


@pytest.mark.parametrize("end", ["※ 税込み\n", "\n※税込み\n注）推計を含む\n出典：調査\n", "※ 税込み,,\n,,\n"])
def test_remarks_below_the_rows_are_left_out_with_a_note(tmp_path, end):
    path = tmp_path / "data.csv"
    path.write_text(f"a,b,y\n1,2,3\n4,5,6\n{end}")
    read = read_table(path)
    assert read.table.rows() == [(1, 2, 3), (4, 5, 6)]
    (note,) = [note for note in read.notes if "below the rows" in note]
    assert note.startswith(f"Left out {'3 remarks' if '出典' in end else '1 remark'} below the rows: '※")


@pytest.mark.parametrize("end", ["※ 7,8,9\n", "Total,8,9\n", "※ 税込み,,\n7,8,9\n"])
def test_what_holds_numbers_or_stands_above_rows_is_no_remark(read, end):
    table = read("a,b,y\n" + 20 * "x,2,3\n" + "4,5,6\n" + end)
    assert table.height == 21 + end.count("\n")


def test_numbers_without_their_unit_are_those_of_training_unless_they_may_be_shares(tmp_path):
    (tmp_path / "data.csv").write_text("w,y\n0.05,1\n6,2\n")
    read = read_table(tmp_path / "data.csv", Form(kinds={"w": "number"}, units={"w": "kg"}))
    assert read.notes == ("Column 'w' has numbers without a unit, read as kg, as in training.",)
    with pytest.raises(DataError, match="has numbers without a unit, but it had numbers in % in training; write it as"):
        read_table(tmp_path / "data.csv", Form(kinds={"w": "number"}, units={"w": "%"}))


def test_names_that_come_again_among_the_rows_are_left_out_with_a_note(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("番号,区,家賃\n1,北区,3\n番号,区,家賃\n2,南区,4\n番号,区,家賃\n3,区,5\n")
    read = read_table(path)
    assert read.table.rows() == [(1, "北区", 3), (2, "南区", 4), (3, "区", 5)]
    assert "Left out 2 rows in which the names come again (rows 2, 4; rows are numbered without them)." in read.notes


def test_subtotals_among_numbers_are_told_to_be_deleted_and_not_to_be_read_as_missing(read):
    text = "番号,家賃\n" + "".join(f"{k},{k}\n" + "小計,9\n" * (k % 8 == 7) for k in range(32)) + "総計,36\n"
    with pytest.raises(
        DataError, match=r"but for '小計', '総計' \(rows .*\)\. Delete these rows, which sum up others:"
    ) as told:
        read(text)
    assert "--missing" not in str(told.value)


def test_a_column_that_is_mostly_of_dates_names_the_others(tmp_path):
    dates = [f"2024/1/{k}" if k % 3 else str(45000 + k) for k in range(1, 25)]
    (tmp_path / "data.csv").write_text("契約日,家賃\n" + "".join(f"{date},{k}\n" for k, date in enumerate(dates)))
    notes = read_table(tmp_path / "data.csv").notes
    assert any(
        note.startswith("Column '契約日' was read as text, for '45003', '45006', ") and "is not a date" in note
        for note in notes
    )


def test_texts_that_stand_once_above_gaps_are_told_to_be_written_in_each_row(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("区,家賃\n" + "".join(f"{ {0: '北区', 20: '南区'}.get(k, '') },{k}\n" for k in range(40)))
    with pytest.raises(DataError, match=r"'区' has each text once, above gaps, as merged cells do: write it in each"):
        load_problem(path, task="regression")
    path.write_text("区,家賃\n" + "".join(f"{'北区' if k % 5 else ''},{k}\n" for k in range(40)))
    assert not any("merged" in note for note in read_table(path).notes)
